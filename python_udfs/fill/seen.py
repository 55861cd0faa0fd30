"""Layers that say which chip the value of a pixel is from: int32, the number of the chip in its fold, from 0."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Seen = NDArray[np.int32]
NEVER_SEEN: Final = -1  # the pixel has no value


def pixels_by_chip(seen: Seen, chips: int) -> NDArray[np.intp]:
    """Return the number of pixels of each chip, (chips,).

    Args:
        seen: any shape.
        chips: number of chips of the fold.
    """
    return np.bincount(seen.ravel() + 1, minlength=chips + 1)[1:]
