"""The composites of a partition are alike, however many are made at a time and wherever their chips lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyiceberg.io.pyarrow import PyArrowFileIO
from support.fill_oracle import Chip, input_row, noisy
from support.scene_oracle import decode

from lakehouse.bands import BAND_NAMES
from lakehouse.settings import PROJECT_DIR
from python_udfs.composite.composite import composite_of
from python_udfs.composite.partition_composites import composites_of_partition
from python_udfs.composite.plan import members_of
from python_udfs.composite.rule import CompositeRule

RULE = {"method": "medoid-v1", "valid_scl_classes": [4, 5], "cloud_dilation_pixels": 0}
CELLS = ("32633_1_1", "32633_2_1", "32633_3_1")
DAYS = 3


def chips_of(cell: str) -> list[Chip]:
    return noisy(CELLS.index(cell), DAYS)


def plan(folder: Path, by_file: list[list[tuple[str, int]]]) -> list[dict[str, Any]]:
    """Write chips, given by cell and day, into files in this order; return the rows of the plan, newest first."""
    rows = []
    for number, of_file in enumerate(by_file):
        path = folder / f"{number}.parquet"
        chips = [chips_of(cell)[day] for cell, day in of_file]
        pq.write_table(pa.Table.from_pylist([input_row(chip) for chip in chips]), path, row_group_size=2)
        for position, ((cell, _), chip) in enumerate(zip(of_file, chips, strict=True)):
            composite = {"composite_id": f"{cell}_month_1970-01", "cell_id": cell, "rule_version": json.dumps(RULE)}
            rows.append(
                {
                    "composite": composite,
                    "chip_id": chip.chip_id,
                    "acquired_at": chip.acquired_at,
                    "suspect": None,
                    "file": str(path),
                    "position": position,
                }
            )
    return rows[::-1]


DATE_BY_DATE = [[(cell, day) for cell in CELLS] for day in range(DAYS)]
CELL_BY_CELL = [[(cell, day) for cell in CELLS for day in range(DAYS)]]


@pytest.mark.parametrize("by_file", [DATE_BY_DATE, CELL_BY_CELL])
@pytest.mark.parametrize("max_chips", [1, DAYS, 10**9])
def test_composites_are_alike_in_any_batches_and_files(
    tmp_path: Path, by_file: list[list[tuple[str, int]]], max_chips: int
) -> None:
    rows = list(composites_of_partition(members_of(plan(tmp_path, by_file)), PyArrowFileIO(), max_chips))
    assert [row["cell_id"] for row in rows] == list(CELLS)
    for row in rows:
        chips = chips_of(row["cell_id"])
        expected = composite_of([input_row(chip) for chip in chips], CompositeRule.model_validate(RULE))
        assert np.array_equal(decode(row["blue"], "<u2", 256), expected.bands["blue"])
        assert expected.source_number is not None
        assert np.array_equal(decode(row["source_number"], "<u2", 256), expected.source_number)
        assert [one["chip_id"] for one in row["sources"]] == [chip.chip_id for chip in chips]
        assert row["complete_fraction"] == (expected.source_number != 65_535).mean()
        assert row["mean_observations"] == expected.observations.mean()


def test_rows_have_columns_of_fct_composites(tmp_path: Path) -> None:
    declared = yaml.safe_load((PROJECT_DIR / "models/composites/fct_composites.yml").read_text())
    names = [column["name"] for column in declared["models"][0]["columns"]]
    (row, *_) = composites_of_partition(members_of(plan(tmp_path, CELL_BY_CELL)), PyArrowFileIO())
    of_plan = {"geohash", "period", "period_start_at", "period_end_at", "grid_version", "input_hash"}
    assert set(row) | of_plan | set(BAND_NAMES) == set(names)
