"""The embedded catalog, shared by PyIceberg and Spark."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from pyspark.sql import SparkSession
from support.lakes import empty_lake

from lakehouse.catalog import open_catalog
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS, STAC_REJECTS

COMMITS = 8


def _append(settings: Settings, number: int) -> None:
    table = open_catalog(settings).load_table(STAC_REJECTS)
    schema = table.schema().as_arrow()
    row = {name: None for name in schema.names} | {"item_id": f"python-{number}"}
    table.append(pa.Table.from_pylist([row], schema=schema))


def _insert(number: int) -> str:
    return f"insert into {CLAY_EMBEDDINGS} values ('spark-{number}', null, null, null, null, null, null)"


def test_each_engine_sees_later_commits_of_the_other(spark: SparkSession, settings: Settings) -> None:
    empty_lake(spark, settings)
    assert spark.table(STAC_REJECTS).count() == 0

    _append(settings, 0)
    assert [row.item_id for row in spark.table(STAC_REJECTS).collect()] == ["python-0"]

    spark.sql(_insert(0))
    table = open_catalog(settings).load_table(CLAY_EMBEDDINGS)
    assert table.scan(selected_fields=("chip_id",)).to_arrow()["chip_id"].to_pylist() == ["spark-0"]


def test_simultaneous_commits_of_both_engines_all_succeed(spark: SparkSession, settings: Settings) -> None:
    empty_lake(spark, settings)

    def by_python() -> None:
        for number in range(COMMITS):
            _append(settings, number)

    def by_spark() -> None:
        for number in range(COMMITS):
            spark.sql(_insert(number))

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(by_python), pool.submit(by_spark)]:
            future.result()

    spark.sql(f"refresh table {STAC_REJECTS}")
    assert {row.item_id for row in spark.table(STAC_REJECTS).collect()} == {f"python-{n}" for n in range(COMMITS)}
    assert {row.chip_id for row in spark.table(CLAY_EMBEDDINGS).collect()} == {f"spark-{n}" for n in range(COMMITS)}
