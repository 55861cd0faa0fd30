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

from chiplake.numbers import read_columns
from lakehouse.settings import Settings

TEXT: Final = pa.large_string()  # PyIceberg reads a text in one type or another
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
        found = read_columns(self.catalog, self._full(name), conditions, *schema.names)
        return schema.empty_table() if found is None else found.select(schema.names).cast(schema)

    def table(self, name: str) -> Table | None:
        """Return a table, given as for `read`; None if there is none."""
        try:
            return self.catalog.load_table(self._full(name))
        except NoSuchTableError:
            return None

    def _full(self, name: str) -> str:
        return name if "." in name else self.settings.lake.table(name)


def last_change(table: Table | None) -> int:
    """Return when rows of a table last changed, milliseconds since 1970; 0: never. Merging files changes none."""
    snapshots = [] if table is None else _changing(table)
    return max((snapshot.timestamp_ms for snapshot in snapshots), default=0)


def rows_added_since(table: Table | None, moment_ms: int, schema: pa.Schema) -> pa.Table:
    """Return columns of the rows in data files that were added to a table since a moment.

    Args:
        table: None: there is none.
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


def with_key_of(rows: pa.Table, others: pa.Table, *keys: str) -> pa.Table:
    """Return the rows whose key is one of the others'."""
    return _joined(rows, others, keys, "left semi")


def without_key_of(rows: pa.Table, others: pa.Table, *keys: str) -> pa.Table:
    """Return the rows whose key is none of the others'."""
    return _joined(rows, others, keys, "left anti")


def _joined(rows: pa.Table, others: pa.Table, keys: Sequence[str], join_type: str) -> pa.Table:
    # Only the keys are joined, because a join takes no lists.
    numbered = rows.select(keys).append_column("row", pa.array(np.arange(len(rows))))
    kept = numbered.join(others.select(keys), list(keys), join_type=join_type)["row"]
    return rows.take(np.sort(kept.to_numpy()))


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
    others = without_key_of(chips, changed, "chip_id")
    both, is_changed = _sorted(changed, others, "cell_id")
    last = np.maximum.accumulate(np.where(is_changed, np.arange(len(both)), -1))
    cells, times = _codes(both["cell_id"]), _micros(both)
    is_later = (last >= 0) & ~is_changed
    is_later &= (cells[last] == cells) & (times - times[last] <= days * _DAY_US)
    return both.filter(pa.array(is_later))


def pairs_with(chips: pa.Table, new: pa.Table) -> pa.Table:
    """Return the later chips of the pairs of neighbours in time in which at least one is new.

    Args:
        chips: CHIP_SCHEMA and `model_id`; a pair is of one cell and one model.
        new: the same; chips that are compared for the first time, or again.
    """
    both, is_new = _sorted(new, without_key_of(chips, new, "chip_id", "model_id"), "model_id", "cell_id")
    is_pair = np.zeros(len(both), bool)
    is_pair[1:] = is_new[1:] | is_new[:-1]
    for name in ("model_id", "cell_id"):
        codes = _codes(both[name])
        is_pair[1:] &= codes[1:] == codes[:-1]
    return both.filter(pa.array(is_pair))


def _sorted(first: pa.Table, second: pa.Table, *groups: str) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return the rows of both tables by group and time, and which are of the first."""
    both = pa.concat_tables(
        [
            table.append_column("is_first", pa.array(np.full(len(table), is_first)))
            for table, is_first in ((first, True), (second, False))
        ]
    ).sort_by([(name, "ascending") for name in (*groups, "acquired_at", "chip_id")])
    return both.drop_columns("is_first"), both["is_first"].to_numpy()


def _codes(column: pa.ChunkedArray) -> NDArray[np.int32]:
    codes: NDArray[np.int32] = pc.dictionary_encode(column.combine_chunks()).indices.to_numpy()
    return codes


def _micros(rows: pa.Table) -> NDArray[np.int64]:
    micros: NDArray[np.int64] = rows["acquired_at"].cast(pa.int64()).to_numpy()
    return micros
