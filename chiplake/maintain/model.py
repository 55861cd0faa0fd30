"""What maintenance does to a table, what it keeps, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Step(StrEnum):
    """A step of maintenance. The steps are always done in this order."""

    COMPACT = "compact"
    EXPIRE = "expire"
    ORPHANS = "orphans"


class Outcome(StrEnum):
    """The result for one table."""

    PLANNED = "planned"
    DONE = "done"
    UNCHANGED = "nothing to do"
    LEFT = "left for the next time"
    FAILED = "failed"


@dataclass(frozen=True)
class Retention:
    """The age and number of the snapshots and files that maintenance keeps.

    Attributes:
        expire_before: snapshots older than this expire.
        retain_last: the number of newest snapshots that never expire.
        orphans_before: files that nothing refers to are removed if they are older than this; Iceberg requires at
            least a day.
    """

    expire_before: datetime
    retain_last: int
    orphans_before: datetime

    @classmethod
    def of_days(cls, older_than_days: int, retain_last: int, orphan_days: int) -> Retention:
        """Make a retention from numbers of days before now."""
        now = datetime.now(UTC)
        return cls(now - timedelta(days=older_than_days), retain_last, now - timedelta(days=orphan_days))


@dataclass(frozen=True)
class TableState:
    """The files and snapshots of a table.

    Attributes:
        data_files: data files of the current snapshot.
        small_files: data files below three quarters of the target size.
        groups_to_rewrite: groups of files that Iceberg would rewrite, one a partition unless the partition is huge:
            groups with five or more small files, with too large files, or with deleted rows.
        delete_files: files that list deleted rows of the data files.
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
    """The maintenance of one table, done or, in a dry run, planned.

    Attributes:
        table: name with namespace.
        outcome: the result.
        before: the table before maintenance; None if it could not be read.
        after: the table after maintenance; None in a dry run or after a failure.
        expired: number of expired snapshots.
        orphans: removed files, to which nothing referred.
        detail: why the table was left, or what failed.
    """

    table: str
    outcome: Outcome
    before: TableState | None = None
    after: TableState | None = None
    expired: int = 0
    orphans: tuple[str, ...] = ()
    detail: str = ""
