"""Scalar functions of SQL that read embeddings from data files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO, load_file_io

from python_udfs.pixel_store.reader import RowGroup, open_parquet, read_rows, row_groups
from python_udfs.search.nearest import NO_DISTANCE, NOTHING, Floats, Found, direction_of, joined, nearer
from python_udfs.search.vectors import Positions, read_vectors

NEAREST: Final = "array<struct<position: bigint, cosine_distance: double>>"
_EMBEDDING: Final = pa.schema([("embedding", pa.list_(pa.float32()))])
# NumPy and PyArrow free the interpreter's lock. Where one file is left, its row groups still use several cores.
_THREADS: Final = min(4, os.cpu_count() or 1)


def nearest_embeddings(
    file: str | None,
    positions: Sequence[int] | None,
    query_file: str | None,
    query_position: int | None,
    column: str,
    k: int,
) -> list[dict[str, Any]] | None:
    """The k rows of a data file that are nearest to the embedding of another row, and rows as far as the k-th.

    The distance of a row whose embedding is null, all zero, not finite or of another length than the query is null; if
    this is true of the query, every distance is.

    Args:
        file: `_file` of the rows.
        positions: `_pos` of the rows to look at, in any order, none twice.
        query_file: `_file` of the query. Its column `embedding` is compared with `column` of the rows.
        query_position: its `_pos`.
        column: `embedding` or `embedding_int8`.
        k: at least 1.

    Raises:
        MissingFileError: a file is gone, since the table was maintained after the query had begun.
    """
    if file is None or positions is None or query_file is None or query_position is None:
        return None
    wanted = np.sort(np.asarray(positions, dtype=np.int64))
    direction = _direction_at(query_file, int(query_position))
    if direction is None:
        found = Found(wanted, np.full(wanted.size, NO_DISTANCE))
    else:
        found = _Search(file, _io(file), column, direction, int(k)).nearest(wanted)
    return [
        {"position": int(position), "cosine_distance": None if distance == NO_DISTANCE else float(distance)}
        for position, distance in zip(found.positions, found.distances, strict=True)
    ]


@lru_cache(maxsize=4)  # a task looks at many files; a data file never changes
def _direction_at(file: str, position: int) -> Floats | None:
    (row,) = read_rows(file, [position], _EMBEDDING, _io(file))
    embedding = row.column(0)[0].as_py()
    if not embedding or None in embedding:
        return None
    return direction_of(np.array(embedding, np.float64))


@dataclass(frozen=True)
class _Search:
    file: str
    io: FileIO
    column: str
    direction: Floats
    k: int

    def nearest(self, positions: Positions) -> Found:
        with open_parquet(self.file, self.io) as parquet:
            metadata = parquet.metadata
        groups = row_groups(self.file, positions, metadata)
        with ThreadPoolExecutor(_THREADS) as threads:
            found = threads.map(lambda group: self._nearest_of_group(group, metadata), groups)
            return joined([NOTHING, *found]).nearest(self.k)

    def _nearest_of_group(self, group: RowGroup, metadata: pq.FileMetaData) -> Found:
        best = NOTHING
        with open_parquet(self.file, self.io, metadata) as parquet:
            for vectors in read_vectors(parquet, group, self.column, self.direction.size):
                best = nearer(best, vectors, self.direction, self.k)
        return best


def _io(file: str) -> FileIO:
    # Credentials and region come from the environment, as for Spark.
    return load_file_io({}, file)
