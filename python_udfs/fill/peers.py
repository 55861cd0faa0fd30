"""Adjusting the pixels that fill a gap to the light of the chip that they fill, by how pixels like them have changed.

Pixels of a source chip are grouped by their own spectrum, in pixels of 20 m: five groups of NDVI, each in three of a
second band. Where source and target are both valid, the ratios of their reflectance say how each group has changed:
by the height of the sun, by haze, by the season. The median ratio of a group and band is its gain. A filled pixel is
the pixel of the source times the gain of its group.

Groups and gains follow from the raw source chip and the raw target chip alone, by exact order statistics of integers
and float32. Chance, the order of arrival and other chips have no part in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import CHIP_PIXELS_20M
from python_udfs.valid_pixels import BandPixels, Mask, any_of_four

NDVI_GROUPS: Final = 5
GROUPS: Final = NDVI_GROUPS * 3
GAIN_ONE: Final = 1 << 13  # gains are integers, 8192 = 1: a filled pixel is exact wherever it is computed
MIN_GAIN: Final = round(0.4 * GAIN_ONE)
MAX_GAIN: Final = round(2.5 * GAIN_ONE)
MIN_PEERS: Final = 30  # pixels of the sample that a median needs

_STEP: Final = 2  # every second row and column of 20 m pixels is sampled: 4,096 of a chip
_SECOND_BANDS: Final = ("swir16", "green", "blue")  # the first that the chip has makes the second division

Sums = NDArray[np.uint32]  # of four 10 m pixels, or four times a 20 m pixel
Gains = NDArray[np.uint16]  # (GROUPS,)


@dataclass(frozen=True)
class Peers:
    """What a chip tells of its pixels for the gains of those that it fills, or that fill it.

    Attributes:
        groups: (128, 128) group of each 20 m pixel by its own spectrum, 0 to GROUPS - 1; of no meaning where not valid.
        is_valid: (4096,) the valid pixels of the sample.
        sums: band name to (4096,) sums of the sample; 0 is nodata.
    """

    groups: NDArray[np.uint8]
    is_valid: Mask
    sums: Mapping[str, Sums]


@dataclass(frozen=True)
class Adjustment:
    """How the pixels of a source are adjusted to a target.

    Attributes:
        peers: pixels of the sample that are valid in both.
        gains: band name to (GROUPS,) gains, GAIN_ONE = 1; empty if there are too few peers.
    """

    peers: int
    gains: Mapping[str, Gains]


def peers_of(bands: Mapping[str, BandPixels], valid: Mask) -> Peers:
    """Group the pixels of a chip, and take a sample of them.

    Args:
        bands: its raw bands, (256, 256) or (128, 128), 0 = nodata.
        valid: (256, 256), its valid pixels.
    """
    # All four 10 m pixels must be valid, so that the sums of two chips can be compared.
    is_whole = ~any_of_four(~valid)
    sampled = (slice(None, None, _STEP),) * 2
    sample_is_valid = is_whole[sampled].ravel()
    sums = {name: _sums(pixels, sampled).ravel() for name, pixels in bands.items()}
    return Peers(_groups(bands, sums, sample_is_valid, sampled), sample_is_valid, sums)


def adjustment(source: Peers, target: Peers) -> Adjustment:
    """Return the gains that take the pixels of a source chip to the light of a target chip.

    Args:
        source: of the chip whose pixels fill.
        target: of the chip that is filled.
    """
    both = source.is_valid & target.is_valid
    count = int(np.count_nonzero(both))
    names = [name for name in source.sums if name in target.sums]
    if count < MIN_PEERS or not names:
        return Adjustment(count, {})
    groups = source.groups[::_STEP, ::_STEP].ravel()[both]
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups, minlength=GROUPS))
    now, then = (
        np.stack([peers.sums[name][both][order] for name in names]).astype(np.float32) for peers in (target, source)
    )
    ratios = now / then
    gains = np.empty((len(names), GROUPS), np.float32)
    gains[:] = _median(ratios)[:, np.newaxis]
    for group, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if end - start >= MIN_PEERS:
            gains[:, group] = _median(ratios[:, start:end])
    whole = np.clip(np.rint(gains * np.float32(GAIN_ONE)), MIN_GAIN, MAX_GAIN).astype(np.uint16)
    return Adjustment(count, dict(zip(names, whole, strict=True)))


def adjusted(pixels: BandPixels, gains: NDArray[np.uint16]) -> BandPixels:
    """Return pixels times their gains, rounded; a pixel with data stays one with data.

    Args:
        pixels: raw reflectance x 10,000, any shape; 0 stays 0.
        gains: of the same shape, GAIN_ONE = 1.
    """
    product = pixels.astype(np.uint32) * gains
    product += GAIN_ONE // 2
    product //= GAIN_ONE
    np.minimum(product, np.iinfo(np.uint16).max, out=product)
    return np.where(pixels > 0, np.maximum(product, 1), 0).astype(np.uint16)


def _sums(pixels: BandPixels, sampled: tuple[slice, slice] | None = None) -> Sums:
    """Return four times each 20 m pixel, or the sum of its four 10 m pixels; 0 where one of them is nodata."""
    if pixels.shape[0] == CHIP_PIXELS_20M:
        return (pixels if sampled is None else pixels[sampled]).astype(np.uint32) * 4
    parts = [pixels[row::2, col::2] for row in (0, 1) for col in (0, 1)]
    if sampled is not None:
        parts = [part[sampled] for part in parts]
    sums: Sums = np.add.reduce(parts, dtype=np.uint32)
    return sums


def _groups(
    bands: Mapping[str, BandPixels], sums: Mapping[str, Sums], is_valid: Mask, sampled: tuple[slice, slice]
) -> NDArray[np.uint8]:
    """Return the group of each 20 m pixel: by quantiles of NDVI, then of a second band, of the valid sample."""
    groups = np.zeros((CHIP_PIXELS_20M,) * 2, np.uint8)
    if not is_valid.any():
        return groups
    if "red" in bands and "nir" in bands:
        ndvi = _ndvi(_sums(bands["red"]), _sums(bands["nir"]))
        groups += _quantile_bins(ndvi, ndvi[sampled].ravel()[is_valid], NDVI_GROUPS)
    second = next((name for name in _SECOND_BANDS if name in bands), None)
    if second is not None:
        values = _sums(bands[second])
        first = groups
        groups = first * 3
        first_sample = first[sampled].ravel()[is_valid]
        for one in range(NDVI_GROUPS):
            inside = sums[second][is_valid][first_sample == one]
            if inside.size:
                groups += np.where(first == one, _quantile_bins(values, inside, 3), 0).astype(np.uint8)
    return groups


def _ndvi(red: Sums, nir: Sums) -> NDArray[np.float32]:
    total = np.maximum(red + nir, 1).astype(np.float32)
    ndvi: NDArray[np.float32] = (nir.astype(np.float32) - red.astype(np.float32)) / total
    return ndvi


def _quantile_bins(values: NDArray[np.generic], sample: NDArray[np.generic], count: int) -> NDArray[np.uint8]:
    """Return in which of `count` parts of a sample, equal in number, each value falls, 0 to count - 1."""
    ranks = [len(sample) * part // count for part in range(1, count)]
    limits = np.partition(sample, ranks)[ranks]
    bins: NDArray[np.uint8] = np.add.reduce([values >= limit for limit in limits], dtype=np.uint8)
    return bins


def _median(ratios: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lower median of each row: one of its values."""
    middle = (ratios.shape[1] - 1) // 2
    return np.partition(ratios, middle, axis=1)[:, middle]
