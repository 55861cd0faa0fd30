"""`chiplake maintain`: small files, old snapshots, unreferenced files."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich.filesize import decimal

from chiplake.cli.options import AsJson, usage_errors
from chiplake.cli.progress import progress_bar
from chiplake.output import print_json, print_line, print_table
from lakehouse.errors import ChiplakeError
from lakehouse.settings import get_settings

if TYPE_CHECKING:
    from chiplake.maintain import TableReport

_PLANNED: Final = (
    "files", "small", "partitions to rewrite", "delete files", "bytes", "snapshots", "to expire", "orphans",
)  # fmt: skip
_DONE: Final = ("files", "delete files", "bytes", "snapshots", "expired", "orphans removed")


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
    as_json: AsJson = False,
) -> None:
    """Merge small files, expire old snapshots, remove files that nothing refers to. No row changes.

    Readers can continue: the files of their snapshot stay until it expires. It waits for a job that writes a table, for
    CHIPLAKE_LOCK_WAIT_MINUTES at most; a table that is still being written then is left for the next time.
    """
    from chiplake.maintain import Outcome, Retention, Step, chosen_tables, maintain
    from chiplake.scheduled_stage import scheduled_stage
    from lakehouse.catalog import ensure_sources

    settings = get_settings()
    with usage_errors():
        tables = chosen_tables(ensure_sources(settings), table or [], settings.lake.target_schema)
    retention = Retention.of_days(
        older_than_days or settings.maintenance.older_than_days,
        retain_last or settings.maintenance.retain_last,
        settings.maintenance.orphan_days,
    )
    steps = [Step(only)] if only else list(Step)
    with nullcontext() if dry_run else scheduled_stage(settings, "maintain"):
        with progress_bar("tables", len(tables)) as show_progress:
            reports = maintain(
                settings, tables, steps, retention, dry_run, lambda done: show_progress("tables", done, len(tables))
            )
        if as_json:
            print_json([asdict(report) for report in reports])
        elif dry_run:
            _print_plan(reports)
        else:
            _print_results(reports)
        failed = [report for report in reports if report.outcome == Outcome.FAILED]
        if failed:
            raise ChiplakeError(f"{len(failed)} tables failed, first {failed[0].table}: {failed[0].detail}")


def _print_plan(reports: list[TableReport]) -> None:
    rows = []
    for report in reports:
        cells = [""] * len(_PLANNED)
        if report.before:
            before = report.before
            counts = (before.data_files, before.small_files, before.groups_to_rewrite, before.delete_files)
            cells = [*map(str, counts), decimal(before.size_bytes), str(before.snapshots)]
            cells += [str(report.expired), str(len(report.orphans))]
        rows.append((report.table, *cells))
    print_table(("table", *_PLANNED), rows, title="Dry run: nothing is written", numbers=_PLANNED)
    _print_details(reports)
    for report in reports:
        for orphan in report.orphans:
            print_line(f"would remove {orphan}")


def _print_results(reports: list[TableReport]) -> None:
    rows = []
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
        rows.append((report.table, *cells, str(report.expired), str(len(report.orphans)), report.outcome))
    print_table(("table", *_DONE, "outcome"), rows, title="Before and after", numbers=_DONE)
    _print_details(reports)


def _print_details(reports: list[TableReport]) -> None:
    for report in reports:
        if report.detail:
            print_line(f"{report.table} {report.outcome}: {report.detail}")


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
