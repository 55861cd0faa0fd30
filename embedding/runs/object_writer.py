"""The objects of an export, written on executors: they read the pixels from the data files that the plan names."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray
from pyiceberg.io import FileIO

from embedding.aws import S3Place, client, put_bytes, session
from embedding.runs.files import ExportedObject
from embedding.wire import request_schema
from lakehouse.files import replaced_atomically
from python_udfs.pixel_store.reader import MissingFileError, read_rows

BatchFunction = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
# Opens a new file of a name, which appears whole at the end of the context, or not at all after an exception.
Opener = Callable[[str], AbstractContextManager[BinaryIO]]

# Chips whose pixels a task has in memory at once, at most 0.75 MB each. Chips of one row group should come together,
# because a row group is read whole.
CHIPS_IN_MEMORY: Final = 512

ENTRY_DDL: Final = "name string, chips int, size bigint, sha256 string, error string"
_ENTRY_SCHEMA: Final = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("chips", pa.int32()),
        pa.field("size", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("error", pa.string()),
    ]
)


def objects_writer(directory: Path | S3Place, bands: tuple[str, ...], data: FileIO) -> BatchFunction:
    """Make the function that writes the objects of one partition of a plan, and returns their manifest entries.

    The bytes of an object depend only on its chips, which are in the order of chip_id.

    Args:
        directory: of the objects; a folder must be one that executors and driver share.
        bands: that the objects have.
        data: reads the data files.

    Returns:
        A function of batches with chip_id, input_hash, acquired_at, longitude, latitude, file, position and
        object_index. If a data file is gone, it returns one entry with an error, and names the file in it.
    """

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        planned = [batch for batch in batches if batch.num_rows]
        if not planned:
            return
        plan = pa.Table.from_batches(planned).sort_by([("object_index", "ascending"), ("chip_id", "ascending")])
        opener = opener_in(directory)
        try:
            entries = [entry.model_dump() for part in _parts(plan) for entry in _write_part(opener, bands, data, part)]
        except MissingFileError as error:  # a retry of the task would not find it either
            entries = [{"error": str(error)}]
        yield from pa.Table.from_pylist(entries, schema=_ENTRY_SCHEMA).to_batches()

    return write


def opener_in(directory: Path | S3Place) -> Opener:
    """Return how objects are opened in a directory.

    A file need not reach the disk at once: an object that a power failure has damaged fails in the transform, and its
    chips are exported again.
    """
    if isinstance(directory, Path):
        return lambda name: replaced_atomically(directory / name, is_durable=False)
    s3 = client(session(), "s3")
    return lambda name: _uploaded(s3, directory / name)


def write_object(opener: Opener, name: str, chips: pa.Table) -> ExportedObject:
    """Write one object.

    Args:
        opener: of the directory of the objects.
        name: of the file.
        chips: rows of `wire.request_schema`.
    """
    with opener(name) as file:
        hashed = _HashedFile(file)
        with pa.ipc.new_stream(pa.PythonFile(hashed, mode="w"), chips.schema) as writer:
            writer.write_table(pa.table([_exact(column) for column in chips.columns], schema=chips.schema))
    return ExportedObject(name=name, chips=chips.num_rows, size=hashed.size, sha256=hashed.digest.hexdigest())


@contextmanager
def _uploaded(s3: Any, place: S3Place) -> Iterator[BinaryIO]:
    """Open a file in memory, which holds the largest object, and upload it at the end of the context."""
    content = io.BytesIO()
    yield content
    put_bytes(s3, place, content.getvalue(), has_digest=True)


def _parts(plan: pa.Table) -> Iterator[pa.Table]:
    """Cut a plan into parts of whole objects with at most `CHIPS_IN_MEMORY` chips, unless one object has more."""
    starts = [*_object_starts(plan), plan.num_rows]
    first = 0
    for start, end in itertools.pairwise(starts):
        if end - first > CHIPS_IN_MEMORY and start > first:
            yield plan.slice(first, start - first)
            first = start
    yield plan.slice(first)


def _object_starts(plan: pa.Table) -> list[int]:
    return [0, *(np.flatnonzero(np.diff(plan.column("object_index").to_numpy())) + 1).tolist()]


def _write_part(opener: Opener, bands: tuple[str, ...], data: FileIO, plan: pa.Table) -> Iterator[ExportedObject]:
    schema = request_schema(bands)
    in_plan = [name for name in schema.names if name in plan.column_names]
    pixels = _read_pixels(plan, pa.schema([field for field in schema if field.name not in in_plan]), data)
    starts = [*_object_starts(plan), plan.num_rows]
    for start, end in itertools.pairwise(starts):
        identity = plan.slice(start, end - start)
        frames = pixels.rows(start, end)
        columns = [identity.column(name) if name in in_plan else frames.column(name) for name in schema.names]
        name = f"chips-{identity.column('object_index')[0].as_py():05d}.arrow"
        yield write_object(opener, name, pa.table(columns, names=schema.names).cast(schema))


def _exact(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array whose buffers hold nothing else: Arrow writes up to 63 bytes around a slice."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if array.type != pa.binary() or array.null_count:
        return array.take(pa.array(range(len(array)), pa.int64()))
    _, offsets, content = array.buffers()
    if content is None:
        return array
    bounds = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    frames = content.slice(int(bounds[0]), int(bounds[-1] - bounds[0]))  # not copied
    return pa.Array.from_buffers(array.type, len(array), [None, pa.py_buffer(bounds - bounds[0]), frames])


@dataclass(frozen=True)
class _Pixels:
    """The pixels of the chips of a plan, in the order in which they were read."""

    table: pa.Table
    places: NDArray[np.int64]  # row of the table for each row of the plan

    def rows(self, start: int, end: int) -> pa.Table:
        """Return the pixels of some rows of the plan. Rows that were read one after the other are not copied."""
        places = self.places[start:end]
        runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
        return pa.concat_tables([self.table.slice(int(run[0]), len(run)) for run in runs])


def _read_pixels(plan: pa.Table, columns: pa.Schema, data: FileIO) -> _Pixels:
    files = plan.column("file").combine_chunks().dictionary_encode()
    numbers, positions = files.indices.to_numpy(), plan.column("position").to_numpy()
    places = np.empty(plan.num_rows, dtype=np.int64)
    batches: list[pa.RecordBatch] = []
    count = 0
    for number, file in enumerate(files.dictionary.to_pylist()):
        of_file = np.flatnonzero(numbers == number)
        ascending, inverse = np.unique(positions[of_file], return_inverse=True)
        places[of_file] = count + inverse
        count += len(ascending)
        batches += read_rows(file, ascending, columns, data)
    return _Pixels(pa.Table.from_batches(batches, schema=columns), places)


@dataclass
class _HashedFile:
    """A file that is written in order, its size, and the hash of its content."""

    file: BinaryIO
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    closed: bool = False

    def write(self, content: bytes) -> int:
        """Write bytes, or a buffer of Arrow."""
        self.digest.update(content)
        self.size += len(content)
        self.file.write(content)
        return len(content)

    def flush(self) -> None:
        """Leave flushing to the file."""

    def close(self) -> None:
        """Leave closing to the file's owner."""
