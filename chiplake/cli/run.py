"""`chiplake run`: one of the jobs that a schedule runs."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.filesize import decimal

from chiplake.cli.options import AsJson, Day, usage_errors
from chiplake.jobs import JOBS, Window, check_can_wait, check_job, run_job
from chiplake.output import print_json, print_line, print_table
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.settings import get_settings

if TYPE_CHECKING:
    from chiplake.estimate import Estimate, StageEstimate
    from chiplake.numbers import LakeNumbers

_COUNTS: Final = ("in the lake", "written")
_UNITS: Final = ((3600, "h"), (60, "min"), (1, "s"))  # of durations, in seconds
_ESTIMATED: Final = ("number", "scenes", "about read", "about written", "about time")


def run_command(
    job: Annotated[str, typer.Argument(help=f"{', '.join(JOBS)}; nightly runs the others in order.")],
    start_date: Day = None,
    end_date: Day = None,
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Recompute chips of the given days that were computed by older settings."),
    ] = False,
    if_due: Annotated[
        bool,
        typer.Option(
            "--if-due",
            help="Do nothing if the job ended well in the last CHIPLAKE_TESTS_EVERY_DAYS days, with the same code; "
            "for the job tests.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be computed, its bytes and hours, and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a job, and print what is in the lake and what was written. A second run does nothing without new input.

    Existing rows keep the settings that they were computed by (bands, valid SCL classes, filling, composites) until
    --recompute.
    """
    from chiplake.due import is_due
    from chiplake.numbers import Counter

    with usage_errors():
        check_job(job, recompute)
        if if_due:
            check_can_wait(job)
    if if_due and not is_due(get_settings(), job):
        print_line(f"{job}: not due")
        return
    window = Window(start_date, end_date, recompute)
    if dry_run:
        _estimate(job, window, as_json)
        return
    counter = Counter.start(get_settings())
    error: ChiplakeError | None = None
    if as_json:
        with redirect_stdout(sys.stderr):  # of dbt, too: only the result goes to standard output
            error = _run(job, window)
        outcome = "done" if error is None else "incomplete" if isinstance(error, IncompleteError) else "failed"
        numbers = asdict(counter.numbers(job, window))
        print_json({"job": job, "outcome": outcome, "error": str(error) if error else None} | numbers)
    else:
        error = _run(job, window)
        if error is None or isinstance(error, IncompleteError):
            _print_numbers(counter.numbers(job, window), window)
    if error is not None:
        raise error


def _estimate(job: str, window: Window, as_json: bool) -> None:
    from chiplake.estimate import estimate_job

    settings = get_settings()
    estimate = estimate_job(settings, job, window)
    if as_json:
        totals = {name: getattr(estimate, name) for name in ("bytes_read", "bytes_written", "seconds", "cost")}
        print_json(asdict(estimate) | {"total": totals})
    else:
        price = settings.jobs.instance_price_per_hour if settings.lake.catalog == "glue" else 0
        print_estimate(estimate, "" if price is not None else settings.jobs.variable("instance_price_per_hour"))


def print_estimate(estimate: Estimate, price_variable: str) -> None:
    """Print an estimate.

    Args:
        estimate: of a job.
        price_variable: the variable to set for the cost; empty if it is set or not needed.
    """
    if estimate.message:
        print_line(estimate.message)
        return
    costs = ("about cost",) if estimate.cost is not None else ()
    rows = [_row_of_stage(stage) + (_money(stage.cost),) * len(costs) for stage in estimate.stages]
    if len(rows) > 1:
        sums = ("in all", "", "", "", decimal(estimate.bytes_read), decimal(estimate.bytes_written))
        least = "more than " if any(stage.seconds is None for stage in estimate.stages) else ""
        rows.append((*sums, least + _duration(estimate.seconds), *(least + _money(estimate.cost) for _ in costs)))
    columns = (*_ESTIMATED, *costs)
    print_table(("", "what", *columns), rows, title="Dry run: nothing is started or written", numbers=columns)
    for stage in estimate.stages:
        if stage.number:
            print_line(f"time of {stage.job}: {stage.speed}")
        if stage.retried:
            print_line(f"chips of {stage.job} that have an error and are tried again: {stage.retried:,}")
    if price_variable:
        print_line(f"set {price_variable} for the cost")


def _row_of_stage(stage: StageEstimate) -> tuple[str, ...]:
    certainty = "" if stage.certainty == "exactly" else f"{stage.certainty} "
    return (
        stage.job,
        stage.rows,
        f"{certainty}{stage.number:,}",
        "" if stage.scenes is None else f"{stage.scenes:,}",
        decimal(stage.bytes_read),
        decimal(stage.bytes_written),
        _duration(stage.seconds),
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    amount, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds / amount:,.1f} {unit}"


def _money(cost: float | None) -> str:
    return "not known" if cost is None else f"{cost:,.2f}"


def _run(job: str, window: Window) -> ChiplakeError | None:
    """Run a job; return the error with which it ended."""
    try:
        run_job(job, window, print_line)
    except ChiplakeError as error:
        return error
    return None


def _print_numbers(numbers: LakeNumbers, window: Window) -> None:
    rows = list(numbers.rows())
    if rows:
        days = f"{window.start or '…'} to {window.end or '…'}" if window.start or window.end else ""
        print_table((days, *_COUNTS), rows, numbers=_COUNTS)
