"""The chips of real scenes against a computation of their own: whole arrays, no grid, no Spark, no code shared.

Three dates of one tile: 69 % cloud, a swath edge, clear. A region in which both show is cut out of it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lakes import dbt, empty_lake_of, ingest_file, rows, snapshots
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from scene_oracle import (
    BANDS,
    Expected,
    Frame,
    assert_band,
    assert_cut,
    assert_filled,
    assert_filled_band,
    expected_dates,
    items_of,
    read_raster,
)

from chiplake.settings import Settings

BOUNDS = WEST, SOUTH, EAST, NORTH = 585_000, 5_010_000, 609_780, 5_030_000  # EPSG:32633
FRAME = Frame.around(*BOUNDS)


@pytest.fixture(scope="module")
def expected(sample_data: Path) -> list[Expected]:
    """The region by date, oldest first, from the rasters of 120 m."""
    folder = sample_data / "sentinel-2" / "33TWL-120m"

    @cache
    def read(item_id: str, name: str) -> NDArray[Any]:
        return read_raster(folder / item_id / f"{name}.tif", FRAME, 20 if name == "SCL" else 10, BOUNDS)

    return expected_dates(items_of(folder), read)


@pytest.fixture(scope="module")
def built(
    sample_data: Path, spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SparkSession]:
    """The lake after a run on COGs of the region."""
    scenes = tmp_path_factory.mktemp("scenes")
    tool = sample_data.parent / "tools" / "build_scenes.py"
    bounds = [str(value) for value in BOUNDS]
    subprocess.run([sys.executable, tool, "--out", scenes, "--bounds", *bounds], check=True, capture_output=True)
    with empty_lake_of(BANDS, spark, settings):
        ingest_file(scenes / "items.json", settings)
        dbt("run", "--select", "+fct_filled_chips")
        yield spark


def _chips(spark: SparkSession, table: str) -> list[dict[str, Any]]:
    return [row.asDict(recursive=True) for row in rows(spark, table).values()]


def test_every_cell_the_rasters_touch_has_a_chip_on_every_date(built: SparkSession, expected: list[Expected]) -> None:
    chips = rows(built, "fct_chips").values()
    wanted = {(one.item_id, cell_id) for one in expected for cell_id in FRAME.cell_ids}
    assert {(chip.item_ids[0], chip.cell_id) for chip in chips} == wanted
    assert len(chips) == len(wanted)


def test_chips_hold_the_pixels_and_fractions_of_the_whole_arrays(built: SparkSession, expected: list[Expected]) -> None:
    by_item = {one.item_id: one for one in expected}
    for chip in _chips(built, "fct_chips"):
        one, window = by_item[chip["item_ids"][0]], FRAME.window(chip["cell_id"])
        for name in BANDS:
            assert_band(chip[name], one.band(name)[window], f"{chip['chip_id']} {name}")
        assert_cut(chip, one, FRAME)


def test_filled_chips_hold_the_newest_valid_pixels_and_their_origin(
    built: SparkSession, expected: list[Expected]
) -> None:
    index_of = {one.item_id: index for index, one in enumerate(expected)}
    chips = _chips(built, "fct_filled_chips")
    date_of = {chip["chip_id"]: index_of[chip["item_ids"][0]] for chip in chips}
    assert set(date_of) == set(rows(built, "fct_chips"))
    for chip in chips:
        index, window = date_of[chip["chip_id"]], FRAME.window(chip["cell_id"])
        origin = expected[index].origin[window]
        for name in BANDS:
            layers = [one.band(name)[window] for one in expected[: index + 1]]
            assert_filled_band(chip[name], layers, origin, f"{chip['chip_id']} {name}")
        assert_filled(chip, expected, index, date_of, FRAME)


def test_clouds_and_the_swath_edge_are_in_the_region(expected: list[Expected]) -> None:
    inside = np.s_[(FRAME.top - NORTH) // 10 :, (WEST - FRAME.left) // 10 :]
    assert expected[0].valid[inside].mean() < 0.6  # clouds of 10 August
    assert (~expected[1].holds[inside]).mean() > 0.1  # swath edge of 13 August
    assert (expected[1].origin == 0).any()  # pixels that were filled


def test_a_second_run_writes_no_snapshot(built: SparkSession) -> None:
    before = snapshots(built)
    said = dbt("run", "--select", "+fct_filled_chips")
    assert snapshots(built) == before
    assert said["fct_chips"] == said["fct_filled_chips"] == "nothing pending"
