"""A table with pixels changes in one step, also while others write it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dbt.adapters.sql import SQLConnectionManager
from pyspark.sql import SparkSession
from support.ingests import write_items
from support.lakes import compared_always, data_files, dbt, empty_lake_of, ingest_file, rows, try_dbt

from chiplake.synthetic import Archive, ArchiveSpec, write_archive
from chiplake.version import project_version
from lakehouse.catalog import MODEL_NAMESPACE, open_catalog
from lakehouse.settings import Settings

CHIPS = f"{MODEL_NAMESPACE}.fct_chips"
SINK = "insert into chiplake__fct_chips__sink"
PUBLISHER = "insert into chiplake__fct_chips__publisher"


@pytest.fixture(scope="module")
def archive(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive of three days, none of which is ingested."""
    folder = tmp_path_factory.mktemp("publication")
    spec = ArchiveSpec.tiny()
    with empty_lake_of(spec.bands, spark, settings):
        yield write_archive(spec, folder / "archive")


def plan(archive: Archive, settings: Settings, *days: int) -> None:
    """Ingest days, and plan their chips."""
    all_days = sorted({scene.day for scene in archive.scenes})
    wanted = {scene.item_id for scene in archive.scenes if all_days.index(scene.day) in days}
    items = [item for item in json.loads(archive.items_path.read_text())["features"] if item["id"] in wanted]
    ingest_file(write_items(archive.root.parent / "items.json", items), settings)
    dbt("run", "--select", "+int_chip_inputs")


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Let another writer act once, before dbt sends a statement that contains a text."""
    execute = SQLConnectionManager.execute

    def arrange(before: str, act: Callable[[], object]) -> None:
        waiting = [act]

        def acting(self: Any, sql: str, *arguments: Any, **named: Any) -> Any:
            if before in sql and waiting:
                waiting.pop()()
            return execute(self, sql, *arguments, **named)

        monkeypatch.setattr(SQLConnectionManager, "execute", acting)

    return arrange


def branches(spark: SparkSession) -> list[str]:
    return [row.name for row in spark.sql(f"select name from {CHIPS}.refs").collect()]


def copy_of(spark: SparkSession, chip_id: str, of: str) -> None:
    """Insert a row of a chip, as another run would: with the pixels of a chip that exists."""
    columns = spark.table(CHIPS).columns
    values = {"chip_id": f"'{chip_id}'", "source_hash": "'of another run'"}
    selected = ", ".join(values.get(name, name) for name in columns)
    spark.sql(f"insert into {CHIPS} select {selected} from {CHIPS} where chip_id = '{of}'")


@pytest.mark.filterwarnings("ignore:Merge on read is not yet supported", "ignore:Parquet writer option")
def test_rows_of_other_keys_and_compaction_do_not_stop_a_run(
    archive: Archive, spark: SparkSession, settings: Settings, meanwhile: Any
) -> None:
    plan(archive, settings, 0)
    dbt("run", "--select", "fct_chips")
    first = sorted(rows(spark, "fct_chips"))
    (added,) = spark.sql(f"select * from {CHIPS}.snapshots").collect()
    assert added.summary["chiplake.code-version"] == project_version()

    plan(archive, settings, 1)
    # Not by this session: Spark would compute the plan again.
    meanwhile(SINK, lambda: open_catalog(settings).load_table(CHIPS).delete(f"chip_id = '{first[0]}'"))
    dbt("run", "--select", "fct_chips")
    planned = {row.chip_id for row in spark.table(f"{MODEL_NAMESPACE}.int_chip_inputs").collect()}
    assert set(rows(spark, "fct_chips")) == planned - {first[0]}
    assert branches(spark) == ["main"]

    # A run that replaces a row is published after a compaction, which moves the rows to other files.
    spark.sql(f"update {CHIPS} set source_hash = 'old' where chip_id = '{first[1]}'")
    options = "map('rewrite-all', 'true')"
    meanwhile(
        PUBLISHER,
        lambda: spark.sql(f"call lake.system.rewrite_data_files(table => '{CHIPS}', options => {options})").collect(),
    )
    before = data_files(spark, "fct_chips")
    dbt("run", "--select", "fct_chips")
    after = rows(spark, "fct_chips")
    assert spark.table(CHIPS).count() == len(after)
    assert set(after) == planned
    assert after[first[1]].source_hash != "old"
    assert all(file != before.get(chip_id) for chip_id, file in data_files(spark, "fct_chips").items())
    assert branches(spark) == ["main"]


def test_a_change_of_the_same_rows_ends_the_run_with_one_line_and_the_next_one_repairs_it(
    archive: Archive, spark: SparkSession, settings: Settings, meanwhile: Any
) -> None:
    plan(archive, settings, 0)
    dbt("run", "--select", "fct_chips")
    before = set(rows(spark, "fct_chips"))
    plan(archive, settings, 2)
    planned = {row.chip_id for row in spark.table(f"{MODEL_NAMESPACE}.int_chip_inputs").collect()}
    stolen = min(planned - before)

    meanwhile(SINK, lambda: copy_of(spark, stolen, min(before)))
    status, message = try_dbt("run", "--select", "fct_chips")["fct_chips"]
    assert status == "error"
    assert f"{CHIPS}: another run wrote 1 of the same rows since this one planned them; nothing of this run" in message
    assert set(rows(spark, "fct_chips")) == before | {stolen}
    assert branches(spark) == ["main"]

    dbt("run", "--select", "fct_chips")
    found = rows(spark, "fct_chips")
    assert set(found) == planned
    assert found[stolen].source_hash != "of another run"
    assert spark.table(CHIPS).count() == len(planned)


def test_what_a_dead_run_left_is_removed_by_the_next(archive: Archive, spark: SparkSession, settings: Settings) -> None:
    plan(archive, settings, 0)
    dbt("run", "--select", "fct_chips")
    spark.sql(f"alter table {CHIPS} create branch run_20200101000000_0123abcd")
    with compared_always():  # a run that died left something to do, which this test has not
        assert dbt("run", "--select", "fct_chips")["fct_chips"] == "nothing pending"
    assert branches(spark) == ["main"]
