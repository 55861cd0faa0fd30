"""The state of a table: its files, its snapshots, and which of them maintenance would change."""

from __future__ import annotations

from typing import Final

from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import ancestors_of
from pyspark.sql import SparkSession

from chiplake.maintain.model import Retention, TableState
from chiplake.maintain.procedures import full_name, iceberg_package, java_table, metadata_table

# Iceberg's own defaults.
DEFAULT_TARGET_FILE_BYTES: Final = 512 * 1024 * 1024
SMALL_FILE_RATIO: Final = 0.75

# A file with one deleted row is rewritten, so that no reader has to skip deleted rows.
PLAN_OPTIONS: Final = {"delete-file-threshold": "1"}


def table_state(spark: SparkSession, table: Table) -> TableState:
    """Read the current state of a table."""
    name = full_name(table)
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
        files=metadata_table(spark, name, "files"),
    ).collect()[0]
    return TableState(
        **found.asDict(),
        groups_to_rewrite=groups_to_rewrite(spark, name),
        snapshots=len(table.metadata.snapshots),
    )


def groups_to_rewrite(spark: SparkSession, name: str) -> int:
    """Return the number of groups of files that a compaction would rewrite, by Iceberg's own planner."""
    table = java_table(spark, name)
    if table.currentSnapshot() is None:
        return 0
    planner = iceberg_package(spark).actions.BinPackRewriteFilePlanner(table)
    planner.init(PLAN_OPTIONS)
    return int(planner.plan().totalGroupCount())


def expirable(metadata: TableMetadata, retention: Retention) -> set[int]:
    """Return the ids of the snapshots that would expire, by Iceberg's rules.

    Iceberg keeps the newest snapshots of each branch, all that are young enough, and those with a tag.
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
