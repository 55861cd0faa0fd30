"""Iceberg's procedures, metadata tables and Java classes, by the name of a table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pyiceberg.table import Table
from pyspark.sql import DataFrame, Row, SparkSession

from lakehouse.settings import CATALOG_NAME
from lakehouse.sql_literals import text_literal

Argument = str | bool | int | datetime | dict[str, str]


def full_name(table: Table) -> str:
    """Return the name of a table with its namespace, without the catalog."""
    return ".".join(table.name()[-2:])


def call_procedure(spark: SparkSession, procedure: str, table: str, **arguments: Argument) -> list[Row]:
    """Call a procedure of Iceberg. CALL takes no parameters, so the arguments are written as literals.

    Args:
        spark: the session.
        procedure: such as `expire_snapshots`.
        table: name with namespace.
        **arguments: named arguments of the procedure.

    Returns:
        The rows of the procedure's result.
    """
    named = {"table": _quoted(table)} | arguments
    written = ", ".join(f"{name} => {_literal(value)}" for name, value in named.items())
    return spark.sql(f"call {CATALOG_NAME}.system.{procedure}({written})").collect()


def metadata_table(spark: SparkSession, name: str, metadata: str) -> DataFrame:
    """Return one of a table's metadata tables, such as `files`."""
    return spark.table(f"{CATALOG_NAME}.{_quoted(name)}.{metadata}")


def iceberg_package(spark: SparkSession) -> Any:
    """Return Iceberg's Java package."""
    return spark._jvm.org.apache.iceberg  # type: ignore[union-attr]


def java_table(spark: SparkSession, name: str) -> Any:
    """Load a table as Iceberg's Java classes take it."""
    return iceberg_package(spark).spark.Spark3Util.loadIcebergTable(
        spark._jsparkSession, f"{CATALOG_NAME}.{_quoted(name)}"
    )


def _quoted(name: str) -> str:
    """Return a table's name as an SQL identifier, which may hold any characters."""
    namespace, table = name.split(".", 1)
    return ".".join("`" + part.replace("`", "``") + "`" for part in (namespace, table))


def _literal(value: Argument) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case datetime():
            return f"timestamp {_literal(value.astimezone(UTC).isoformat())}"
        case dict():
            return f"map({', '.join(_literal(part) for pair in value.items() for part in pair)})"
    return text_literal(value)
