"""Table function `fill_chips`, as Spark calls it: gap filling as a fold over the chips of a cell, ordered in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from lakehouse.bands import BAND_NAMES, CHIP_PIXELS_10M, CHIP_PIXELS_20M, CLOUD_DISTANCE, SCL
from python_udfs.codec import decode_array, decode_bands, encode_array
from python_udfs.fill.fold import DAY_US, CellState, FilledChip, Source
from python_udfs.fill.rule import FillRule
from python_udfs.valid_pixels import data_mask

FILLED_LAYERS: Final = (*BAND_NAMES, SCL, "source_index")
# One array instead of a column a layer: Spark makes an Arrow batch of the rows of each call, at 0.1 ms a column.
FILLED_CHIP: Final = "chip string, layers array<binary>, measures string"
# Spark makes a DataFrame and an Arrow batch of what a call yields, which takes 1 ms for any number of rows.
_ROWS_PER_BATCH: Final = 16


class FillChips:
    """Fill the missing pixels of a cell's chips from the newest earlier chip in which they are valid.

    Takes chips ordered by `cell_id`, `rule_version` (the JSON of a `FillRule`) and time. Chips with the same cell and
    rule are a fold, and must all be in one partition. Column `role` is one of: `seed`, a filled chip from which the
    fold goes on; `source`, a chip that only later ones need; `pending`, a chip to fill. Returns one row a pending
    chip: `layers` in the order of FILLED_LAYERS, `measures` as JSON. Pixels that no chip within `max_age_days` can
    fill are 0, and 255 in `source_index`.
    """

    def __init__(self) -> None:
        self._fold: tuple[str, str] | None = None  # cell_id and rule_version
        self._state: CellState
        self._rule: FillRule
        self._filled: list[tuple[Any, ...]] = []  # rows not yet yielded

    def eval(self, row: Any) -> Iterator[tuple[Any, ...]]:
        """Take the next chip of the fold, or the first of the next fold; yield rows from time to time.

        Raises:
            ValueError: its rule is unknown.
        """
        if (row["cell_id"], row["rule_version"]) != self._fold:
            self._fold = (row["cell_id"], row["rule_version"])
            self._rule = FillRule.model_validate_json(row["rule_version"])
            self._state = CellState()
        if row["role"] == "seed":
            self._state = _state_after(row)
            return
        self._add(row)
        if row["role"] == "pending":
            self._filled.append(_filled_row(row["chip"], self._state.filled()))
        if len(self._filled) == _ROWS_PER_BATCH:
            yield from self.terminate()

    def terminate(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that are not yet yielded."""
        yield from self._filled
        self._filled.clear()

    def _add(self, row: Any) -> None:
        self._state.drop_older_than(row["acquired_us"] - self._rule.max_age_days * DAY_US)
        bands = _bands_of(row)
        scl = decode_array(row[SCL], "uint8", CHIP_PIXELS_20M)
        valid = data_mask(bands, self._rule.passes(scl, row[CLOUD_DISTANCE]))
        self._state.add(Source(row["chip_id"], row["acquired_us"]), bands, scl, valid)


def _state_after(seed: Any) -> CellState:
    return CellState.of_filled(
        Source(seed["chip_id"], seed["acquired_us"]),
        [Source(source["chip_id"], source["acquired_us"]) for source in json.loads(seed["sources"])],
        _bands_of(seed),
        decode_array(seed[SCL], "uint8", CHIP_PIXELS_20M),
        decode_array(seed["source_index"], "uint8", CHIP_PIXELS_10M),
    )


def _bands_of(row: Any) -> dict[str, Any]:
    return decode_bands({name: row[name] for name in BAND_NAMES})


def _filled_row(chip: str, filled: FilledChip) -> tuple[Any, ...]:
    layers = [encode_array(filled.bands[name]) if name in filled.bands else None for name in BAND_NAMES]
    measures = {
        "sources": [{"chip_id": source.chip_id, "acquired_us": source.acquired_us} for source in filled.sources],
        "base_valid_fraction": filled.base_valid_fraction,
        "complete_fraction": filled.complete_fraction,
        "max_age_days": filled.max_age_days,
        "mean_age_days": filled.mean_age_days,
    }
    return chip, [*layers, encode_array(filled.scl), encode_array(filled.source_index)], json.dumps(measures)
