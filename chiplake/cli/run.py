"""`chiplake run`: one of the jobs that a schedule runs."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from chiplake.cli.options import AsJson, Day, usage_errors
from chiplake.jobs import JOBS, Window, check_is_regular, check_job, run_job
from chiplake.output import print_json, print_line, print_table
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.settings import get_settings

if TYPE_CHECKING:
    from chiplake.numbers import LakeNumbers

_COUNTS: Final = ("in the lake", "written")


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
            check_is_regular(job)
    if if_due and not is_due(get_settings(), job):
        print_line(f"{job}: not due")
        return
    window = Window(start_date, end_date, recompute)
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
