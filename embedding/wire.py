"""What export, inference server and load exchange: columns, formats and limits of requests and answers.

Free of torch, so that Spark's Python workers import it quickly.
"""

from __future__ import annotations

import io
from typing import Final

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from lakehouse.bands import BAND_NAMES
from lakehouse.causes import root_cause
from lakehouse.transform_job import DEFAULT_MAX_PAYLOAD_MB, MB

ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"
MEDIA_TYPES: Final = (ARROW_STREAM, PARQUET)
MEDIA_TYPE_OF_SUFFIX: Final = {".arrow": ARROW_STREAM, ".parquet": PARQUET}  # of an object's file name

UNTRAINED: Final = "untrained weights"  # name of the weights of a model without a checkpoint

# The largest object: four requests at once then fit the 100 MB that SageMaker allows.
MAX_OBJECT_BYTES: Final = DEFAULT_MAX_PAYLOAD_MB * MB

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
    """Return the columns of a request: identity, one binary column a band, `source_index`."""
    return pa.schema([*_IDENTITY, *(pa.field(band, pa.binary()) for band in bands), _SOURCE_INDEX])


def read_table(body: bytes | pa.Buffer, media_type: str) -> pa.Table:
    """Read a table in one of `MEDIA_TYPES`.

    Raises:
        ValueError: the media type is unknown, or the bytes are not a whole table of it.
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
        reason = root_cause(error)
        raise ValueError(f"not a readable {media_type}: {reason}") from error
    return table


def write_table(table: pa.Table, media_type: str) -> bytes:
    """Write a table in one of `MEDIA_TYPES`. Equal tables give equal bytes."""
    sink = io.BytesIO()
    if media_type == ARROW_STREAM:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, sink, compression="none", use_dictionary=False)
    return sink.getvalue()


def as_request(table: pa.Table) -> pa.Table:
    """Cast a request to `request_schema` of the bands that it has; drop other columns.

    Raises:
        ValueError: a column is missing, occurs twice, or cannot be cast.
    """
    twice = {name for name in table.column_names if table.column_names.count(name) > 1}
    if twice:
        raise ValueError(f"column {min(twice)} occurs twice")
    missing = [field.name for field in _IDENTITY if field.name not in table.column_names]
    if missing:
        raise ValueError(f"column {', '.join(missing)} is missing")
    bands = tuple(band for band in BAND_NAMES if band in table.column_names)
    if not bands:
        raise ValueError(f"the request has no band; add at least one column of {', '.join(BAND_NAMES)}")
    schema = request_schema(bands)
    columns = []
    for field in schema:
        if field.name not in table.column_names:  # only source_index may be absent, if no pixel is missing
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if pa.types.is_timestamp(field.type) and not pa.types.is_timestamp(column.type):
            raise ValueError(f"column {field.name} is {column.type}, not a timestamp")
        try:
            columns.append(column.cast(field.type, safe=not pa.types.is_timestamp(field.type)))
        except pa.ArrowException as error:
            raise ValueError(f"column {field.name} is {column.type}, not {field.type}") from error
    return pa.table(columns, schema=schema)
