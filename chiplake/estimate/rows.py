"""Narrow columns of the lake's tables as Arrow tables, and what estimates do with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot

from chiplake.keys import TEXT, with_key_of, without_key_of
from chiplake.numbers import full_name, read_columns
from lakehouse.settings import Settings

TIME: Final = pa.timestamp("us", tz="UTC")
CHIP_SCHEMA: Final = pa.schema([("chip_id", TEXT), ("cell_id", TEXT), ("acquired_at", TIME)])
_DAY_US: Final = 86_400 * 1_000_000


@dataclass(frozen=True)
class Lake:
    """A lake that is only read."""

    catalog: Catalog
    settings: Settings

    def read(self, name: str, schema: pa.Schema, conditions: Sequence[str] = ()) -> pa.Table:
        """Return the columns of a schema of the rows that meet all conditions; no rows if there is no such table.

        Args:
            name: a table with its schema, or a model.
            schema: names and types of the columns.
            conditions: filters of PyIceberg.
        """
        found = read_columns(self.catalog, full_name(self.settings, name), conditions, *schema.names)
        return schema.empty_table() if found is None else found.select(schema.names).cast(schema)

    def table(self, name: str) -> Table | None:
        """Return a table; None if it does not exist. The name is as for `read`."""
        try:
            return self.catalog.load_table(full_name(self.settings, name))
        except NoSuchTableError:
            return None


def last_change(table: Table | None) -> int:
    """Return when rows of a table last changed, milliseconds since 1970; 0: never. Merging files changes none."""
    snapshots = [] if table is None else _changing(table)
    return max((snapshot.timestamp_ms for snapshot in snapshots), default=0)


def rows_added_since(table: Table | None, moment_ms: int, schema: pa.Schema) -> pa.Table:
    """Return columns of the rows in data files that were added to a table since a moment.

    Args:
        table: None if it does not exist.
        moment_ms: milliseconds since 1970.
        schema: names and types of the columns.
    """
    if table is None:
        return schema.empty_table()
    newer = {one.snapshot_id for one in _changing(table) if one.timestamp_ms > moment_ms}
    if not newer:
        return schema.empty_table()
    current = table.current_snapshot()
    manifests = [] if current is None else current.manifests(table.io)
    entries = (entry for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io))
    added = {entry.data_file.file_path for entry in entries if entry.snapshot_id in newer}
    tasks = [task for task in table.scan().plan_files() if task.file.file_path in added]
    columns = table.schema().select(*schema.names)
    return ArrowScan(table.metadata, table.io, columns, AlwaysTrue()).to_table(tasks).select(schema.names).cast(schema)


def _changing(table: Table) -> list[Snapshot]:
    return [one for one in table.snapshots() if one.summary is None or one.summary.operation is not Operation.REPLACE]


def chips_of(rows: pa.Table) -> pa.Table:
    """Return the columns of CHIP_SCHEMA."""
    return rows.select(CHIP_SCHEMA.names)


def union(*tables: pa.Table) -> pa.Table:
    """Return the chips of several tables of CHIP_SCHEMA, each chip once, as the first table has it."""
    chips = tables[0]
    for table in tables[1:]:
        chips = pa.concat_tables([chips, without_key_of(table, chips, "chip_id")])
    return chips


def later_in_cell(chips: pa.Table, changed: pa.Table, days: int) -> pa.Table:
    """Return the chips that are later than a changed chip of their cell, by at most some days.

    Args:
        chips: CHIP_SCHEMA.
        changed: CHIP_SCHEMA.
        days: the greatest difference.
    """
    others = without_key_of(with_key_of(chips, changed, "cell_id"), changed, "chip_id")
    both = pa.concat_tables([others, changed])
    order, cells, times = _by_time(both, "cell_id")
    is_changed = order >= len(others)
    last = np.maximum.accumulate(np.where(is_changed, np.arange(len(both)), 0))
    is_later = is_changed[last] & ~is_changed & (cells[last] == cells) & (times - times[last] <= days * _DAY_US)
    return both.take(order[is_later])


def pairs_with(chips: pa.Table, new: pa.Table) -> pa.Table:
    """Return the later chips of the pairs of neighbours in time in which at least one is new.

    Args:
        chips: CHIP_SCHEMA and `model_id`; a pair is of one cell and one model.
        new: the same; chips that are compared for the first time, or again.
    """
    others = without_key_of(with_key_of(chips, new, "cell_id", "model_id"), new, "chip_id", "model_id")
    both = pa.concat_tables([others, new])
    order, cells, _ = _by_time(both, "model_id", "cell_id")
    is_new = order >= len(others)
    is_pair = (cells[1:] == cells[:-1]) & (is_new[1:] | is_new[:-1])
    return both.take(order[1:][is_pair])


def _by_time(chips: pa.Table, *keys: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of chips by group and time, and in this order their groups and times, microseconds.

    Args:
        chips: CHIP_SCHEMA, and other columns.
        keys: columns that make the groups.
    """
    groups = np.zeros(len(chips), np.int64)
    for key in keys:
        codes = pc.dictionary_encode(chips[key].combine_chunks())
        groups = groups * max(len(codes.dictionary), 1) + codes.indices.to_numpy()
    times = chips["acquired_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((times, groups))
    return order, groups[order], times[order]
