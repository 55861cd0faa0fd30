"""Filling the chips of one cell by one rule: takes rows of the tables of chips, returns rows of fct_filled_chips."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from numpy.typing import NDArray

from lakehouse.bands import SCL
from python_udfs.codec import encode_layers
from python_udfs.fill.fold import CellState, FilledChip, Source
from python_udfs.fill.peers import peers_of
from python_udfs.fill.rule import FillRule
from python_udfs.fill.source_index import SOURCE_INDEX
from python_udfs.validity_rule import read_chip

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

    def add(self, chip: Row) -> None:
        """Take the pixels of the next chip.

        Args:
            chip: its row of fct_chips: chip_id, acquired_at, and the frames of its layers.

        Raises:
            ValueError: a frame is damaged.
        """
        source = _source_of(chip)
        self._state.drop_older_than(source.acquired_at - timedelta(days=self._rule.max_age_days))
        one = read_chip(chip, self._rule)
        peers = peers_of(one.bands, one.valid) if self._rule.adjust == "peers" else None
        self._state.add(source, one.bands, one.scl, one.valid, peers)

    def filled(self, chip: Row) -> dict[str, Any]:
        """Return the newest chip as a row of fct_filled_chips; columns that are left out are null.

        Args:
            chip: the columns that identify it and that are not computed.

        Raises:
            ValueError: it has more sources than source_index can tell apart.
        """
        filled: FilledChip = self._state.filled()
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
            "is_complete": filled.complete_fraction >= self._rule.min_complete,
            "error": None,
        }


def _source_of(row: Row) -> Source:
    return Source(row["chip_id"], row["acquired_at"])
