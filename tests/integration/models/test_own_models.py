"""Models of a user, in a schema of their own: dbt behaves as dbt-spark's documentation says."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from support.dbt_projects import DbtProject
from support.lakes import drop_target_schema, empty_lake, settings_from, snapshots
from support.own_models import (
    CHANGING,
    EVENTS,
    FIRST_EVENTS,
    REFUSALS,
    STORED,
    TEXTBOOK,
    WRONG,
    WRONG_FILES,
    check_textbook_models,
)

from lakehouse.catalog import pyiceberg_properties
from lakehouse.locks import table_lock
from lakehouse.settings import Settings, get_settings

pytestmark = pytest.mark.java

SCHEMA = "dev_ann"


@pytest.fixture(scope="module")
def lake(spark: SparkSession, settings: Settings) -> Iterator[SparkSession]:
    """An empty lake, and 60 events of a user; dbt builds into a schema of the user."""
    empty_lake(spark, settings)
    for statement in FIRST_EVENTS:
        spark.sql(statement)
    with settings_from({"CHIPLAKE_TARGET_SCHEMA": SCHEMA}):
        yield spark
        drop_target_schema(SCHEMA)
    assert SCHEMA not in [row.namespace for row in spark.sql("show schemas").collect()]
    empty_lake(spark, settings)


@pytest.fixture(scope="module")
def project(lake: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    return DbtProject(tmp_path_factory.mktemp("project"), {**TEXTBOOK, **CHANGING, **STORED, **WRONG_FILES})


def snapshots_of_others() -> dict[str, int]:
    """Return the number of snapshots of every table of the schema `chiplake`."""
    return {name: count for name, count in snapshots().items() if name.startswith("chiplake.")}


def test_textbook_models_keep_their_rows_and_other_schemas_stay_as_they_are(
    lake: SparkSession, project: DbtProject
) -> None:
    before = snapshots_of_others()
    check_textbook_models(project, SCHEMA, lake.sql, lambda query: lake.sql(query).collect())
    assert snapshots_of_others() == before


def events_of(lake: SparkSession, table: str) -> list[tuple[int, str]]:
    return sorted((row.id, str(row.name)) for row in lake.table(table).collect())


def test_a_model_changes_its_materialization_in_any_order(
    lake: SparkSession, project: DbtProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.build("run", "--select", "own_default")
    assert "own_default" in [row.tableName for row in lake.sql(f"show tables in {SCHEMA}").collect()]

    kinds = ("table", "view", "exact_incremental", "table", "exact_incremental", "exact_incremental", "view")
    commits: dict[int, int] = {}
    for number, kind in enumerate(kinds):
        monkeypatch.setenv("OWN_KIND", kind)
        if number == 4:  # of what the table has, one row is gone and one is another
            lake.sql(f"delete from {EVENTS} where id = 69")
            lake.sql(f"update {EVENTS} set name = null where id = 10")
        project.build("run", "--select", "own_kinds")
        views = [row.viewName for row in lake.sql(f"show views in {SCHEMA}").collect()]
        tables = [row.tableName for row in lake.sql(f"show tables in {SCHEMA}").collect()]
        assert ("own_kinds" in views, "own_kinds" in tables) == (kind == "view", kind != "view"), kind
        assert events_of(lake, f"{SCHEMA}.own_kinds") == events_of(lake, EVENTS), kind
        described = {row.col_name: row.comment for row in lake.sql(f"describe {SCHEMA}.own_kinds").collect()}
        assert described["id"] == "The event's number.", kind
        if kind != "view":
            commits[number] = lake.sql(f"select * from {SCHEMA}.own_kinds.snapshots").count()
    assert (commits[4], commits[5]) == (commits[3] + 1, commits[3] + 1)  # the last exact run has nothing to write


def test_exact_incremental_refuses_what_it_cannot_follow(lake: SparkSession, project: DbtProject) -> None:
    results = project.run("run", "--select", "tag:wrong")
    assert {name: status for name, (status, _) in results.items()} == dict.fromkeys(WRONG, "error")
    for name, words in REFUSALS.items():
        lines = [line.strip() for line in results[name][1].splitlines() if "exact_incremental" in line]
        assert lines[0].startswith("exact_incremental: ")
        assert words in lines[0], name
    tables = {row.tableName for row in lake.sql(f"show tables in {SCHEMA}").collect()}
    assert tables & set(WRONG) == set()


def test_a_test_that_stores_its_failures_waits_for_another_writer_of_its_table(
    lake: SparkSession, settings: Settings, project: DbtProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = f"{SCHEMA}_dbt_test__audit.own_stored"
    monkeypatch.setenv("CHIPLAKE_LOCK_WAIT_MINUTES", "0")
    get_settings.cache_clear()
    try:
        with table_lock(pyiceberg_properties(settings.lake), stored):
            status, message = project.run("test", "--select", "own_stored")["own_stored"]
        assert (status, f"{stored} is being written by process {os.getpid()} on" in message) == ("error", True)
        assert project.run("test", "--select", "own_stored")["own_stored"][0] == "warn"
        assert lake.table(stored).count() == 3
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
        lake.sql(f"drop table if exists {stored}")
        lake.sql(f"drop schema if exists {stored.partition('.')[0]}")


def test_a_seed_of_fields_is_joined_to_the_chips_of_another_schema(
    lake: SparkSession, project: DbtProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of docs/your-own-models.md; a snapshot keeps the former polygon of a field."""
    lake.sql(
        """
        create table chiplake.dim_grid_cells using iceberg as
        select cell_id, st_asbinary(st_polygonfromenvelope(west, 45.77D, west + 0.033, 45.8D)) as geometry,
            cell_id != 'other_zone' as is_primary
        from values ('a', 16.18D), ('b', 16.213D), ('c', 16.246D), ('other_zone', 16.246D) as cells (cell_id, west)
        """
    )
    lake.sql(
        """
        create table chiplake.fct_chip_statistics using iceberg as
        select cell_id, timestamp(day) as acquired_at, ndvi
        from values
            ('a', '2024-05-01', 0.1D), ('b', '2024-05-01', 0.3D), ('c', '2024-05-01', 0.6D), ('c', '2024-05-06', 0.7D),
            ('other_zone', '2024-05-01', 0.9D)
        as chips (cell_id, day, ndvi)
        """
    )
    before = snapshots_of_others()
    with monkeypatch.context() as patch:
        patch.delenv("CHIPLAKE_TARGET_SCHEMA")
        get_settings.cache_clear()
        project.run("parse")
    get_settings.cache_clear()
    (project.folder / "target").rename(project.folder / "main")
    options = ("--vars", "{examples: true}", "--defer", "--favor-state", "--state", str(project.folder / "main"))

    project.build("build", "--select", "tag:example", *options)
    found = lake.sql(f"select field_id, date(acquired_at) as day, chips, ndvi from {SCHEMA}.example_field_ndvi")
    assert sorted((row.field_id, str(row.day), row.chips, round(row.ndvi, 9)) for row in found.collect()) == [
        ("across", "2024-05-01", 2, 0.2),
        ("north", "2024-05-01", 1, 0.6),
        ("north", "2024-05-06", 1, 0.7),
    ]

    seed = project.folder / "seeds" / "example" / "example_fields.csv"
    seed.write_text(seed.read_text().replace("maize", "barley"))
    project.build("build", "--select", "example_fields", "example_fields_history", *options)
    history = lake.sql(f"select crop, dbt_valid_to is null as holds from {SCHEMA}.example_fields_history")
    assert sorted(map(tuple, history.collect())) == [("barley", True), ("maize", False), ("wheat", True)]

    project.build("compile", "--select", "clear_chips_by_month")
    assert snapshots_of_others() == before
    assert set(before) == {"chiplake.dim_grid_cells", "chiplake.fct_chip_statistics"}
