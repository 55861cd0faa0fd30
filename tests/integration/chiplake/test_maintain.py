"""Maintenance changes files and snapshots, never rows; files in use stay, whichever engine wrote them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pytest
from pyspark.sql import Row, SparkSession
from support.lakes import empty_lake
from typer.testing import CliRunner

from chiplake.cli.main import app
from chiplake.maintain import (
    Outcome,
    Retention,
    Step,
    TableReport,
    chosen_tables,
    maintain,
)
from chiplake.maintain.orphans import raise_if_referenced
from lakehouse.catalog import ensure_sources, open_catalog
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS, STAC_ITEMS, STAC_ITEMS_SCHEMA

CHIPS = "chiplake.maintained_chips"
OTHER_CHIPS = "chiplake.other_chips"
ALL = tuple(Step)
TEN_DAYS_AGO = (datetime.now(UTC) - timedelta(days=10)).timestamp()


@pytest.fixture(autouse=True)
def lake(spark: SparkSession, settings: Settings) -> None:
    """An empty lake, without the files of dropped tables."""
    empty_lake(spark, settings)
    in_use = {_path(location) for location in _metadata_files(settings).values()}
    for file in map(Path, _files(settings)):
        if file not in in_use:
            file.unlink()


def _usual() -> Retention:
    return Retention.of_days(7, 5, 3)


def _expiring(retain_last: int) -> Retention:
    """Make all snapshots except for the last few old enough."""
    return Retention(datetime.now(UTC) + timedelta(minutes=1), retain_last, datetime.now(UTC) - timedelta(days=3))


def _make_chips(spark: SparkSession, name: str = CHIPS, appends: int = 6) -> None:
    """Make chips in two places and months: many small appends, then a merge and a delete with position deletes."""
    spark.sql(
        f"""
        create table {name} (chip_id int, geohash string, acquired_at timestamp, red binary) using iceberg
        partitioned by (truncate(4, geohash), month(acquired_at))
        tblproperties (
            'format-version' = '2', 'write.merge.mode' = 'merge-on-read', 'write.delete.mode' = 'merge-on-read',
            'write.distribution-mode' = 'none', 'write.spark.fanout.enabled' = 'true',
            'write.parquet.compression-codec' = 'uncompressed', 'write.metadata.metrics.column.red' = 'none'
        )
        """
    )
    for number in range(appends):
        spark.sql(f"insert into {name} {_chips(number * 12, number * 12 + 12)}")
    spark.sql(
        f"""
        merge into {name} as target using ({_chips(4, 28, "again")}) as source on target.chip_id = source.chip_id
        when matched then update set red = source.red
        """
    )
    spark.sql(f"delete from {name} where chip_id % 11 = 3")


def _chips(first: int, last: int, salt: str = "") -> str:
    return f"""
        select
            cast(id as int) as chip_id,
            concat(if(id % 2 = 0, 'u23s', 'u24h'), substr(sha2(string(id), 256), 1, 4)) as geohash,
            if(id % 3 = 0, timestamp '2023-07-30 10:00:00', timestamp '2023-08-15 10:00:00')
                - make_dt_interval(0, 0, cast(id as int)) as acquired_at,
            cast(repeat(sha2(concat(id, '{salt}'), 256), 50) as binary) as red
        from range({first}, {last}, 1, 2)
    """


def _make_items(settings: Settings) -> None:
    """Write items by PyIceberg: strings longer than its column bounds, and a delete that rewrites a file."""
    table = open_catalog(settings).load_table(STAC_ITEMS)
    for number in range(6):
        _append(
            settings,
            STAC_ITEMS,
            [
                {
                    "collection": "sentinel-2-l2a",
                    "item_id": f"S2A_MSIL2A_2023081{number}T100031_ä_{'long' * 9}_{one}",
                    "acquired_at": datetime(2023, 7 + one % 2, 10 + number, tzinfo=UTC),
                    "geometry": bytes([255] * 40) + bytes([one]),
                    "assets": [("red", {"href": f"https://example.org/{number}/{one}.tif", "shape": [10, 20]})],
                    "item": "{" + "\U0010ffff" * 20 + f"{number}{one}" + "}",
                }
                for one in range(4)
            ],
        )
    table.refresh().delete("processing_baseline is null and acquired_at = '2023-08-11T00:00:00+00:00'")


def _make_embeddings(spark: SparkSession, settings: Settings) -> None:
    """Make a table that both engines write alternately."""
    for number in range(3):
        _append(settings, CLAY_EMBEDDINGS, [{"chip_id": f"python-{number}", "embedding": [0.1 * number, 2.0]}])
        spark.sql(
            f"insert into {CLAY_EMBEDDINGS} values ('spark-{number}', 'm', 'h', array(float(0.5), null), null, 'r', "
            "timestamp '2023-08-15 10:00:00')"
        )


def _append(settings: Settings, name: str, rows: list[dict[str, object]]) -> None:
    table = open_catalog(settings).load_table(name)
    schema = table.schema().as_arrow()
    table.append(pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema=schema))


def _by_spark(spark: SparkSession, name: str) -> list[Row]:
    return sorted(spark.table(name).collect(), key=str)


def _by_python(settings: Settings, name: str) -> list[str]:
    return sorted(map(str, open_catalog(settings).load_table(name).scan().to_arrow().to_pylist()))


def _metadata_files(settings: Settings) -> dict[str, str]:
    catalog = open_catalog(settings)
    return {name: catalog.load_table(name).metadata_location for name in chosen_tables(catalog, [])}


def _files(settings: Settings) -> dict[str, tuple[int, int]]:
    """Return size and time of every file of the warehouse."""
    files = (path for path in Path(settings.lake.warehouse_location).rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def _by_table(reports: list[TableReport]) -> dict[str, TableReport]:
    return {report.table: report for report in reports}


def _folder(settings: Settings, name: str) -> Path:
    return _path(open_catalog(settings).load_table(name).location())


def test_fewer_files_hold_the_same_rows_and_a_second_run_writes_nothing(
    spark: SparkSession, settings: Settings
) -> None:
    _make_chips(spark)
    _make_items(settings)
    _make_embeddings(spark, settings)
    tables = [CHIPS, CLAY_EMBEDDINGS, STAC_ITEMS]
    by_spark = {name: _by_spark(spark, name) for name in tables}
    by_python = {name: _by_python(settings, name) for name in tables}
    assert [len(by_spark[name]) for name in tables] == [65, 6, 22]
    planned = _by_table(maintain(settings, tables, [Step.COMPACT], _usual(), dry_run=True))

    done = _by_table(maintain(settings, tables, [Step.COMPACT], _usual()))

    for name in tables:
        report = done[name]
        assert (report.outcome, report.detail) == (Outcome.DONE, "")
        assert report.before is not None
        assert report.after is not None
        assert report.before == planned[name].before
        assert report.after.data_files == report.before.groups_to_rewrite, "one a partition, as in the dry run"
        assert report.after.groups_to_rewrite == report.after.delete_files == 0
        assert report.after.size_bytes < report.before.size_bytes
        assert _by_spark(spark, name) == by_spark[name]
        assert _by_python(settings, name) == by_python[name]
    chips = done[CHIPS]
    assert chips.before is not None
    assert chips.after is not None
    assert chips.before.delete_files > 0
    assert chips.after.data_files == 4, "one a partition"
    places = spark.sql(f"select _file, geohash, acquired_at from {CHIPS} order by _file, _pos").collect()
    assert places == sorted(places), "in order of place, then of time"

    metadata = _metadata_files(settings)
    again = maintain(settings, tables, ALL, _usual())
    assert [report.outcome for report in again] == [Outcome.UNCHANGED] * 3
    assert _metadata_files(settings) == metadata


READER = """
import sys
from pathlib import Path
from lakehouse.catalog import open_catalog
from lakehouse.settings import get_settings

table_name, stop = sys.argv[1], Path(sys.argv[2])
seen = []
while not stop.exists() or len(seen) < 3:
    table = open_catalog(get_settings()).load_table(table_name)
    seen.append(hash(tuple(sorted(map(str, table.scan().to_arrow().to_pylist())))))
    print("scanned", flush=True)
print(len(seen), len(set(seen)))
"""


def test_readers_at_work_see_the_same_rows_throughout(spark: SparkSession, settings: Settings, tmp_path: Path) -> None:
    _make_chips(spark)
    expected = _by_spark(spark, CHIPS)
    snapshot = open_catalog(settings).load_table(CHIPS).current_snapshot()
    assert snapshot is not None
    # A scan in each engine begins before the maintenance and ends after it.
    by_spark = spark.table(CHIPS).repartition(8).toLocalIterator()
    by_python = open_catalog(settings).load_table(CHIPS).scan()
    tasks = list(by_python.plan_files())
    first = next(by_spark)

    stop = tmp_path / "stop"
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, CHIPS, str(stop)],
        env=os.environ | {"CHIPLAKE_HOME": str(settings.lake.home), "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with reader, ThreadPoolExecutor(1) as pool:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "scanned\n"

        def scan() -> int:
            scans = 0
            while not stop.exists() or scans == 0:
                for version in ("", f" version as of {snapshot.snapshot_id}"):
                    assert sorted(spark.sql(f"select * from {CHIPS}{version}").collect(), key=str) == expected
                scans += 1
            return scans

        scans = pool.submit(scan)
        (report,) = maintain(settings, [CHIPS], ALL, _usual())
        stop.touch()
        rest, _ = reader.communicate(timeout=120)
    assert reader.returncode == 0

    assert scans.result() >= 1
    assert report.outcome == Outcome.DONE
    assert report.after is not None
    assert report.after.data_files == 4
    scan_count, distinct_results = rest.splitlines()[-1].split()
    assert int(scan_count) >= 3
    assert distinct_results == "1", "each scan of the other process saw the same rows"
    assert sorted([first, *by_spark], key=str) == expected
    assert all(Path(unquote(task.file.file_path)).exists() for task in tasks)
    assert by_python.to_arrow().num_rows == len(expected)


def test_old_snapshots_expire_and_the_current_rows_stay(spark: SparkSession, settings: Settings) -> None:
    _make_chips(spark)
    _make_items(settings)
    tables = [CHIPS, STAC_ITEMS]
    expected = {name: (_by_spark(spark, name), _by_python(settings, name)) for name in tables}
    oldest = open_catalog(settings).load_table(CHIPS).metadata.snapshots[0].snapshot_id
    spark.sql(f"alter table {CHIPS} create tag first_append as of version {oldest}")
    spark.sql(f"select * from {CHIPS} version as of {oldest}").collect()
    before = _files(settings)

    # All young snapshots stay.
    usual = maintain(settings, tables, [Step.EXPIRE], _usual())
    assert [(report.outcome, report.expired) for report in usual] == [(Outcome.UNCHANGED, 0)] * 2
    assert _files(settings) == before

    maintain(settings, tables, [Step.COMPACT], _usual())
    planned = _by_table(maintain(settings, tables, ALL, _expiring(3), dry_run=True))
    done = _by_table(maintain(settings, tables, ALL, _expiring(3)))

    for name in tables:
        assert planned[name].expired == done[name].expired > 0
        assert (_by_spark(spark, name), _by_python(settings, name)) == expected[name]
    chips, items = done[CHIPS].after, done[STAC_ITEMS].after
    assert chips is not None
    assert items is not None
    assert chips.snapshots == 3 + 1, "and the one with a tag"
    assert items.snapshots == 3
    assert spark.sql(f"select * from {CHIPS} version as of 'first_append'").count() == 12
    # After one more expiry, no snapshot has files from before the compaction.
    maintain(settings, [CHIPS], [Step.EXPIRE], _expiring(1))
    gone = before.keys() - _files(settings).keys()
    assert any("/maintained_chips/data/" in file for file in gone)
    assert (_by_spark(spark, CHIPS), _by_python(settings, CHIPS)) == expected[CHIPS]


def test_only_old_files_that_nothing_refers_to_are_removed(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    _make_chips(spark)
    _make_items(settings)
    _make_embeddings(spark, settings)
    # A location that must be quoted in a URI, as PyIceberg and as Spark write it.
    catalog = open_catalog(settings)
    odd = tmp_path / "a place 100%25" / "é"
    catalog.create_table(
        "raw.odd_items",
        STAC_ITEMS_SCHEMA,
        location=f"file://{odd}/items",
        properties={"format-version": "2"},
    )
    _append(settings, "raw.odd_items", [{"item_id": "one"}])
    spark.sql("insert into raw.odd_items select * from raw.odd_items")
    spark.sql(f"create table chiplake.odd_chips using iceberg location '{odd}/chips' as {_chips(0, 4)}")
    tables = [CHIPS, "chiplake.odd_chips", CLAY_EMBEDDINGS, "raw.odd_items", STAC_ITEMS]
    expected = {name: (_by_spark(spark, name), _by_python(settings, name)) for name in tables}
    folders = {name: _folder(settings, name) for name in tables}

    # All files are old, so that only their use protects them.
    live = {path for folder in folders.values() for path in folder.rglob("*") if path.is_file()}
    assert len(live) > 100
    planted, young = set(), set()
    for folder in folders.values():
        (folder / "data" / "acquired_month=2023-08").mkdir(parents=True, exist_ok=True)
        for place in ("data/00000-lost.parquet", "data/acquired_month=2023-08/x y.parquet", "metadata/lost-m0.avro"):
            planted.add(folder / place)
            (folder / place).write_bytes(b"lost")
    for path in live | planted:
        os.utime(path, (TEN_DAYS_AGO, TEN_DAYS_AGO))
    for folder in folders.values():
        young.add(folder / "data" / "00000-being-written.parquet")
        (folder / "data" / "00000-being-written.parquet").write_bytes(b"young")

    planned = maintain(settings, tables, [Step.ORPHANS], _usual(), dry_run=True)
    assert {_path(orphan) for report in planned for orphan in report.orphans} == planted
    assert all(path.exists() for path in live | planted | young)

    done = maintain(settings, tables, [Step.ORPHANS], _usual())

    assert [(report.outcome, report.detail) for report in done] == [(Outcome.DONE, "")] * len(tables)
    assert {_path(orphan) for report in done for orphan in report.orphans} == planted
    assert [path for path in planted if path.exists()] == []
    assert [path for path in live | young if not path.exists()] == []
    assert {name: (_by_spark(spark, name), _by_python(settings, name)) for name in tables} == expected
    again = maintain(settings, tables, [Step.ORPHANS], _usual())
    assert [report.outcome for report in again] == [Outcome.UNCHANGED] * len(tables)


def _path(location: str) -> Path:
    return Path("/" + location.removeprefix("file:").lstrip("/"))


def test_files_in_use_are_not_orphans_under_another_address(spark: SparkSession, settings: Settings) -> None:
    _make_embeddings(spark, settings)
    table = open_catalog(settings).load_table(CLAY_EMBEDDINGS)
    (snapshot, *_) = table.metadata.snapshots
    in_use = [
        table.inspect.files()["file_path"].to_pylist()[-1],
        table.inspect.all_manifests()["path"].to_pylist()[-1],
        snapshot.manifest_list,
        table.metadata.metadata_log[0].metadata_file,
    ]
    for file in in_use:
        with pytest.raises(ChiplakeError, match="is in use but was taken for an orphan; nothing was removed"):
            raise_if_referenced(spark, CLAY_EMBEDDINGS, ["s3://other/lost.avro", f"s3://other/{file.split('/')[-1]}"])
    raise_if_referenced(spark, CLAY_EMBEDDINGS, ["s3://other/lost.avro"])


def test_tables_in_one_folder_keep_their_files(spark: SparkSession, settings: Settings) -> None:
    _make_chips(spark, appends=1)
    folder = _folder(settings, CHIPS)
    spark.sql(f"create table {OTHER_CHIPS} using iceberg location '{folder}' as {_chips(0, 4)}")
    expected = {name: _by_spark(spark, name) for name in (CHIPS, OTHER_CHIPS)}
    for path in folder.rglob("*"):
        os.utime(path, (TEN_DAYS_AGO, TEN_DAYS_AGO))
    before = _files(settings)

    reports = maintain(settings, [CHIPS, OTHER_CHIPS, STAC_ITEMS], [Step.ORPHANS], _usual())

    assert [report.outcome for report in reports] == [Outcome.FAILED, Outcome.FAILED, Outcome.UNCHANGED]
    assert f"{CHIPS} and {OTHER_CHIPS} lie in one folder" in reports[0].detail
    assert _files(settings) == before
    assert {name: _by_spark(spark, name) for name in (CHIPS, OTHER_CHIPS)} == expected


def test_a_dry_run_reports_what_would_be_done_and_writes_nothing(spark: SparkSession, settings: Settings) -> None:
    _make_chips(spark, appends=5)
    lost = _folder(settings, CHIPS) / "data" / "lost.parquet"
    lost.write_bytes(b"lost")
    os.utime(lost, (TEN_DAYS_AGO, TEN_DAYS_AGO))
    before, metadata = _files(settings), _metadata_files(settings)

    result = CliRunner().invoke(app, ["maintain", "--dry-run"], env={"COLUMNS": "200"})

    assert result.exit_code == 0, result.output
    assert "Dry run: nothing is written" in result.output
    cells = next(line for line in result.output.splitlines() if line.startswith(CHIPS)).split()
    assert cells[-2:] == ["0", "1"], "no snapshot to expire, an orphan"
    assert f"would remove file:{lost}" in result.output
    assert _files(settings) == before
    assert _metadata_files(settings) == metadata


def test_names_that_are_not_tables_are_refused(settings: Settings) -> None:
    names = [
        "raw.stac_items'); drop table raw.stac_items; --",
        "raw.stac_items', options => map('min-input-files', '1",
        "`raw`.`stac_items`",
        "lake.raw.stac_items",
        "raw",
        "stac_items",
        "",
    ]
    before = _files(settings)
    for name in names:
        result = CliRunner().invoke(app, ["maintain", "--table", STAC_ITEMS, "--table", name], env={"COLUMNS": "200"})
        assert result.exit_code == 2, "wrong usage"
        assert "there is no table" in result.output
    assert _files(settings) == before


def test_a_name_that_sql_must_quote_is_maintained(settings: Settings, tmp_path: Path) -> None:
    catalog = open_catalog(settings)
    name = "chiplake.it's `odd` \\"
    catalog.create_table(name, STAC_ITEMS_SCHEMA, location=f"file://{tmp_path}/odd")
    try:
        for number in range(5):
            _append(settings, name, [{"item_id": str(number)}])
        (report,) = maintain(settings, [name], ALL, _expiring(1))
        assert (report.outcome, report.detail, report.expired) == (Outcome.DONE, "", 5)
        assert report.after is not None
        assert report.after.data_files == 1
        items = catalog.load_table(name).scan().to_arrow()["item_id"].to_pylist()
        assert sorted(items) == ["0", "1", "2", "3", "4"]
    finally:
        catalog.drop_table(name)


def test_models_are_named_without_their_namespace(spark: SparkSession, settings: Settings) -> None:
    _make_chips(spark, appends=1)
    catalog = ensure_sources(settings)
    assert chosen_tables(catalog, ["maintained_chips", STAC_ITEMS, CHIPS]) == [CHIPS, STAC_ITEMS]
    assert set(chosen_tables(catalog, [])) >= {CHIPS, STAC_ITEMS, CLAY_EMBEDDINGS}


def test_a_table_with_another_writer_is_left_and_the_others_are_done(spark: SparkSession, settings: Settings) -> None:
    _make_chips(spark)
    _make_chips(spark, OTHER_CHIPS, appends=5)
    others = _by_spark(spark, OTHER_CHIPS)
    catalog = open_catalog(settings)
    before = catalog.load_table(CHIPS).metadata_location
    spark.sql(f"delete from {CHIPS} where chip_id % 7 = 1")
    written = catalog.load_table(CHIPS).metadata_location
    expected = _by_spark(spark, CHIPS)

    # A lock on the catalog delays the commit of the compaction, so that the delete comes between plan and commit.
    point = "update iceberg_tables set metadata_location = ? where table_name = 'maintained_chips'"
    with (
        closing(sqlite3.connect(settings.lake.catalog_file, isolation_level=None, check_same_thread=False)) as lock,
        ThreadPoolExecutor(1) as pool,
    ):
        lock.execute(point, (before,))
        files = _files(settings).keys()
        lock.execute("begin immediate")
        stop = time.monotonic() + 120

        def write() -> bool:
            is_rewriting = False
            while not is_rewriting and time.monotonic() < stop:
                time.sleep(0.05)
                is_rewriting = any(file.endswith(".parquet") for file in _files(settings).keys() - files)
            lock.execute(point, (written,))
            lock.execute("commit")
            return is_rewriting

        is_rewriting = pool.submit(write)
        reports = maintain(settings, [CHIPS, OTHER_CHIPS], [Step.COMPACT], _usual())
        assert is_rewriting.result()

    assert [report.outcome for report in reports] == [Outcome.LEFT, Outcome.DONE], reports
    assert _by_spark(spark, CHIPS) == expected
    assert _by_spark(spark, OTHER_CHIPS) == others
    # The next run maintains the table.
    (report,) = maintain(settings, [CHIPS], [Step.COMPACT], _usual())
    assert report.outcome == Outcome.DONE
    assert _by_spark(spark, CHIPS) == expected


def test_a_broken_table_does_not_stop_the_others(spark: SparkSession, settings: Settings) -> None:
    _make_chips(spark, appends=5)
    _make_embeddings(spark, settings)
    expected = _by_spark(spark, CLAY_EMBEDDINGS)
    file = spark.sql(f"select _file from {CHIPS}").head()
    assert file is not None
    broken = _path(file[0])
    broken.write_bytes(b"broken" * 100)
    for checksum in broken.parent.glob(".*.crc"):
        checksum.unlink()

    spark.sql(f"create table {OTHER_CHIPS} using iceberg as {_chips(0, 4)}")
    metadata = _path(open_catalog(settings).load_table(OTHER_CHIPS).metadata_location)
    whole = metadata.read_bytes()
    metadata.unlink()

    result = CliRunner().invoke(app, ["maintain", "--only", "compact"], env={"COLUMNS": "200"})
    metadata.write_bytes(whole)

    assert isinstance(result.exception, ChiplakeError), result.output  # which main() turns into exit code 1
    assert f"2 tables failed, first {CHIPS}" in str(result.exception)
    assert "is not a Parquet file" in result.output, "the reason"
    assert f"{OTHER_CHIPS} failed" in result.output
    embeddings = open_catalog(settings).load_table(CLAY_EMBEDDINGS)
    assert len(embeddings.inspect.data_files()) == 1
    assert _by_spark(spark, CLAY_EMBEDDINGS) == expected
