"""The tables that Python writes: their names, schemas and partitions.

Tables that dbt builds have their schema in their model.
"""

from __future__ import annotations

from typing import Final

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
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

from lakehouse.errors import ChiplakeError
from lakehouse.settings.lake import DEFAULT_OPS_SCHEMA, DEFAULT_RAW_SCHEMA
from lakehouse.settings.stac import PropertyType, StacSettings, column_of_property
from lakehouse.settings.variables import all_variables

# The settings raw_schema and ops_schema. They are read here once, because the names of tables below are constants.
RAW_NAMESPACE: Final = all_variables().get("CHIPLAKE_RAW_SCHEMA") or DEFAULT_RAW_SCHEMA
OPS_NAMESPACE: Final = all_variables().get("CHIPLAKE_OPS_SCHEMA") or DEFAULT_OPS_SCHEMA
SOURCE_NAMESPACES: Final = (RAW_NAMESPACE, OPS_NAMESPACE)

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
    NestedField(111, "data_type", StringType(), required=False, doc="data type of the pixels, if the item has one"),
)

STAC_ITEMS_SCHEMA: Final = Schema(
    NestedField(1, "collection", StringType(), required=False, doc="STAC collection id"),
    NestedField(2, "item_id", StringType(), required=False, doc="STAC item id"),
    NestedField(3, "content_hash", StringType(), required=False, doc="SHA-256 of item, rules and resolved hrefs"),
    NestedField(4, "source", StringType(), required=False, doc="STAC API or file the item came from"),
    NestedField(5, "ingested_at", TimestamptzType(), required=False, doc="when this version was written"),
    NestedField(6, "acquired_at", TimestamptzType(), required=False, doc="the item's datetime"),
    NestedField(7, "updated_at", TimestamptzType(), required=False, doc="the item's updated"),
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
    NestedField(18, "is_boa_offset_applied", BooleanType(), required=False, doc="the provider has applied the offset"),
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
    NestedField(28, "is_deprecated", BooleanType(), required=False, doc="the item's deprecated"),
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

LAKE_SETTINGS_SCHEMA: Final = Schema(
    NestedField(1, "schema_name", StringType(), required=False, doc="schema of the models that they are for"),
    NestedField(2, "setting", StringType(), required=False, doc="name of the setting, such as bbox"),
    NestedField(3, "value", StringType(), required=False, doc="its value, JSON or text"),
    NestedField(4, "recorded_at", TimestamptzType(), required=False, doc="when it was recorded"),
)

STAGES_SCHEMA: Final = Schema(
    NestedField(1, "run_id", StringType(), required=False, doc="the run that the stage is a part of"),
    NestedField(2, "stage", StringType(), required=False, doc="name of the stage, such as chip_extraction"),
    NestedField(3, "attempt_id", StringType(), required=False, doc="the rows of one attempt of the stage share it"),
    NestedField(4, "schema_name", StringType(), required=False, doc="schema of the models"),
    NestedField(5, "state", StringType(), required=False, doc="one of running, done, unchanged, incomplete, failed"),
    NestedField(6, "started_at", TimestamptzType(), required=False, doc="start of the attempt"),
    NestedField(7, "ended_at", TimestamptzType(), required=False, doc="its end; null in the row of its start"),
    NestedField(8, "error", StringType(), required=False, doc="why it is incomplete or failed"),
    NestedField(9, "start_date", DateType(), required=False, doc="first day of acquisition; null: no bound"),
    NestedField(10, "end_date", DateType(), required=False, doc="last day of acquisition; null: no bound"),
    NestedField(11, "is_recompute", BooleanType(), required=False, doc="chips of older settings were computed again"),
    NestedField(12, "code_version", StringType(), required=False, doc="version of the project"),
    NestedField(13, "code_digest", StringType(), required=False, doc="SHA-256 of the code that makes rows"),
    NestedField(14, "image", StringType(), required=False, doc="container image; null outside of one"),
    # In the lake when the attempt ended, of the days of acquisition.
    NestedField(15, "scenes", LongType(), required=False, doc="scenes"),
    NestedField(16, "chips_cut", LongType(), required=False, doc="chips that could be read"),
    NestedField(17, "chips_unreadable", LongType(), required=False, doc="chips with an error"),
    NestedField(18, "chips_filled", LongType(), required=False, doc="filled chips"),
    NestedField(19, "chips_complete", LongType(), required=False, doc="filled chips that are complete"),
    NestedField(20, "complete_fraction", DoubleType(), required=False, doc="mean share of valid or filled pixels"),
    NestedField(21, "chips_embedded", LongType(), required=False, doc="filled chips with an embedding"),
    NestedField(22, "chips_not_embedded", LongType(), required=False, doc="filled chips without one"),
    NestedField(23, "not_embedded_reasons", StringType(), required=False, doc="JSON: number of chips by reason"),
    NestedField(24, "pairs_compared", LongType(), required=False, doc="pairs of chips"),
    NestedField(25, "changes", LongType(), required=False, doc="pairs that are a change"),
    # Written while the attempt ran.
    NestedField(26, "items_written", LongType(), required=False, doc="rows written to raw.stac_items"),
    NestedField(27, "items_rejected", LongType(), required=False, doc="rows written to raw.stac_rejects"),
    NestedField(28, "scenes_written", LongType(), required=False, doc="rows written to int_scenes"),
    NestedField(29, "chips_written", LongType(), required=False, doc="rows written to fct_chips"),
    NestedField(30, "filled_chips_written", LongType(), required=False, doc="rows written to fct_filled_chips"),
    NestedField(31, "embeddings_written", LongType(), required=False, doc="rows written to raw.clay_embeddings"),
    NestedField(32, "changes_written", LongType(), required=False, doc="rows written to fct_chip_changes"),
    NestedField(33, "bytes_written", LongType(), required=False, doc="bytes of the data files of these tables"),
    # Tests of dbt.
    NestedField(34, "tests_passed", LongType(), required=False, doc="tests without a row"),
    NestedField(35, "tests_warned", LongType(), required=False, doc="tests with a warning"),
    NestedField(36, "tests_failed", LongType(), required=False, doc="tests that failed, or could not run"),
    NestedField(37, "dbt_results", StringType(), required=False, doc="address of dbt's run_results.json"),
)

STAC_ITEMS: Final = f"{RAW_NAMESPACE}.stac_items"
STAC_REJECTS: Final = f"{RAW_NAMESPACE}.stac_rejects"
STAC_CHECKPOINTS: Final = f"{RAW_NAMESPACE}.stac_checkpoints"
BOA_OFFSET_OVERRIDES: Final = f"{RAW_NAMESPACE}.boa_offset_overrides"
CLAY_EMBEDDINGS: Final = f"{RAW_NAMESPACE}.clay_embeddings"
LAKE_SETTINGS: Final = f"{RAW_NAMESPACE}.lake_settings"
STAGES: Final = f"{OPS_NAMESPACE}.stages"

_PROPERTY_TYPES: Final[dict[PropertyType, IcebergType]] = {
    "string": StringType(),
    "double": DoubleType(),
    "long": LongType(),
    "boolean": BooleanType(),
    "timestamp": TimestamptzType(),
}

SOURCES: Final = {
    STAC_ITEMS: (
        STAC_ITEMS_SCHEMA,
        PartitionSpec(PartitionField(6, 1000, MonthTransform(), "acquired_month")),
    ),
    STAC_REJECTS: (STAC_REJECTS_SCHEMA, PartitionSpec()),
    STAC_CHECKPOINTS: (STAC_CHECKPOINTS_SCHEMA, PartitionSpec()),
    BOA_OFFSET_OVERRIDES: (BOA_OFFSET_OVERRIDES_SCHEMA, PartitionSpec()),
    CLAY_EMBEDDINGS: (CLAY_EMBEDDINGS_SCHEMA, PartitionSpec()),
    LAKE_SETTINGS: (LAKE_SETTINGS_SCHEMA, PartitionSpec()),
    STAGES: (STAGES_SCHEMA, PartitionSpec()),
}


def schema_of_source(name: str, stac: StacSettings) -> Schema:
    """Return the schema of a source table; `raw.stac_items` has a column for each property in the settings.

    Raises:
        ChiplakeError: a property would take the column of another field.
    """
    schema, _ = SOURCES[name]
    return _with_properties(schema, stac) if name == STAC_ITEMS else schema


def _with_properties(schema: Schema, stac: StacSettings) -> Schema:
    columns = {column_of_property(name): (name, kind) for name, kind in stac.properties.items()}
    for column in columns.keys() & set(schema.column_names):
        raise ChiplakeError(
            f"CHIPLAKE_STAC_PROPERTIES: {columns[column][0]!r} would be the column {column}, which exists already"
        )
    extra = [
        NestedField(1001 + number, column, _PROPERTY_TYPES[kind], required=False, doc=f"{name} of the item")
        for number, (column, (name, kind)) in enumerate(columns.items())
    ]
    return Schema(*schema.fields, *extra)
