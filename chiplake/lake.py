"""The Iceberg catalog as PyIceberg and Spark see it, and the schemas of the tables that Python writes.

Both engines take their properties from the same settings, so both see the same tables. Tables that dbt
builds have their schema in their model; only the sources, which Python writes, have it here.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, TableAlreadyExistsError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import MonthTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DoubleType,
    FloatType,
    IntegerType,
    ListType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)

from chiplake.settings import CATALOG_NAME, Settings

RAW_NAMESPACE: Final = "raw"
MODEL_NAMESPACE: Final = "chiplake"
BUSY_TIMEOUT_S: Final = 60

_ASSET = StructType(
    NestedField(101, "href", StringType(), required=False, doc="where the raster is"),
    NestedField(102, "media_type", StringType(), required=False, doc="media type as the item gives it"),
    NestedField(103, "asset_key", StringType(), required=False, doc="key of the asset in the item"),
    NestedField(104, "gsd", DoubleType(), required=False, doc="pixel size, metres"),
    NestedField(105, "scale", DoubleType(), required=False, doc="scale from DN to reflectance, if the item has one"),
    NestedField(106, "offset", DoubleType(), required=False, doc="reflectance offset, if the item has one"),
    NestedField(107, "nodata", DoubleType(), required=False, doc="nodata value, if the item has one"),
    NestedField(
        108,
        "transform",
        ListType(120, DoubleType(), element_required=False),
        required=False,
        doc="affine transform: pixel width, 0, west edge, 0, minus pixel height, north edge",
    ),
    NestedField(
        109,
        "shape",
        ListType(121, IntegerType(), element_required=False),
        required=False,
        doc="rows, columns",
    ),
)

STAC_ITEMS_SCHEMA: Final = Schema(
    NestedField(1, "collection", StringType(), required=False, doc="STAC collection id"),
    NestedField(2, "item_id", StringType(), required=False, doc="STAC item id"),
    NestedField(3, "content_hash", StringType(), required=False, doc="SHA-256 of the item's canonical JSON"),
    NestedField(4, "source", StringType(), required=False, doc="STAC API or file the item came from"),
    NestedField(5, "ingested_at", TimestamptzType(), required=False, doc="when this version was written"),
    NestedField(6, "acquired_at", TimestamptzType(), required=False, doc="the item's datetime"),
    NestedField(7, "updated_at", TimestamptzType(), required=False, doc="the item's updated or created"),
    NestedField(8, "platform", StringType(), required=False, doc="lower case, such as sentinel-2a"),
    NestedField(9, "mgrs_tile", StringType(), required=False, doc="MGRS tile without T, such as 33TWL"),
    NestedField(10, "product_id", StringType(), required=False, doc="product name without .SAFE, if known"),
    NestedField(11, "datatake_id", StringType(), required=False, doc="satellite and start, S2A_20230815T095031"),
    NestedField(12, "datastrip_started_at", TimestamptzType(), required=False, doc="sensing start of the datastrip"),
    NestedField(13, "processing_baseline", StringType(), required=False, doc="such as 05.09"),
    NestedField(14, "relative_orbit", IntegerType(), required=False, doc="relative orbit number"),
    NestedField(15, "epsg", IntegerType(), required=False, doc="EPSG code of the tile's UTM zone"),
    NestedField(16, "cloud_cover", DoubleType(), required=False, doc="cloud cover of the item, percent"),
    NestedField(17, "nodata_percent", DoubleType(), required=False, doc="nodata share of the item, percent"),
    NestedField(18, "is_boa_offset_applied", BooleanType(), required=False, doc="earthsearch:boa_offset_applied"),
    NestedField(19, "geometry", BinaryType(), required=False, doc="footprint, WKB in EPSG:4326"),
    NestedField(20, "xmin", DoubleType(), required=False, doc="west edge of the footprint, degrees"),
    NestedField(21, "ymin", DoubleType(), required=False, doc="south edge of the footprint, degrees"),
    NestedField(22, "xmax", DoubleType(), required=False, doc="east edge of the footprint, degrees"),
    NestedField(23, "ymax", DoubleType(), required=False, doc="north edge of the footprint, degrees"),
    NestedField(
        24,
        "assets",
        MapType(125, StringType(), 126, _ASSET, value_required=False),
        required=False,
        doc="raster assets by band name (blue ... swir22, scl)",
    ),
    NestedField(25, "item", StringType(), required=False, doc="the item as received, JSON"),
)

STAC_REJECTS_SCHEMA: Final = Schema(
    NestedField(1, "collection", StringType(), required=False, doc="STAC collection id"),
    NestedField(2, "item_id", StringType(), required=False, doc="STAC item id, or its place in the file"),
    NestedField(3, "reason", StringType(), required=False, doc="why it cannot be used, one of a few words"),
    NestedField(4, "detail", StringType(), required=False, doc="the reason in full"),
    NestedField(5, "source", StringType(), required=False, doc="STAC API or file the item came from"),
    NestedField(6, "content_hash", StringType(), required=False, doc="SHA-256 of what was received"),
    NestedField(7, "rejected_at", TimestamptzType(), required=False, doc="when it was rejected"),
    NestedField(8, "item", StringType(), required=False, doc="what was received"),
)

CLAY_EMBEDDINGS_SCHEMA: Final = Schema(
    NestedField(1, "chip_id", StringType(), required=False, doc="the filled chip"),
    NestedField(2, "model_id", StringType(), required=False, doc="architecture, version and checkpoint digest"),
    NestedField(3, "input_hash", StringType(), required=False, doc="hash of what the model saw"),
    NestedField(
        4,
        "embedding",
        ListType(20, FloatType(), element_required=False),
        required=False,
        doc="class token of the encoder; null on error",
    ),
    NestedField(5, "error", StringType(), required=False, doc="why there is no embedding; null if there is one"),
    NestedField(6, "run_id", StringType(), required=False, doc="export run whose object held the chip"),
    NestedField(7, "embedded_at", TimestamptzType(), required=False, doc="when the answer was loaded"),
)

STAC_ITEMS: Final = f"{RAW_NAMESPACE}.stac_items"
STAC_REJECTS: Final = f"{RAW_NAMESPACE}.stac_rejects"
CLAY_EMBEDDINGS: Final = f"{RAW_NAMESPACE}.clay_embeddings"

_SOURCES: Final = {
    STAC_ITEMS: (
        STAC_ITEMS_SCHEMA,
        PartitionSpec(PartitionField(6, 1000, MonthTransform(), "acquired_month")),
    ),
    STAC_REJECTS: (STAC_REJECTS_SCHEMA, PartitionSpec()),
    CLAY_EMBEDDINGS: (CLAY_EMBEDDINGS_SCHEMA, PartitionSpec()),
}


def pyiceberg_properties(settings: Settings) -> dict[str, str]:
    """Properties with which PyIceberg opens the catalog."""
    warehouse = settings.warehouse_location
    if settings.catalog == "sql":
        return {
            "type": "sql",
            "uri": f"sqlite:///{settings.catalog_file}?timeout={BUSY_TIMEOUT_S}",
            "warehouse": f"file://{warehouse}" if warehouse.startswith("/") else warehouse,
        }
    properties = {"type": settings.catalog, "warehouse": warehouse}
    if settings.catalog_uri:
        properties["uri" if settings.catalog == "rest" else "glue.endpoint"] = settings.catalog_uri
    return properties


def spark_catalog_conf(settings: Settings) -> dict[str, str]:
    """Spark properties (`spark.sql.catalog.lake…`) with which Iceberg's Spark catalog opens the same catalog."""
    name = f"spark.sql.catalog.{CATALOG_NAME}"
    conf = {
        name: "org.apache.iceberg.spark.SparkCatalog",
        f"{name}.warehouse": settings.warehouse_location,
        # Else a session goes on seeing a table as it was when PyIceberg or another session commits to it.
        f"{name}.cache-enabled": "false",
    }
    if settings.catalog == "sql":
        busy_ms = BUSY_TIMEOUT_S * 1000
        return conf | {
            f"{name}.type": "jdbc",
            f"{name}.uri": f"jdbc:sqlite:{settings.catalog_file}?journal_mode=WAL&busy_timeout={busy_ms}",
            f"{name}.jdbc.schema-version": "V1",
            # PyIceberg makes the catalog's tables. Iceberg 1.10 looking for them leaves a result set open, and its
            # connection then sees the catalog as it was for ever.
            f"{name}.jdbc.init-catalog-tables": "false",
        }
    conf[f"{name}.type"] = settings.catalog
    if settings.catalog_uri:
        conf[f"{name}.uri" if settings.catalog == "rest" else f"{name}.glue.endpoint"] = settings.catalog_uri
    return conf


def open_catalog(settings: Settings) -> Catalog:
    """Open the catalog with PyIceberg; an embedded one is made if it is not there yet."""
    if settings.catalog == "sql":
        settings.home.mkdir(parents=True, exist_ok=True)
        # Write-ahead logging lets PyIceberg and Spark commit side by side; it is a property of the file.
        with sqlite3.connect(settings.catalog_file, timeout=BUSY_TIMEOUT_S) as connection:
            connection.execute("pragma journal_mode=wal")
    return load_catalog(CATALOG_NAME, **pyiceberg_properties(settings))


def ensure_sources(settings: Settings) -> Catalog:
    """Make the namespaces and the source tables that are not there yet, and return the catalog.

    dbt sources must exist before the first `dbt build`, also when nothing was ingested yet.
    """
    catalog = open_catalog(settings)
    existing = {namespace[0] for namespace in catalog.list_namespaces()}
    # Spark looks for a namespace named default in its default catalog.
    for namespace in {"default", RAW_NAMESPACE, MODEL_NAMESPACE} - existing:
        try:
            catalog.create_namespace(namespace)
        except NamespaceAlreadyExistsError:
            continue  # another process was faster
    present = {".".join(identifier) for identifier in catalog.list_tables(RAW_NAMESPACE)}
    for name, (schema, spec) in _SOURCES.items():
        if name in present:
            continue
        try:
            catalog.create_table(name, schema, partition_spec=spec, properties={"format-version": "2"})
        except TableAlreadyExistsError:
            continue
    return catalog
