"""Compaction: rewrite small data files, drop deleted rows, merge manifests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyiceberg.table import Table
from pyspark.sql import SparkSession

from chiplake.maintain.procedures import call_procedure, full_name, iceberg_package, java_table, metadata_table
from chiplake.maintain.state import PLAN_OPTIONS, groups_to_rewrite, table_state

# Iceberg's own default.
DEFAULT_TARGET_MANIFEST_BYTES: Final = 8 * 1024 * 1024
# Iceberg merges manifests by itself only from a hundred on; planning a scan takes a request for each manifest.
MIN_MANIFESTS_TO_MERGE: Final = 10

# Most queries ask for the chips of one place in order of time.
_SORT_COLUMNS: Final = ("geohash", "acquired_at")
# Each commit covers a few partitions: another writer in between costs only the partitions that it changed.
_PARTIAL_PROGRESS: Final = {"partial-progress.enabled": "true"}


def compact(spark: SparkSession, table: Table, is_written_by_others: Callable[[], bool]) -> int:
    """Rewrite data files and manifests where it pays.

    Args:
        spark: the session.
        table: the table; it is refreshed.
        is_written_by_others: whether someone else has committed to the table since maintenance began.

    Returns:
        The number of groups of files that could not be rewritten, as another writer changed them.
    """
    name = full_name(table)
    left = _rewrite_data_files(spark, name, _PARTIAL_PROGRESS)
    if left and not is_written_by_others():
        # Iceberg does not report why a commit of a few partitions failed; a single commit raises the error.
        left = _rewrite_data_files(spark, name, {})
    if table_state(spark, table.refresh()).delete_files:
        # Some delete files list rows of files that no longer exist; nothing else removes those of the newest commits.
        call_procedure(spark, "rewrite_position_delete_files", name, options={"rewrite-all": "true"})
    if _has_manifests_to_merge(spark, table):
        call_procedure(spark, "rewrite_manifests", name)
    return left


def _has_manifests_to_merge(spark: SparkSession, table: Table) -> bool:
    manifests = spark.sql(
        "select count(*) as files, sum(length) as bytes from {manifests} where content = 0",
        manifests=metadata_table(spark, full_name(table), "manifests"),
    ).collect()[0]
    target = int(table.properties.get("commit.manifest.target-size-bytes", DEFAULT_TARGET_MANIFEST_BYTES))
    return bool(manifests.files >= max(MIN_MANIFESTS_TO_MERGE, 2 * (manifests.bytes or 0) / target))


def _rewrite_data_files(spark: SparkSession, name: str, options: dict[str, str]) -> int:
    """Merge small files without their deleted rows. Returns the number of groups that could not be rewritten.

    This calls the Java action, as Iceberg's procedure cannot parse a sort order when Sedona's parser is the outer one.
    """
    planned = groups_to_rewrite(spark, name)
    if not planned:
        return 0
    iceberg = iceberg_package(spark)
    table = java_table(spark, name)
    action = iceberg.spark.actions.SparkActions.get(spark._jsparkSession).rewriteDataFiles(table)
    action = action.options(PLAN_OPTIONS | options)
    columns = [column for column in _SORT_COLUMNS if table.schema().findField(column) is not None]
    if _SORT_COLUMNS[0] in columns:
        order = iceberg.SortOrder.builderFor(table.schema())
        for column in columns:
            order = order.asc(column)
        action = action.sort(order.build())
    # Iceberg's own count of failures leaves out groups whose commit failed.
    return max(0, planned - len(action.execute().rewriteResults()))
