"""The Iceberg catalog as PyIceberg and Spark see it, and the schemas of the tables that Python writes.

Both engines take their properties from the same settings, so both see the same tables. Tables that dbt
builds have their schema in their model; only the sources, which Python writes, have it here.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    ResolveError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema, promote
from pyiceberg.transforms import MonthTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)
from sqlalchemy.exc import IntegrityError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from lakehouse.errors import ChiplakeError
from lakehouse.settings import CATALOG_NAME, Settings
from lakehouse.settings.lake import LakeSettings
from lakehouse.settings.stac import PropertyType, StacSettings, column_of_property

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
    NestedField(
        110,
        "passed_over",
        ListType(122, StringType(), element_required=False),
        required=False,
        doc="keys of the other assets of the band at native resolution, which were not taken",
    ),
)

STAC_ITEMS_SCHEMA: Final = Schema(
    NestedField(1, "collection", StringType(), required=False, doc="STAC collection id"),
    NestedField(2, "item_id", StringType(), required=False, doc="STAC item id"),
    NestedField(3, "content_hash", StringType(), required=False, doc="SHA-256 of item, rules and resolved hrefs"),
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
    NestedField(20, "xmin", DoubleType(), required=False, doc="west edge, degrees; above xmax across 180"),
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
    NestedField(25, "item", StringType(), required=False, doc="the item as received, JSON, without signatures"),
    NestedField(26, "datastrip_id", StringType(), required=False, doc="datastrip as the item names it"),
    NestedField(27, "geometry_source", StringType(), required=False, doc="what the footprint was taken from"),
)

STAC_REJECTS_SCHEMA: Final = Schema(
    NestedField(1, "collection", StringType(), required=False, doc="STAC collection id"),
    NestedField(2, "item_id", StringType(), required=False, doc="STAC item id, or its place in the file"),
    NestedField(3, "reason", StringType(), required=False, doc="why it cannot be used, one of a few words"),
    NestedField(4, "detail", StringType(), required=False, doc="the reason in full"),
    NestedField(5, "source", StringType(), required=False, doc="STAC API or file the item came from"),
    NestedField(6, "content_hash", StringType(), required=False, doc="SHA-256 of what was received"),
    NestedField(7, "rejected_at", TimestamptzType(), required=False, doc="when it was rejected"),
    NestedField(8, "item", StringType(), required=False, doc="what was received, without signatures"),
)

STAC_CHECKPOINTS_SCHEMA: Final = Schema(
    NestedField(1, "source", StringType(), required=False, doc="STAC API that was searched"),
    NestedField(2, "collection", StringType(), required=False, doc="STAC collection id; * for all"),
    NestedField(3, "search_id", StringType(), required=False, doc="short hash of search"),
    NestedField(4, "search", StringType(), required=False, doc="area and cloud limit that were asked for, JSON"),
    NestedField(5, "window_start", TimestamptzType(), required=False, doc="first moment that was searched"),
    NestedField(6, "window_end", TimestamptzType(), required=False, doc="first moment after those searched"),
    NestedField(7, "received", LongType(), required=False, doc="items that the server gave for the window"),
    NestedField(8, "written", LongType(), required=False, doc="versions of items that were new, and written"),
    NestedField(9, "completed_at", TimestamptzType(), required=False, doc="when its items were all committed"),
)

BOA_OFFSET_OVERRIDES_SCHEMA: Final = Schema(
    NestedField(1, "position", IntegerType(), required=False, doc="place in the user's file, from 0"),
    NestedField(2, "collection", StringType(), required=False, doc="STAC collection it is for; null: any"),
    NestedField(3, "item_id", StringType(), required=False, doc="STAC item it is for; null: any"),
    NestedField(4, "start_date", DateType(), required=False, doc="first day of acquisition, UTC; null: no bound"),
    NestedField(5, "end_date", DateType(), required=False, doc="last day of acquisition, UTC; null: no bound"),
    NestedField(6, "boa_offset", IntegerType(), required=False, doc="offset to add to the DN"),
    NestedField(7, "note", StringType(), required=False, doc="the user's reason"),
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
STAC_CHECKPOINTS: Final = f"{RAW_NAMESPACE}.stac_checkpoints"
BOA_OFFSET_OVERRIDES: Final = f"{RAW_NAMESPACE}.boa_offset_overrides"
CLAY_EMBEDDINGS: Final = f"{RAW_NAMESPACE}.clay_embeddings"

_PROPERTY_TYPES: Final[dict[PropertyType, IcebergType]] = {
    "string": StringType(),
    "double": DoubleType(),
    "long": LongType(),
    "boolean": BooleanType(),
    "timestamp": TimestamptzType(),
}

_SOURCES: Final = {
    STAC_ITEMS: (
        STAC_ITEMS_SCHEMA,
        PartitionSpec(PartitionField(6, 1000, MonthTransform(), "acquired_month")),
    ),
    STAC_REJECTS: (STAC_REJECTS_SCHEMA, PartitionSpec()),
    STAC_CHECKPOINTS: (STAC_CHECKPOINTS_SCHEMA, PartitionSpec()),
    BOA_OFFSET_OVERRIDES: (BOA_OFFSET_OVERRIDES_SCHEMA, PartitionSpec()),
    CLAY_EMBEDDINGS: (CLAY_EMBEDDINGS_SCHEMA, PartitionSpec()),
}


def pyiceberg_properties(lake: LakeSettings) -> dict[str, str]:
    """Return the properties with which PyIceberg opens the catalog."""
    warehouse = lake.warehouse_location
    if lake.catalog == "sql":
        return {
            "type": "sql",
            "uri": f"sqlite:///{lake.catalog_file}?timeout={BUSY_TIMEOUT_S}",
            "warehouse": f"file://{warehouse}" if warehouse.startswith("/") else warehouse,
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
        # Else a session goes on seeing a table as it was when PyIceberg or another session commits to it.
        f"{name}.cache-enabled": "false",
    }
    if lake.catalog == "sql":
        busy_ms = BUSY_TIMEOUT_S * 1000
        return conf | {
            f"{name}.type": "jdbc",
            f"{name}.uri": f"jdbc:sqlite:{lake.catalog_file}?journal_mode=WAL&busy_timeout={busy_ms}",
            f"{name}.jdbc.schema-version": "V1",
            # PyIceberg makes the catalog's tables. Iceberg 1.10 looking for them leaves a result set open, and its
            # connection then sees the catalog as it was for ever.
            f"{name}.jdbc.init-catalog-tables": "false",
        }
    conf[f"{name}.type"] = lake.catalog
    if lake.catalog_uri:
        conf[f"{name}.uri" if lake.catalog == "rest" else f"{name}.glue.endpoint"] = lake.catalog_uri
    return conf


def open_catalog(settings: Settings) -> Catalog:
    """Open the catalog with PyIceberg; an embedded one is made if it is not there yet."""
    if settings.lake.catalog == "sql":
        settings.lake.home.mkdir(parents=True, exist_ok=True)
        # Write-ahead logging lets PyIceberg and Spark commit side by side; it is a property of the file.
        with sqlite3.connect(settings.lake.catalog_file, timeout=BUSY_TIMEOUT_S) as connection:
            connection.execute("pragma journal_mode=wal")
    return load_catalog(CATALOG_NAME, **pyiceberg_properties(settings.lake))


def ensure_sources(settings: Settings) -> Catalog:
    """Make the namespaces and the source tables that are not there yet, and return the catalog.

    dbt sources must exist before the first `dbt build`, also when nothing was ingested yet. A table that an older
    release made, or other settings, gets the columns it lacks; where nothing is missing, nothing is committed.

    Raises:
        ChiplakeError: a column is of a type that cannot be widened to the one wanted, or the settings draw out a
            property whose column is there already.
    """
    catalog = open_catalog(settings)
    existing = {namespace[0] for namespace in catalog.list_namespaces()}
    # Spark looks for a namespace named default in its default catalog.
    for namespace in {"default", RAW_NAMESPACE, MODEL_NAMESPACE} - existing:
        try:
            catalog.create_namespace(namespace)
        except (NamespaceAlreadyExistsError, IntegrityError):  # the latter is what SQLite says then
            continue  # another process was faster
    present = {".".join(identifier) for identifier in catalog.list_tables(RAW_NAMESPACE)}
    for name, (schema, spec) in _SOURCES.items():
        wanted = _with_properties(schema, settings.stac) if name == STAC_ITEMS else schema
        if name not in present:
            try:
                catalog.create_table(name, wanted, partition_spec=spec, properties={"format-version": "2"})
                continue
            except TableAlreadyExistsError:
                pass  # another process was faster, maybe one with other settings
        _evolve(catalog, name, wanted)
    return catalog


def _with_properties(schema: Schema, stac: StacSettings) -> Schema:
    """The schema with a column for each property that the settings draw out of items."""
    columns = {column_of_property(name): (name, kind) for name, kind in stac.properties.items()}
    for column in columns.keys() & set(schema.column_names):
        raise ChiplakeError(
            f"CHIPLAKE_STAC_PROPERTIES: {columns[column][0]!r} would be the column {column}, which is there already"
        )
    drawn = [
        NestedField(1001 + number, column, _PROPERTY_TYPES[kind], required=False, doc=f"{name} of the item")
        for number, (column, (name, kind)) in enumerate(columns.items())
    ]
    return Schema(*schema.fields, *drawn)


def _evolve(catalog: Catalog, name: str, wanted: Schema) -> None:
    """Add what a table of an older release lacks. What a newer one has besides stays, and so do all rows."""
    for attempt in Retrying(
        retry=retry_if_exception_type(CommitFailedException), stop=stop_after_attempt(5), wait=wait_random(0, 1)
    ):
        with attempt:
            table = catalog.load_table(name)
            if _lacks(table.schema().as_struct(), wanted.as_struct(), name):
                with table.update_schema() as update:
                    update.union_by_name(wanted)


def _lacks(present: IcebergType, wanted: IcebergType, name: str) -> bool:
    """Whether a type, or one inside it, lacks a field or is too narrow.

    Raises:
        ChiplakeError: it can never hold what is wanted.
    """
    match present, wanted:
        case StructType(), StructType():
            fields = {field.name: field.field_type for field in present.fields}
            lacking = [
                field.name not in fields or _lacks(fields[field.name], field.field_type, f"{name}.{field.name}")
                for field in wanted.fields
            ]
            return any(lacking)
        case ListType(), ListType():
            return _lacks(present.element_type, wanted.element_type, name)
        case MapType(), MapType():
            lacking = [
                _lacks(present.key_type, wanted.key_type, name),
                _lacks(present.value_type, wanted.value_type, name),
            ]
            return any(lacking)
    if present == wanted or _holds(present, wanted):
        return False
    if _holds(wanted, present):
        return True
    raise ChiplakeError(
        f"{name} is of type {present} and cannot become {wanted}: it was made by another release or with another "
        "CHIPLAKE_STAC_PROPERTIES; name that type there, or drop the column"
    )


def _holds(wide: IcebergType, narrow: IcebergType) -> bool:
    """Whether Iceberg can widen the one type to the other."""
    try:
        return bool(promote(narrow, wide) == wide)
    except ResolveError:
        return False
