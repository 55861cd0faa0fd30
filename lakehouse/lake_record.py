"""How a lake was made: the settings that its rows depend on, kept in the lake itself (`raw.lake_settings`).

A schema of models has one row a setting. The first job or `dbt build` writes them. A later one with
other settings prints the difference: without the box, whole tiles would be cut. `chiplake settings --record` replaces
them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

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

_CHIPS: Final = "fct_chips"
# Groups whose settings all shape rows, and the settings of other groups that do.
_GROUPS: Final = ("filling", "change")
_NAMES: Final = ("bands", "bbox", "valid_scl_classes", "embed_min_complete", "embed_bbox", "embed_int8")
# Boxes: a run without one cuts, or embeds, everything.
_LIMITS: Final = {"bbox": "whole tiles would be cut", "embed_bbox": "chips of the whole lake would be embedded"}
_NONE: Final = "null"

Record = Mapping[str, str]  # values in the form of environment variables, by name of the setting


@dataclass(frozen=True)
class Difference:
    """A setting that the lake was made with differs from that of this process."""

    name: str  # dbt variable, such as bands
    variable: str  # environment variable
    here: str  # value in this process, in the form of an environment variable; null: none
    lake: str  # value in the lake, likewise

    @property
    def is_lost_limit(self) -> bool:
        """Whether the lake was made with a box, and this process has none."""
        return self.name in _LIMITS and self.here == _NONE

    @property
    def line(self) -> str:
        """What differs, and the remedy."""
        remedy = f"set {self.variable}={self.lake}, or accept the change with `chiplake settings --record`"
        if self.is_lost_limit:
            reason = _LIMITS[self.name]
            return f"the lake was made with {self.variable}={self.lake}; none is set here, so {reason}: {remedy}"
        return f"{self.variable} is {self.here} here; the lake was made with {self.lake}: {remedy}"


def shaping_settings(settings: Settings) -> list[Setting]:
    """Return the settings that rows depend on."""
    return [one for one in list_settings(settings) if one.group in _GROUPS or one.name in _NAMES]


def read_records(catalog: Catalog) -> dict[str, Record]:
    """Return the recorded settings by schema of models."""
    return _records_in(catalog.load_table(LAKE_SETTINGS))


def write_record(catalog: Catalog, settings: Settings) -> None:
    """Make these settings those of the lake, for the schema of their models.

    Args:
        catalog: the lake.
        settings: the settings.

    Raises:
        ChiplakeError: other processes keep writing the table.
    """
    schema = settings.lake.target_schema
    now = datetime.now(UTC)
    rows = [
        {"schema_name": schema, "setting": one.name, "value": one.value, "recorded_at": now}
        for one in shaping_settings(settings)
    ]
    content = pa.Table.from_pylist(rows, schema=LAKE_SETTINGS_SCHEMA.as_arrow())

    def write(table: Table) -> None:
        if schema in _records_in(table):
            without_blind_retry(table).overwrite(content, overwrite_filter=EqualTo(term="schema_name", value=schema))
        else:
            without_blind_retry(table).append(content)

    commit(catalog, LAKE_SETTINGS, write)


def differences(record: Record, settings: Settings) -> tuple[Difference, ...]:
    """Return the settings that differ from a record. Settings that the record lacks are of a later release."""
    return tuple(
        Difference(one.name, one.variable, _shown(one.value), _shown(record[one.name]))
        for one in shaping_settings(settings)
        if record.get(one.name, one.value) != one.value
    )


def meet_lake(settings: Settings, variables: Mapping[str, Any] | None = None) -> tuple[Difference, ...]:
    """Compare settings with those that the lake was made with, and record them in a lake that has no chips yet.

    A schema without a record of its own is compared with the main one.

    Args:
        settings: the settings of this process.
        variables: dbt variables of this run. They are meant for this run, so they are no difference.

    Returns:
        The differences; none if the settings were recorded.
    """
    variables = variables or {}
    given = {one.name: variables[one.name] for one in shaping_settings(settings) if variables.get(one.name) is not None}
    settings = settings.replace(**given)
    catalog = ensure_sources(settings)
    records = read_records(catalog)
    schema = settings.lake.target_schema
    record = records.get(schema, records.get(DEFAULT_SCHEMA))
    found = differences(record, settings) if record else ()
    is_new = schema not in records or (bool(found) and not catalog.table_exists(settings.lake.table(_CHIPS)))
    if is_new and not any(one.is_lost_limit for one in found):
        write_record(catalog, settings)
        return ()
    return tuple(one for one in found if one.is_lost_limit or one.name not in given)


def refuse_lost_limits(found: tuple[Difference, ...]) -> None:
    """Refuse to cut or embed without the box that the lake was made with.

    Raises:
        ChiplakeError: the lake was made with a box, and none is set.
    """
    for one in found:
        if one.is_lost_limit:
            raise ChiplakeError(one.line)


def _records_in(table: Table) -> dict[str, Record]:
    records: dict[str, dict[str, str]] = {}
    for row in table.scan().to_arrow().to_pylist():
        records.setdefault(row["schema_name"], {})[row["setting"]] = row["value"]
    return dict(records)


def _shown(value: str) -> str:
    """Write a value as a user sets it: a list with commas."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return ",".join(map(str, parsed)) if isinstance(parsed, list) else value
