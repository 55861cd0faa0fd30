"""Rasters in the form of Earth Search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio import Affine


def write_cog(path: Path, pixels: NDArray[Any], epsg: int, corner: tuple[int, int], gsd: int, block_size: int) -> None:
    """Write a COG in the form of Earth Search: DEFLATE with a predictor, nodata 0, no overviews.

    Args:
        path: the file; an existing one is replaced.
        pixels: (height, width), north up.
        epsg: EPSG code of the UTM zone.
        corner: easting and northing of the north-west corner, metres.
        gsd: side of a pixel, metres.
        block_size: side of a block, pixels.
    """
    with rasterio.open(
        path,
        "w",
        driver="COG",
        dtype=pixels.dtype,
        count=1,
        height=pixels.shape[0],
        width=pixels.shape[1],
        crs=f"EPSG:{epsg}",
        transform=Affine(gsd, 0, corner[0], 0, -gsd, corner[1]),
        nodata=0,
        compress="DEFLATE",
        predictor="STANDARD",
        level=6,
        blocksize=block_size,
        overviews="NONE",
    ) as dataset:
        dataset.write(pixels, 1)
