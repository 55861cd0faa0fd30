"""The pixels of a composite: what a cell looked like in a period, from all its chips of that period.

- `median`: the median of each band, of the valid pixels. An undetected cloud seldom becomes the median.
- `medoid`: the pixel of that chip which is nearest to the medians in all bands together, so that all bands of a pixel
  are of one moment. It is chosen for each 20 m pixel, because a chip's 20 m bands have no finer ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M, CHIP_PIXELS_20M
from python_udfs.codec import decode_array
from python_udfs.composite.medians import medians
from python_udfs.composite.rule import CompositeRule
from python_udfs.fill.suspects import SUSPECT, suspect_mask
from python_udfs.valid_pixels import BandPixels, Mask, any_of_four, to_10m
from python_udfs.validity_rule import DecodedChip, read_chip

NO_CHIP: Final = 65_535  # in source_number: the pixel has no value

# A sum over n of four pixels, times this number at place n, is 12 times their mean, in integers.
_TWELFTHS: Final = np.array([0, 12, 6, 4, 3], np.int64)


@dataclass(frozen=True)
class Composite:
    """The pixels of a composite."""

    bands: dict[str, BandPixels]  # (256, 256) or (128, 128), 0 = no value
    observations: NDArray[np.uint16]  # (256, 256), number of chips in which the pixel is valid
    source_number: NDArray[np.uint16] | None  # (256, 256), number of the pixel's chip, from 0; None for medians
    suspect_fraction: float  # of the observations by SCL alone, the share that is left out; 0 without any

    @property
    def complete_fraction(self) -> float:
        """Share of 10 m pixels that have a value.

        A medoid may lack a pixel of 10 m that is valid in some chip: the chosen chip has no data there.
        """
        has_value = self.observations > 0 if self.source_number is None else self.source_number != NO_CHIP
        return float(has_value.mean())


def composite_of(chips: Sequence[Mapping[str, Any]], rule: CompositeRule) -> Composite:
    """Make a composite. It has the bands that all its chips have.

    Args:
        chips: rows of fct_chips of one cell with their suspect pixels, oldest first; only their frames are read. One
            chip is decoded at a time, because a year has hundreds.
        rule: the method, and which pixels are valid.

    Raises:
        ValueError: a frame does not have the size of its layer.
    """
    names = [name for name in BAND_NAMES if all(chip[name] is not None for chip in chips)]
    by_scl, valid = 0, {10: list[Mask]()}
    for chip in chips:
        seen = read_chip(chip, rule).valid
        valid[10].append(_without_suspects(seen, chip))
        by_scl += int(np.count_nonzero(seen))
    valid[20] = [any_of_four(mask) for mask in valid[10]]
    bands = {name: _median_band(name, chips, valid[BAND_BY_NAME[name].gsd]) for name in names}
    observations: NDArray[np.uint16] = np.stack(valid[10]).sum(axis=0, dtype=np.uint16)
    suspect_fraction = 1 - int(observations.sum(dtype=np.int64)) / by_scl if by_scl else 0.0
    if rule.method == "median-v1":
        return Composite(bands, observations, None, suspect_fraction)
    nearest = _Nearest(bands)
    for index, (chip, mask) in enumerate(zip(chips, valid[10], strict=True)):
        nearest.add(index, replace(read_chip(chip, rule), valid=mask))
    return Composite(nearest.bands, observations, nearest.source_number, suspect_fraction)


def _without_suspects(valid: Mask, chip: Mapping[str, Any]) -> Mask:
    suspect = suspect_mask(chip.get(SUSPECT))
    return valid if suspect is None else valid & ~to_10m(suspect)


def _median_band(name: str, chips: Sequence[Mapping[str, Any]], valid: Sequence[Mask]) -> BandPixels:
    return medians([decode_array(chip[name], "uint16", BAND_BY_NAME[name].pixels) for chip in chips], valid)


class _Nearest:
    """The pixels nearest to the medians, so far. Of chips that are equally near, the oldest counts."""

    def __init__(self, middle: Mapping[str, BandPixels]) -> None:
        self._middle = middle
        self._least = np.full((CHIP_PIXELS_20M,) * 2, np.iinfo(np.int64).max, np.int64)
        self.bands = {name: np.zeros_like(layer) for name, layer in middle.items()}
        self.source_number = np.full((CHIP_PIXELS_10M,) * 2, NO_CHIP, np.uint16)

    def add(self, index: int, chip: DecodedChip) -> None:
        """Take the pixels of a chip where it is nearer than all before."""
        distance = self._distance(chip)
        is_nearer = any_of_four(chip.valid) & (distance < self._least)
        self._least[is_nearer] = distance[is_nearer]
        is_nearer_10m = to_10m(is_nearer)
        self.source_number[is_nearer_10m] = np.where(chip.valid, index, NO_CHIP)[is_nearer_10m]
        for name, layer in self.bands.items():
            if BAND_BY_NAME[name].gsd == 20:
                layer[is_nearer] = chip.bands[name][is_nearer]
            else:
                layer[is_nearer_10m] = np.where(chip.valid, chip.bands[name], 0)[is_nearer_10m]

    def _distance(self, chip: DecodedChip) -> NDArray[np.int64]:
        """Return 12 times the mean over the valid 10 m pixels of the squared distance in all bands, (128, 128)."""
        squares = {10: np.zeros((CHIP_PIXELS_10M,) * 2, np.int64), 20: np.zeros((CHIP_PIXELS_20M,) * 2, np.int64)}
        for name, middle in self._middle.items():
            difference = chip.bands[name].astype(np.int64) - middle
            squares[BAND_BY_NAME[name].gsd] += difference * difference
        of_pixels = np.where(chip.valid, squares[10] + to_10m(squares[20]), 0)
        return _sum_of_four(of_pixels) * _TWELFTHS[_sum_of_four(chip.valid.astype(np.int64))]


def _sum_of_four(layer: NDArray[np.int64]) -> NDArray[np.int64]:
    total: NDArray[np.int64] = layer[0::2, 0::2] + layer[0::2, 1::2] + layer[1::2, 0::2] + layer[1::2, 1::2]
    return total
