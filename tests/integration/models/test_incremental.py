"""In any order of arrival, the rows are those of one full refresh, and a run writes only the rows that change."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    empty_lake,
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

    def run(self, item_ids: list[str]) -> dict[str, str]:
        """Ingest some items and run the models."""
        ingest_file(write_items(self.folder / "items.json", [self.items[one] for one in item_ids]), self.settings)
        return dbt("run", *SELECT)

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


def test_late_broken_and_repaired_scenes_end_as_in_a_full_refresh(nights: Nights) -> None:
    spark = nights.spark
    tiles = sorted({scene.tile for scene in nights.archive.scenes})

    # The last day arrives first.
    nights.run(nights.scene_ids(2))
    newest = set(rows(spark, "fct_filled_chips"))

    # Then the first day of one tile: chips of that tile's cells are filled again, all others stay in their file.
    before = {table: nights.files(table) for table in MODELS_WITH_PIXELS}
    nights.run(nights.scene_ids(0, tiles[0]))
    after = {table: nights.files(table) for table in MODELS_WITH_PIXELS}
    late = _written(before["fct_chips"], after["fct_chips"])
    late_cells = {rows(spark, "fct_chips")[chip_id].cell_id for chip_id in late}
    assert late.isdisjoint(newest)
    affected = {chip_id for chip_id in newest if chip_id.rsplit("_", 2)[0] in late_cells}
    assert _written(before["fct_filled_chips"], after["fct_filled_chips"]) == late | affected
    assert newest - affected, "the other tile has cells of its own"

    # The other tile of that day joins the same datatake; the middle day has a raster that ends too early.
    nights.run(nights.scene_ids(0, tiles[1]))
    broken = next(scene for scene in nights.archive.scenes if scene.item_id == nights.scene_ids(1, tiles[0])[0])
    raster = broken.rasters["red"]
    whole = raster.read_bytes()
    raster.write_bytes(whole[:2048])  # the header without any block
    nights.run(nights.scene_ids(1))
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


def test_a_newer_baseline_replaces_its_chips_and_a_removed_item_deletes_them(nights: Nights) -> None:
    spark = nights.spark
    item_id = nights.scene_ids(1)[0]
    chips = rows(spark, "fct_chips")
    touched = {chip_id for chip_id, chip in chips.items() if item_id in chip.item_ids}
    newer = _reprocessed(nights.items[item_id])
    before, seen_before = nights.files("fct_chips"), visible_changes()

    nights.items[newer["id"]] = newer
    with _time_zone("Asia/Tokyo"):  # the lake is in UTC, whatever the time zone of the process
        nights.run([newer["id"]])
    seen = {table: count - seen_before[table] for table, count in visible_changes().items()}
    # Cells of the older product are gone, those of the newer one have come, and no reader sees one without the other.
    assert seen[f"{MODEL_NAMESPACE}.int_scene_cells"] == 1
    assert {seen[table] for table in seen if table.startswith(MODEL_NAMESPACE)} <= {0, 1}

    assert _written(before, nights.files("fct_chips")) == touched
    assert all(newer["id"] in rows(spark, "fct_chips")[chip_id].item_ids for chip_id in touched)

    open_catalog(nights.settings).load_table(STAC_ITEMS).delete(f"item_id in ('{newer['id']}', '{item_id}')")
    dbt("run", *SELECT)
    left = rows(spark, "fct_chips")
    assert not any({newer["id"], item_id} & set(chip.item_ids) for chip in left.values())
    assert set(rows(spark, "fct_filled_chips")) == set(left)


def test_an_offset_of_the_user_recuts_only_its_chips_until_its_line_is_removed(nights: Nights) -> None:
    spark = nights.spark
    item_id = nights.scene_ids(0)[0]
    chips = rows(spark, "fct_chips")
    touched = {chip_id for chip_id, chip in chips.items() if item_id in chip.item_ids}
    own = (BoaOffsetOverride(item_id=item_id, boa_offset=25, note="of a test"),)
    assert touched

    before = nights.files("fct_chips")
    assert store_boa_offsets(own, nights.settings)
    assert stored_boa_offsets(nights.settings) == own
    dbt("run", *SELECT)
    assert _written(before, nights.files("fct_chips")) == touched
    shifted = rows(spark, "fct_chips")
    for chip_id in touched:
        was, now = chips[chip_id], shifted[chip_id]
        assert now.boa_offsets == [25 if one == item_id else offset for one, offset in zip_offsets(was)]
        if was.item_ids == [item_id]:
            old, new = (numpy.frombuffer(blosc.decompress(chip.red), "<u2").astype(int) for chip in (was, now))
            assert (new[old > 1] - old[old > 1] == 25 - was.boa_offsets[0]).all()
            assert ((new == 0) == (old == 0)).all()

    # Storing the same offsets writes nothing. Without the line, the chips are as before.
    counted = snapshots()
    assert not store_boa_offsets(own, nights.settings)
    dbt("run", *SELECT)
    assert snapshots() == counted
    assert store_boa_offsets((), nights.settings)
    dbt("run", *SELECT)
    assert rows(spark, "fct_chips") == chips


def zip_offsets(chip: Row) -> list[tuple[str, int]]:
    return list(zip(chip.item_ids, chip.boa_offsets, strict=True))


def test_an_item_whose_time_was_corrected_moves_its_chips_in_time(nights: Nights) -> None:
    item_id = nights.scene_ids(0)[0]
    corrected = json.loads(json.dumps(nights.items[item_id]))
    corrected["properties"] |= {"datetime": "2023-08-04T09:58:11Z", "updated": "2024-01-01T00:00:00Z"}
    nights.items[item_id] = corrected
    nights.run([item_id])
    moved = {chip_id: chip for chip_id, chip in rows(nights.spark, "fct_chips").items() if item_id in chip.item_ids}
    assert moved
    assert {chip.acquired_at.day for chip in moved.values()} == {4}
    filled = rows(nights.spark, "fct_filled_chips")
    assert {filled[chip_id].acquired_at.day for chip_id in moved} == {4}


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


def test_the_window_variables_limit_a_run_to_their_days(nights: Nights) -> None:
    empty_lake(nights.spark, nights.settings)
    ingest_file(nights.archive.items_path, nights.settings)
    days = sorted({scene.day for scene in nights.archive.scenes})
    window = json.dumps({"start_date": str(days[1]), "end_date": str(days[1])})
    dbt("run", *SELECT, "--vars", window)
    assert {row.acquired_at.date() for row in rows(nights.spark, "fct_filled_chips").values()} == {days[1]}

    dbt("run", *SELECT)
    assert {row.acquired_at.date() for row in rows(nights.spark, "fct_filled_chips").values()} == set(days)
