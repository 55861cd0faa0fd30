"""The last line of a run of dbt that failed: its cause."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.causes import failures_line, root_cause

if TYPE_CHECKING:
    from dbt_common.events.base_types import EventMsg


@dataclass
class FailureReport:
    """Prints why a run of dbt failed as its last line, on standard error.

    Above it stands dbt's own summary, whose last line only counts. Programs that run dbt, such as Airflow and the entry
    point of a processing job, report the last line.
    """

    failed: list[tuple[str, str]] = field(default_factory=list)  # name and message

    def __call__(self, event: EventMsg) -> None:
        """Take an event of dbt."""
        kind = event.info.name
        if kind == "RunResultError":
            self.failed.append((event.data.node_info.node_name, event.data.msg))
        elif kind == "StatsLine" and self.failed:  # the last event of a run
            _print(failures_line(self.failed))
        elif kind == "MainEncounteredError":  # before the first node, or in a command without nodes
            _print(root_cause(event.data.exc))


def _print(line: str) -> None:
    print(f"chiplake: {line}", file=sys.stderr, flush=True)
