"""Whether a stage that a schedule runs now and then is due, by the record of stages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from chiplake.numbers import read_columns
from chiplake.stage_record import DONE
from lakehouse.catalog import open_catalog
from lakehouse.code_digest import code_digest
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.source_schemas import STAGES


def last_done(settings: Settings, stage: str) -> datetime | None:
    """Return when a stage ended well, with the code of now, for the last time; None: never.

    Args:
        settings: where the lake is.
        stage: name of the stage in ops.stages.
    """
    digest = code_digest(PROJECT_DIR, settings.runtime.function_names)
    conditions = [
        f"schema_name == '{settings.lake.target_schema}'",
        f"stage == '{stage}'",
        f"state == '{DONE}'",
        f"code_digest == '{digest}'",
    ]
    rows = read_columns(open_catalog(settings), STAGES, conditions, "ended_at")
    ends: list[datetime] = [] if rows is None else rows["ended_at"].to_pylist()
    return max(ends, default=None)


def is_due(settings: Settings, stage: str) -> bool:
    """Return whether a stage is due: it did not end well in the last CHIPLAKE_TESTS_EVERY_DAYS days with this code.

    Args:
        settings: where the lake is, and the number of days.
        stage: name of the stage in ops.stages.
    """
    last = last_done(settings, stage)
    # A night may start an hour earlier than the one a week ago.
    limit = timedelta(days=settings.jobs.tests_every_days) - timedelta(hours=12)
    return last is None or datetime.now(UTC) - last >= limit
