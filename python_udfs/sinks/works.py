"""What workers do with the rows of a plan: they make the rows of a table with pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import pyarrow as pa
from pyiceberg.io import FileIO

from python_udfs.composite.partition_composites import composites_of_partition
from python_udfs.composite.plan import members_of
from python_udfs.extract.cutter import ChipCutter
from python_udfs.fill.partition_fold import PartitionFold
from python_udfs.fill.plan import Step

Row = dict[str, Any]
# Takes a part of a plan, in its order, and the files of the lake.
Work = Callable[[Iterator[pa.RecordBatch], FileIO], Iterator[Row]]


def cut_rows(plan: Iterator[pa.RecordBatch], _io: FileIO) -> Iterator[Row]:
    """Cut the chips of the strips of some tasks: rows of fct_chips."""
    strips = (strip for batch in plan for strip in batch.to_pylist(maps_as_pydicts="strict"))
    for _, of_task in groupby(strips, key=itemgetter("task_id")):
        with closing(ChipCutter()) as cutter:  # the rasters of a task are open at once
            yield from (chip.as_row() for strip in of_task for chip in cutter.cut(strip))


def filled_rows(plan: Iterator[pa.RecordBatch], io: FileIO) -> Iterator[Row]:
    """Fill the pending chips of some partitions: rows of fct_filled_chips."""
    for of_partition in _by_partition(plan):
        yield from PartitionFold([Step.of_row(row) for row in of_partition], io).rows()


def composite_rows(plan: Iterator[pa.RecordBatch], io: FileIO) -> Iterator[Row]:
    """Make the composites of some partitions: rows of fct_composites."""
    for of_partition in _by_partition(plan):
        yield from composites_of_partition(members_of(of_partition), io)


def _by_partition(plan: Iterator[pa.RecordBatch]) -> Iterator[Iterator[Row]]:
    rows = (row for batch in plan for row in batch.to_pylist())
    return (of_partition for _, of_partition in groupby(rows, key=itemgetter("geohash_4")))


WORKS: Final[Mapping[str, Work]] = {"cut": cut_rows, "fill": filled_rows, "composite": composite_rows}
