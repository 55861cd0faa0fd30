"""Adjusting the pixels that fill a gap to the light of the chip that they fill, by how pixels like them have changed.

Pixels of a source chip are grouped by their own spectrum, in pixels of 20 m: five groups of NDVI, each in three of a
second band. Where source and target are both valid, the ratios of their reflectance say how each group has changed:
by the height of the sun, by haze, by the season. The median ratio of a group and band is its gain. What differs from
these gains from place to place, as haze does, is the local factor of a band: a lattice of 8 x 8 blocks of the chip. A
filled pixel is the pixel of the source, times the gain of its group, times the local factor between the middles of the
blocks around it.

Groups, gains and factors follow from the raw source chip, the raw target chip and their suspect pixels, by exact order
statistics and sums, in integers and in arithmetic that IEEE 754 defines to the last bit. Chance, the order of arrival
and the processor have no part in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import CHIP_PIXELS_20M
from python_udfs.valid_pixels import BandPixels, Mask, any_of_four

NDVI_GROUPS: Final = 5
GROUPS: Final = NDVI_GROUPS * 3
BLOCKS: Final = 8  # blocks of local factors along each side of a chip
_GAIN_BITS: Final = 13
GAIN_ONE: Final = 1 << _GAIN_BITS  # gains are integers, 8192 = 1: a filled pixel is exact wherever it is computed
MIN_GAIN: Final = GAIN_ONE // 8
MAX_GAIN: Final = GAIN_ONE * 8 - 1
MIN_PEERS: Final = 30  # pixels of the sample that a median needs

_MAX_PIXEL: Final = np.uint32(np.iinfo(np.uint16).max)
_STEP: Final = 2  # every second row and column of 20 m pixels is sampled: 4,096 of a chip
_SAMPLED: Final = (slice(None, None, _STEP),) * 2
_SAMPLES: Final = CHIP_PIXELS_20M // _STEP  # along each side
_SECOND_BANDS: Final = ("swir16", "green", "blue")  # the first that the chip has makes the second division
_CONTRAST_ONE: Final = 1 << 20
_MAX_CONTRAST: Final = 0.25  # a peer counts as at most 5 / 3 of its group's gain, or 3 / 5
_PRIOR: Final = 4  # a block's mean is drawn to that of the larger block around it, as by so many peers
# The way of a row or column of 20 m pixels from the middle of the block before it to that of the next: of 32 parts.
_WAY_BITS: Final = 5
_WHOLE_WAY: Final = np.uint32(1 << _WAY_BITS)
assert 2 * CHIP_PIXELS_20M // BLOCKS == _WHOLE_WAY  # the middle of a pixel lies on half pixels
_FROM_FIRST: Final = 2 * np.arange(CHIP_PIXELS_20M) + 1 - CHIP_PIXELS_20M // BLOCKS
_BLOCK_BEFORE: Final = np.clip(_FROM_FIRST // int(_WHOLE_WAY), 0, BLOCKS - 2)
_WAY_TO_NEXT: Final = np.clip(_FROM_FIRST - _BLOCK_BEFORE * int(_WHOLE_WAY), 0, _WHOLE_WAY).astype(np.uint32)

Sums = NDArray[np.uint32]  # of four 10 m pixels, or four times a 20 m pixel
Gains = NDArray[np.uint16]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class CoarseChip:
    """A chip in pixels of 20 m.

    Attributes:
        sums: name of a band to (128, 128) sums of four 10 m pixels, or four times a 20 m pixel; 0 is nodata.
        is_valid: (128, 128), where all four 10 m pixels are valid, so that the sums of two chips can be compared.
    """

    sums: Mapping[str, Sums]
    is_valid: Mask


@dataclass(frozen=True)
class Peers:
    """What a chip tells of its pixels for the gains of those that it fills, or that fill it.

    Attributes:
        groups: (128, 128) group of each 20 m pixel by its own spectrum, 0 to GROUPS - 1; of no meaning where not valid.
        is_valid: (4096,) the valid pixels of the sample.
        bands: names of its bands.
        sums: (bands, 4096) sums of the sample; 0 is nodata.
    """

    groups: NDArray[np.uint8]
    is_valid: Mask
    bands: tuple[str, ...]
    sums: Sums

    def without(self, suspect: Mask) -> Peers:
        """Return the same without some pixels of the sample, a (128, 128) mask. Groups stay as they are."""
        return replace(self, is_valid=self.is_valid & ~suspect[_SAMPLED].ravel())

    def sums_at(self, bands: Sequence[str], places: NDArray[np.intp]) -> Sums:
        """Return the sums of some bands, in their order, at places of the sample: (bands, n)."""
        sums = self.sums if self.bands == bands else self.sums[[self.bands.index(name) for name in bands]]
        return np.take(sums, places, axis=1)


@dataclass(frozen=True)
class Adjustment:
    """How the pixels of a source are adjusted to a target. Gains and factors are integers, GAIN_ONE = 1.

    Attributes:
        peers: pixels of the sample that are valid in both.
        bands: names of the bands that are adjusted; none if there are too few peers.
        gains: (bands, GROUPS) gain of each group.
        factors: (bands, BLOCKS, BLOCKS) local factor in the middle of each block, north to south and west to east.
    """

    peers: int
    bands: tuple[str, ...]
    gains: Gains
    factors: Gains

    def at(self, groups: NDArray[np.uint8], places: NDArray[np.intp]) -> Gains:
        """Return the gains of 20 m pixels: gain of the group times local factor, (bands, n).

        Args:
            groups: (128, 128), of the source.
            places: (n,) places of the pixels in the flat layer.
        """
        gains = np.take(self.gains.astype(np.uint32), groups.ravel()[places], axis=1)
        gains *= _between_blocks(self.factors, places)
        return np.clip(_rounded_shift(gains, _GAIN_BITS), MIN_GAIN, MAX_GAIN).astype(np.uint16)

    def as_row(self, chip_id: str) -> dict[str, Any]:
        """Return an element of the column `adjustments`: gains and factors as numbers, 1 = as it was.

        Args:
            chip_id: of the source.
        """
        by_band = zip(self.bands, self.gains, self.factors, strict=True)
        gains = [{"band": name, "by_group": _numbers(one), "by_block": _numbers(other)} for name, one, other in by_band]
        return {"chip_id": chip_id, "peer_pixels": self.peers, "gains": gains}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Adjustment:
        """Read an element of the column `adjustments`."""
        gains = row["gains"]
        by_group, by_block = (
            np.rint(np.array([one[name] for one in gains], np.float64) * GAIN_ONE).astype(np.uint16)
            for name in ("by_group", "by_block")
        )
        return cls(
            row["peer_pixels"],
            tuple(one["band"] for one in gains),
            by_group.reshape(-1, GROUPS),
            by_block.reshape(-1, BLOCKS, BLOCKS),
        )


def _numbers(gains: Gains) -> list[float]:
    numbers: list[float] = (gains.ravel() / np.float32(GAIN_ONE)).tolist()
    return numbers


def coarse_chip(bands: Mapping[str, BandPixels], valid: Mask) -> CoarseChip:
    """Return a chip in pixels of 20 m.

    Args:
        bands: its raw bands, (256, 256) or (128, 128), 0 = nodata.
        valid: (256, 256), its valid pixels.
    """
    return CoarseChip({name: _sums(pixels) for name, pixels in bands.items()}, ~any_of_four(~valid))


def peers_of(chip: CoarseChip) -> Peers:
    """Group the pixels of a chip, and take a sample of them."""
    sample_is_valid = chip.is_valid[_SAMPLED].ravel()
    sums = np.zeros((len(chip.sums), _SAMPLES * _SAMPLES), np.uint32)
    for row, layer in zip(sums, chip.sums.values(), strict=True):
        row[:] = layer[_SAMPLED].ravel()
    return Peers(_groups(chip.sums, sample_is_valid), sample_is_valid, tuple(chip.sums), sums)


def adjustment(source: Peers, target: Peers) -> Adjustment:
    """Return how the pixels of a source chip are taken to the light of a target chip.

    Args:
        source: of the chip whose pixels fill.
        target: of the chip that is filled.
    """
    places = np.flatnonzero(source.is_valid & target.is_valid)
    names = tuple(name for name in source.bands if name in target.bands)
    if len(places) < MIN_PEERS or not names:
        return Adjustment(len(places), (), np.empty((0, GROUPS), np.uint16), np.empty((0, BLOCKS, BLOCKS), np.uint16))
    groups = source.groups[_SAMPLED].ravel()[places]
    now, then = target.sums_at(names, places), source.sums_at(names, places)
    gains = _group_gains(now, then, groups)
    return Adjustment(len(places), names, gains, _local_factors(now, then, gains[:, groups], places))


def group_gains(source: Peers, target: Peers, names: Sequence[str]) -> Gains | None:
    """Return the gains of the groups of a source chip to a target chip: (bands, GROUPS).

    Args:
        source: of the earlier chip.
        target: of the later chip.
        names: bands that both have.

    Returns:
        The gains; None if there are too few peers.
    """
    places = np.flatnonzero(source.is_valid & target.is_valid)
    if len(places) < MIN_PEERS:
        return None
    groups = source.groups[_SAMPLED].ravel()[places]
    return _group_gains(target.sums_at(names, places), source.sums_at(names, places), groups)


def adjusted(pixels: BandPixels, gains: Gains) -> BandPixels:
    """Return pixels times their gains, rounded; a pixel with data stays one with data.

    Args:
        pixels: raw reflectance x 10,000, any shape; 0 stays 0.
        gains: of the same shape, GAIN_ONE = 1.
    """
    product = _rounded_shift(np.multiply(pixels, gains, dtype=np.uint32), _GAIN_BITS)
    np.minimum(product, _MAX_PIXEL, out=product)
    np.maximum(product, pixels > 0, out=product)
    return product.astype(np.uint16)


def _sums(pixels: BandPixels) -> Sums:
    """Return four times each 20 m pixel, or the sum of its four 10 m pixels."""
    if pixels.shape[0] == CHIP_PIXELS_20M:
        return pixels.astype(np.uint32) * 4
    parts = [pixels[row::2, col::2] for row in (0, 1) for col in (0, 1)]
    sums: Sums = np.add.reduce(parts, dtype=np.uint32)
    return sums


def _groups(sums: Mapping[str, Sums], is_valid: Mask) -> NDArray[np.uint8]:
    """Return the group of each 20 m pixel: by quantiles of NDVI, then of a second band, of the valid sample."""
    groups = np.zeros((CHIP_PIXELS_20M,) * 2, np.uint8)
    if not is_valid.any():
        return groups
    if "red" in sums and "nir" in sums:
        ndvi = _ndvi(sums["red"], sums["nir"])
        groups += _quantile_bins(ndvi, ndvi[_SAMPLED].ravel()[is_valid], NDVI_GROUPS)
    second = next((name for name in _SECOND_BANDS if name in sums), None)
    if second is not None:
        values = sums[second]
        first = groups
        groups = first * 3
        first_sample, second_sample = (layer[_SAMPLED].ravel()[is_valid] for layer in (first, values))
        for one in range(NDVI_GROUPS):
            inside = second_sample[first_sample == one]
            if inside.size:
                groups += np.where(first == one, _quantile_bins(values, inside, 3), 0).astype(np.uint8)
    return groups


def _ndvi(red: Sums, nir: Sums) -> Floats:
    total = np.maximum(red + nir, 1).astype(np.float32)
    ndvi: Floats = (nir.astype(np.float32) - red.astype(np.float32)) / total
    return ndvi


def _quantile_bins(values: NDArray[np.generic], sample: NDArray[np.generic], count: int) -> NDArray[np.uint8]:
    """Return in which of `count` parts of a sample, equal in number, each value falls, 0 to count - 1."""
    ranks = [len(sample) * part // count for part in range(1, count)]
    limits = np.partition(sample, ranks)[ranks]
    bins: NDArray[np.uint8] = np.add.reduce([values >= limit for limit in limits], dtype=np.uint8)
    return bins


def _group_gains(now: Sums, then: Sums, groups: NDArray[np.uint8]) -> Gains:
    """Return the gain of each band and group: the median ratio of its peers, or of all peers if it has too few.

    Args:
        now: (bands, n), the peers in the target.
        then: (bands, n), the peers in the source.
        groups: (n,), of the source.
    """
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups, minlength=GROUPS))
    ratios = np.divide(now[:, order], then[:, order], dtype=np.float32)
    gains = np.empty((len(ratios), GROUPS), np.float32)
    gains[:] = _median(ratios)[:, np.newaxis]
    for group, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if end - start >= MIN_PEERS:
            gains[:, group] = _median(ratios[:, start:end])
    whole: Gains = np.clip(np.rint(gains * np.float32(GAIN_ONE)), MIN_GAIN, MAX_GAIN).astype(np.uint16)
    return whole


def _median(ratios: Floats) -> Floats:
    """Return the lower median of each row: one of its values."""
    middle = (ratios.shape[1] - 1) // 2
    return np.partition(ratios, middle, axis=1)[:, middle]


def _local_factors(now: Sums, then: Sums, gains: Gains, places: NDArray[np.intp]) -> Gains:
    """Return the local factor of each band and block, (bands, BLOCKS, BLOCKS).

    The contrast of a peer is (now - expected) / (now + expected): twice and half as much weigh alike. The mean
    contrast of a block is drawn to that of the block of twice the size around it, and so on up to the chip, which is
    drawn to 0. A block without peers therefore has what its surroundings have.

    Args:
        now: (bands, n), the peers in the target.
        then: (bands, n), the peers in the source.
        gains: (bands, n), of the groups of the peers.
        places: (n,) places of the peers in the flat sample.
    """
    found = now.astype(np.float64) * GAIN_ONE
    expected = np.multiply(then, gains, dtype=np.float64)
    contrast = (found - expected) / (found + expected)
    np.clip(contrast, -_MAX_CONTRAST, _MAX_CONTRAST, out=contrast)
    contrast *= _CONTRAST_ONE
    sample = np.zeros((len(now) + 1, _SAMPLES * _SAMPLES), np.int32)
    sample[:-1, places] = np.rint(contrast, out=contrast)
    sample[-1, places] = 1
    levels = [_block_sums(sample, BLOCKS)]
    while levels[-1].shape[-1] > 1:
        levels.append(_block_sums(levels[-1], levels[-1].shape[-1] // 2))
    mean = np.zeros((len(now), 1, 1), np.int64)
    for level in reversed(levels):
        around = _doubled(mean) if level.shape[-1] > 1 else mean
        mean = (level[:-1] + _PRIOR * around) // (level[-1] + _PRIOR)
    return np.rint((_CONTRAST_ONE + mean) / (_CONTRAST_ONE - mean) * GAIN_ONE).astype(np.uint16)


def _block_sums(layers: NDArray[np.int32] | NDArray[np.int64], blocks: int) -> NDArray[np.int64]:
    """Return the sums of square layers, (n, any), over blocks x blocks blocks: (n, blocks, blocks)."""
    side = math.isqrt(layers[0].size) // blocks
    rows = layers.reshape(len(layers), blocks, side, blocks * side).sum(axis=2, dtype=np.int64)
    sums: NDArray[np.int64] = rows.reshape(len(layers), blocks, blocks, side).sum(axis=3)
    return sums


def _doubled(lattices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n, side, side) lattices with twice as many blocks a side, bilinear between the middles of blocks."""
    quarters = _quarters(lattices.shape[1])
    return quarters @ lattices @ quarters.T // 16


@cache
def _quarters(side: int) -> NDArray[np.int64]:
    """Return how many quarters of each block go into each of twice as many: (2 x side, side)."""
    quarters = np.zeros((2 * side, side), np.int64)
    new = np.arange(2 * side)
    np.add.at(quarters, (new, new // 2), 3)
    np.add.at(quarters, (new, np.clip(new // 2 + new % 2 * 2 - 1, 0, side - 1)), 1)
    return quarters


def _between_blocks(factors: Gains, places: NDArray[np.intp]) -> NDArray[np.uint32]:
    """Return the factors at 20 m pixels, bilinear between the middles of blocks, in whole numbers: (bands, n)."""
    wide = factors.astype(np.uint32)
    # (bands, BLOCKS, 128), then (bands, BLOCKS x 128)
    columns = wide[:, :, _BLOCK_BEFORE] * (_WHOLE_WAY - _WAY_TO_NEXT) + wide[:, :, _BLOCK_BEFORE + 1] * _WAY_TO_NEXT
    flat = columns.reshape(len(factors), -1)
    row, col = places // CHIP_PIXELS_20M, places % CHIP_PIXELS_20M
    upper, down = _BLOCK_BEFORE[row] * CHIP_PIXELS_20M + col, _WAY_TO_NEXT[row]
    between = np.take(flat, upper, axis=1) * (_WHOLE_WAY - down)
    between += np.take(flat, upper + CHIP_PIXELS_20M, axis=1) * down
    return _rounded_shift(between, 2 * _WAY_BITS)


def _rounded_shift(numbers: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    """Divide numbers in place by a power of two, rounded to the nearest, half upwards."""
    numbers += np.uint32(1 << (bits - 1))
    numbers >>= np.uint32(bits)
    return numbers
