"""The fold over the chips of a cell, oldest first: the newest valid value of every pixel, and where it came from.

Suspect pixels of a chip stay in that chip, and fill no later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import BAND_BY_NAME, CHIP_PIXELS_10M, CHIP_PIXELS_20M
from python_udfs.fill.peers import Adjustment, Peers, adjusted, adjustment
from python_udfs.fill.seen import NEVER_SEEN, pixels_by_chip
from python_udfs.fill.source_index import MAX_SOURCES, STILL_MISSING
from python_udfs.valid_pixels import BandPixels, Mask, any_of_four, to_10m
from python_udfs.validity_rule import DecodedChip

_DAY: Final = timedelta(days=1)
Value = TypeVar("Value", np.uint8, np.uint16)


@dataclass(frozen=True)
class Source:
    """A chip that pixels were taken from."""

    chip_id: str
    acquired_at: datetime  # UTC


@dataclass(frozen=True)
class FilledChip:
    """A chip after filling. The arrays may change when the fold continues."""

    bands: Mapping[str, BandPixels]  # (256, 256) or (128, 128), 0 = still missing
    scl: NDArray[np.uint8]  # (128, 128), 0 = still missing
    source_index: NDArray[np.uint8]  # (256, 256)
    sources: list[Source]  # newest first
    adjustments: list[Adjustment] | None  # of the pixels of each source; None: pixels stay as they were
    base_valid_fraction: float
    complete_fraction: float
    max_age_days: float | None  # None: no pixel was filled
    mean_age_days: float | None
    unadjusted_fraction: float  # filled with pixels as they were


@dataclass(frozen=True)
class _OwnPixels:
    """Pixels of a chip that no later chip takes."""

    pixels: DecodedChip
    at_10m: Mask  # (256, 256)
    at_20m: Mask  # (128, 128)

    def over(
        self, bands: Mapping[str, BandPixels], scl: NDArray[np.uint8]
    ) -> tuple[dict[str, BandPixels], NDArray[np.uint8]]:
        """Return layers in which these pixels are the chip's own; a band of which no pixel is left is left out."""
        own = self.pixels.bands
        places = {name: self.at_10m if BAND_BY_NAME[name].gsd == 10 else self.at_20m for name in bands}
        layers = {name: np.where(places[name], own.get(name, np.uint16(0)), layer) for name, layer in bands.items()}
        left = {name: layer for name, layer in layers.items() if name in own or layer.any()}
        return left, np.where(self.at_20m, self.pixels.scl, scl)


class CellState:
    """The newest valid value of every pixel of a cell that is not suspect, and the chip it came from."""

    def __init__(self) -> None:
        self._chips: list[Source] = []  # oldest first
        self._peers: dict[int, Peers] = {}  # of chips that may still fill others, if the rule adjusts; by index
        self._bands: dict[str, BandPixels] = {}  # those that the newest chip or one of its sources has
        self._scl = np.zeros((CHIP_PIXELS_20M,) * 2, np.uint8)
        # Index into `_chips` of the chip that the value of a pixel came from.
        self._seen_10m = np.full((CHIP_PIXELS_10M,) * 2, NEVER_SEEN, np.int32)
        self._seen_20m = np.full((CHIP_PIXELS_20M,) * 2, NEVER_SEEN, np.int32)
        self._own: _OwnPixels | None = None  # suspect pixels of the newest chip

    @property
    def chips(self) -> Sequence[Source]:
        """All chips so far, oldest first."""
        return self._chips

    @property
    def kept(self) -> set[int]:
        """Places in `chips` of those whose pixels may fill later ones."""
        return set(np.flatnonzero(pixels_by_chip(self._seen_10m, len(self._chips))).tolist())

    def add(self, chip: Source, pixels: DecodedChip, peers: Peers | None = None, suspect: Mask | None = None) -> None:
        """Take the valid pixels of the next chip, all bands together.

        Args:
            chip: not older than the chips before.
            pixels: its pixels; those of bands that it lacks are missing where it is valid.
            peers: of the chip, if filled pixels are to be adjusted.
            suspect: (128, 128), its suspect pixels; None if no pixel is suspect.
        """
        bands, scl, valid = pixels.bands, pixels.scl, pixels.valid
        self._own = None
        if suspect is not None:
            own = valid & to_10m(suspect)
            self._own = _OwnPixels(pixels, own, any_of_four(own))
            valid = valid & ~own
        valid_20m = any_of_four(valid)
        newest = len(self._chips)
        self._chips.append(chip)
        self._take_bands(bands, _bits(valid, np.uint16), _bits(valid_20m, np.uint16))
        _take(self._scl, scl, _bits(valid_20m, np.uint8))
        self._seen_10m[valid] = newest
        self._seen_20m[valid_20m] = newest
        if peers is not None:
            self._peers[newest] = peers
            # A chip of which no pixel is left fills no later one. Peers are 200 kB, and many cells are folded at once.
            self._peers = {index: self._peers[index] for index in self._peers.keys() & {*self.kept, newest}}

    def drop_older_than(self, oldest: datetime) -> None:
        """Forget the pixels of chips that were acquired before `oldest`."""
        is_too_old = np.array([chip.acquired_at < oldest for chip in self._chips] + [True])  # last: never seen
        if not is_too_old[:-1].any():
            return
        for seen, gsd in ((self._seen_10m, 10), (self._seen_20m, 20)):
            gone = is_too_old[seen]
            seen[gone] = NEVER_SEEN
            for name, layer in self._bands.items():
                if BAND_BY_NAME[name].gsd == gsd:
                    layer[gone] = 0
            if gsd == 20:
                self._scl[gone] = 0

    def filled(self) -> FilledChip:
        """Return the newest chip, with its missing pixels filled.

        Raises:
            ValueError: it has more sources than source_index can tell apart.
        """
        newest = len(self._chips) - 1
        seen = self._seen_10m if self._own is None else np.where(self._own.at_10m, newest, self._seen_10m)
        counts = pixels_by_chip(seen, newest + 1)
        used = [int(index) for index in np.flatnonzero(counts)[::-1] if index != newest]  # newest first
        if len(used) > MAX_SOURCES:
            chip_id = self._chips[newest].chip_id
            raise ValueError(f"{chip_id}: more than {MAX_SOURCES} sources; lower fill_max_age_days")
        to_source = np.full(newest + 2, STILL_MISSING, np.uint8)  # the last element serves index -1, never seen
        to_source[newest] = 0
        to_source[used] = range(1, len(used) + 1)
        ages = [(self._chips[newest].acquired_at - self._chips[index].acquired_at) / _DAY for index in used]
        pixels = [int(counts[index]) for index in used]
        weighted = sum(age * count for age, count in zip(ages, pixels, strict=True))
        adjustments = self._adjustments(used)
        adjusting = (
            {}
            if adjustments is None
            else {index: one for index, one in zip(used, adjustments, strict=True) if one.bands}
        )
        bands = self._adjusted_bands(adjusting) if adjusting else self._bands
        scl = self._scl
        if self._own is not None:
            bands, scl = self._own.over(bands, scl)
        return FilledChip(
            bands=bands,
            scl=scl,
            source_index=to_source[seen],
            sources=[self._chips[index] for index in used],
            adjustments=adjustments,
            base_valid_fraction=int(counts[newest]) / seen.size,
            complete_fraction=int(counts.sum()) / seen.size,
            max_age_days=max(ages, default=None),
            mean_age_days=weighted / sum(pixels) if pixels else None,
            unadjusted_fraction=sum(int(counts[index]) for index in used if index not in adjusting) / seen.size,
        )

    def _adjustments(self, used: Sequence[int]) -> list[Adjustment] | None:
        """Return the adjustments of the chips at these places to the newest chip; None if the rule does not adjust."""
        target = self._peers.get(len(self._chips) - 1)
        return None if target is None else [adjustment(self._peers[index], target) for index in used]

    def _adjusted_bands(self, adjusting: Mapping[int, Adjustment]) -> dict[str, BandPixels]:
        """Return a copy of the bands in which the pixels of some chips are adjusted.

        Args:
            adjusting: index of a chip in `_chips` to the adjustment of its pixels.
        """
        bands = {name: layer.copy() for name, layer in self._bands.items()}
        for index, one in adjusting.items():
            is_source = self._seen_10m == index
            places = np.flatnonzero(any_of_four(is_source))
            gains = one.at(self._peers[index].groups, places)
            column = np.empty(CHIP_PIXELS_20M * CHIP_PIXELS_20M, np.intp)  # of `gains`, by place of the 20 m pixel
            column[places] = np.arange(len(places))
            fine, coarse = np.flatnonzero(is_source), np.flatnonzero(self._seen_20m == index)
            around = fine // (2 * CHIP_PIXELS_10M) * CHIP_PIXELS_20M + fine % CHIP_PIXELS_10M // 2
            by_gsd = {10: (fine, column[around]), 20: (coarse, column[coarse])}
            for name, of_band in zip(one.bands, gains, strict=True):
                at, columns = by_gsd[BAND_BY_NAME[name].gsd]
                layer = bands[name].ravel()
                layer[at] = adjusted(layer[at], of_band[columns])
        return bands

    def _take_bands(self, bands: Mapping[str, BandPixels], valid: BandPixels, valid_20m: BandPixels) -> None:
        for name in bands:
            if name not in self._bands:
                self._bands[name] = np.zeros((BAND_BY_NAME[name].pixels,) * 2, np.uint16)
        for name, layer in self._bands.items():
            bits = valid if BAND_BY_NAME[name].gsd == 10 else valid_20m
            _take(layer, bands.get(name, np.uint16(0)), bits)
        # Which bands are null must not depend on chips that are too old to fill.
        self._bands = {name: layer for name, layer in self._bands.items() if name in bands or layer.any()}


def _bits(mask: Mask, dtype: type[Value]) -> NDArray[Value]:
    """Return all bits where a mask is true, and none elsewhere."""
    bits: NDArray[Value] = np.negative(mask.astype(dtype))
    return bits


def _take(layer: NDArray[Value], pixels: NDArray[Value] | Value, bits: NDArray[Value]) -> None:
    """Replace the pixels of a layer where bits are set: many times as fast as by a mask whose pixels alternate."""
    difference = np.bitwise_xor(layer, pixels)
    np.bitwise_and(difference, bits, out=difference)
    np.bitwise_xor(layer, difference, out=layer)
