"""`chiplake maintain`: small files, old snapshots, unreferenced files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from chiplake.cli.options import usage_errors
from chiplake.cli.progress import progress_bar
from lakehouse.errors import ChiplakeError
from lakehouse.settings import get_settings

if TYPE_CHECKING:
    from chiplake.maintain import TableReport


def maintain_command(
    table: Annotated[
        list[str] | None, typer.Option(help="A table, such as fct_chips or raw.stac_items; repeatable. Default all.")
    ] = None,
    older_than_days: Annotated[
        int | None,
        typer.Option(min=1, help="Expire snapshots older than this; default CHIPLAKE_MAINTAIN_OLDER_THAN_DAYS."),
    ] = None,
    retain_last: Annotated[
        int | None,
        typer.Option(min=1, help="Snapshots that never expire; default CHIPLAKE_MAINTAIN_RETAIN_LAST."),
    ] = None,
    only: Annotated[
        Literal["compact", "expire", "orphans"] | None, typer.Option(help="Only this step; default all, in this order.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and write nothing.")] = False,
) -> None:
    """Merge small files, expire old snapshots, remove files that nothing refers to. No row changes.

    Readers can continue: the files of their snapshot stay until it expires. Run it when no job runs: a table that a
    job writes to meanwhile is left for the next time, or the job fails and must be run again.
    """
    from chiplake.maintain import Outcome, Retention, Step, chosen_tables, maintain
    from lakehouse.catalog import ensure_sources

    settings = get_settings()
    with usage_errors():
        tables = chosen_tables(ensure_sources(settings), table or [], settings.lake.target_schema)
    retention = Retention.of_days(
        older_than_days or settings.maintenance.older_than_days,
        retain_last or settings.maintenance.retain_last,
        settings.maintenance.orphan_days,
    )
    console = Console()
    steps = [Step(only)] if only else list(Step)
    with progress_bar(console, "tables", len(tables), transient=True) as show_progress:
        reports = maintain(
            settings, tables, steps, retention, dry_run, lambda done: show_progress("tables", done, len(tables))
        )
    console.print(_plan_table(reports) if dry_run else _results_table(reports))
    for report in reports:
        if report.detail:
            _print_line(console, f"{report.table} {report.outcome}: {report.detail}")
        if dry_run:
            for orphan in report.orphans:
                _print_line(console, f"would remove {orphan}")
    failed = [report for report in reports if report.outcome == Outcome.FAILED]
    if failed:
        raise ChiplakeError(f"{len(failed)} tables failed, first {failed[0].table}: {failed[0].detail}")


def _print_line(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def _plan_table(reports: list[TableReport]) -> Table:
    columns = ("files", "small", "partitions to rewrite", "delete files", "bytes", "snapshots", "to expire", "orphans")
    table = Table("table", title="Dry run: nothing is written")
    for column in columns:
        table.add_column(column, justify="right")
    for report in reports:
        cells: tuple[str, ...] = ()
        if report.before:
            before = report.before
            counts = (before.data_files, before.small_files, before.groups_to_rewrite, before.delete_files)
            cells = (*map(str, counts), decimal(before.size_bytes), str(before.snapshots))
            cells += (str(report.expired), str(len(report.orphans)))
        table.add_row(report.table, *cells)
    return table


def _results_table(reports: list[TableReport]) -> Table:
    table = Table("table", title="Before and after")
    for column in ("files", "delete files", "bytes", "snapshots", "expired", "orphans removed"):
        table.add_column(column, justify="right")
    table.add_column("")
    for report in reports:
        cells = ["", "", "", ""]
        if report.before:
            before, after = report.before, report.after or report.before
            cells = [
                _change(str(before.data_files), str(after.data_files)),
                _change(str(before.delete_files), str(after.delete_files)),
                _change(decimal(before.size_bytes), decimal(after.size_bytes)),
                _change(str(before.snapshots), str(after.snapshots)),
            ]
        table.add_row(report.table, *cells, str(report.expired), str(len(report.orphans)), report.outcome)
    return table


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
