"""Reads stac-geoparquet in batches of rows, as the JSON objects of the items.

The layout is that of https://github.com/radiantearth/stac-geoparquet-spec: the members of an item and each of its
properties are columns, the geometry is WKB, and absent values are null. Files of other tools, which have the properties
in one column and objects as maps or as JSON in text, are also read. rustac reads it faster, but it panics over a
geometry column of large binaries, and loses a whole batch over one broken geometry.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ingestion.item.stated import parsed_json
from ingestion.model import JsonObject

BATCH_ROWS: Final = 256
BUFFER_BYTES: Final = 1 << 16  # read ahead, of each column

_REQUIRED: Final = frozenset({"id", "assets"})
# Members of an item. All other columns are its properties.
_MEMBERS: Final = frozenset(
    {"type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets", "collection"}
)
_BOX_SIDES: Final = ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")


def read_stac_geoparquet(path: Path) -> Iterator[JsonObject]:
    """Yield each row as a STAC item, without nulls and without NaN, which pandas writes for nulls.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is not stac-geoparquet, or is broken.
    """
    with path.open("rb") as stream:
        try:
            with pq.ParquetFile(stream, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
                _check_columns(file.schema_arrow)
                for batch in file.iter_batches(BATCH_ROWS):
                    yield from (item_of_row(row) for row in _microseconds(batch).to_pylist())
        # pyarrow raises OSError for damaged pages, and the next two for times and time zones unknown to Python.
        except (OSError, OverflowError, KeyError, pa.ArrowException) as error:
            raise ValueError(str(error)) from error


def item_of_row(row: JsonObject) -> JsonObject:
    """Return the STAC item of a row."""
    values = {name: kept for name, value in row.items() if (kept := _json_value(value)) is not None}
    members = {name: value for name, value in values.items() if name in _MEMBERS}
    properties = {name: value for name, value in values.items() if name not in _MEMBERS}
    nested = parsed_json(properties.get("properties"))
    if isinstance(nested, dict):
        del properties["properties"]
        properties |= nested
    box = row.get("bbox")
    if isinstance(box, dict):
        members["bbox"] = [box[side] for side in _BOX_SIDES if box.get(side) is not None]
    assets = parsed_json(members.get("assets"))
    if isinstance(assets, dict):
        # For an absent asset, writers without null structs write a struct of nulls.
        members["assets"] = {key: asset for key, asset in assets.items() if asset}
    return {"type": "Feature", "geometry": None, **members, "properties": properties}


def _check_columns(schema: pa.Schema) -> None:
    missing = sorted(_REQUIRED - set(schema.names))
    if missing:
        raise ValueError(f"it has no column {' and no column '.join(missing)}")
    if "geometry" in schema.names:
        kind = schema.field("geometry").type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)):
            raise ValueError(f"its geometry is not WKB but {str(kind)[:60]}")


def _microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Truncate timestamps to microseconds, since Python has no nanoseconds."""
    for index, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(index).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(index, field.name, column)
    return batch


def _json_value(value: Any) -> Any:
    """Return a value as JSON represents it, or None if it is absent."""
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:  # the most frequent types first
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is dict:
        return {name: kept for name, member in value.items() if (kept := _json_value(member)) is not None}
    if kind is list:
        if value and all(type(entry) is tuple for entry in value):  # a map
            return _json_value({str(name): member for name, member in value})
        return [_json_value(entry) for entry in value]  # nulls in a list keep their position
    if isinstance(value, datetime):
        time = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return time.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return _geojson(value)
    return float(value) if isinstance(value, Decimal) else str(value)


def _geojson(wkb: bytes) -> JsonObject | None:
    """Return a geometry as GeoJSON, or None if it is not WKB, so that one broken row does not end the batch."""
    try:
        geojson: JsonObject = json.loads(shapely.to_geojson(shapely.from_wkb(wkb)))
    except shapely.errors.GEOSException:
        return None
    return geojson
