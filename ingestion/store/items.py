"""Writes rows and rejects to `raw.stac_items` and `raw.stac_rejects`, in batches, each an atomic commit.

A version is written once: stored versions are looked up before each commit, and again if another writer commits first.
So a run that was interrupted is repaired by another run, and a second run of the same input commits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import (
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    In,
    LessThanOrEqual,
    Or,
)
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from ingestion.model import Asset, Reject, StacItemRow
from lakehouse.commits import commit, without_blind_retry
from lakehouse.source_schemas import STAC_ITEMS, STAC_REJECTS

# Stored versions are looked up only this far from the dates of a batch, so that the time does not grow with history:
# by id only, 2,000 items took 1.1 s instead of 0.05 s in a table of 100,000. An item whose datetime was corrected by
# more than this becomes one more version, which does no harm: readers take the current version, of any date, and the
# same content is always found, because its datetime is the same.
TIME_SLACK: Final = timedelta(days=1)

_ROW_FIELDS: Final = tuple(field.name for field in fields(StacItemRow) if field.name not in ("assets", "extra"))
_ASSET_FIELDS: Final = frozenset(field.name for field in fields(Asset))
_REJECT_FIELDS: Final = tuple(field.name for field in fields(Reject) if field.name != "reason")


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version of an item."""

    content_hash: str
    updated_at: datetime | None  # UTC
    ingested_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Decision:
    """The rows of a batch that must be written."""

    write: tuple[StacItemRow, ...] = ()
    replaced: tuple[StacItemRow, ...] = ()  # those of `write` whose version is stored but is not the current one
    unchanged: int = 0
    superseded: int = 0


@dataclass(frozen=True, slots=True)
class ItemWriter:
    """Writes the batches of one ingest."""

    catalog: Catalog
    ingested_at: datetime  # UTC, equal for all rows of an ingest

    def write_rows(self, rows: Sequence[StacItemRow]) -> Decision:
        """Write the versions that are not stored, in one commit, or in none if all are stored.

        Raises:
            ChiplakeError: other writers commit to the table without pause.
        """
        newest, superseded = newest_of_batch(rows)
        # In this order the same items make the same files, and statistics of files are narrow.
        newest.sort(key=lambda row: (row.acquired_at, row.collection, row.item_id))
        return commit(self.catalog, STAC_ITEMS, lambda table: self._write_rows(table, newest, superseded))

    def write_rejects(self, rejects: Sequence[Reject]) -> int:
        """Write the rejects that are not recorded, in one commit. Return how many these were.

        Raises:
            ChiplakeError: other writers commit to the table without pause.
        """
        by_key = {reject.key: reject for reject in rejects}
        return commit(self.catalog, STAC_REJECTS, lambda table: self._write_rejects(table, by_key))

    def _write_rows(self, table: Table, rows: Sequence[StacItemRow], superseded: int) -> Decision:
        decision = decide(rows, _stored_versions(table, rows) if rows else {}, superseded)
        if not decision.write:
            return decision
        arrow = rows_to_arrow(decision.write, self.ingested_at, table.schema())
        with without_blind_retry(table).transaction() as transaction:
            if decision.replaced:
                transaction.delete(_any_of([_is_version(row) for row in decision.replaced]))
            transaction.append(arrow)
        return decision

    def _write_rejects(self, table: Table, by_key: dict[tuple[str, str, str], Reject]) -> int:
        recorded = _recorded_rejects(table, by_key) if by_key else set()
        rejects = [reject for key, reject in by_key.items() if key not in recorded]
        if rejects:
            with without_blind_retry(table).transaction() as transaction:
                transaction.append(rejects_to_arrow(rejects, self.ingested_at, table.schema()))
        return len(rejects)


def newest_of_batch(rows: Iterable[StacItemRow]) -> tuple[list[StacItemRow], int]:
    """Return one row for each item, and the number of others.

    The row is the one updated last. Of rows with the same update time, or without one, it is the one received last.
    """
    newest: dict[tuple[str, str], StacItemRow] = {}
    updated: dict[tuple[str, str], datetime | None] = {}  # the latest time of all rows of the item so far
    others = 0
    for row in rows:
        others += row.key in newest
        latest = updated.get(row.key)
        if not _is_older(row.updated_at, latest):
            newest[row.key] = row
            updated[row.key] = row.updated_at or latest
    return list(newest.values()), others


def decide(rows: Iterable[StacItemRow], stored: dict[tuple[str, str], list[Version]], superseded: int = 0) -> Decision:
    """Decide which rows are new versions.

    A version that is older than the current one, by its update time, is not written. A version that is stored, is not
    the current one, and comes again without being older replaces itself, so that it becomes the current one.

    Args:
        rows: one row for each item.
        stored: stored versions by item key.
        superseded: rows of the batch that were superseded by others of it.
    """
    write, replaced, unchanged = [], [], 0
    for row in rows:
        versions = stored.get(row.key, [])
        current, updated_at = current_version(versions)
        same = next((version for version in versions if version.content_hash == row.content_hash), None)
        if current is None:
            write.append(row)
        elif same is not None and same.ingested_at >= current.ingested_at:
            unchanged += 1  # it is the current version, or an older one of the same ingest
        elif _is_older(row.updated_at, updated_at):
            superseded += 1
        else:
            write.append(row)
            if same is not None:
                replaced.append(row)
    return Decision(tuple(write), tuple(replaced), unchanged, superseded)


def current_version(versions: Iterable[Version]) -> tuple[Version | None, datetime | None]:
    """Return the current version of an item, and the update time that a newer one must reach, UTC.

    A version without an update time counts as updated when the versions stored before it were, so it is newer than
    these. `stg_stac__items` selects the current version by the same rule.
    """
    current: Version | None = None
    latest: datetime | None = None
    for version in sorted(versions, key=lambda version: (version.ingested_at, version.content_hash)):
        if not _is_older(version.updated_at, latest):
            current, latest = version, version.updated_at or latest
    return current, latest


def _is_older(updated_at: datetime | None, other: datetime | None) -> bool:
    return updated_at is not None and other is not None and updated_at < other


def rows_to_arrow(rows: Sequence[StacItemRow], ingested_at: datetime, schema: Schema) -> pa.Table:
    """Return rows as an Arrow table in the current schema of `raw.stac_items`. Columns unknown here are null."""
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in _ROW_FIELDS}
    columns |= {name: [row.extra.get(name) for row in rows] for name in {name for row in rows for name in row.extra}}
    columns["ingested_at"] = [ingested_at] * len(rows)
    arrow_schema = schema_to_pyarrow(schema, include_field_ids=False)
    assets = _assets_array(rows, arrow_schema.field("assets").type)
    return _to_arrow(columns, arrow_schema, {"assets": assets})


def rejects_to_arrow(rejects: Sequence[Reject], rejected_at: datetime, schema: Schema) -> pa.Table:
    """Return rejects as an Arrow table in the current schema of `raw.stac_rejects`. Columns unknown here are null."""
    columns: dict[str, list[Any]] = {name: [getattr(reject, name) for reject in rejects] for name in _REJECT_FIELDS}
    columns["reason"] = [reject.reason.value for reject in rejects]
    columns["rejected_at"] = [rejected_at] * len(rejects)
    return _to_arrow(columns, schema_to_pyarrow(schema, include_field_ids=False), {})


def _assets_array(rows: Sequence[StacItemRow], kind: pa.MapType) -> pa.MapArray:
    # Built column by column: one dictionary for each asset took a third of the time of an ingest.
    assets = [asset for row in rows for asset in row.assets.values()]
    structs = pa.StructArray.from_arrays(
        [
            pa.array([getattr(asset, field.name) for asset in assets], field.type)
            if field.name in _ASSET_FIELDS
            else pa.nulls(len(assets), field.type)
            for field in kind.item_type
        ],
        fields=list(kind.item_type),
    )
    offsets = list(accumulate((len(row.assets) for row in rows), initial=0))
    bands = pa.array([band for row in rows for band in row.assets], kind.key_type)
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), bands, structs, kind)


def _to_arrow(columns: dict[str, list[Any]], schema: pa.Schema, arrays_by_name: dict[str, pa.Array]) -> pa.Table:
    length = len(next(iter(columns.values())))
    arrays = [
        arrays_by_name[field.name]
        if field.name in arrays_by_name
        else pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(length, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _stored_versions(table: Table, rows: Sequence[StacItemRow]) -> dict[tuple[str, str], list[Version]]:
    """Return the stored versions of these items. Reads five narrow columns, of the months of the items."""
    columns = ("collection", "item_id", "content_hash", "updated_at", "ingested_at")
    times = [row.acquired_at for row in rows]
    ids = {row.item_id for row in rows}
    condition = And(
        And(
            GreaterThanOrEqual(term="acquired_at", value=_shifted(min(times), -TIME_SLACK).isoformat()),
            LessThanOrEqual(term="acquired_at", value=_shifted(max(times), TIME_SLACK).isoformat()),
        ),
        _has_id(ids),
    )
    stored: dict[tuple[str, str], list[Version]] = {}
    scanned = table.scan(row_filter=condition, selected_fields=columns).to_arrow()
    for values in zip(*(scanned.column(name).to_pylist() for name in columns), strict=True):
        collection, item_id, content_hash, updated_at, ingested_at = values
        stored.setdefault((collection, item_id), []).append(Version(content_hash, updated_at, ingested_at))
    return stored


def _recorded_rejects(table: Table, by_key: dict[tuple[str, str, str], Reject]) -> set[tuple[str, str, str]]:
    columns = ("collection", "item_id", "reason")
    condition = _has_id({item_id for _, item_id, _ in by_key})
    scanned = table.scan(row_filter=condition, selected_fields=columns).to_arrow()
    return set(zip(*(scanned.column(name).to_pylist() for name in columns), strict=True))


def _has_id(ids: set[str]) -> BooleanExpression:
    # Iceberg prunes files by bounds, but not by a long list of values.
    bounds = And(GreaterThanOrEqual(term="item_id", value=min(ids)), LessThanOrEqual(term="item_id", value=max(ids)))
    return And(bounds, In(term="item_id", literals=ids))


def _is_version(row: StacItemRow) -> BooleanExpression:
    key = And(EqualTo(term="collection", value=row.collection), EqualTo(term="item_id", value=row.item_id))
    return And(key, EqualTo(term="content_hash", value=row.content_hash))


def _any_of(conditions: Sequence[BooleanExpression]) -> BooleanExpression:
    first, *others = conditions
    return Or(first, *others) if others else first


def _shifted(time: datetime, by: timedelta) -> datetime:
    try:
        return time + by
    except OverflowError:
        return time
