"""Helpers of the tests that run the pipeline on the shared lake."""

from __future__ import annotations

import gc
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner
from dbt.graph.thread_pool import DbtThreadPool
from pyiceberg.table import Table
from pyspark.sql import Row, SparkSession

from ingestion import IngestRequest, IngestSummary, ingest
from lakehouse.catalog import MODEL_NAMESPACE, ensure_sources, open_catalog
from lakehouse.settings import PROJECT_DIR, Settings, get_settings
from lakehouse.settings.variables import variables_in_environment
from lakehouse.source_schemas import RAW_NAMESPACE, SOURCE_NAMESPACES

MODELS_WITH_PIXELS = ("fct_chips", "fct_filled_chips")


def empty_lake(spark: SparkSession, settings: Settings) -> None:
    """Drop every table, and create the sources again."""
    for namespace in (MODEL_NAMESPACE, *SOURCE_NAMESPACES):
        for table in spark.sql(f"show tables in {namespace}").collect():
            spark.sql(f"drop table {namespace}.{table.tableName} purge")
    ensure_sources(settings)


@contextmanager
def settings_from(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables in the environment while the context lasts; settings are read again at both ends."""
    with variables_in_environment(variables):
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


@contextmanager
def empty_lake_of(bands: Sequence[str], spark: SparkSession, settings: Settings) -> Iterator[None]:
    """Empty the lake, and set the bands to cut in the environment while the context lasts."""
    with settings_from({"CHIPLAKE_BANDS": json.dumps(list(bands))}):
        empty_lake(spark, settings)
        yield


@contextmanager
def compared_always() -> Iterator[None]:
    """Let dbt compare every model with its inputs, also if nothing has changed since its last run."""
    with settings_from({"CHIPLAKE_COMPARE_ALWAYS": "true"}):
        yield


def data_files(spark: SparkSession, table: str, key: str = "chip_id") -> dict[str, str]:
    """Return the data file of each row by its key; it changes when the row is written again."""
    return {row[key]: row._file for row in spark.sql(f"select {key}, _file from {MODEL_NAMESPACE}.{table}").collect()}


def ingest_file(items: Path, settings: Settings) -> IngestSummary:
    """Ingest a file of items."""
    return ingest(IngestRequest(items=items), settings)


def dbt(*arguments: str) -> dict[str, str]:
    """Run a dbt command in this process, assert that it succeeds, and return the message of each model."""
    done = _invoke(*arguments)
    results = getattr(done.result, "results", [])
    failed = [f"{result.node.name}: {result.message}" for result in results if result.status in ("error", "fail")]
    assert done.success, (failed, done.exception)
    return {result.node.name: str(result.message) for result in results if result.node.resource_type == "model"}


def try_dbt(*arguments: str) -> dict[str, tuple[str, str]]:
    """Run a dbt command in this process; return the status and the message of each node."""
    results = getattr(_invoke(*arguments).result, "results", [])
    return {result.node.name: (str(result.status), str(result.message)) for result in results}


def failure_of_dbt(*arguments: str) -> str:
    """Run a dbt command in this process that must fail, and return its message."""
    done = _invoke(*arguments)
    for left in gc.get_objects():  # dbt leaves its pool of threads behind when `show` fails
        if type(left) is DbtThreadPool:
            left.terminate()
    assert not done.success
    return str(done.exception)


def drop_target_schema(schema: str) -> None:
    """Drop the schema into which dbt builds, with its tables and views."""
    done = _invoke("run-operation", "drop_target_schema", "--args", f"{{schema: {schema}}}")
    assert done.success, done.exception


def said_by_dbt(*arguments: str) -> list[str]:
    """Run a dbt command in this process, assert that it succeeds, and return the lines that macros have logged."""
    lines: list[str] = []

    def on_event(event: Any) -> None:
        if event.info.name == "JinjaLogInfo":
            lines.append(event.data.msg)

    done = _invoke(*arguments, on_event=on_event)
    assert done.success, done.exception
    return lines


def compiled(statement: str, **variables: Any) -> str:
    """Compile a statement with macros and variables to SQL, without running it."""
    done = _invoke("compile", "--inline", statement, "--vars", json.dumps(variables, ensure_ascii=False))
    if done.exception is not None:
        raise done.exception
    code: str = done.result.results[0].node.compiled_code
    return code


def _invoke(*arguments: str, on_event: Callable[[Any], None] | None = None) -> Any:
    project = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
    # Nobody reads the log or the artefacts of these runs.
    silent = ["--quiet", "--log-level-file", "none", "--no-write-json"]
    target = ["--target-path", str(_target_of(arguments))]
    return dbtRunner(callbacks=[on_event] if on_event else []).invoke([*silent, *arguments, *project, *target])


def _target_of(arguments: Sequence[str]) -> Path:
    """Return a folder for what dbt has parsed. dbt parses the whole project again when the variables are others."""
    variables = arguments[arguments.index("--vars") + 1] if "--vars" in arguments else "{}"
    digest = hashlib.sha256(variables.encode()).hexdigest()[:12]
    return Path(os.environ["DBT_TARGET_PATH"]) / "variables" / digest


def snapshots() -> dict[str, int]:
    """Return the number of Iceberg snapshots of every table of the lake."""
    return {name: len(table.snapshots()) for name, table in _tables()}


def visible_changes() -> dict[str, int]:
    """Return how often readers of every table have come to see other rows."""
    return {name: len(table.history()) for name, table in _tables()}


def _tables() -> Iterator[tuple[str, Table]]:
    """Return every table of the lake by PyIceberg, as a statement of Spark for each takes seconds."""
    catalog = open_catalog(get_settings())
    for namespace in (MODEL_NAMESPACE, RAW_NAMESPACE):
        for name in catalog.list_tables(namespace):
            yield ".".join(name), catalog.load_table(name)


def rows(spark: SparkSession, table: str, key: str = "chip_id") -> dict[str, Row]:
    """Return every row of a table by its key."""
    return {row[key]: row for row in spark.table(f"{MODEL_NAMESPACE}.{table}").collect()}
