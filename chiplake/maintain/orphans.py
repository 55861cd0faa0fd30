"""Orphans: files in a table's folder that no snapshot refers to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlsplit

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table
from pyspark.sql import SparkSession

from chiplake.maintain.procedures import call_procedure, full_name, metadata_table
from lakehouse.errors import ChiplakeError


def find_orphans(spark: SparkSession, catalog: Catalog, table: Table, before: datetime) -> tuple[str, ...]:
    """Return the files in a table's folder that nothing refers to and that are older than `before`.

    Raises:
        ChiplakeError: another table uses the same folder, or a file is in use under another address.
    """
    _raise_if_folder_is_shared(catalog, table)
    orphans = _call_procedure(spark, table, before, dry_run=True)
    if orphans:
        raise_if_referenced(spark, full_name(table), orphans)
    return orphans


def remove_orphans(spark: SparkSession, catalog: Catalog, table: Table, before: datetime) -> tuple[str, ...]:
    """Remove the files that `find_orphans` finds, and return them.

    Raises:
        ChiplakeError: as `find_orphans`; then no file was removed.
    """
    if not find_orphans(spark, catalog, table, before):
        return ()
    return _call_procedure(spark, table, before, dry_run=False)


def raise_if_referenced(spark: SparkSession, name: str, orphans: Sequence[str]) -> None:
    """Compare the orphans with the files of all snapshots once more, only by file name.

    The engines write one location in several ways (`/x`, `file:/x`, `file:///x`). Iceberg could take a file for an
    orphan because of that, and the file would be lost. File names contain a UUID, so the name is enough.

    Args:
        spark: the session.
        name: the table's name with namespace.
        orphans: locations of the files.

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
        files=metadata_table(spark, name, "all_files"),
        manifests=metadata_table(spark, name, "all_manifests"),
        snapshots=metadata_table(spark, name, "snapshots"),
        metadata_files=metadata_table(spark, name, "metadata_log_entries"),
        orphans=spark.createDataFrame([(path.rsplit("/", 1)[-1],) for path in orphans], "name string"),
    ).collect()
    if used:
        raise ChiplakeError(
            f"{name}: {used[0].path} is in use but was taken for an orphan; nothing was removed. The table was written "
            "under several addresses of one location: write it to a new table, or leave orphans out with --only"
        )


def _call_procedure(spark: SparkSession, table: Table, before: datetime, dry_run: bool) -> tuple[str, ...]:
    # Iceberg lists object stores by the table's own client, as Hadoop has no client for them here.
    is_local = urlsplit(table.location()).scheme in ("", "file")
    found = call_procedure(
        spark,
        "remove_orphan_files",
        full_name(table),
        older_than=before,
        dry_run=dry_run,
        prefix_listing=not is_local,
    )
    return tuple(sorted(row.orphan_file_location for row in found))


def _raise_if_folder_is_shared(catalog: Catalog, table: Table) -> None:
    """Refuse a shared folder: a renamed table keeps its folder, and a new table of its old name may get the same."""
    name, folder = full_name(table), _folder(table)
    for namespace in catalog.list_namespaces():
        for identifier in catalog.list_tables(namespace):
            other = ".".join(identifier)
            if other == name:
                continue
            with suppress(NoSuchTableError):  # it was dropped since it was listed
                other_folder = _folder(catalog.load_table(identifier))
                if folder.startswith(other_folder) or other_folder.startswith(folder):
                    raise ChiplakeError(
                        f"{name} and {other} lie in one folder, {table.location()}: files of the one would be orphans "
                        "of the other; copy one of them to a new table"
                    )


def _folder(table: Table) -> str:
    """Return a table's location without scheme: `s3a://b/x` equals `s3://b/x`, and `/x` equals `file:///x`."""
    return re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:", "", table.location()).strip("/") + "/"
