"""Filling the chips of one cell by one rule: takes rows of the tables of chips, returns rows of fct_filled_chips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import SCL
from python_udfs.codec import encode_array, encode_layers
from python_udfs.fill.fold import CellState, FilledChip, Source
from python_udfs.fill.peers import coarse_chip, peers_of
from python_udfs.fill.rule import FillRule
from python_udfs.fill.source_index import SOURCE_INDEX
from python_udfs.fill.suspects import SUSPECT, Look, Reference, suspect_mask
from python_udfs.valid_pixels import Mask
from python_udfs.validity_rule import DecodedChip, read_chip

Row = Mapping[str, Any]


class CellFold:
    """Fills the missing pixels of a cell's chips from the newest earlier chip in which they are valid.

    Takes chips in order of time. Pixels that no chip within `max_age_days` can fill are 0, and 255 in `source_index`.
    """

    def __init__(self, rule_version: str) -> None:
        """Begin without any pixel.

        Args:
            rule_version: the JSON of a `FillRule`.

        Raises:
            ValueError: the rule is unknown.
        """
        self._rule = FillRule.model_validate_json(rule_version)
        self._state = CellState()
        self._reference = Reference()
        self._suspects: dict[int, Mask] = {}  # of the chips that have some; by number

    def add(self, chip: Row) -> None:
        """Take the pixels of the next chip, and judge them.

        Args:
            chip: its row of fct_chips: chip_id, acquired_at, and the frames of its layers.

        Raises:
            ValueError: a frame is damaged.
        """
        self.take(_source_of(chip), read_chip(chip, self._rule))

    def add_judged(self, chip: Row, suspect: bytes | None) -> None:
        """Take the pixels of the next chip, which an earlier fold has judged.

        Args:
            chip: as for `add`.
            suspect: frame of its suspect pixels; None if no pixel is suspect.

        Raises:
            ValueError: a frame is damaged.
        """
        mask = suspect_mask(suspect)
        self._take(_source_of(chip), read_chip(chip, self._rule), lambda _: mask)

    def take(self, source: Source, pixels: DecodedChip) -> None:
        """Take the pixels of the next chip, and judge them."""
        self._take(source, pixels, self._judged)

    def _judged(self, look: Look) -> Mask | None:
        suspect = self._reference.suspects(look, self._rule)
        return suspect if suspect.any() else None

    def _take(self, source: Source, pixels: DecodedChip, judge: Callable[[Look], Mask | None]) -> None:
        oldest = source.acquired_at - timedelta(days=self._rule.max_age_days)
        self._state.drop_older_than(oldest)
        number, peers, suspect = len(self._state.chips), None, None
        judges, adjusts = self._rule.suspects == "peers", self._rule.adjust == "peers"
        if judges or adjusts:
            coarse = coarse_chip(pixels.bands, pixels.valid)
            look = Look(coarse, peers_of(coarse), pixels.scl)
            if judges:
                self._reference.drop_older_than(oldest)
                suspect = judge(look)
                self._reference.add(number, source.acquired_at, look)
            if adjusts:
                peers = look.peers if suspect is None else look.peers.without(suspect)
        self._state.add(source, pixels, peers, suspect)
        if suspect is not None:
            needed = self._needed()
            self._suspects = {one: mask for one, mask in self._suspects.items() if one in needed} | {number: suspect}

    def _needed(self) -> set[int]:
        """Return the numbers of the chips that later ones depend on."""
        return self._state.kept | self._reference.chips

    def result(self) -> FilledChip:
        """Return the newest chip, with its missing pixels filled.

        Raises:
            ValueError: it has more sources than source_index can tell apart.
        """
        return self._state.filled()

    def filled(self, chip: Row) -> dict[str, Any]:
        """Return the newest chip as a row of fct_filled_chips; columns that are left out are null.

        Args:
            chip: the columns that identify it and that are not computed.

        Raises:
            ValueError: it has more sources than source_index can tell apart.
        """
        filled = self.result()
        layers: dict[str, NDArray[Any]] = {**filled.bands, SCL: filled.scl, SOURCE_INDEX: filled.source_index}
        return {
            **chip,
            **encode_layers(layers),
            "sources": [{"chip_id": one.chip_id, "acquired_at": one.acquired_at} for one in filled.sources],
            "adjustments": None
            if filled.adjustments is None
            else [one.as_row(source.chip_id) for one, source in zip(filled.adjustments, filled.sources, strict=True)],
            "base_valid_fraction": filled.base_valid_fraction,
            "complete_fraction": filled.complete_fraction,
            "max_age_days": filled.max_age_days,
            "mean_age_days": filled.mean_age_days,
            "unadjusted_fraction": filled.unadjusted_fraction,
            **self._suspect_columns(),
            "is_complete": filled.complete_fraction >= self._rule.min_complete,
            "error": None,
        }

    def _suspect_columns(self) -> dict[str, Any]:
        """Return what the row says of suspect pixels, and of the chips that the next night begins with."""
        chips = self._state.chips
        newest = len(chips) - 1
        own = self._suspects.get(newest)
        return {
            SUSPECT: self._suspect_frame(newest),
            "suspect_fraction": 0.0 if own is None else float(own.mean()),
            "carried_chips": [
                {"chip_id": chips[number].chip_id, SUSPECT: self._suspect_frame(number)}
                for number in sorted(self._needed() - {newest}, reverse=True)
            ],
        }

    def _suspect_frame(self, number: int) -> bytes | None:
        mask = self._suspects.get(number)
        return None if mask is None else encode_array(mask.astype(np.uint8))


def _source_of(row: Row) -> Source:
    return Source(row["chip_id"], row["acquired_at"])
