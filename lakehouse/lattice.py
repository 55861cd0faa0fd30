"""The lattice of pixels that rasters lie on: multiples of the pixel size in the coordinates of a UTM zone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Affine = tuple[float, float, float, float, float, float]  # x = a * column + b * row + c, y = d * column + e * row + f

_TOLERANCE: Final = 1e-3  # pixels; floating point leaves less, a raster that must be resampled leaves more


def on_lattice(transform: Sequence[float], gsd: int, width: int, height: int) -> Affine | None:
    """Return the transform on the lattice that a transform means, or None if the raster lies beside the lattice.

    A raster lies on the lattice if it is north-up, and none of its corners is more than a thousandth of a pixel away
    from a multiple of the pixel size.

    Args:
        transform: a, b, c, d, e, f of the affine transform, metres.
        gsd: pixel size of the lattice, metres.
        width: columns of the raster.
        height: rows of the raster.
    """
    a, b, west, d, e, north = transform
    corner = (round(west / gsd) * gsd, round(north / gsd) * gsd)
    errors = (
        west - corner[0],
        north - corner[1],
        (a - gsd) * width,
        b * height,
        d * width,
        (e + gsd) * height,
    )
    if not all(abs(error) <= _TOLERANCE * gsd for error in errors):
        return None
    return float(gsd), 0.0, float(corner[0]), 0.0, float(-gsd), float(corner[1])
