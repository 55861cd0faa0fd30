"""The end of a run of dbt: a last line with the cause of a failure, and the record of the stage."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.causes import failures_line, root_cause

if TYPE_CHECKING:
    from dbt_common.events.base_types import EventMsg

    from chiplake.stage_record import Attempt


@dataclass
class FailureReport:
    """Prints why a run of dbt failed as its last line, on standard error, and ends the attempt of a stage.

    Above it stands dbt's own summary, whose last line only counts. Programs that run dbt, such as Airflow and the entry
    point of a processing job, report the last line.

    Attributes:
        attempt: of the stage that dbt runs for a schedule; None: dbt was called by hand.
        is_quiet: print nothing.
    """

    attempt: Attempt | None = None
    is_quiet: bool = False
    failed: list[tuple[str, str]] = field(default_factory=list)  # name and message

    def __call__(self, event: EventMsg) -> None:
        """Take an event of dbt."""
        kind = event.info.name
        if kind == "RunResultError":
            self.failed.append((event.data.node_info.node_name, event.data.msg))
        elif kind == "StatsLine":  # the last event of a run
            self._end(failures_line(self.failed) if self.failed else None)
        elif kind == "MainEncounteredError":  # before the first node, or in a command without nodes
            self._end(root_cause(event.data.exc))

    def _end(self, error: str | None) -> None:
        if self.attempt is not None:
            from chiplake.stage_record import end_attempt

            end_attempt(self.attempt, error)
        if error is not None and not self.is_quiet:
            print(f"chiplake: {error}", file=sys.stderr, flush=True)
