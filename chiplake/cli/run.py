"""`chiplake run`: one of the jobs that a schedule runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from chiplake.cli.options import Day, usage_errors
from chiplake.jobs import JOBS, Window, check_job, run_job


def run_command(
    job: Annotated[str, typer.Argument(help=f"{', '.join(JOBS)}; nightly runs the others in order.")],
    start_date: Day = None,
    end_date: Day = None,
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Recompute chips of the given days that were computed by older settings."),
    ] = False,
) -> None:
    """Run a job. A second run does nothing unless there is new input.

    Existing chips keep the settings that they were computed by (bands, valid SCL classes, filling) until --recompute.
    """
    with usage_errors():
        check_job(job, recompute)
    console = Console()
    window = Window(start_date, end_date, recompute)
    run_job(job, window, lambda line: console.print(line, highlight=False, soft_wrap=True))
