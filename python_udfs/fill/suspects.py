"""Suspect pixels: valid by SCL, but far brighter or darker than similar pixels let expect. Most are missed clouds.

A pixel of 20 m is compared with the two newest earlier chips in which it is valid by SCL. Its expected value is its
reflectance there, times the gain of its group between the two chips (`peers`), without local factors, which a cloud
would bend. It is suspect if it is far brighter in blue than both let expect, or far darker in blue and in every other
band. One earlier chip is not enough: if the two differ, either may be the cloud. Snow and water are not judged, as they
change so fast.

All values are whole numbers, or IEEE 754 products of them. A chip's suspects depend on raw chips alone, never on the
suspects of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import CHIP_PIXELS_20M
from python_udfs.codec import decode_array
from python_udfs.fill.peers import GAIN_ONE, GROUPS, CoarseChip, Peers, Sums, group_gains
from python_udfs.fill.rule import FillRule
from python_udfs.fill.seen import NEVER_SEEN, pixels_by_chip
from python_udfs.valid_pixels import Mask, class_table

SUSPECT: Final = "suspect"  # column of fct_filled_chips, 20 m, uint8: 1 = suspect
_BLUE: Final = "blue"
_NOT_JUDGED: Final = class_table((6, 11))  # SCL: water, snow or ice
_SUM_OF_ONE: Final = 4 * 10_000  # a reflectance of 1 in sums of four pixels

Floats = NDArray[np.float64]
GainsOf = Callable[[str, int], Floats]  # name of a band and number of an earlier chip to the gain of each group


def suspect_mask(frame: bytes | None) -> Mask | None:
    """Decode the column `suspect` into a (128, 128) mask; None if no pixel is suspect.

    Raises:
        ValueError: the frame is damaged.
    """
    return None if frame is None else decode_array(frame, "uint8", CHIP_PIXELS_20M) > 0


@dataclass(frozen=True)
class Look:
    """What a chip shows for the judgement of its pixels, and of later ones."""

    coarse: CoarseChip
    peers: Peers
    scl: NDArray[np.uint8]  # (128, 128)


class _Layer:
    """An earlier value of each 20 m pixel of a cell."""

    def __init__(self) -> None:
        self.sums: dict[str, Sums] = {}  # (128, 128) of each band
        self.groups = np.zeros((CHIP_PIXELS_20M,) * 2, np.uint8)  # of the chip that the value is from
        self.seen = np.full((CHIP_PIXELS_20M,) * 2, NEVER_SEEN, np.int32)  # its number

    def take(self, sums: Mapping[str, Sums], groups: NDArray[np.uint8], seen: NDArray[np.int32], where: Mask) -> None:
        """Take the values of some pixels, a (128, 128) mask."""
        for name, layer in sums.items():
            np.copyto(self.sums.setdefault(name, np.zeros_like(layer)), layer, where=where)
        for name in self.sums.keys() - sums.keys():
            self.sums[name][where] = 0
        np.copyto(self.groups, groups, where=where)
        np.copyto(self.seen, seen, where=where)


class Reference:
    """The two newest earlier values of each 20 m pixel of a cell that are valid by SCL."""

    def __init__(self) -> None:
        self._chips: dict[int, tuple[datetime, Peers]] = {}  # of chips with values here, by number
        self._newest, self._before = _Layer(), _Layer()

    @property
    def chips(self) -> set[int]:
        """Numbers of the chips that values are from."""
        return set(self._chips)

    def drop_older_than(self, oldest: datetime) -> None:
        """Forget the values of chips that were acquired before `oldest`."""
        for number in [number for number, (acquired_at, _) in self._chips.items() if acquired_at < oldest]:
            for layer in (self._newest, self._before):
                layer.seen[layer.seen == number] = NEVER_SEEN
            del self._chips[number]

    def add(self, number: int, acquired_at: datetime, look: Look) -> None:
        """Take the valid pixels of the next chip.

        Args:
            number: greater than those before.
            acquired_at: not before those before.
            look: the chip.
        """
        valid, newest = look.coarse.is_valid, self._newest
        self._before.take(newest.sums, newest.groups, newest.seen, valid)
        newest.take(look.coarse.sums, look.peers.groups, np.full_like(newest.seen, number), valid)
        self._chips[number] = acquired_at, look.peers
        left = pixels_by_chip(newest.seen, number + 1) + pixels_by_chip(self._before.seen, number + 1)
        self._chips = {one: chip for one, chip in self._chips.items() if left[one]}

    def suspects(self, look: Look, rule: FillRule) -> Mask:
        """Return the suspect pixels of the next chip, (128, 128).

        Args:
            look: the chip.
            rule: has the limits beyond which a pixel is suspect.
        """
        suspect = np.zeros((CHIP_PIXELS_20M,) * 2, np.bool_)
        if _BLUE not in look.coarse.sums:
            return suspect
        # Both tests compare blue, and both layers have pixels of the same chips.
        gains = cache(partial(self._gains, look.peers))
        judged = np.flatnonzero(look.coarse.is_valid & ~_NOT_JUDGED[look.scl] & (self._before.seen != NEVER_SEEN))
        for is_odd in (_is_bright, _is_dark):
            odd = judged[is_odd(self._newest, judged, look, gains, rule)]
            suspect.ravel()[odd[is_odd(self._before, odd, look, gains, rule)]] = True
        return suspect

    def _gains(self, target: Peers, name: str, number: int) -> Floats:
        """Return the gain of each group in a band, from the chip of a number to a target; 0 where it is not known."""
        source = self._chips[number][1]
        gains = group_gains(source, target, (name,)) if name in source.bands else None
        return np.zeros(GROUPS) if gains is None else gains[0].astype(np.float64)


def _is_bright(then: _Layer, places: NDArray[np.intp], look: Look, gains: GainsOf, rule: FillRule) -> Mask:
    """Return which pixels are far brighter in blue than expected, (n,)."""
    now, expected = _compared(_BLUE, then, places, look, gains)
    is_bright: Mask = now > rule.suspect_bright_ratio * expected
    is_bright &= now - expected > rule.suspect_bright_difference * _SUM_OF_ONE * GAIN_ONE
    return is_bright & (expected > 0)


def _is_dark(then: _Layer, places: NDArray[np.intp], look: Look, gains: GainsOf, rule: FillRule) -> Mask:
    """Return which pixels are far darker than expected in blue, and in every other band that both chips have."""
    now, expected = _compared(_BLUE, then, places, look, gains)
    is_dark: Mask = now < rule.suspect_dark_ratio * expected
    for name in look.coarse.sums.keys() - {_BLUE}:
        left = np.flatnonzero(is_dark)  # few are left after the first bands
        now, expected = _compared(name, then, places[left], look, gains)
        # An earlier chip without the band says nothing of it.
        is_dark[left] = (now < rule.suspect_dark_ratio * expected) | (expected == 0)
    return is_dark


def _compared(name: str, then: _Layer, places: NDArray[np.intp], look: Look, gains: GainsOf) -> tuple[Floats, Floats]:
    """Return what pixels have in a band and what is expected of them, GAIN_ONE times the sums: two of (n,).

    What is expected is 0 where it is not known.
    """
    now = look.coarse.sums[name].ravel()[places].astype(np.float64) * GAIN_ONE
    if name not in then.sums or not len(places):
        return now, np.zeros_like(now)
    numbers, which = np.unique(then.seen.ravel()[places], return_inverse=True)
    by_chip = np.stack([gains(name, number) for number in numbers.tolist()])
    return now, then.sums[name].ravel()[places] * by_chip[which, then.groups.ravel()[places]]
