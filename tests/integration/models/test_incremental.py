"""In any order of arrival, the rows are those of one full refresh, and a run writes only the rows that change."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy
import pytest
from numcodecs import blosc
from pyspark.sql import Row, SparkSession
from support.ingests import write_items
from support.lakes import (
    MODELS_WITH_PIXELS,
    compared_always,
    data_files,
    dbt,
    empty_lake_of,
    ingest_file,
    rows,
    said_by_dbt,
    snapshots,
    visible_changes,
)

from chiplake.synthetic import Archive, ArchiveSpec, write_archive
from ingestion.store.overrides import BoaOffsetOverride, store_boa_offsets, stored_boa_offsets
from lakehouse.catalog import MODEL_NAMESPACE, open_catalog
from lakehouse.settings import Settings
from lakehouse.source_schemas import STAC_ITEMS

CHIPS = f"{MODEL_NAMESPACE}.fct_chips"
SELECT = ("--select", "+fct_filled_chips")


class Nights:
    """The archive's scenes, ingested in several nights."""

    def __init__(self, spark: SparkSession, settings: Settings, archive: Archive, folder: Path) -> None:
        self.spark, self.settings, self.archive, self.folder = spark, settings, archive, folder
        self.items = {item["id"]: item for item in json.loads(archive.items_path.read_text())["features"]}

    def scene_ids(self, day: int, tile: str | None = None) -> list[str]:
        """Return the ids of the items of the archive's n-th day."""
        days = sorted({scene.day for scene in self.archive.scenes})
        scenes = [scene for scene in self.archive.scenes if scene.day == days[day] and tile in (None, scene.tile)]
        return [scene.item_id for scene in scenes]

    def ingest(self, item_ids: list[str]) -> None:
        """Ingest some items."""
        ingest_file(write_items(self.folder / "items.json", [self.items[one] for one in item_ids]), self.settings)

    def run(self, item_ids: list[str]) -> None:
        """Ingest some items and run the models."""
        self.ingest(item_ids)
        dbt("run", *SELECT)

    def files(self, table: str) -> dict[str, str]:
        """Return the data file of each chip; it changes when the row is written again."""
        return data_files(self.spark, table)


@pytest.fixture(scope="module")
def nights(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    folder = tmp_path_factory.mktemp("nights")
    spec = ArchiveSpec.tiny()
    with empty_lake_of(spec.bands, spark, settings):
        yield Nights(spark, settings, write_archive(spec, folder / "archive"), folder)


def _written(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {chip_id for chip_id, file in after.items() if before.get(chip_id) != file}


def days_of(chips: dict[str, Row]) -> set[date]:
    return {chip.acquired_at.date() for chip in chips.values()}


def test_late_broken_and_repaired_scenes_end_as_in_a_full_refresh(nights: Nights) -> None:
    spark = nights.spark
    tiles = sorted({scene.tile for scene in nights.archive.scenes})

    # Of the first day, one tile has arrived. A run that is limited to the last day makes no other chips.
    first, *_, last = sorted({scene.day for scene in nights.archive.scenes})
    nights.ingest([*nights.scene_ids(2), *nights.scene_ids(0, tiles[0])])
    dbt("run", *SELECT, "--vars", json.dumps({"start_date": str(last), "end_date": str(last)}))
    assert days_of(rows(spark, "fct_filled_chips")) == {last}
    newest = set(rows(spark, "fct_filled_chips"))

    # Then the first day: chips of that tile's cells are filled again, all others stay in their file.
    before = {table: nights.files(table) for table in MODELS_WITH_PIXELS}
    dbt("run", *SELECT)
    assert days_of(rows(spark, "fct_filled_chips")) == {first, last}
    after = {table: nights.files(table) for table in MODELS_WITH_PIXELS}
    late = _written(before["fct_chips"], after["fct_chips"])
    late_cells = {rows(spark, "fct_chips")[chip_id].cell_id for chip_id in late}
    assert late.isdisjoint(newest)
    affected = {chip_id for chip_id in newest if chip_id.rsplit("_", 2)[0] in late_cells}
    assert _written(before["fct_filled_chips"], after["fct_filled_chips"]) == late | affected
    assert newest - affected, "the other tile has cells of its own"

    # The other tile of that day joins the same datatake; the middle day has a raster that ends too early.
    broken = next(scene for scene in nights.archive.scenes if scene.item_id == nights.scene_ids(1, tiles[0])[0])
    raster = broken.rasters["red"]
    whole = raster.read_bytes()
    raster.write_bytes(whole[:2048])  # the header without any block
    nights.run([*nights.scene_ids(0, tiles[1]), *nights.scene_ids(1)])
    chips = rows(spark, "fct_chips")
    failed = {chip_id for chip_id, chip in chips.items() if chip.error is not None}
    assert failed == {chip_id for chip_id, chip in chips.items() if broken.item_id in chip.item_ids}
    assert all(chips[chip_id].red is None and "red" in chips[chip_id].error for chip_id in failed)
    assert failed.isdisjoint(rows(spark, "fct_filled_chips"))

    # After the repair, only the failed chips are read again.
    raster.write_bytes(whole)
    before = {table: nights.files(table) for table in MODELS_WITH_PIXELS}
    dbt("run", *SELECT)
    assert _written(before["fct_chips"], nights.files("fct_chips")) == failed

    # Nothing is new: the run writes no snapshot and reads no raster, because all rasters are moved away.
    counted = snapshots()
    archive, away = nights.archive.root, nights.folder / "away"
    shutil.move(archive, away)
    with compared_always():
        said = dbt("run", *SELECT)
    said_by_marks = dbt("run", *SELECT)
    shutil.move(away, archive)
    assert snapshots() == counted
    assert {said["fct_chips"], said["fct_filled_chips"]} == {"nothing pending"}
    assert set(said_by_marks.values()) == {"unchanged"}

    # The rows equal those of one full refresh byte by byte.
    bit_by_bit = {table: rows(spark, table) for table in MODELS_WITH_PIXELS}
    dbt("run", "--full-refresh", *SELECT)
    for table, expected in bit_by_bit.items():
        assert rows(spark, table) == expected, table


def test_a_newer_baseline_an_offset_and_a_corrected_time_write_only_their_chips_and_are_taken_back(
    nights: Nights,
) -> None:
    """Each changes a scene of another day, all in one run; the next run has a removed item and no offset."""
    spark = nights.spark
    chips = rows(spark, "fct_chips")
    replaced_id, shifted_id, moved_id = (nights.scene_ids(day)[0] for day in (1, 0, 2))

    def chips_of(item_id: str) -> set[str]:
        return {chip_id for chip_id, chip in chips.items() if item_id in chip.item_ids}

    newer, corrected = _reprocessed(nights.items[replaced_id]), json.loads(json.dumps(nights.items[moved_id]))
    corrected["properties"] |= {"datetime": "2023-08-14T09:58:11Z", "updated": "2024-01-01T00:00:00Z"}
    nights.items |= {newer["id"]: newer, moved_id: corrected}
    own = (BoaOffsetOverride(item_id=shifted_id, boa_offset=25, note="of a test"),)
    before, seen_before = nights.files("fct_chips"), visible_changes()
    assert store_boa_offsets(own, nights.settings)
    assert stored_boa_offsets(nights.settings) == own
    with _time_zone("Asia/Tokyo"):  # the lake is in UTC, whatever the time zone of the process
        nights.run([newer["id"], moved_id])

    touched = [chips_of(item_id) for item_id in (replaced_id, shifted_id, moved_id)]
    assert all(touched)
    assert _written(before, nights.files("fct_chips")) == set.union(*touched) < set(chips)
    changed, filled = rows(spark, "fct_chips"), rows(spark, "fct_filled_chips")
    seen = {table: count - seen_before[table] for table, count in visible_changes().items()}
    # Cells of the older product are gone, those of the newer one have come, and no reader sees one without the other.
    assert seen[f"{MODEL_NAMESPACE}.int_scene_cells"] == 1
    assert {seen[table] for table in seen if table.startswith(MODEL_NAMESPACE)} <= {0, 1}
    assert all(newer["id"] in changed[chip_id].item_ids for chip_id in chips_of(replaced_id))
    for chip_id in chips_of(shifted_id):
        was, now = chips[chip_id], changed[chip_id]
        assert now.boa_offsets == [25 if one == shifted_id else offset for one, offset in zip_offsets(was)]
        if was.item_ids == [shifted_id]:
            old, new = (numpy.frombuffer(blosc.decompress(chip.red), "<u2").astype(int) for chip in (was, now))
            assert (new[old > 1] - old[old > 1] == 25 - was.boa_offsets[0]).all()
            assert ((new == 0) == (old == 0)).all()
    for rows_of_table in (changed, filled):
        assert {rows_of_table[chip_id].acquired_at.day for chip_id in chips_of(moved_id)} == {14}

    # Storing the same offsets writes nothing. Without the line, the chips are as before.
    counted = snapshots()
    assert not store_boa_offsets(own, nights.settings)
    assert snapshots() == counted
    assert store_boa_offsets((), nights.settings)
    open_catalog(nights.settings).load_table(STAC_ITEMS).delete(f"item_id in ('{newer['id']}', '{replaced_id}')")
    dbt("run", *SELECT)
    left = rows(spark, "fct_chips")
    assert not any({newer["id"], replaced_id} & set(chip.item_ids) for chip in left.values())
    assert set(rows(spark, "fct_filled_chips")) == set(left)
    assert {chip_id: left[chip_id] for chip_id in chips_of(shifted_id)} == {
        chip_id: chips[chip_id] for chip_id in chips_of(shifted_id)
    }


def zip_offsets(chip: Row) -> list[tuple[str, int]]:
    return list(zip(chip.item_ids, chip.boa_offsets, strict=True))


def test_a_run_with_empty_inputs_leaves_the_tables_as_they_are(nights: Nights) -> None:
    before = snapshots()
    dbt("run", "--empty", *SELECT)
    assert snapshots() == before


def test_copies_of_rows_are_removed_and_counted(nights: Nights) -> None:
    spark = nights.spark
    if not spark.catalog.tableExists(CHIPS):  # this test runs alone
        nights.run(nights.scene_ids(1))
    chips, scenes = rows(spark, "fct_chips"), spark.table(f"{MODEL_NAMESPACE}.int_scenes").collect()
    chosen = tuple(sorted(chips)[:3])
    for _ in range(2):  # these chips are then there four times
        spark.sql(f"insert into {CHIPS} select * from {CHIPS} where chip_id in {chosen}")
    # Copies of another table's rows, which has a map and copies on write.
    spark.sql(f"insert into {MODEL_NAMESPACE}.int_scenes select * from {MODEL_NAMESPACE}.int_scenes")

    lines = said_by_dbt("run", "--select", "int_scenes", "fct_chips")

    assert lines == [
        f"{MODEL_NAMESPACE}.int_scenes: {len(scenes)} rows were copies of others and are removed",
        f"{CHIPS}: 9 rows were copies of others and are removed",
    ]
    assert spark.table(CHIPS).count() == len(chips)
    assert rows(spark, "fct_chips") == chips
    healed = spark.table(f"{MODEL_NAMESPACE}.int_scenes").collect()
    assert sorted(map(str, healed)) == sorted(map(str, scenes))
    counted = snapshots()
    assert said_by_dbt("run", "--select", "int_scenes", "fct_chips") == []
    assert snapshots() == counted


def test_outdated_rows_of_one_key_become_the_current_row(nights: Nights) -> None:
    spark, table = nights.spark, f"{MODEL_NAMESPACE}.int_datatakes"
    if not spark.catalog.tableExists(CHIPS):  # this test runs alone
        nights.run(nights.scene_ids(1))
    current = set(spark.table(table).collect())
    spark.sql(f"update {table} set scene_count = scene_count + 1, datatake_hash = 'old'")
    spark.sql(f"insert into {table} select datatake_id, epsg, acquired_at, scene_count, 'older' from {table}")
    dbt("run", "--select", "int_datatakes")
    assert set(spark.table(table).collect()) == current


@contextmanager
def _time_zone(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()


def _reprocessed(item: dict[str, Any]) -> dict[str, Any]:
    """Make the same product in a later processing baseline: another id and name, the same pixels."""
    text = json.dumps(item).replace("N0509", "N0510").replace("N05.09", "N05.10").replace('"05.09"', '"05.10"')
    again: dict[str, Any] = json.loads(text)
    again["id"] = item["id"].replace("_0_L2A", "_1_L2A")
    # A new address means new pixels, so the reprocessed product is copied to other paths.
    for asset in again["assets"].values():
        path = Path(asset["href"])
        copy = path.with_name(f"reprocessed-{path.name}")
        if path.exists() and not copy.exists():
            shutil.copy(path, copy)
        asset["href"] = str(copy)
    return again
