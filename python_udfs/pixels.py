"""Scalar functions over the band columns of fct_chips and fct_filled_chips.

Each takes Blosc frames as those columns hold them and leaves out nodata (0). Null in, null out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from python_udfs.codec import decode_array, frame_bytes


def _decode_band(frame: bytes) -> NDArray[np.uint16]:
    """Decode a band column of either resolution into a (side, side) uint16 array."""
    return decode_array(frame, "uint16", math.isqrt(frame_bytes(frame) // 2))


def chip_mean(band: bytes | None) -> float | None:
    """Mean of a band's pixels that are not nodata, reflectance x 10,000; null if there is none."""
    if band is None:
        return None
    pixels = _decode_band(band)
    values = pixels[pixels != 0]
    return float(values.mean(dtype=np.float64)) if values.size else None


def chip_normalized_difference(first: bytes | None, second: bytes | None) -> float | None:
    """Mean of (first - second) / (first + second) over pixels where neither is nodata; null if there is none.

    `chip_normalized_difference(nir, red)` is the mean NDVI. Both bands must have the same resolution.
    """
    if first is None or second is None:
        return None
    a, b = _decode_band(first).astype(np.float64), _decode_band(second).astype(np.float64)
    if a.shape != b.shape:
        raise ValueError(f"the bands have {a.shape} and {b.shape} pixels: take two of one resolution")
    both = (a != 0) & (b != 0)
    return float(((a[both] - b[both]) / (a[both] + b[both])).mean()) if both.any() else None


def chip_pixel(band: bytes | None, pixel_row: int | None, pixel_col: int | None) -> int | None:
    """Value of one pixel of a band, reflectance x 10,000, 0 for nodata; null outside the chip."""
    if band is None or pixel_row is None or pixel_col is None:
        return None
    pixels = _decode_band(band)
    inside = 0 <= pixel_row < pixels.shape[0] and 0 <= pixel_col < pixels.shape[1]
    return int(pixels[pixel_row, pixel_col]) if inside else None
