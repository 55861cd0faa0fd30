"""Which pixels of a chip hold data, and which of them are valid: one rule for cutting and for filling.

Pixels are judged on the 10 m grid. A 10 m pixel holds data if no band is nodata there, 20 m bands and SCL
being looked up in the 20 m pixel it lies in. A 20 m pixel counts if any of its four 10 m pixels does.
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
    """A (256,) table that is true at the given SCL classes, to be indexed with an SCL array."""
    table = np.zeros(256, dtype=np.bool_)
    table[list(classes)] = True
    return table


def to_10m(layer: NDArray[Value]) -> NDArray[Value]:
    """Repeat each 20 m pixel into its four 10 m pixels: (h, w) to (2 h, 2 w)."""
    return layer.repeat(2, axis=0).repeat(2, axis=1)


def any_of_four(mask: Mask) -> Mask:
    """True where any of the four 10 m pixels of a 20 m pixel is: (2 h, 2 w) to (h, w)."""
    return mask[0::2, 0::2] | mask[0::2, 1::2] | mask[1::2, 0::2] | mask[1::2, 1::2]


def cloud_distance(scl: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Chessboard distance of each pixel to the nearest cloud or cloud shadow of the array, pixels.

    Returns:
        uint8 of the same shape: 0 in a cloud, and CLOUD_REACH_PIXELS + 1 where none is as near as
        CLOUD_REACH_PIXELS.
    """
    reached = class_table((_CLOUD_SHADOW_CLASS, *CLOUD_CLASSES))[scl]
    distance = np.zeros(scl.shape, np.uint8)
    # A pixel is as far as the number of times that clouds can grow by a pixel without reaching it.
    for _ in range(CLOUD_REACH_PIXELS + 1):
        distance += ~reached
        wider = reached.copy()
        wider[:, 1:] |= reached[:, :-1]
        wider[:, :-1] |= reached[:, 1:]
        reached = wider.copy()
        reached[1:] |= wider[:-1]
        reached[:-1] |= wider[1:]
    return distance


def data_mask(bands: Mapping[str, BandPixels], scl_holds: Mask) -> Mask:
    """True where no band is nodata and the SCL pixel is one of `scl_holds`.

    Args:
        bands: band name to (2 h, 2 w) array of a 10 m band or (h, w) array of a 20 m band, 0 = nodata.
        scl_holds: (h, w), which 20 m pixels pass by their SCL class.

    Returns:
        A (2 h, 2 w) mask on the 10 m grid.
    """
    holds_20m = scl_holds.copy()
    for name, pixels in bands.items():
        if BAND_BY_NAME[name].gsd == 20:
            holds_20m &= pixels != 0
    holds = to_10m(holds_20m)
    for name, pixels in bands.items():
        if BAND_BY_NAME[name].gsd == 10:
            holds &= pixels != 0
    return holds
