"""A run of maintenance over the tables of the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from chiplake.maintain.compaction import compact
from chiplake.maintain.model import Outcome, Retention, Step, TableReport
from chiplake.maintain.orphans import find_orphans, remove_orphans
from chiplake.maintain.procedures import call_procedure
from chiplake.maintain.state import expirable, table_state
from lakehouse.catalog import open_catalog
from lakehouse.causes import root_cause
from lakehouse.errors import ChiplakeError
from lakehouse.locks import FOLDER_PROPERTY, LockedError, table_lock
from lakehouse.publication import dead_branches
from lakehouse.settings import Settings
from lakehouse.settings.lake import DEFAULT_SCHEMA
from lakehouse.source_schemas import SOURCE_NAMESPACES

# What can be wrong with one table: a file is missing, a procedure failed, or the table was dropped meanwhile.
_FAILURES: Final = (ChiplakeError, NoSuchTableError, OSError, PySparkException, Py4JError)


def chosen_tables(catalog: Catalog, names: Sequence[str], schema: str = DEFAULT_SCHEMA) -> list[str]:
    """Return the full names of the given tables, or of all sources and models if none is given, sorted.

    Args:
        catalog: the lake.
        names: names such as `raw.stac_items`; a name without a namespace is a model's, such as `fct_chips`.
        schema: schema of the models; tables of other schemas are not touched.

    Raises:
        ChiplakeError: a table does not exist.
    """
    present = sorted(
        ".".join(identifier)
        for namespace in (*SOURCE_NAMESPACES, schema)
        for identifier in catalog.list_tables(namespace)
    )
    wanted = {name if "." in name else f"{schema}.{name}" for name in names}
    for name in sorted(wanted - set(present)):
        raise ChiplakeError(f"there is no table {name!r}; choose from {', '.join(present)}")
    return [name for name in present if name in wanted or not wanted]


def maintain(
    settings: Settings,
    tables: Sequence[str],
    steps: Iterable[Step],
    retention: Retention,
    dry_run: bool = False,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> list[TableReport]:
    """Compact tables, expire their snapshots and remove files that nothing refers to.

    A table that fails, or that a writer keeps busy, does not stop the others. Call it in the thread that made the Spark
    session: in other threads Iceberg does not find the files of its own plan.

    Args:
        settings: where the lake is.
        tables: names as `chosen_tables` returns them.
        steps: what to do; the order is always that of `Step`.
        retention: what is kept.
        dry_run: report what would be done, and write nothing.
        on_progress: called after each table with the number of tables done.

    Returns:
        A report a table.
    """
    from python_udfs.session import get_spark  # starts a JVM

    spark = get_spark(settings)
    maintenance = _Maintenance(spark, open_catalog(settings), frozenset(steps), retention)
    reports = []
    for table in tables:
        reports.append(maintenance.plan(table) if dry_run else maintenance.run(table))
        on_progress(len(reports))
    return reports


@dataclass(frozen=True)
class _Maintenance:
    """The steps of maintenance, applied to one table at a time."""

    spark: SparkSession
    catalog: Catalog
    steps: frozenset[Step]
    retention: Retention

    def plan(self, name: str) -> TableReport:
        """Report what `run` would do."""
        try:
            table = self.catalog.load_table(name)
            return TableReport(
                name,
                Outcome.PLANNED,
                before=table_state(self.spark, table),
                expired=len(self._expirable(table)),
                orphans=(
                    find_orphans(self.spark, self.catalog, table, self.retention.orphans_before)
                    if Step.ORPHANS in self.steps
                    else ()
                ),
            )
        except _FAILURES as error:
            return TableReport(name, Outcome.FAILED, detail=root_cause(error))

    def run(self, name: str) -> TableReport:
        """Do the steps once no job writes the table. A failure becomes part of the report."""
        try:
            with table_lock(self.catalog.properties, name):
                return self._run_alone(name)
        except LockedError as error:
            return TableReport(name, Outcome.LEFT, detail=str(error))

    def _run_alone(self, name: str) -> TableReport:
        report = TableReport(name, Outcome.UNCHANGED)
        known: set[int] = set()
        try:
            table = self.catalog.load_table(name)
            known = _snapshot_ids(table)
            report = replace(report, before=table_state(self.spark, table))
            self._remove_dead_branches(table)
            unwritten = 0
            if Step.COMPACT in self.steps:
                unwritten = compact(self.spark, table, lambda: self._is_written_by_others(name, known))
            report = replace(report, expired=self._expire(table.refresh(), name))
            if Step.ORPHANS in self.steps:
                orphans = remove_orphans(self.spark, self.catalog, table, self.retention.orphans_before)
                report = replace(report, orphans=orphans)
            report = replace(report, after=table_state(self.spark, table))
            if unwritten:
                return replace(
                    report, outcome=Outcome.LEFT, detail=f"another writer changed {unwritten} partitions meanwhile"
                )
        except _FAILURES as error:
            outcome = Outcome.LEFT if self._is_written_by_others(name, known) else Outcome.FAILED
            return replace(report, outcome=outcome, detail=root_cause(error))
        is_changed = report.before != report.after or report.expired or report.orphans
        return replace(report, outcome=Outcome.DONE if is_changed else Outcome.UNCHANGED)

    def _remove_dead_branches(self, table: Table) -> None:
        """Remove what runs have left that ended without publishing; their files go when the snapshots expire."""
        for branch in dead_branches(table, has_locks=FOLDER_PROPERTY in self.catalog.properties):
            table.manage_snapshots().remove_branch(branch).commit()
            table.refresh()

    def _expirable(self, table: Table) -> set[int]:
        return expirable(table.metadata, self.retention) if Step.EXPIRE in self.steps else set()

    def _expire(self, table: Table, name: str) -> int:
        """Expire snapshots, refresh the table, and return the number of snapshots that are gone."""
        expirables = self._expirable(table)
        if not expirables:
            return 0
        call_procedure(
            self.spark,
            "expire_snapshots",
            name,
            older_than=self.retention.expire_before,
            retain_last=self.retention.retain_last,
        )
        return len(expirables - _snapshot_ids(table.refresh()))

    def _is_written_by_others(self, name: str, known: set[int]) -> bool:
        """Return whether another application has committed to the table, or dropped it, beyond the known snapshots."""
        try:
            snapshots = self.catalog.load_table(name).metadata.snapshots
        except NoSuchTableError:
            return True
        except OSError:  # the metadata cannot be read, which is the failure itself
            return False
        own_application = self.spark.sparkContext.applicationId
        return any(
            snapshot.snapshot_id not in known
            and snapshot.summary is not None
            and (snapshot.summary.operation != Operation.REPLACE or snapshot.summary["app-id"] != own_application)
            for snapshot in snapshots
        )


def _snapshot_ids(table: Table) -> set[int]:
    return {snapshot.snapshot_id for snapshot in table.metadata.snapshots}
