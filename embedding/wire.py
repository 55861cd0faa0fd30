"""What crosses the wire between export, inference server and load: columns, formats, file names.

Free of torch, so that Spark's Python workers import it at little cost.
"""

from __future__ import annotations

import io
from typing import Final

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from lakehouse.bands import BAND_NAMES

ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"
MEDIA_TYPES: Final = (ARROW_STREAM, PARQUET)
MEDIA_TYPE_OF_SUFFIX: Final = {".arrow": ARROW_STREAM, ".parquet": PARQUET}  # of an object's file name

UNTRAINED: Final = "untrained weights"  # what is said of a model without a checkpoint, wherever it is used

# An object stays below this, so that SageMaker's 100 MB hold four requests at once.
MAX_OBJECT_BYTES: Final = 25 * 1000 * 1000

_IDENTITY: Final = (
    pa.field("chip_id", pa.string()),
    pa.field("input_hash", pa.string()),
    pa.field("acquired_at", pa.timestamp("us", tz="UTC")),
    pa.field("longitude", pa.float64()),
    pa.field("latitude", pa.float64()),
)
_SOURCE_INDEX: Final = pa.field("source_index", pa.binary())

ANSWER_SCHEMA: Final = pa.schema(
    [
        pa.field("chip_id", pa.string()),
        pa.field("input_hash", pa.string()),
        pa.field("model_id", pa.string()),
        pa.field("embedding", pa.list_(pa.float32())),
        pa.field("error", pa.string()),
    ]
)


def request_schema(bands: tuple[str, ...]) -> pa.Schema:
    """The columns of a request: identity, one binary column a band, `source_index`."""
    return pa.schema([*_IDENTITY, *(pa.field(band, pa.binary()) for band in bands), _SOURCE_INDEX])


def read_table(body: bytes | pa.Buffer, media_type: str) -> pa.Table:
    """Read a table in one of `MEDIA_TYPES`.

    Raises:
        ValueError: the bytes are no such table, or other ones.
    """
    if media_type not in MEDIA_TYPES:
        raise ValueError(f"unknown media type {media_type}; use one of {', '.join(MEDIA_TYPES)}")
    try:
        if media_type == ARROW_STREAM:
            with pa.ipc.open_stream(body) as reader:
                table = reader.read_all()
        else:
            table = pq.read_table(pa.BufferReader(body))
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"no readable {media_type}: {reason}") from error
    return table


def write_table(table: pa.Table, media_type: str) -> bytes:
    """Write a table in one of `MEDIA_TYPES`; equal tables give equal bytes."""
    sink = io.BytesIO()
    if media_type == ARROW_STREAM:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, sink, compression="none", use_dictionary=False)
    return sink.getvalue()


def as_request(table: pa.Table) -> pa.Table:
    """Bring a request to the types of `request_schema`, with the bands that it has; other columns are dropped.

    Raises:
        ValueError: a column is missing, comes twice, or cannot have its type.
    """
    twice = {name for name in table.column_names if table.column_names.count(name) > 1}
    if twice:
        raise ValueError(f"column {min(twice)} comes twice")
    missing = [field.name for field in _IDENTITY if field.name not in table.column_names]
    if missing:
        raise ValueError(f"column {', '.join(missing)} is missing")
    bands = tuple(band for band in BAND_NAMES if band in table.column_names)
    if not bands:
        raise ValueError(f"there is no band column; name at least one of {', '.join(BAND_NAMES)}")
    schema = request_schema(bands)
    columns = []
    for field in schema:
        if field.name not in table.column_names:  # only source_index may be absent: no pixel is missing then
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if pa.types.is_timestamp(field.type) and not pa.types.is_timestamp(column.type):
            raise ValueError(f"column {field.name} is {column.type} and no timestamp")
        try:
            columns.append(column.cast(field.type, safe=not pa.types.is_timestamp(field.type)))
        except pa.ArrowException as error:
            raise ValueError(f"column {field.name} is {column.type} and not {field.type}") from error
    return pa.table(columns, schema=schema)
