"""A partition's cells are filled alike, however their chips lie in data files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from support.fill_oracle import LAYERS, Chip, Rule, fold, input_row, noisy, plain

from python_udfs.fill.partition_fold import PartitionFold
from python_udfs.fill.plan import Step

IO = PyArrowFileIO()
RULE = Rule()
CELLS = ("32633_1_1", "32633_2_1", "32633_3_1")
DAYS = 5
Places = dict[tuple[str, int], tuple[str, int]]  # cell and day to file and position


def chips_of(cell: str) -> list[Chip]:
    return noisy(CELLS.index(cell), DAYS)


def write_files(folder: Path, files: list[list[tuple[str, int]]], rows_per_group: int = 2) -> Places:
    """Write chips, given by cell and day, into files in this order."""
    places: Places = {}
    for number, of_file in enumerate(files):
        rows = [input_row(chips_of(cell)[day]) for cell, day in of_file]
        path = folder / f"{number}.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=rows_per_group)
        places |= {one: (str(path), position) for position, one in enumerate(of_file)}
    return places


def step(cell: str, day: int, places: Places, role: str = "pending", rule: Rule = RULE) -> Step:
    chip = chips_of(cell)[day]
    identity = {"acquired_at": chip.acquired_at, "cell_id": cell, "rule_version": rule.as_json()}
    return Step((cell, rule.as_json()), role, chip.chip_id, chip.acquired_at, None, *places[cell, day], identity)


def by_cell(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the layers and measures of rows by cell, in order of time."""
    found: dict[str, list[dict[str, Any]]] = {cell: [] for cell in CELLS}
    for row in rows:
        found[row["cell_id"]].append(row)
    return {cell: sorted(of_cell, key=lambda row: row["acquired_at"]) for cell, of_cell in found.items()}


def layers_of(rows: list[dict[str, Any]]) -> list[Any]:
    return [([row.get(name) for name in LAYERS], row["sources"], row["complete_fraction"]) for row in rows]


DATE_BY_DATE = [[(cell, day) for cell in CELLS] for day in range(DAYS)]
CELL_BY_CELL = [[(cell, day) for cell in CELLS for day in range(DAYS)]]
LATE_DAY = [[(cell, day) for cell in CELLS for day in (0, 2, 3, 4)], [(cell, 1) for cell in CELLS]]
BACKWARDS = [[(cell, day) for day in reversed(range(DAYS)) for cell in CELLS]]


@pytest.mark.parametrize("files", [DATE_BY_DATE, CELL_BY_CELL, LATE_DAY, BACKWARDS])
@pytest.mark.parametrize("max_waiting_bytes", [0, 10**9])
def test_chips_are_filled_alike_in_any_layout_of_files(
    tmp_path: Path, files: list[list[tuple[str, int]]], max_waiting_bytes: int
) -> None:
    places = write_files(tmp_path, files)
    steps = [step(cell, day, places) for cell in CELLS for day in range(DAYS)]
    rows = by_cell(list(PartitionFold(steps, IO, max_waiting_bytes).rows()))
    for cell in CELLS:
        expected = fold([input_row(chip) for chip in chips_of(cell)])
        assert layers_of(rows[cell]) == layers_of(expected), cell


def test_sources_and_rules_are_those_of_the_plan(tmp_path: Path) -> None:
    places, short = write_files(tmp_path, DATE_BY_DATE), Rule(max_age_days=1)
    here, there, both = CELLS
    steps = [step(here, day, places, "source" if day < 3 else "pending") for day in range(DAYS)]
    steps += [step(there, day, places) for day in (1, 3)]  # the other days are not in the plan
    steps += [step(both, day, places, rule=rule) for day in range(2) for rule in (RULE, short)]
    rows = by_cell(list(PartitionFold(steps, IO).rows()))
    assert layers_of(rows[here]) == layers_of(fold([input_row(chip) for chip in chips_of(here)])[3:])
    chosen = [input_row(chips_of(there)[day]) for day in (1, 3)]
    assert layers_of(rows[there]) == layers_of(fold(chosen))
    twice = [input_row(chip) for chip in chips_of(both)[:2]]
    for rule in (RULE, short):
        of_rule = [row for row in rows[both] if row["rule_version"] == rule.as_json()]
        assert layers_of(of_rule) == layers_of(fold(twice, rule))


def test_a_fold_goes_on_from_carried_chips_and_their_suspect_pixels(tmp_path: Path) -> None:
    rule, cell = Rule(suspects="peers"), CELLS[0]
    chips = [plain(day, 500 + 10 * day, ("blue",)) for day in range(4)]
    chips[2].bands["blue"][:40, :40] = 5_000  # a missed cloud
    path = tmp_path / "all.parquet"
    pq.write_table(pa.Table.from_pylist([input_row(chip) for chip in chips]), path)
    at_once = fold([input_row(chip) for chip in chips], rule)
    suspects = {one["chip_id"]: one["suspect"] for one in at_once[2]["carried_chips"]}
    suspects[at_once[2]["chip_id"]] = at_once[2]["suspect"]
    assert any(suspects.values())
    steps = []
    for position, chip in enumerate(chips):
        if position == 3 or chip.chip_id in suspects:
            role, suspect = ("pending", None) if position == 3 else ("carried", suspects[chip.chip_id])
            fold_id = (cell, rule.as_json())
            steps.append(Step(fold_id, role, chip.chip_id, chip.acquired_at, suspect, str(path), position, {}))
    (row,) = PartitionFold(steps, IO).rows()
    assert layers_of([row]) == layers_of(at_once[3:])
    assert row["carried_chips"] == at_once[3]["carried_chips"]
