"""The Iceberg catalog, opened by PyIceberg and by Spark.

Both engines take their properties from the same settings: both see the same tables.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, TableAlreadyExistsError
from sqlalchemy.exc import IntegrityError

from lakehouse.locks import FOLDER_PROPERTY, WAIT_PROPERTY
from lakehouse.schema_evolution import add_missing_columns
from lakehouse.settings import CATALOG_NAME, Settings
from lakehouse.settings.lake import DEFAULT_SCHEMA, LakeSettings
from lakehouse.source_schemas import SOURCE_NAMESPACES, SOURCES, schema_of_source

MODEL_NAMESPACE: Final = DEFAULT_SCHEMA  # of the models, unless the setting target_schema names another
BUSY_TIMEOUT_S: Final = 60


def pyiceberg_properties(lake: LakeSettings) -> dict[str, str]:
    """Return the properties with which PyIceberg opens the catalog."""
    warehouse = lake.warehouse_location
    if lake.catalog == "sql":
        return {
            "type": "sql",
            "uri": f"sqlite:///{lake.catalog_file}?timeout={BUSY_TIMEOUT_S}",
            "warehouse": f"file://{warehouse}" if warehouse.startswith("/") else warehouse,
            FOLDER_PROPERTY: str(lake.locks_dir),
            WAIT_PROPERTY: str(lake.lock_wait_minutes),
        }
    properties = {"type": lake.catalog, "warehouse": warehouse}
    if lake.catalog_uri:
        properties["uri" if lake.catalog == "rest" else "glue.endpoint"] = lake.catalog_uri
    return properties


def spark_catalog_conf(lake: LakeSettings) -> dict[str, str]:
    """Return the Spark properties (`spark.sql.catalog.lake…`) with which Spark opens the same catalog."""
    name = f"spark.sql.catalog.{CATALOG_NAME}"
    conf = {
        name: "org.apache.iceberg.spark.SparkCatalog",
        f"{name}.warehouse": lake.warehouse_location,
        # With the cache a session would miss the commits of PyIceberg and of other sessions.
        f"{name}.cache-enabled": "false",
    }
    if lake.catalog == "sql":
        busy_ms = BUSY_TIMEOUT_S * 1000
        return conf | {
            f"{name}.type": "jdbc",
            f"{name}.uri": f"jdbc:sqlite:{lake.catalog_file}?journal_mode=WAL&busy_timeout={busy_ms}",
            f"{name}.jdbc.schema-version": "V1",
            # PyIceberg creates the catalog's tables. When Iceberg 1.10 looks for them, it leaves a result set open,
            # and its connection never sees a later commit.
            f"{name}.jdbc.init-catalog-tables": "false",
        }
    conf[f"{name}.type"] = lake.catalog
    if lake.catalog_uri:
        conf[f"{name}.uri" if lake.catalog == "rest" else f"{name}.glue.endpoint"] = lake.catalog_uri
    return conf


def open_catalog(settings: Settings) -> Catalog:
    """Open the catalog with PyIceberg, and create an embedded catalog that does not exist."""
    if settings.lake.catalog == "sql":
        settings.lake.home.mkdir(parents=True, exist_ok=True)
        # Write-ahead logging lets PyIceberg and Spark commit side by side; it is a property of the file.
        with sqlite3.connect(settings.lake.catalog_file, timeout=BUSY_TIMEOUT_S) as connection:
            connection.execute("pragma journal_mode=wal")
    return load_catalog(CATALOG_NAME, **pyiceberg_properties(settings.lake))


def ensure_sources(settings: Settings) -> Catalog:
    """Create the missing namespaces and source tables, add missing columns, and return the catalog.

    dbt sources must exist before the first `dbt build`, even if nothing has been ingested.

    Raises:
        ChiplakeError: a column cannot be widened to the type that it should have, or a property in the settings would
            take the column of another field.
    """
    catalog = open_catalog(settings)
    existing = {namespace[0] for namespace in catalog.list_namespaces()}
    # Spark looks for a namespace named default in its default catalog.
    for namespace in {"default", *SOURCE_NAMESPACES, settings.lake.target_schema} - existing:
        try:
            catalog.create_namespace(namespace)
        except (NamespaceAlreadyExistsError, IntegrityError):  # SQLite raises the latter
            continue  # another process was faster
    present = {".".join(table) for namespace in SOURCE_NAMESPACES for table in catalog.list_tables(namespace)}
    for name, (_, spec) in SOURCES.items():
        wanted = schema_of_source(name, settings.stac)
        if name not in present:
            try:
                catalog.create_table(name, wanted, partition_spec=spec, properties={"format-version": "2"})
                continue
            except TableAlreadyExistsError:
                pass  # another process was faster, perhaps with other settings
        add_missing_columns(catalog, name, wanted)
    return catalog
