"""`chiplake status`: the last runs, what is pending, what failed, how fresh and how large the lake is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.filesize import decimal

from chiplake.cli.options import AsJson, Day, usage_errors
from chiplake.jobs import check_can_wait
from chiplake.output import print_json, print_line, print_table
from lakehouse.days import Days
from lakehouse.settings import get_settings

if TYPE_CHECKING:
    from chiplake.status import StageState, Status

NOT_DUE: Final = 99  # the exit code by which Airflow's own operators skip a task
_TIME: Final = "%Y-%m-%d %H:%M:%S"


def status_command(
    start_date: Day = None,
    end_date: Day = None,
    stages: Annotated[int, typer.Option(min=0, help="The number of attempts of stages to show.")] = 10,
    reasons: Annotated[int, typer.Option(min=0, help="The number of reasons to show for each table.")] = 5,
    as_json: AsJson = False,
    as_openmetrics: Annotated[bool, typer.Option("--openmetrics", help="Print OpenMetrics text.")] = False,
    due: Annotated[
        str | None,
        typer.Option(
            metavar="JOB", help=f"Only say whether a job is due, as `run --if-due`; exit code {NOT_DUE} if not."
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Only look for chips that could not be read; exit code 3 if there are any, "
            "1 if they are more than CHIPLAKE_MAX_UNREADABLE_FRACTION.",
        ),
    ] = False,
) -> None:
    """Show the last stages, what became of the chips, what failed and why, how fresh and how large the lake is.

    The days are days of acquisition. They limit the numbers of chips and the chips that failed.
    """
    from chiplake.status import openmetrics, raise_if_unreadable, read_status

    if as_json + as_openmetrics + check + (due is not None) > 1:
        raise typer.BadParameter("give one of them", param_hint="--json / --openmetrics / --check / --due")
    if due is not None:
        _say_if_due(due)
        return
    with usage_errors("--end-date"):
        days = Days(start_date, end_date)
    if check:
        raise_if_unreadable(get_settings(), days)
        print_line("every chip could be read")
        return
    status = read_status(get_settings(), days, stages, reasons)
    if as_json:
        print_json(asdict(status) | {"stages": [asdict(one) | {"seconds": one.seconds} for one in status.stages]})
    elif as_openmetrics:
        print_line(openmetrics(status))
    else:
        _print_status(status)


def _say_if_due(job: str) -> None:
    from chiplake.due import is_due

    with usage_errors("--due"):
        check_can_wait(job)
    if not is_due(get_settings(), job):
        print_line(f"{job}: not due")
        raise typer.Exit(NOT_DUE)
    print_line(f"{job}: due")


def _print_status(status: Status) -> None:
    if status.stages:
        rows = [_stage_cells(one) for one in status.stages]
        print_table(
            ("run", "stage", "state", "started", "seconds", "error"), rows, title="Stages", numbers=("seconds",)
        )
    else:
        print_line("no stage is recorded: `chiplake run` and the DAG record theirs, plain dbt does not")
    numbers = [(what, count) for what, count, _ in status.numbers.rows()]
    cut, filled = status.numbers.cut, status.numbers.filled
    if cut and filled and cut.chips > filled.chips:
        numbers.append(("not filled yet", f"{cut.chips - filled.chips:,}"))
    if numbers:
        print_table(("chips", "in the lake"), numbers, title="Chips", numbers=("in the lake",))
    if status.failures:
        failures = [(one.table, f"{one.rows:,}", one.reason) for one in status.failures]
        print_table(("table", "rows", "reason"), failures, title="Failures and rejects", numbers=("rows",))
    newest = [(what, at.strftime(_TIME) if at else "never") for what, at in status.newest.items()]
    print_table(("newest", "UTC"), newest, title="Freshness")
    sizes = [(one.table, f"{one.rows:,}", f"{one.files:,}", decimal(one.size_bytes)) for one in status.tables]
    print_table(("table", "rows", "files", "size"), sizes, title="Tables", numbers=("rows", "files", "size"))


def _stage_cells(one: StageState) -> tuple[str, ...]:
    seconds = "" if one.seconds is None else f"{one.seconds:.0f}"
    return (one.run_id, one.stage, one.state, one.started_at.strftime(_TIME), seconds, one.error or "")
