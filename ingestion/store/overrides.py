"""The user's own BOA offsets: from a CSV file to `raw.boa_offset_overrides`. They outrank all other sources.

Overrides are state of the lake, not of an item: storing another file changes the scenes it names, and their chips, at
the next run, without another ingest.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from lakehouse.catalog import ensure_sources
from lakehouse.commits import commit, without_blind_retry
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.source_schemas import BOA_OFFSET_OVERRIDES, BOA_OFFSET_OVERRIDES_SCHEMA

MAX_OFFSET: Final = 10_000  # DN; beyond it every reflectance would be off by more than 1


class BoaOffsetOverride(BaseModel):
    """One line of the file: a condition on items, and their offset. An empty field matches any item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    collection: str | None = None
    item_id: str | None = None
    start_date: date | None = None  # first day of acquisition, UTC
    end_date: date | None = None  # last day of acquisition, UTC, included
    boa_offset: Annotated[int, Field(ge=-MAX_OFFSET, le=MAX_OFFSET)]  # added to the DN
    note: str | None = None

    @model_validator(mode="after")
    def _check_condition(self) -> BoaOffsetOverride:
        if not (self.collection or self.item_id or self.start_date or self.end_date):
            raise ValueError("it names neither collection nor item_id nor dates")
        if self.start_date and self.end_date and self.start_date > self.end_date:
            raise ValueError(f"start_date {self.start_date} is after end_date {self.end_date}")
        return self


_EXTRA_VALUES: Final = "values without a column"
COLUMNS: Final = tuple(BoaOffsetOverride.model_fields)


def read_boa_offsets(path: Path) -> tuple[BoaOffsetOverride, ...]:
    """Read the overrides of a CSV file with a header line, in order.

    Raises:
        ChiplakeError: the file cannot be read, or a line is wrong. The message names file, line and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restkey=_EXTRA_VALUES, strict=True)
            header = reader.fieldnames or []
            if "boa_offset" not in header or len(set(header)) != len(header) or not set(header) <= set(COLUMNS):
                raise ChiplakeError(
                    f"{path}: the first line should name columns of {','.join(COLUMNS)}, boa_offset among them"
                )
            return tuple(_override(path, reader.line_num, line) for line in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ChiplakeError(f"{path} cannot be read as CSV: {error}") from error


def _override(path: Path, number: int, line: dict[str, Any]) -> BoaOffsetOverride:
    if _EXTRA_VALUES in line:
        raise ChiplakeError(f"{path}, line {number}: it has more values than the first line has columns")
    values = {name: (value or "").strip() for name, value in line.items()}
    try:
        return BoaOffsetOverride.model_validate({name: value for name, value in values.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        column = f"column {first['loc'][0]}: " if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise ChiplakeError(f"{path}, line {number}: {column}{message}") from error


def stored_boa_offsets(settings: Settings) -> tuple[BoaOffsetOverride, ...]:
    """Return the stored overrides, in order."""
    return _stored(ensure_sources(settings).load_table(BOA_OFFSET_OVERRIDES))


def store_boa_offsets(overrides: Sequence[BoaOffsetOverride], settings: Settings) -> bool:
    """Replace the stored overrides by these, in one commit. Return False if these are stored already.

    Raises:
        ChiplakeError: other writers commit to the table without pause.
    """
    catalog = ensure_sources(settings)
    return commit(catalog, BOA_OFFSET_OVERRIDES, lambda table: _replace(table, tuple(overrides)))


def _replace(table: Table, overrides: tuple[BoaOffsetOverride, ...]) -> bool:
    if _stored(table) == overrides:
        return False
    rows = [override.model_dump() | {"position": position} for position, override in enumerate(overrides)]
    with without_blind_retry(table).transaction() as transaction:
        if table.current_snapshot() is not None:
            transaction.delete(AlwaysTrue())
        transaction.append(pa.Table.from_pylist(rows, schema_to_pyarrow(BOA_OFFSET_OVERRIDES_SCHEMA)))
    return True


def _stored(table: Table) -> tuple[BoaOffsetOverride, ...]:
    rows = table.scan().to_arrow().sort_by("position").to_pylist()
    return tuple(BoaOffsetOverride(**{name: row[name] for name in COLUMNS}) for row in rows)
