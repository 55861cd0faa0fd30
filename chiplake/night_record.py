"""Whether a night has anything to do: the lake keeps a digest of everything that the last complete night depended on.

A night is complete if it did everything: no chip failed, and no test warned. If nothing has changed since, another one
would compare all tables, run all tests and write nothing. The digest is a property of `raw.lake_settings`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lakehouse.catalog import open_catalog
from lakehouse.code_digest import code_digest
from lakehouse.commits import commit, without_blind_retry
from lakehouse.days import Days
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.settings.listing import list_settings
from lakehouse.source_schemas import LAKE_SETTINGS, RAW_NAMESPACE

_PROPERTY: Final = "chiplake.complete-night-of-"  # and the schema of the models

# Settings that change nothing: they name the run, or are for estimates.
_WITHOUT_EFFECT: Final = (
    "schedule_run_id",
    "schedule_stage",
    "schedule_image",
    "schedule_report",
    "schedule_unrecorded",
    "instance_price_per_hour",
)
# What a night runs besides the code that makes rows: models, jobs, the encoder and the tests.
_PARTS_OF_A_NIGHT: Final = ("dbt_project.yml", "selectors.yml", "models", "tests/dbt", "chiplake", "embedding")


def was_complete(settings: Settings, days: Days) -> bool:
    """Return whether nothing has changed since the last complete night of these days."""
    catalog = open_catalog(settings)
    recorded = catalog.load_table(LAKE_SETTINGS).properties.get(_PROPERTY + settings.lake.target_schema)
    return recorded is not None and recorded == _digest(catalog, settings, days)


def record_complete_night(settings: Settings, days: Days) -> None:
    """Note in the lake that a night of these days was complete. This makes no snapshot.

    Raises:
        ChiplakeError: other processes keep writing the table.
    """
    catalog = open_catalog(settings)
    note = {_PROPERTY + settings.lake.target_schema: _digest(catalog, settings, days)}

    def write(table: Table) -> None:
        with without_blind_retry(table).transaction() as transaction:
            transaction.set_properties(note)

    commit(catalog, LAKE_SETTINGS, write)


def _digest(catalog: Catalog, settings: Settings, days: Days) -> str:
    parts = [
        code_digest(PROJECT_DIR, settings.runtime.function_names, _PARTS_OF_A_NIGHT),
        f"{days.start} {days.end}",
        *(f"{one.variable}={one.value}" for one in list_settings(settings) if one.name not in _WITHOUT_EFFECT),
        _state_of_file(settings.clay.checkpoint),
        _state_of_file(settings.clay.card),
        *_snapshots(catalog, (RAW_NAMESPACE, settings.lake.target_schema)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _state_of_file(path: Path | None) -> str:
    """Return what changes when a file is replaced, without reading its gigabytes."""
    if path is None or not path.is_file():
        return ""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def _snapshots(catalog: Catalog, namespaces: tuple[str, ...]) -> Iterator[str]:
    for namespace in namespaces:
        if catalog.namespace_exists(namespace):
            for name in sorted(catalog.list_tables(namespace)):
                yield f"{'.'.join(name)} {catalog.load_table(name).metadata.current_snapshot_id}"
