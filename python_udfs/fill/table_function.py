"""Table function `fill_chips`, as Spark calls it: gap filling as a fold over the chips of a cell, ordered in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from numpy.typing import NDArray

from lakehouse.bands import BAND_NAMES, CHIP_PIXELS_10M, CHIP_PIXELS_20M, CLOUD_DISTANCE, SCL
from python_udfs.chip_columns import CHIP_COLUMNS
from python_udfs.codec import decode_array, decode_bands, encode_layers
from python_udfs.fill.fold import CellState, FilledChip, Source
from python_udfs.fill.rule import FillRule
from python_udfs.fill.source_index import SOURCE_INDEX
from python_udfs.valid_pixels import data_mask

_LAYERS: Final = (*BAND_NAMES, SCL, SOURCE_INDEX)
# Few columns of structs: Spark takes 0.45 ms a chip to make Arrow of 18 columns, half of that for these three.
FILLED_CHIP: Final = (
    f"chip struct<{CHIP_COLUMNS}, cloud_fraction: double, nodata_fraction: double, input_hash: string, "
    "rule_version: string>, "
    f"layers struct<{', '.join(f'{name}: binary' for name in _LAYERS)}>, "
    "measures struct<sources: array<struct<chip_id: string, acquired_at: timestamp>>, base_valid_fraction: double, "
    "complete_fraction: double, max_age_days: double, mean_age_days: double>"
)
# Spark makes a DataFrame and an Arrow batch of what a call yields, which takes 1 ms for any number of rows.
_ROWS_PER_BATCH: Final = 16


class FillChips:
    """Fill the missing pixels of a cell's chips from the newest earlier chip in which they are valid.

    Takes chips ordered by `cell_id`, `rule_version` (the JSON of a `FillRule`) and time. Chips with the same cell and
    rule are a fold, and must all be in one partition. Column `role` is one of: `seed`, a filled chip from which the
    fold goes on; `source`, a chip that only later ones need; `pending`, a chip to fill. Returns one row a pending
    chip. Pixels that no chip within `max_age_days` can fill are 0, and 255 in `source_index`.
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
        chip = _source_of(row)
        self._state.drop_older_than(chip.acquired_at - timedelta(days=self._rule.max_age_days))
        bands = _bands_of(row)
        scl = decode_array(row[SCL], "uint8", CHIP_PIXELS_20M)
        valid = data_mask(bands, self._rule.passes(scl, row[CLOUD_DISTANCE]))
        self._state.add(chip, bands, scl, valid)


def _state_after(seed: Any) -> CellState:
    return CellState.of_filled(
        _source_of(seed),
        [_source_of(source) for source in seed["sources"]],
        _bands_of(seed),
        decode_array(seed[SCL], "uint8", CHIP_PIXELS_20M),
        decode_array(seed[SOURCE_INDEX], "uint8", CHIP_PIXELS_10M),
    )


def _source_of(row: Any) -> Source:
    return Source(row["chip_id"], row["acquired_at"].to_pydatetime())  # Spark passes pandas' Timestamp


def _bands_of(row: Any) -> dict[str, Any]:
    return decode_bands({name: row[name] for name in BAND_NAMES})


def _filled_row(chip: Any, filled: FilledChip) -> tuple[Any, ...]:
    layers: dict[str, NDArray[Any]] = {**filled.bands, SCL: filled.scl, SOURCE_INDEX: filled.source_index}
    measures = {
        "sources": [asdict(source) for source in filled.sources],
        "base_valid_fraction": filled.base_valid_fraction,
        "complete_fraction": filled.complete_fraction,
        "max_age_days": filled.max_age_days,
        "mean_age_days": filled.mean_age_days,
    }
    return chip.asDict(), encode_layers(layers), measures
