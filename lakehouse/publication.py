"""How the files of a run become rows of a table: all in one commit, which readers see as a whole or not at all.

A run that only adds rows appends its files to the table's main branch. A run that also removes rows keeps its files on
a branch of its own until Spark has removed the others on a second branch; then one commit adds the files to this second
branch, makes it main, and removes both branches. The summary of the snapshot names the run and its code version, so a
commit whose answer was lost is recognised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile, ManifestEntryStatus
from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRef, SnapshotRefType
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotRefUpdate,
    RemoveSnapshotsUpdate,
    SetSnapshotRefUpdate,
    TableRequirement,
    TableUpdate,
)
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from lakehouse.commits import without_blind_retry

# In the summary of a snapshot. Macro `sink_is_published` reads the first one.
RUN_PROPERTY: Final = "chiplake.run-id"
VERSION_PROPERTY: Final = "chiplake.code-version"

LONGEST_RUN: Final = timedelta(days=2)

_STAGE_ATTEMPTS: Final = 12
_BRANCH: Final = re.compile(r"run_(\d{14})_")  # macro `run_branch`
_BRANCH_TIME: Final = "%Y%m%d%H%M%S"


@dataclass(frozen=True)
class Run:
    """Who writes."""

    run_id: str
    code_version: str

    @property
    def summary(self) -> dict[str, str]:
        """The properties of the snapshots that the run publishes."""
        return {RUN_PROPERTY: self.run_id, VERSION_PROPERTY: self.code_version}


def head_of(table: Table, branch: str = MAIN_BRANCH) -> int | None:
    """Return the id of a branch's snapshot, or None if the branch does not exist."""
    ref = table.metadata.refs.get(branch)
    return None if ref is None else ref.snapshot_id


def stage(catalog: Catalog, name: str, files: Sequence[DataFile], run: Run, branch: str) -> None:
    """Keep files on a branch that has nothing else, so that they survive until they are published.

    Args:
        catalog: the lake.
        name: of the table, with schema.
        files: the data files.
        run: who has written them.
        branch: a name that does not exist yet.

    Raises:
        CommitFailedException: other writers commit without pause.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(CommitFailedException),
        stop=stop_after_attempt(_STAGE_ATTEMPTS),
        wait=wait_random(0, 1),
        reraise=True,
    )
    for attempt in attempts:
        with attempt:
            table = without_blind_retry(catalog.load_table(name))
            if head_of(table, branch) is not None:
                return  # an earlier attempt was done, although its answer was lost
            transaction = table.transaction()
            with transaction.update_snapshot(run.summary, branch).fast_append() as append:
                for file in files:
                    append.append_data_file(file)
            transaction.commit_transaction()


def publish(catalog: Catalog, name: str, files: Sequence[DataFile], run: Run, expected: int | None) -> bool:
    """Append files to the main branch in one commit, unless it is no longer at the expected snapshot.

    Args:
        catalog: the lake.
        name: of the table, with schema.
        files: the data files.
        run: who has written them.
        expected: the snapshot of main when the rows were planned; None if there was none.

    Returns:
        Whether the rows are visible.
    """
    return _publish(catalog, name, run, expected, files, onto=None, staged=None)


def publish_staged(catalog: Catalog, name: str, run: Run, expected: int | None, staged: str, onto: str | None) -> bool:
    """Append the files of a branch in one commit to main, or to a branch that then becomes main.

    Args:
        catalog: the lake.
        name: of the table, with schema.
        run: who has written the files.
        expected: the snapshot of main from which `onto` was made; None if there was none.
        staged: the branch that `stage` made; it is removed.
        onto: the branch on which rows of `expected` were removed; None to append to main.

    Returns:
        Whether the rows are visible: False if main is no longer at the expected snapshot.
    """
    files = staged_files(catalog.load_table(name), staged)
    return _publish(catalog, name, run, expected, files, onto, staged)


def staged_files(table: Table, branch: str) -> list[DataFile]:
    """Return the data files that `stage` has put on a branch; none if the branch does not exist."""
    head = head_of(table, branch)
    snapshot = None if head is None else table.metadata.snapshot_by_id(head)
    if snapshot is None:
        return []
    return [
        entry.data_file
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io)
        if entry.status == ManifestEntryStatus.ADDED
    ]


def is_published(table: Table, run: Run) -> bool:
    """Return whether a snapshot of main is of this run."""
    return any(
        snapshot.summary is not None and snapshot.summary.additional_properties.get(RUN_PROPERTY) == run.run_id
        for snapshot in ancestors_of(table.metadata.current_snapshot(), table.metadata)
    )


def dead_branches(table: Table, has_locks: bool) -> list[str]:
    """Return the branches of runs that ended without publishing.

    Args:
        table: the table; where the catalog has locks, its lock is held.
        has_locks: whether each run holds the lock of the table that it writes. Then every branch of a run is of a dead
            one; otherwise those of runs that were started two days ago.
    """
    oldest = (datetime.now(UTC) - LONGEST_RUN).strftime(_BRANCH_TIME)
    times = {name: found[1] for name in table.metadata.refs if (found := _BRANCH.match(name))}
    return [name for name, started in times.items() if has_locks or started < oldest]


def _publish(
    catalog: Catalog,
    name: str,
    run: Run,
    expected: int | None,
    files: Sequence[DataFile],
    onto: str | None,
    staged: str | None,
) -> bool:
    table = without_blind_retry(catalog.load_table(name))
    if head_of(table) != expected:
        return is_published(table, run)
    target = onto or MAIN_BRANCH
    transaction = table.transaction()
    with transaction.update_snapshot(run.summary, target).fast_append() as append:
        for file in files:
            append.append_data_file(file)
    head = transaction.table_metadata.refs[target].snapshot_id
    updates: tuple[TableUpdate, ...] = transaction._updates
    if onto is not None:
        updates += (
            _set_main(table.metadata.refs.get(MAIN_BRANCH), head),
            RemoveSnapshotRefUpdate(ref_name=onto),
        )
    if staged is not None:
        # The snapshot goes with its branch: its files are now main's, and expiry removes the files that a snapshot
        # outside of main has added.
        gone = head_of(table, staged)
        updates += (RemoveSnapshotRefUpdate(ref_name=staged),)
        updates += () if gone is None else (RemoveSnapshotsUpdate(snapshot_ids=[gone]),)
    # A transaction keeps one requirement of each kind only, so this one is committed without it.
    requirements: tuple[TableRequirement, ...] = (
        AssertTableUUID(uuid=table.metadata.table_uuid),
        AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=expected),
        *(() if onto is None else (AssertRefSnapshotId(ref=onto, snapshot_id=head_of(table, onto)),)),
    )
    try:
        catalog.commit_table(table, requirements, updates)
    except CommitFailedException:
        return is_published(catalog.load_table(name), run)
    except Exception:
        if not is_published(catalog.load_table(name), run):  # otherwise only the answer was lost
            raise
    return True


def _set_main(now: SnapshotRef | None, head: int) -> SetSnapshotRefUpdate:
    """Return the update that moves main to a snapshot; what it keeps of the past stays as it is."""
    return SetSnapshotRefUpdate(
        ref_name=MAIN_BRANCH,
        type=SnapshotRefType.BRANCH,
        snapshot_id=head,
        max_ref_age_ms=None if now is None else now.max_ref_age_ms,
        max_snapshot_age_ms=None if now is None else now.max_snapshot_age_ms,
        min_snapshots_to_keep=None if now is None else now.min_snapshots_to_keep,
    )
