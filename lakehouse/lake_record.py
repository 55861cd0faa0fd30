"""How a lake was made: the settings that its rows depend on, kept in the lake itself (`raw.lake_settings`).

A schema of models has one row a setting. The first job or `dbt build` writes them. A later one with
other settings prints the difference: without the box, whole tiles would be cut. `chiplake settings --record` replaces
them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table

from lakehouse.catalog import ensure_sources
from lakehouse.commits import commit, without_blind_retry
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.settings.lake import DEFAULT_SCHEMA
from lakehouse.settings.listing import Setting, list_settings
from lakehouse.source_schemas import LAKE_SETTINGS, LAKE_SETTINGS_SCHEMA
from lakehouse.sql_literals import text_literal

_CHIPS: Final = "fct_chips"
# Groups whose settings all shape rows, and the settings of other groups that do.
_GROUPS: Final = ("filling", "composites", "change")
_NAMES: Final = (
    *("bands", "bbox", "probabilities", "valid_scl_classes"),
    *("embed_min_complete", "embed_bbox", "embed_int8"),
)
# Boxes: a run without one cuts, or embeds, everything.
_LIMITS: Final = {"bbox": "whole tiles would be cut", "embed_bbox": "chips of the whole lake would be embedded"}
_NONE: Final = "null"
_RECORD: Final = "`chiplake settings --record`"

Record = Mapping[str, str]  # values in the form of environment variables, by name of the setting


@dataclass(frozen=True)
class Difference:
    """A setting that the lake was made with differs from that of this process."""

    name: str  # dbt variable, such as bands
    variable: str  # environment variable
    here: str  # value in this process, in the form of an environment variable; null: none
    lake: str  # value in the lake, likewise
    record_command: str = _RECORD  # what accepts the change

    @property
    def is_lost_limit(self) -> bool:
        """Whether the lake was made with a box, and this process has none."""
        return self.name in _LIMITS and self.here == _NONE

    @property
    def line(self) -> str:
        """What differs, and the remedy."""
        remedy = f"set {self.variable}={self.lake}, or accept the change with {self.record_command}"
        if self.is_lost_limit:
            reason = _LIMITS[self.name]
            return f"the lake was made with {self.variable}={self.lake}; none is set here, so {reason}: {remedy}"
        return f"{self.variable} is {self.here} here; the lake was made with {self.lake}: {remedy}"


def shaping_settings(settings: Settings) -> list[Setting]:
    """Return the settings that rows depend on."""
    return [one for one in list_settings(settings) if one.group in _GROUPS or one.name in _NAMES]


class Lake(Protocol):
    """Where the settings of a lake are read and written."""

    @property
    def record_command(self) -> str:
        """The command of a user that replaces them."""

    def records(self) -> dict[str, Record]:
        """Return the recorded settings by schema of models."""

    def has_table(self, name: str) -> bool:
        """Return whether there is a table, given with its schema."""

    def record(self, schema: str, values: Record) -> None:
        """Make these settings those of the lake, for a schema of models."""


@dataclass(frozen=True)
class CatalogLake:
    """A lake whose catalog this process opens."""

    catalog: Catalog
    record_command: str = _RECORD

    def records(self) -> dict[str, Record]:
        """Return the recorded settings by schema of models."""
        return _records_in(self.catalog.load_table(LAKE_SETTINGS))

    def has_table(self, name: str) -> bool:
        """Return whether there is a table, given with its schema."""
        return self.catalog.table_exists(name)

    def record(self, schema: str, values: Record) -> None:
        """Make these settings those of the lake, for a schema of models.

        Raises:
            ChiplakeError: other processes keep writing the table.
        """
        now = datetime.now(UTC)
        rows = [
            {"schema_name": schema, "setting": name, "value": value, "recorded_at": now}
            for name, value in values.items()
        ]
        content = pa.Table.from_pylist(rows, schema=LAKE_SETTINGS_SCHEMA.as_arrow())

        def write(table: Table) -> None:
            if schema in _records_in(table):
                of_schema = EqualTo(term="schema_name", value=schema)
                without_blind_retry(table).overwrite(content, overwrite_filter=of_schema)
            else:
                without_blind_retry(table).append(content)

        commit(self.catalog, LAKE_SETTINGS, write)


@dataclass(frozen=True)
class ServedLake:
    """The lake of a server, which SQL reaches; the catalog of this process is another one."""

    run: Callable[[str], Sequence[Sequence[Any]]]  # runs a statement and returns its rows
    lock: Callable[[str], AbstractContextManager[None]]  # holds the lock of a table
    record_command: str = f"{_RECORD} where the server runs"

    def records(self) -> dict[str, Record]:
        """Return the recorded settings by schema of models."""
        return _by_schema(self.run(f"select schema_name, setting, value from {LAKE_SETTINGS}"))  # noqa: S608

    def has_table(self, name: str) -> bool:
        """Return whether there is a table, given with its schema."""
        schema, _, table = name.partition(".")
        if not self.run(f"show schemas like {text_literal(schema)}"):
            return False
        return bool(self.run(f"show tables in {schema} like {text_literal(table)}"))

    def record(self, schema: str, values: Record) -> None:
        """Make these settings those of the lake, for a schema of models, in one commit."""
        rows = ", ".join(f"({text_literal(name)}, {text_literal(value)})" for name, value in values.items())
        name = text_literal(schema)
        statement = f"""
            merge into {LAKE_SETTINGS} as target
            using (select * from values {rows} as given (setting, value)) as source
            on target.schema_name = {name} and target.setting = source.setting
            when matched then update set value = source.value, recorded_at = current_timestamp()
            when not matched then insert (schema_name, setting, value, recorded_at)
                values ({name}, source.setting, source.value, current_timestamp())
            when not matched by source and target.schema_name = {name} then delete
        """  # noqa: S608
        with self.lock(LAKE_SETTINGS):
            self.run(statement)


def shaping_values(settings: Settings) -> Record:
    """Return the values of the settings that rows depend on, by name."""
    return {one.name: one.value for one in shaping_settings(settings)}


def read_records(catalog: Catalog) -> dict[str, Record]:
    """Return the recorded settings by schema of models."""
    return CatalogLake(catalog).records()


def write_record(catalog: Catalog, settings: Settings) -> None:
    """Make these settings those of the lake, for the schema of their models.

    Args:
        catalog: the lake.
        settings: the settings.

    Raises:
        ChiplakeError: other processes keep writing the table.
    """
    CatalogLake(catalog).record(settings.lake.target_schema, shaping_values(settings))


def differences(record: Record, settings: Settings, record_command: str = _RECORD) -> tuple[Difference, ...]:
    """Return the settings that differ from a record. Settings that the record lacks are of a later release.

    Args:
        record: of the lake.
        settings: of this process.
        record_command: what accepts a change.
    """
    return tuple(
        Difference(one.name, one.variable, _shown(one.value), _shown(record[one.name]), record_command)
        for one in shaping_settings(settings)
        if record.get(one.name, one.value) != one.value
    )


def meet_lake(
    settings: Settings, variables: Mapping[str, Any] | None = None, lake: Lake | None = None
) -> tuple[Difference, ...]:
    """Compare settings with those that the lake was made with, and record them in a lake that has no chips yet.

    A schema without a record of its own is compared with the main one.

    Args:
        settings: the settings of this process.
        variables: dbt variables of this run. They are meant for this run, so they are no difference.
        lake: where the rows will be written; None for the lake of the settings.

    Returns:
        The differences; none if the settings were recorded.
    """
    variables = variables or {}
    given = {one.name: variables[one.name] for one in shaping_settings(settings) if variables.get(one.name) is not None}
    settings = settings.replace(**given)
    lake = lake or CatalogLake(ensure_sources(settings))
    records = lake.records()
    schema = settings.lake.target_schema
    found = _compared(records, settings, lake.record_command)
    is_new = schema not in records or (bool(found) and not lake.has_table(settings.lake.table(_CHIPS)))
    if is_new and not any(one.is_lost_limit for one in found):
        lake.record(schema, shaping_values(settings))
        return ()
    return tuple(one for one in found if one.is_lost_limit or one.name not in given)


def compare_lake(catalog: Catalog, settings: Settings) -> tuple[Difference, ...]:
    """Compare settings with those that a lake was made with, and write nothing.

    Args:
        catalog: the lake; it has the table raw.lake_settings.
        settings: the settings of this process.
    """
    return _compared(read_records(catalog), settings, _RECORD)


def _compared(records: Mapping[str, Record], settings: Settings, record_command: str) -> tuple[Difference, ...]:
    record = records.get(settings.lake.target_schema, records.get(DEFAULT_SCHEMA))
    return differences(record, settings, record_command) if record else ()


def refuse_lost_limits(found: tuple[Difference, ...]) -> None:
    """Refuse to cut or embed without the box that the lake was made with.

    Raises:
        ChiplakeError: the lake was made with a box, and none is set.
    """
    for one in found:
        if one.is_lost_limit:
            raise ChiplakeError(one.line)


def _records_in(table: Table) -> dict[str, Record]:
    rows = table.scan().to_arrow().to_pylist()
    return _by_schema((row["schema_name"], row["setting"], row["value"]) for row in rows)


def _by_schema(rows: Iterable[Sequence[Any]]) -> dict[str, Record]:
    records: dict[str, dict[str, str]] = {}
    for schema, setting, value in rows:
        records.setdefault(schema, {})[setting] = value
    return dict(records)


def _shown(value: str) -> str:
    """Write a value as a user sets it: a list with commas."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return ",".join(map(str, parsed)) if isinstance(parsed, list) else value
