"""The chips of real scenes against an independent computation on whole arrays, without grid, Spark or code of Chiplake.

Three dates of one tile: 69 % cloud, a swath edge, clear. The test uses a region with clouds and swath edge.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.sql import Row, SparkSession
from support.fill_oracle import Chip, suspects_of
from support.lakes import compared_always, dbt, empty_lake_of, ingest_file, rows, snapshots
from support.scene_oracle import (
    BANDS,
    NOT_CUT,
    Expected,
    Frame,
    assert_adjusted,
    assert_band,
    assert_cut,
    assert_filled,
    assert_filled_band,
    decode,
    doubled,
    expected_dates,
    items_of,
    read_raster,
)
from support.servers.aws import AwsServer

from embedding.pipeline import run_embedding
from lakehouse.box import BBox
from lakehouse.catalog import MODEL_NAMESPACE
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS

BOUNDS = WEST, SOUTH, EAST, NORTH = 585_000, 5_010_000, 609_780, 5_030_000  # EPSG:32633
FRAME = Frame.around(*BOUNDS)
BUCKET = "lake-of-tests"


@pytest.fixture(scope="module")
def expected(sample_data: Path) -> list[Expected]:
    """Compute the region by date, oldest first, from the rasters of 120 m."""
    folder = sample_data / "sentinel-2" / "33TWL-120m"

    @cache
    def read(item_id: str, name: str) -> NDArray[Any]:
        return read_raster(folder / item_id / f"{name}.tif", FRAME, 20 if name == "SCL" else 10, BOUNDS)

    return expected_dates(items_of(folder), read)


@pytest.fixture(scope="module")
def built(
    sample_data: Path, spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SparkSession]:
    """Return the session after one run on COGs of the region."""
    scenes = tmp_path_factory.mktemp("scenes")
    tool = sample_data.parent / "tools" / "build_scenes.py"
    bounds = [str(value) for value in BOUNDS]
    subprocess.run([sys.executable, tool, "--out", scenes, "--bounds", *bounds], check=True, capture_output=True)
    with empty_lake_of(tuple(BANDS), spark, settings):
        ingest_file(scenes / "items.json", settings)
        dbt("run", "--select", "+int_embedding_inputs", "+fct_composites")
        yield spark


def _chips(spark: SparkSession, table: str) -> list[dict[str, Any]]:
    return [row.asDict(recursive=True) for row in rows(spark, table).values()]


@pytest.fixture(scope="module")
def suspects(built: SparkSession, expected: list[Expected]) -> dict[str, list[NDArray[np.bool_]]]:
    """Return the suspect pixels of each cell by date."""
    found = {cell_id: [np.zeros((128, 128), np.bool_) for _ in expected] for cell_id in FRAME.cell_ids}
    index_of = {one.item_id: index for index, one in enumerate(expected)}
    for chip in _chips(built, "fct_filled_chips"):
        if chip["suspect"] is not None:
            found[chip["cell_id"]][index_of[chip["item_ids"][0]]] |= decode(chip["suspect"], "u1", 128) == 1
    return found


def test_every_touched_cell_has_a_chip_on_every_date(built: SparkSession, expected: list[Expected]) -> None:
    chips = rows(built, "fct_chips").values()
    wanted = {(one.item_id, cell_id) for one in expected for cell_id in FRAME.cell_ids}
    assert {(chip.item_ids[0], chip.cell_id) for chip in chips} == wanted
    assert len(chips) == len(wanted)


def test_chips_have_the_pixels_and_fractions_of_the_whole_arrays(built: SparkSession, expected: list[Expected]) -> None:
    by_item = {one.item_id: one for one in expected}
    for chip in _chips(built, "fct_chips"):
        one, window = by_item[chip["item_ids"][0]], FRAME.window(chip["cell_id"])
        for name in BANDS:
            assert_band(chip[name], one.band(name)[window], f"{chip['chip_id']} {name}")
        assert_cut(chip, one, FRAME)


def test_filled_chips_have_the_newest_valid_pixels_and_their_origin(
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
            assert_filled_band(chip, name, layers, origin)
        assert_filled(chip, expected, index, date_of, FRAME)


def test_suspect_pixels_are_those_of_the_oracle(
    expected: list[Expected], suspects: dict[str, list[NDArray[np.bool_]]]
) -> None:
    seen = np.logical_and.reduce([one.valid for one in expected])
    by_seen = sorted(FRAME.cell_ids, key=lambda cell_id: (-int(seen[FRAME.window(cell_id)].sum()), cell_id))
    assert seen[FRAME.window(by_seen[1])].any()  # pixels that are compared with two earlier dates
    for cell_id in by_seen[:2]:  # the oracle is slow
        window = FRAME.window(cell_id)
        chips = [
            Chip(
                int(one.acquired.astype("datetime64[us]").astype(np.int64)),
                one.scl[FRAME.window(cell_id, 20)],
                {name: one.band(name)[window] for name in BANDS},
            )
            for one in expected
        ]
        wanted = suspects_of(chips, [one.valid[window] for one in expected], max_age_days=60)
        for mask, found in zip(wanted, suspects[cell_id], strict=True):
            np.testing.assert_array_equal(found, mask, cell_id)


def test_filled_pixels_are_adjusted_as_by_the_oracle(
    built: SparkSession, expected: list[Expected], suspects: dict[str, list[NDArray[np.bool_]]]
) -> None:
    index_of = {one.item_id: index for index, one in enumerate(expected)}
    adjusted = [chip for chip in _chips(built, "fct_filled_chips") if any(one["gains"] for one in chip["adjustments"])]
    some = sorted(adjusted, key=lambda chip: (-len(chip["sources"]), chip["chip_id"]))[:4]  # the oracle is slow
    assert len(some) == 4
    for chip in some:
        assert_adjusted(chip, expected, index_of[chip["item_ids"][0]], FRAME, suspects[chip["cell_id"]])


def test_composites_are_the_medians_of_the_whole_arrays(
    built: SparkSession, expected: list[Expected], suspects: dict[str, list[NDArray[np.bool_]]]
) -> None:
    composites = [row.asDict() for row in built.table(f"{MODEL_NAMESPACE}.fct_composites").collect()]
    assert {one["composite_id"] for one in composites} == {f"{cell}_month_2023-08" for cell in FRAME.cell_ids}
    is_valid = np.stack([one.valid for one in expected])
    by_scl = is_valid.sum(axis=0)
    for cell_id, of_dates in suspects.items():
        for valid, mask in zip(is_valid, of_dates, strict=True):
            valid[FRAME.window(cell_id)] &= ~doubled(mask)
    for name in BANDS:
        values = np.ma.masked_array(np.stack([one.band(name) for one in expected]), ~is_valid)
        medians = np.floor(np.ma.median(values, axis=0).filled(0) + 0.5).astype(np.uint16)  # type: ignore[no-untyped-call]
        for one in composites:
            assert_band(one[name], medians[FRAME.window(one["cell_id"])], f"{one['composite_id']} {name}")
    counts = is_valid.sum(axis=0)
    assert set(np.unique(counts)) == {0, 1, 2, 3}
    for one in composites:
        of_cell = counts[FRAME.window(one["cell_id"])]
        assert_band(one["observations"], of_cell, one["composite_id"])
        assert one["complete_fraction"] == (of_cell > 0).mean()
        assert one["mean_observations"] == of_cell.mean()
        assert one["suspect_fraction"] == 1 - of_cell.sum() / by_scl[FRAME.window(one["cell_id"])].sum()
        assert [chip.acquired_at for chip in one["sources"]] == [date.acquired for date in expected]
        assert [one[name] for name in (*NOT_CUT, "source_number")] == [None] * (len(NOT_CUT) + 1)


def test_clouds_and_the_swath_edge_are_in_the_region(expected: list[Expected]) -> None:
    inside = np.s_[(FRAME.top - NORTH) // 10 :, (WEST - FRAME.left) // 10 :]
    assert expected[0].valid[inside].mean() < 0.6  # clouds of 10 August
    assert (~expected[1].holds[inside]).mean() > 0.1  # swath edge of 13 August
    assert (expected[1].origin == 0).any()  # pixels that were filled


def test_a_second_run_writes_no_snapshot(built: SparkSession) -> None:
    before = snapshots()
    with compared_always():
        messages = dbt("run", "--select", "+fct_filled_chips", "+fct_composites")
    assert snapshots() == before
    assert messages["fct_chips"] == messages["fct_filled_chips"] == messages["fct_composites"] == "nothing pending"


def _box_of_cells(spark: SparkSession, columns: int, lines: int) -> BBox:
    """Return a box in degrees around the centres of columns x lines cells in the middle of the region."""
    found = spark.sql(
        f"""
        with middle as (
            select floor(avg(cell_col)) as cell_col, floor(avg(cell_row)) as cell_row from chiplake.dim_grid_cells
        )

        select min(longitude), min(latitude), max(longitude), max(latitude)
        from chiplake.dim_grid_cells as cells
        cross join middle
        where
            cells.cell_col between middle.cell_col - {columns // 2} and middle.cell_col + {(columns - 1) // 2}
            and cells.cell_row between middle.cell_row - {lines // 2} and middle.cell_row + {(lines - 1) // 2}
        """
    ).head()
    assert found is not None
    west, south, east, north = found
    return west - 1e-3, south - 1e-3, east + 1e-3, north + 1e-3


def _embeddings(spark: SparkSession) -> dict[str, Row]:
    """Return rows of raw.clay_embeddings by chip, without the time."""
    columns = ("chip_id", "model_id", "input_hash", "embedding", "error")
    return {row.chip_id: row for row in spark.table(CLAY_EMBEDDINGS).select(*columns).collect()}


def test_a_local_transform_and_sagemaker_give_the_same_embeddings(
    built: SparkSession, settings: Settings, aws: AwsServer
) -> None:
    area = {"embed_bbox": _box_of_cells(built, columns=6, lines=5), "embed_min_complete": 0.0}
    dbt("run", "--select", "int_embedding_inputs", "--vars", json.dumps(area))
    local = settings.replace(**area)
    assert run_embedding(local).is_complete
    by_local = _embeddings(built)
    assert len({rows(built, "fct_filled_chips")[chip_id].cell_id for chip_id in by_local}) >= 30
    assert len(by_local) >= 30 * 3
    assert {row.error for row in by_local.values()} == {None}
    assert len({tuple(row.embedding) for row in by_local.values()}) > 30  # a fully filled chip equals the one before

    built.sql(f"delete from {CLAY_EMBEDDINGS}")
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    on_sagemaker = local.replace(
        transform_on="sagemaker",
        transform_s3_uri=f"s3://{BUCKET}/runs",
        transform_image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/chiplake/clay:1",
        transform_role_arn="arn:aws:iam::123456789012:role/chiplake/transform",
        transform_poll_s=0.2,
    )
    assert run_embedding(on_sagemaker).is_complete
    assert _embeddings(built) == by_local

    jobs = len(aws.jobs)
    assert jobs == 1
    assert run_embedding(on_sagemaker).run_ids == ()
    assert len(aws.jobs) == jobs, "with nothing new the model is not called"
