"""Rows of a data file by their positions, as Iceberg's metadata columns `_file` and `_pos` give them.

A query that selects these columns has left out deleted rows already, so delete files play no part here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO

from lakehouse.errors import ChiplakeError

Positions = Sequence[int] | NDArray[np.int64]


class MissingFileError(ChiplakeError):
    """A data file that a plan names no longer exists. The message says to run again."""


@dataclass(frozen=True)
class RowGroup:
    """A row group of a data file, and the rows of it to read."""

    number: int
    first: int  # position of its first row
    size: int  # number of its rows
    positions: NDArray[np.int64]  # in the file, ascending


def read_rows(file: str, positions: Positions, columns: pa.Schema, io: FileIO) -> Iterator[pa.RecordBatch]:
    """Read some rows of a Parquet data file, one row group after the other; others are not read.

    Args:
        file: address of the file, as `_file` has it.
        positions: numbers of the rows in the file, from 0, in ascending order, none twice.
        columns: names and types of the columns to read. One that the file does not have, because it was added to the
            table later, is null. Columns are found by name: tables of Chiplake do not rename any.
        io: that of the table, `Table.io` of PyIceberg. It can be pickled, and so be sent to Spark's executors.

    Yields:
        A batch with these columns for each row group that has a row, in the order of the positions. It keeps no more
        than twice the memory of its own rows alive.

    Raises:
        MissingFileError: the file is gone, because the table was maintained since the plan was made.
        ValueError: positions are not ascending, or the file has fewer rows.
    """
    with open_parquet(file, io) as parquet:
        for group in row_groups(file, positions, parquet.metadata):
            rows = group.positions - group.first
            yield _rows_of_group(_read_group(parquet, group.number, columns), rows, group.size)


def row_groups(file: str, positions: Positions, metadata: pq.FileMetaData) -> list[RowGroup]:
    """Return the row groups of a file that hold rows at given positions, in order.

    Args:
        file: address of the file, for messages.
        positions: numbers of the rows in the file, from 0, in ascending order, none twice.
        metadata: of the file.

    Raises:
        ValueError: positions are not ascending, or the file has fewer rows.
    """
    wanted = np.asarray(positions, dtype=np.int64)
    if wanted.size == 0:
        return []
    if wanted[0] < 0 or np.any(np.diff(wanted) <= 0):
        raise ValueError(f"{file}: positions must ascend from 0, none twice")
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    if wanted[-1] >= starts[-1]:
        raise ValueError(f"{file}: position {wanted[-1]} of a file of {starts[-1]} rows")
    bounds = np.searchsorted(wanted, starts)
    return [
        RowGroup(number, int(starts[number]), size, wanted[bounds[number] : bounds[number + 1]])
        for number, size in enumerate(sizes)
        if bounds[number] < bounds[number + 1]
    ]


def _rows_of_group(group: pa.RecordBatch, rows: NDArray[np.int64], size: int) -> pa.RecordBatch:
    # A slice copies nothing, but keeps the whole row group in memory.
    if rows[-1] - rows[0] + 1 == rows.size and 2 * rows.size >= size:
        return group.slice(int(rows[0]), rows.size)
    return group.take(pa.array(rows))


def _read_group(parquet: pq.ParquetFile, number: int, columns: pa.Schema) -> pa.RecordBatch:
    in_file = [name for name in columns.names if name in parquet.schema_arrow.names]
    # Spark runs one Python worker a core, so threads inside a worker would compete for cores.
    group = parquet.read_row_group(number, columns=in_file, use_threads=False)
    arrays = [
        group.column(field.name).cast(field.type) if field.name in in_file else pa.nulls(group.num_rows, field.type)
        for field in columns
    ]
    return pa.table(arrays, schema=columns).combine_chunks().to_batches()[0]


@contextmanager
def open_parquet(file: str, io: FileIO, metadata: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    """Open a data file on this machine or in an object store.

    Args:
        file: address of the file, as `_file` has it.
        io: see `read_rows`.
        metadata: of the file, if it was read before.

    Raises:
        MissingFileError: the file is gone.
    """
    try:
        with (
            closing(_open(file, io)) as source,
            closing(pq.ParquetFile(source, metadata=metadata, pre_buffer=True)) as parquet,
        ):
            yield parquet
    except FileNotFoundError as error:
        raise MissingFileError(
            f"{file}: this file is gone, since the table was maintained after its rows were planned; run this again"
        ) from error


def _open(file: str, io: FileIO) -> pa.NativeFile:
    scheme, _, path = PyArrowFileIO.parse_location(file, io.properties)
    # Mapped, which takes half the time: frames of pixels are not compressed by Parquet, and are copied once less.
    return pa.memory_map(path) if scheme == "file" else io.new_input(file).open()
