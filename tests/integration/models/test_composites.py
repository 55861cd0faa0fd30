"""Composites grow with late chips, end as in a full refresh, and keep their rule and periods until told otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from pyspark.sql import SparkSession
from support.ingests import write_items
from support.lakes import data_files, dbt, empty_lake_of, ingest_file, rows, settings_from
from support.scene_oracle import decode

from chiplake.synthetic import Archive, ArchiveSpec, write_archive
from lakehouse.settings import Settings

SELECT = ("--select", "+fct_composites")
KEYED = ("fct_composites", "composite_id")
LAYERS = ("red", "nir", "swir16", "observations", "source_number")


@pytest.fixture(scope="module")
def archive(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Return the scenes of three days of August; the lake has those of the first and the last."""
    spec = ArchiveSpec.tiny()
    with empty_lake_of(spec.bands, spark, settings):
        written = write_archive(spec, tmp_path_factory.mktemp("archive"))
        ingest_days(written, (0, 2), settings)
        dbt("run", *SELECT)
        yield written


def ingest_days(archive: Archive, days: tuple[int, ...], settings: Settings, tile: str = "") -> None:
    """Ingest the scenes of some days, of one tile or of all. Their hrefs are relative to the archive's folder."""
    all_days = sorted({scene.day for scene in archive.scenes})
    wanted = {
        scene.item_id
        for scene in archive.scenes
        if scene.day in [all_days[day] for day in days] and tile in ("", scene.tile)
    }
    items = json.loads(archive.items_path.read_text())["features"]
    path = archive.items_path.with_name("some_items.json")
    ingest_file(write_items(path, [item for item in items if item["id"] in wanted]), settings)


def test_a_late_chip_changes_the_composites_of_its_cell_alone(
    archive: Archive, spark: SparkSession, settings: Settings
) -> None:
    before, placed = rows(spark, *KEYED), data_files(spark, *KEYED)
    assert {len(one["sources"]) for one in before.values()} <= {1, 2}
    ingest_days(archive, (1,), settings, tile="33TWL")
    dbt("run", *SELECT)
    after, placed_after = rows(spark, *KEYED), data_files(spark, *KEYED)
    assert set(after) == set(before)
    late = {key for key in after if len(after[key]["sources"]) > len(before[key]["sources"])}
    assert late
    assert late < set(after), "the other tile has cells of its own"
    assert {key for key in after if placed[key] != placed_after[key]} == late
    counts = decode(after[min(late)]["observations"], "<u2", 256)
    assert counts.max() == 3


def test_incremental_equals_full_refresh(archive: Archive, spark: SparkSession) -> None:
    before = rows(spark, *KEYED)
    dbt("run", "--select", "fct_composites", "--full-refresh")
    assert rows(spark, *KEYED) == before


def test_recompute_gives_medoids_of_real_pixels_and_another_period_is_added(
    archive: Archive, spark: SparkSession
) -> None:
    months = rows(spark, *KEYED)
    with settings_from({"CHIPLAKE_COMPOSITE_METHOD": "medoid", "CHIPLAKE_COMPOSITE_PERIODS": "season"}):
        dbt("run", "--select", "composites")
        both = rows(spark, *KEYED)
        assert {key: one for key, one in both.items() if one["period"] == "month"} == months
        seasons = {one["cell_id"]: one for one in both.values() if one["period"] == "season"}
        assert {one["composite_id"] for one in seasons.values()} == {f"{cell}_season_2023-06" for cell in seasons}
        assert len(seasons) == len(months)
        dbt("run", "--select", "composites", "--vars", "{recompute: true}")
    medoids = rows(spark, *KEYED)
    assert set(medoids) == set(both)
    for one in medoids.values():
        assert json.loads(one["rule_version"])["method"] == "medoid-v1"
        season = seasons[one["cell_id"]]
        assert [one[name] for name in LAYERS] == [season[name] for name in LAYERS]  # the chips are the same
    some = max(seasons.values(), key=lambda one: (len(one["sources"]), one["cell_id"]))
    ids = [source["chip_id"] for source in some["sources"]]
    chips = rows(spark, "fct_chips")
    index, red = decode(some["source_number"], "<u2", 256), decode(some["red"], "<u2", 256)
    expected = np.zeros((256, 256), np.uint16)
    for number, chip_id in enumerate(ids):
        expected[index == number] = decode(chips[chip_id]["red"], "<u2", 256)[index == number]
    assert len(np.unique(index)) > 2
    assert np.array_equal(red, expected)
