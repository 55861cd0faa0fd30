"""Data files of Iceberg tables without partitions, written piece by piece.

PyIceberg's `append` keeps a whole data file, half a gigabyte, in memory, and writes it as one row group.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.io.fileformat import FileFormatFactory
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table, TableProperties
from pyiceberg.typedef import Record
from pyiceberg.utils.properties import property_as_int

ROW_GROUP_BYTES: Final = 32 << 20  # of rows in memory

# Numbers that hardly repeat take half as long again if a dictionary is tried for long. The table's own properties win.
_PROPERTIES: Final = {TableProperties.PARQUET_DICT_SIZE_BYTES: str(64 << 10)}


def write_data_files(table: Table, pieces: Iterable[pa.Table]) -> list[DataFile]:
    """Write rows as data files of a table, without a commit.

    Args:
        table: without partitions.
        pieces: rows with the columns of the table in any order; each piece becomes a row group. `in_row_groups` makes
            pieces of the right size.

    Returns:
        The files, each of `write.target-file-size-bytes` of rows in memory or a little more, for a snapshot to add.

    Raises:
        OSError: a file cannot be written. Files that were written until then are removed, as for any other exception.
    """
    default = TableProperties.WRITE_TARGET_FILE_SIZE_BYTES_DEFAULT
    target = property_as_int(table.properties, TableProperties.WRITE_TARGET_FILE_SIZE_BYTES, default) or default
    schema = schema_to_pyarrow(table.schema(), include_field_ids=True)
    write_id, rest, paths = uuid.uuid4(), iter(pieces), list[str]()
    files: list[DataFile] = []
    try:
        while (first := next(rest, None)) is not None:
            paths.append(table.location_provider().new_data_location(f"{len(files):05d}-0-{write_id}.parquet"))
            files.append(_write_file(table, paths[-1], schema, _until(target, first, rest)))
    except BaseException:
        remove_files(table.io, paths)
        raise
    return files


def in_row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join tables of one schema until they have `ROW_GROUP_BYTES`; leave out empty ones."""
    joined: list[pa.Table] = []
    size = 0
    for table in tables:
        if table.num_rows:
            joined.append(table)
            size += table.nbytes
        if size >= ROW_GROUP_BYTES:
            yield pa.concat_tables(joined)
            joined, size = [], 0
    if joined:
        yield pa.concat_tables(joined)


def one_ahead(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Return the same pieces; a thread makes the next one while the caller uses one."""
    rest = iter(pieces)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, rest, None)
        while (piece := coming.result()) is not None:
            coming = pool.submit(next, rest, None)
            yield piece


def remove_files(io: FileIO, paths: Sequence[str]) -> None:
    """Remove files that no snapshot names. One that cannot be removed stays; `chiplake maintain` removes it later."""
    for path in paths:
        with suppress(OSError):
            io.delete(path)


def _until(target: int, first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    size = first.nbytes
    yield first
    while size < target and (piece := next(rest, None)) is not None:
        size += piece.nbytes
        yield piece


def _write_file(table: Table, path: str, schema: pa.Schema, pieces: Iterable[pa.Table]) -> DataFile:
    output = table.io.new_output(path)
    parquet = FileFormatFactory.get(FileFormat.PARQUET)
    with parquet.create_writer(output, table.schema(), _PROPERTIES | table.properties) as writer:
        for piece in pieces:
            writer.write(piece.select(schema.names).cast(schema))
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        file_size_in_bytes=len(output),
        sort_order_id=None,
        spec_id=table.spec().spec_id,
        equality_ids=None,
        key_metadata=None,
        **writer.result().to_serialized_dict(),
    )
