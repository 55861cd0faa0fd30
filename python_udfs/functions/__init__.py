"""Scalar functions of SQL over the pixel columns of fct_chips, fct_filled_chips and fct_composites.

Each takes Blosc frames as those columns hold them. Nodata (0) never counts. Null in, null out.

Masks and bands may have different resolutions. Bands of 10 m and 20 m together are taken on the 10 m grid, where a
20 m pixel is repeated into the four 10 m pixels in it. If all bands have 20 m, a 20 m pixel counts if any of its
four pixels in a 10 m mask does. Cutting and filling follow the same rule (python_udfs/valid_pixels.py). Nothing is
resampled.
"""
