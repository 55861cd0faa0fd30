"""Which pixels of a chip have data, and which of them are valid: one rule for cutting, filling and SQL functions.

The rule works on the 10 m grid. A 10 m pixel has data if no band is nodata there; for 20 m bands and SCL, the 20 m
pixel around it decides. A 20 m pixel counts if any of its four 10 m pixels counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import BAND_BY_NAME, CHIP_PIXELS_10M, CHIP_PIXELS_20M, CLOUD_REACH_PIXELS

assert CHIP_PIXELS_10M == 2 * CHIP_PIXELS_20M  # to_10m and any_of_four rely on it

Mask = NDArray[np.bool_]
BandPixels = NDArray[np.uint16]
CLOUD_CLASSES: Final = (8, 9, 10)  # SCL: medium and high probability, thin cirrus
_CLOUD_SHADOW_CLASS: Final = 3
Value = TypeVar("Value", bound=np.generic)


def class_table(classes: Iterable[int]) -> Mask:
    """Return a (256,) table that is true at the given SCL classes; index it with an SCL array."""
    table = np.zeros(256, dtype=np.bool_)
    table[list(classes)] = True
    return table


def to_10m(layer: NDArray[Value]) -> NDArray[Value]:
    """Repeat each 20 m pixel into its four 10 m pixels: (h, w) to (2 h, 2 w)."""
    return layer.repeat(2, axis=0).repeat(2, axis=1)


def any_of_four(mask: Mask) -> Mask:
    """Return where any of the four 10 m pixels of a 20 m pixel is true: (2 h, 2 w) to (h, w)."""
    return mask[0::2, 0::2] | mask[0::2, 1::2] | mask[1::2, 0::2] | mask[1::2, 1::2]


def cloud_distance(scl: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the chessboard distance of each pixel to the nearest cloud or cloud shadow of the array, pixels.

    Args:
        scl: SCL classes, 20 m, any shape.

    Returns:
        uint8 of the same shape: 0 in a cloud or shadow; CLOUD_REACH_PIXELS + 1 where all are farther than
        CLOUD_REACH_PIXELS.
    """
    reached = class_table((_CLOUD_SHADOW_CLASS, *CLOUD_CLASSES))[scl]
    distance = np.zeros(scl.shape, np.uint8)
    # The clouds grow by one pixel a step. The distance of a pixel is the number of steps before they reach it.
    for _ in range(CLOUD_REACH_PIXELS + 1):
        distance += ~reached
        wider = reached.copy()
        wider[:, 1:] |= reached[:, :-1]
        wider[:, :-1] |= reached[:, 1:]
        reached = wider.copy()
        reached[1:] |= wider[:-1]
        reached[:-1] |= wider[1:]
    return distance


def data_mask(bands: Mapping[str, BandPixels], scl_passes: Mask) -> Mask:
    """Return where no band is nodata and SCL passes.

    Args:
        bands: band name to (2 h, 2 w) array of a 10 m band or (h, w) array of a 20 m band, 0 = nodata.
        scl_passes: (h, w) mask, 20 m: where SCL has an accepted class.

    Returns:
        (2 h, 2 w) mask on the 10 m grid.
    """
    passes_20m = scl_passes.copy()
    for name, pixels in bands.items():
        if BAND_BY_NAME[name].gsd == 20:
            passes_20m &= pixels != 0
    passes = to_10m(passes_20m)
    for name, pixels in bands.items():
        if BAND_BY_NAME[name].gsd == 10:
            passes &= pixels != 0
    return passes
