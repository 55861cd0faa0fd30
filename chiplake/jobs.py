"""The jobs that a schedule runs, by name; each is idempotent and can be run again after any failure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from dbt.cli.main import dbtRunner
from dbt_common.events.base_types import EventMsg

from chiplake.failures import unreadable_chips
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.settings import PROJECT_DIR, get_settings

_DBT_HEADING: Final = re.compile(r"(Runtime|Compilation|Database) Error")

OnLine = Callable[[str], None]


@dataclass(frozen=True)
class Window:
    """Days of acquisition a job keeps to, both included; None: no bound.

    With `recompute`, chips of these days that were made by older settings are made anew by those of now.
    """

    start: date | None = None
    end: date | None = None
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.start and self.end and self.start > self.end:
            raise ChiplakeError(f"the start date {self.start} is after the end date {self.end}")

    def days(self) -> dict[str, str]:
        """The dbt variables that say which days."""
        days = {"start_date": self.start, "end_date": self.end}
        return {name: day.isoformat() for name, day in days.items() if day}

    def dbt_vars(self) -> dict[str, str | bool]:
        """The dbt variables that say the same."""
        return self.days() | ({"recompute": True} if self.recompute else {})


def chip_extraction(window: Window, on_line: OnLine) -> None:
    """STAC items to fct_chips."""
    dbt_build("chip_extraction", window, on_line)
    unreadable_chips(get_settings(), window.start, window.end).raise_if_any()


def temporal_merge(window: Window, on_line: OnLine) -> None:
    """fct_chips to fct_filled_chips and fct_chip_statistics, which takes all that is filled, whatever the window."""
    dbt_build("temporal_merge", window, on_line)


def embedding_generation(window: Window, on_line: OnLine) -> None:
    """fct_filled_chips to raw.clay_embeddings."""
    from embedding.pipeline import run_embedding  # torch: only where it is wanted

    summary = run_embedding(get_settings(), window.start, window.end)
    on_line(f"{summary.embedded} embeddings by {summary.model_id} ({summary.weights})")
    summary.raise_if_incomplete()


def change_detection(window: Window, on_line: OnLine) -> None:
    """raw.clay_embeddings to fct_chip_changes. Takes all that is loaded, whatever the window."""
    dbt_build("change_detection", window, on_line)


def nightly(window: Window, on_line: OnLine) -> None:
    """All jobs in order. What failed for some chips alone is said at the end, after what could be done."""
    incomplete: list[IncompleteError] = []
    for job in (chip_extraction, temporal_merge, embedding_generation, change_detection):
        try:
            job(window, on_line)
        except IncompleteError as error:
            incomplete.append(error)
    if incomplete:
        raise IncompleteError("; ".join(map(str, incomplete)))


JOBS: Final[dict[str, Callable[[Window, OnLine], None]]] = {
    job.__name__: job for job in (chip_extraction, temporal_merge, embedding_generation, change_detection, nightly)
}


# Embeddings and changes follow the chips.
RECOMPUTING_JOBS: Final = tuple(job.__name__ for job in (chip_extraction, temporal_merge, nightly))


def run_job(name: str, window: Window, on_line: OnLine) -> None:
    """Run a job by name.

    Args:
        name: one of JOBS.
        window: the days of acquisition to keep to, and whether to recompute them.
        on_line: called with a line of words for each step done.

    Raises:
        ChiplakeError: there is no such job, or it failed.
    """
    if name not in JOBS:
        raise ChiplakeError(f"there is no job '{name}'; choose from {', '.join(JOBS)}")
    if window.recompute and name not in RECOMPUTING_JOBS:
        raise ChiplakeError(f"the job '{name}' makes no chips; recompute with {', '.join(RECOMPUTING_JOBS)}")
    JOBS[name](window, on_line)


def dbt_build(selector: str, window: Window, on_line: OnLine) -> None:
    """Run `dbt build` for one of selectors.yml in this process, on its Spark session.

    Raises:
        ChiplakeError: a model or a test failed; the words name the first.
    """

    def on_event(event: EventMsg) -> None:
        if event.info.name == "LogModelResult":
            node = event.data.node_info.node_name
            on_line(f"{node}: {event.data.status}, {event.data.execution_time:.1f} s")
        elif event.info.name == "LogTestResult" and event.data.status == "warn":
            on_line(f"warning of {event.data.name}: {event.data.num_failures} rows")

    arguments = ["--quiet", "build", "--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
    # Tests that also read models of a later job wait for that job; unit tests are not for the night.
    arguments += ["--indirect-selection", "buildable", "--exclude-resource-type", "unit_test"]
    arguments += ["--vars", json.dumps(window.dbt_vars()), "--selector", selector]
    done = dbtRunner(callbacks=[on_event]).invoke(arguments)
    if done.exception is not None:
        raise ChiplakeError(f"dbt build --selector {selector} cannot run: {done.exception}")
    results: list[Any] = getattr(done.result, "results", [])
    failed = [] if done.success else [result for result in results if result.status in ("error", "fail")]
    if failed:
        lines = [line.strip() for line in (failed[0].message or "no message").splitlines()]
        words = next((line for line in lines if line and not _DBT_HEADING.match(line)), lines[0])
        raise ChiplakeError(f"{len(failed)} of dbt's nodes failed, first {failed[0].node.name}: {words}")
    if not done.success:
        raise ChiplakeError(f"dbt build --selector {selector} failed; see logs/dbt.log")
