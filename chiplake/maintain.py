"""Keeps the tables of the lake in shape: small files merged, old snapshots and files that nothing refers to removed.

Rows never change. A reader at work keeps its snapshot, whose files stay until the snapshot expires, days later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Operation, ancestors_of
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row, SparkSession

from lakehouse.catalog import MODEL_NAMESPACE, open_catalog
from lakehouse.errors import ChiplakeError, error_line
from lakehouse.settings import CATALOG_NAME, Settings
from lakehouse.source_schemas import RAW_NAMESPACE

# Iceberg's own defaults.
DEFAULT_TARGET_FILE_BYTES: Final = 512 * 1024 * 1024
DEFAULT_TARGET_MANIFEST_BYTES: Final = 8 * 1024 * 1024
SMALL_FILE_RATIO: Final = 0.75
# Iceberg merges manifests itself only from a hundred on; each is a request for whoever plans a scan.
MIN_MANIFESTS_TO_MERGE: Final = 10

# Chips of one place lie together and in order of time, as most queries ask for them.
_SORT_COLUMNS: Final = ("geohash", "acquired_at")
# Rows that a merge has replaced leave the files, so that no reader has to skip them.
_PLAN_OPTIONS: Final = {"delete-file-threshold": "1"}
# Commits of a few partitions each: a writer in between costs those it touched, not the work of hours.
_PARTIAL_PROGRESS: Final = {"partial-progress.enabled": "true"}

# What can be wrong with one table: a file of it is not there, a procedure failed, it was dropped meanwhile.
_FAILURES: Final = (ChiplakeError, NoSuchTableError, OSError, PySparkException, Py4JError)

_Literal = str | bool | int | datetime | dict[str, str]


class Step(StrEnum):
    """What can be done to a table, in this order."""

    COMPACT = "compact"
    EXPIRE = "expire"
    ORPHANS = "orphans"


class Outcome(StrEnum):
    """How it went with a table."""

    PLANNED = "planned"
    DONE = "done"
    UNCHANGED = "nothing to do"
    LEFT = "left for the next time"
    FAILED = "failed"


@dataclass(frozen=True)
class Retention:
    """What is kept.

    Attributes:
        expire_before: snapshots older than this expire.
        retain_last: so many of the newest snapshots never expire.
        orphans_before: files that nothing refers to go if they are older than this; Iceberg wants at least a day.
    """

    expire_before: datetime
    retain_last: int
    orphans_before: datetime

    @classmethod
    def of_days(cls, older_than_days: int, retain_last: int, orphan_days: int) -> Retention:
        """The same in days before now."""
        now = datetime.now(UTC)
        return cls(now - timedelta(days=older_than_days), retain_last, now - timedelta(days=orphan_days))


@dataclass(frozen=True)
class TableState:
    """A table's files and snapshots.

    Attributes:
        data_files: data files of the current snapshot.
        small_files: those of them below three quarters of the target size.
        groups_to_rewrite: groups of files, one a partition if it is not huge, that Iceberg would rewrite: with five
            or more small files, with too large ones, or with deleted rows.
        delete_files: files that say which rows of the data files are gone.
        size_bytes: bytes of all these files.
        snapshots: snapshots, the current one included.
    """

    data_files: int
    small_files: int
    groups_to_rewrite: int
    delete_files: int
    size_bytes: int
    snapshots: int


@dataclass(frozen=True)
class TableReport:
    """What was done, or in a dry run would be done, to a table.

    Attributes:
        table: name with namespace.
        outcome: how it went.
        before: the table as it was; None if it could not be read.
        after: the table as it is now.
        expired: snapshots expired.
        orphans: files removed to which nothing referred.
        detail: why the table was left, or what failed.
    """

    table: str
    outcome: Outcome
    before: TableState | None = None
    after: TableState | None = None
    expired: int = 0
    orphans: tuple[str, ...] = ()
    detail: str = ""


def chosen_tables(catalog: Catalog, names: Sequence[str]) -> list[str]:
    """Full names of the tables asked for, in order of name; all of the lake if none is asked for.

    Args:
        catalog: the lake.
        names: names such as `raw.stac_items`; one without a namespace is a model's, such as `fct_chips`.

    Raises:
        ChiplakeError: there is no such table.
    """
    present = sorted(
        ".".join(identifier)
        for namespace in (RAW_NAMESPACE, MODEL_NAMESPACE)
        for identifier in catalog.list_tables(namespace)
    )
    wanted = {name if "." in name else f"{MODEL_NAMESPACE}.{name}" for name in names}
    for name in sorted(wanted - set(present)):
        raise ChiplakeError(f"there is no table {name!r}; choose from {', '.join(present)}")
    return [name for name in present if name in wanted or not wanted]


def maintain(
    settings: Settings,
    tables: Sequence[str],
    steps: Iterable[Step],
    retention: Retention,
    dry_run: bool = False,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[TableReport]:
    """Compact tables, expire their snapshots and remove files that nothing refers to.

    A table that fails, or that a writer keeps busy, does not stop the others. Call it in the thread that made the Spark
    session: in others Iceberg does not find the files of its own plan.

    Args:
        settings: where the lake is.
        tables: names as `chosen_tables` gives them.
        steps: what to do; the order is always that of `Step`.
        retention: what is kept.
        dry_run: only say what would be done, and write nothing.
        on_progress: called after each table with the number of tables done.

    Returns:
        A report a table.
    """
    from python_udfs.session import get_spark  # starts a JVM

    spark = get_spark(settings)
    catalog = open_catalog(settings)
    keeper = _Keeper(spark, catalog, frozenset(steps), retention)
    reports = []
    for table in tables:
        report = keeper.plan(table) if dry_run else keeper.maintain(table)
        reports.append(report)
        on_progress(len(reports))
    return reports


@dataclass(frozen=True)
class _Keeper:
    """Maintains one table after the other."""

    spark: SparkSession
    catalog: Catalog
    steps: frozenset[Step]
    retention: Retention

    def plan(self, name: str) -> TableReport:
        """What `maintain` would do."""
        try:
            table = self.catalog.load_table(name)
            return TableReport(
                name,
                Outcome.PLANNED,
                before=table_state(self.spark, table),
                expired=len(expirable(table.metadata, self.retention)) if Step.EXPIRE in self.steps else 0,
                orphans=self._orphans(table) if Step.ORPHANS in self.steps else (),
            )
        except _FAILURES as error:
            return TableReport(name, Outcome.FAILED, detail=error_line(error))

    def maintain(self, name: str) -> TableReport:
        """Do the steps; what goes wrong is in the report."""
        report = TableReport(name, Outcome.UNCHANGED)
        known: set[int] = set()
        try:
            table = self.catalog.load_table(name)
            known = {snapshot.snapshot_id for snapshot in table.metadata.snapshots}
            report = replace(report, before=table_state(self.spark, table))
            unwritten = self._compact(table, known) if Step.COMPACT in self.steps else 0
            table.refresh()
            expirables = expirable(table.metadata, self.retention) if Step.EXPIRE in self.steps else set()
            if expirables:
                self._expire(name)
                table.refresh()
                there = {snapshot.snapshot_id for snapshot in table.metadata.snapshots}
                report = replace(report, expired=len(expirables - there))
            if Step.ORPHANS in self.steps:
                report = replace(report, orphans=self._remove_orphans(table))
            report = replace(report, after=table_state(self.spark, table))
            if unwritten:
                return replace(report, outcome=Outcome.LEFT, detail=f"another wrote to {unwritten} partitions")
        except _FAILURES as error:
            outcome = Outcome.LEFT if self._others_wrote(name, known) else Outcome.FAILED
            return replace(report, outcome=outcome, detail=error_line(error))
        is_changed = report.before != report.after or report.expired or report.orphans
        return replace(report, outcome=Outcome.DONE if is_changed else Outcome.UNCHANGED)

    def _compact(self, table: Table, known: set[int]) -> int:
        """Rewrite files and manifests where it pays. Returns the number of groups that another writer kept busy."""
        name = _full_name(table)
        left = self._rewrite_data_files(name, _PARTIAL_PROGRESS)
        if left and not self._others_wrote(name, known):
            # Iceberg keeps to itself why a commit of a few partitions failed; in one commit it says so.
            left = self._rewrite_data_files(name, {})
        if table_state(self.spark, table.refresh()).delete_files:
            # Delete files of rows that are in no file any more; only this drops those of the newest commits.
            self._call("rewrite_position_delete_files", name, options={"rewrite-all": "true"})
        manifests = self.spark.sql(
            "select count(*) as files, sum(length) as bytes from {manifests} where content = 0",
            manifests=_metadata(self.spark, name, "manifests"),
        ).collect()[0]
        target = int(table.properties.get("commit.manifest.target-size-bytes", DEFAULT_TARGET_MANIFEST_BYTES))
        if manifests.files >= max(MIN_MANIFESTS_TO_MERGE, 2 * (manifests.bytes or 0) / target):
            self._call("rewrite_manifests", name)
        return left

    def _rewrite_data_files(self, name: str, options: dict[str, str]) -> int:
        """Merge small files, and leave out deleted rows. Returns the number of groups that could not be rewritten.

        Not by Iceberg's procedure, which cannot read a sort order where Sedona's parser is the outer one.
        """
        planned = _groups_to_rewrite(self.spark, name)
        if not planned:
            return 0
        iceberg = _iceberg(self.spark)
        table = _iceberg_table(self.spark, name)
        actions = iceberg.spark.actions.SparkActions.get(self.spark._jsparkSession)
        action = actions.rewriteDataFiles(table).options(_PLAN_OPTIONS | options)
        columns = [column for column in _SORT_COLUMNS if table.schema().findField(column) is not None]
        if _SORT_COLUMNS[0] in columns:
            order = iceberg.SortOrder.builderFor(table.schema())
            for column in columns:
                order = order.asc(column)
            action = action.sort(order.build())
        # What Iceberg itself counts as failed leaves out groups whose commit failed.
        return max(0, planned - len(action.execute().rewriteResults()))

    def _expire(self, name: str) -> None:
        kept = self.retention
        self._call("expire_snapshots", name, older_than=kept.expire_before, retain_last=kept.retain_last)

    def _orphans(self, table: Table) -> tuple[str, ...]:
        """Files in the table's folder to which nothing refers.

        Raises:
            ChiplakeError: another table lies in the same folder, or a file is in use after all.
        """
        name = _full_name(table)
        self._raise_if_folder_is_shared(table)
        orphans = self._call_for_orphans(table, dry_run=True)
        if orphans:
            raise_if_referenced(self.spark, name, orphans)
        return orphans

    def _remove_orphans(self, table: Table) -> tuple[str, ...]:
        return self._call_for_orphans(table, dry_run=False) if self._orphans(table) else ()

    def _call_for_orphans(self, table: Table, dry_run: bool) -> tuple[str, ...]:
        # Object stores are listed by the table's own client: Hadoop has none for them here.
        is_local = urlsplit(table.location()).scheme in ("", "file")
        found = self._call(
            "remove_orphan_files",
            _full_name(table),
            older_than=self.retention.orphans_before,
            dry_run=dry_run,
            prefix_listing=not is_local,
        )
        return tuple(sorted(row.orphan_file_location for row in found))

    def _raise_if_folder_is_shared(self, table: Table) -> None:
        """A renamed table keeps its folder, and a new one of the old name may get the same."""
        name, folder = _full_name(table), f"{_place(table.location())}/"
        for namespace in self.catalog.list_namespaces():
            for identifier in self.catalog.list_tables(namespace):
                other = ".".join(identifier)
                if other == name:
                    continue
                with suppress(NoSuchTableError):  # dropped since it was listed
                    other_folder = f"{_place(self.catalog.load_table(identifier).location())}/"
                    if folder.startswith(other_folder) or other_folder.startswith(folder):
                        raise ChiplakeError(
                            f"{name} and {other} lie in one folder, {table.location()}: files of the one would be "
                            "orphans of the other; make one of them anew"
                        )

    def _others_wrote(self, name: str, known: set[int]) -> bool:
        """Whether someone else committed to the table, or dropped it, since its snapshots were those known."""
        try:
            snapshots = self.catalog.load_table(name).metadata.snapshots
        except NoSuchTableError:
            return True
        except OSError:  # its metadata cannot be read, which is the failure itself
            return False
        ours = self.spark.sparkContext.applicationId
        return any(
            snapshot.snapshot_id not in known
            and snapshot.summary is not None
            and (snapshot.summary.operation != Operation.REPLACE or snapshot.summary["app-id"] != ours)
            for snapshot in snapshots
        )

    def _call(self, procedure: str, table: str, **arguments: _Literal) -> list[Row]:
        """Call one of Iceberg's procedures. (CALL takes no parameters, so the arguments are literals.)"""
        named = {"table": _quoted(table)} | arguments
        written = ", ".join(f"{name} => {_literal(value)}" for name, value in named.items())
        return self.spark.sql(f"call {CATALOG_NAME}.system.{procedure}({written})").collect()


def table_state(spark: SparkSession, table: Table) -> TableState:
    """Files and snapshots of a table as it is now."""
    target = int(table.properties.get("write.target-file-size-bytes", DEFAULT_TARGET_FILE_BYTES))
    found = spark.sql(
        """
        select
            count_if(content = 0) as data_files,
            count_if(content = 0 and file_size_in_bytes < :least) as small_files,
            count_if(content <> 0) as delete_files,
            coalesce(sum(file_size_in_bytes), 0) as size_bytes
        from {files}
        """,
        args={"least": int(SMALL_FILE_RATIO * target)},
        files=_metadata(spark, _full_name(table), "files"),
    ).collect()[0]
    return TableState(
        **found.asDict(),
        groups_to_rewrite=_groups_to_rewrite(spark, _full_name(table)),
        snapshots=len(table.metadata.snapshots),
    )


def _groups_to_rewrite(spark: SparkSession, name: str) -> int:
    table = _iceberg_table(spark, name)
    if table.currentSnapshot() is None:
        return 0
    planner = _iceberg(spark).actions.BinPackRewriteFilePlanner(table)
    planner.init(_PLAN_OPTIONS)
    return int(planner.plan().totalGroupCount())


def expirable(metadata: TableMetadata, retention: Retention) -> set[int]:
    """Ids of the snapshots that would expire, by Iceberg's rules.

    Kept are the newest of each branch, all that are young enough, and those with a tag.
    """
    cutoff_ms = int(retention.expire_before.timestamp() * 1000)
    kept: set[int] = set()
    for ref in metadata.refs.values():
        if ref.snapshot_ref_type == SnapshotRefType.TAG:
            kept.add(ref.snapshot_id)
            continue
        least = ref.min_snapshots_to_keep or retention.retain_last
        for place, snapshot in enumerate(ancestors_of(metadata.snapshot_by_id(ref.snapshot_id), metadata)):
            if place >= least and snapshot.timestamp_ms < cutoff_ms:
                break
            kept.add(snapshot.snapshot_id)
    return {
        snapshot.snapshot_id
        for snapshot in metadata.snapshots
        if snapshot.snapshot_id not in kept and snapshot.timestamp_ms < cutoff_ms
    }


def raise_if_referenced(spark: SparkSession, name: str, orphans: Sequence[str]) -> None:
    """Look for the orphans among all files of all snapshots once more, by their last name alone.

    The engines write one place in several ways (`/x`, `file:/x`, `file:///x`), and a file taken for an orphan because
    of that would be lost. File names hold a UUID, so the last name is enough.

    Raises:
        ChiplakeError: a file is in use.
    """
    used = spark.sql(
        """
        with referenced as (
            select file_path as path from {files}
            union all
            select path from {manifests}
            union all
            select manifest_list from {snapshots}
            union all
            select file from {metadata_files}
        )
        select path from referenced
        left semi join {orphans} as orphans on element_at(split(path, '/'), -1) = orphans.name
        limit 1
        """,
        files=_metadata(spark, name, "all_files"),
        manifests=_metadata(spark, name, "all_manifests"),
        snapshots=_metadata(spark, name, "snapshots"),
        metadata_files=_metadata(spark, name, "metadata_log_entries"),
        orphans=spark.createDataFrame([(_last_name(path),) for path in orphans], "name string"),
    ).collect()
    if used:
        raise ChiplakeError(
            f"{name}: {used[0].path} is in use but was taken for an orphan; nothing was removed. The table was "
            "written under several addresses of one place: make it anew, or leave orphans with --only"
        )


def _iceberg(spark: SparkSession) -> Any:
    """Iceberg's Java package."""
    return spark._jvm.org.apache.iceberg  # type: ignore[union-attr]


def _iceberg_table(spark: SparkSession, name: str) -> Any:
    """The table as Iceberg's Java classes take it, as it is now."""
    full_name = f"{CATALOG_NAME}.{_quoted(name)}"
    return _iceberg(spark).spark.Spark3Util.loadIcebergTable(spark._jsparkSession, full_name)


def _metadata(spark: SparkSession, name: str, table: str) -> DataFrame:
    """One of Iceberg's metadata tables, such as `files`."""
    return spark.table(f"{CATALOG_NAME}.{_quoted(name)}.{table}")


def _full_name(table: Table) -> str:
    return ".".join(table.name()[-2:])


def _quoted(name: str) -> str:
    """The name as an identifier of SQL, whatever it holds."""
    namespace, table = name.split(".", 1)
    return ".".join("`" + part.replace("`", "``") + "`" for part in (namespace, table))


def _literal(value: _Literal) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case datetime():
            return f"timestamp {_literal(value.astimezone(UTC).isoformat())}"
        case dict():
            return f"map({', '.join(_literal(part) for pair in value.items() for part in pair)})"
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _last_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _place(location: str) -> str:
    """A location without its scheme, so that `s3a://b/x` and `s3://b/x` compare alike, `/x` and `file:///x` too."""
    return re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:", "", location).strip("/")
