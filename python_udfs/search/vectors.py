"""Embeddings of a data file, read from Parquet some hundred at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from python_udfs.pixel_store.reader import RowGroup

Positions = NDArray[np.int64]

# A batch of this many numbers stays in the cache of a core from decoding to the last product.
_NUMBERS_PER_BATCH: Final = 256 * 1024


@dataclass(frozen=True)
class Vectors:
    """Embeddings of one length, and the positions of rows that have none of this length."""

    positions: Positions  # (n,)
    numbers: NDArray[Any]  # (n, dimension), float32 of embedding or int32 of embedding_int8
    without: Positions  # null, another length, or a number is null


def read_vectors(parquet: pq.ParquetFile, group: RowGroup, column: str, dimension: int) -> Iterator[Vectors]:
    """Read the embeddings of some rows of a row group, in batches that take a megabyte or two.

    Args:
        parquet: the file.
        group: the rows.
        column: a column of lists of numbers. A file that was written before the table had it gives rows without one.
        dimension: length of the embeddings, at least 1.
    """
    if column not in parquet.schema_arrow.names:
        yield Vectors(group.positions[:0], np.zeros((0, dimension), np.float32), group.positions)
        return
    first, size = group.first, max(1, _NUMBERS_PER_BATCH // dimension)
    # The caller reads several row groups at once.
    for batch in parquet.iter_batches(size, row_groups=[group.number], columns=[column], use_threads=False):
        start, end = np.searchsorted(group.positions, (first, first + batch.num_rows))
        if start < end:
            yield _vectors(batch.column(0), group.positions[start:end], first, dimension)
        first += batch.num_rows
        if end == group.positions.size:
            return


def _vectors(lists: pa.ListArray, positions: Positions, first: int, dimension: int) -> Vectors:
    if positions.size < len(lists):
        lists = lists.take(pa.array(positions - first))
    whole = lists.value_lengths().fill_null(-1).to_numpy() == dimension
    if not whole.all():
        lists = lists.filter(pa.array(whole))
    numbers = lists.flatten()
    if numbers.null_count:
        known = numbers.is_valid().to_numpy(zero_copy_only=False).reshape(-1, dimension).all(axis=1)
        numbers = lists.filter(pa.array(known)).flatten()
        whole[whole] = known
    return Vectors(positions[whole], numbers.to_numpy().reshape(-1, dimension), positions[~whole])
