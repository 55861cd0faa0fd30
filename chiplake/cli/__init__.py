"""The command line: `chiplake …`. A command parses, calls one function, prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from chiplake.cli.embed import app as embed_app
from chiplake.cli.ingest import ingest_command
from chiplake.cli.maintain import maintain_command
from chiplake.cli.options import Day, as_date
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.settings import get_settings

app = typer.Typer(
    help="Sentinel-2 scenes to gap-filled chips, Clay embeddings and change scores.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("ingest")(ingest_command)
app.command("maintain")(maintain_command)
app.add_typer(embed_app, name="embed")


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Sentinel-2 scenes to gap-filled chips, Clay embeddings and change scores."""


@app.command()
def run(
    job: Annotated[
        str,
        typer.Argument(
            help="chip_extraction, temporal_merge, embedding_generation, change_detection, or nightly for all in order."
        ),
    ],
    start_date: Day = None,
    end_date: Day = None,
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Make chips of older settings anew by those of now, within the days given."),
    ] = False,
) -> None:
    """Run a job; a second run does nothing unless something is new.

    Chips that are there keep the settings they were made by (bands, valid SCL classes, filling) until --recompute.
    """
    from chiplake.jobs import JOBS, RECOMPUTING_JOBS, Window, run_job

    if job not in JOBS:
        raise typer.BadParameter(f"there is no job '{job}'; choose from {', '.join(JOBS)}")
    if recompute and job not in RECOMPUTING_JOBS:
        raise typer.BadParameter(f"--recompute is for jobs that make chips: {', '.join(RECOMPUTING_JOBS)}")
    console = Console()
    window = Window(as_date(start_date), as_date(end_date), recompute)
    run_job(job, window, lambda line: console.print(line, highlight=False, soft_wrap=True))


@app.command()
def failures(start_date: Day = None, end_date: Day = None) -> None:
    """Say how many chips could not be read; exit code 3 if there are any. The next run tries them again."""
    from chiplake.failures import unreadable_chips

    unreadable_chips(get_settings(), as_date(start_date), as_date(end_date)).raise_if_any()
    Console().print("every chip could be read")


@app.command("boa-offsets")
def boa_offsets(
    file: Annotated[
        Path | None,
        typer.Argument(help="CSV file with the columns collection,item_id,start_date,end_date,boa_offset,note."),
    ] = None,
) -> None:
    """Put your own BOA offsets in force in place of those in force; without a file, show these.

    A line is for an item, a collection, days of acquisition, or several of these. The most specific counts. A file
    with nothing but its header ends all.
    """
    from ingestion.store.overrides import COLUMNS, put_in_force, read_boa_offsets, stored_boa_offsets

    console = Console()
    settings = get_settings()
    if file is not None:
        overrides = read_boa_offsets(file)
        words = "now in force" if put_in_force(overrides, settings) else "were in force already"
        console.print(f"{len(overrides)} offsets {words}; the next chip_extraction cuts what they change")
        return
    table = Table(*COLUMNS, title="BOA offsets in force")
    for override in stored_boa_offsets(settings):
        table.add_row(*("" if value is None else str(value) for value in override.model_dump().values()))
    console.print(table)


@app.command()
def demo(
    home: Annotated[
        Path | None, typer.Option(help="Where the demo's lake goes; default demo/ in CHIPLAKE_HOME.")
    ] = None,
) -> None:
    """Make a small archive of scenes, run the nightly job on it, and show what came of it."""
    from chiplake.demo.run import run_demo

    run_demo(home, Console())


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 10000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a Spark Thrift server with all functions, for `dbt --target thrift` and SQL clients."""
    from chiplake.serve import serve as serve_thrift

    Console().print(f"Spark Thrift server on {host}:{port}; stop it with Ctrl-C")
    serve_thrift(get_settings(), host, port)


@app.command()
def setup() -> None:
    """Check Java, fetch the missing jars, and archive the JVM's classes so that sessions start faster."""
    from lakehouse.spark.class_archive import ensure_class_archive
    from lakehouse.spark.jars import check_java, ensure_jars

    java, jars = check_java(), ensure_jars(get_settings())
    ensure_class_archive(jars)
    Console().print(f"Java {java}, {len(jars)} jars in {get_settings().jars_dir}")


@app.command()
def doctor() -> None:
    """Say whether all that is needed is here, which settings are in force, and what SQL can call."""
    from chiplake.doctor import examine
    from python_udfs.registry import FUNCTIONS

    console = Console()
    settings = get_settings()
    findings = examine(settings)
    for finding in findings:
        mark = "[green]ok[/]" if finding.is_good else "[red]bad[/]"
        console.print(mark, finding.what, finding.words, highlight=False)
    values = Table("setting", "value", "meaning", title="Settings in force")
    for name, field in type(settings).model_fields.items():
        values.add_row(f"CHIPLAKE_{name.upper()}", str(getattr(settings, name)), field.description)
    functions = Table("function", "arguments", "meaning", title="Python functions of SQL")
    for function in FUNCTIONS:
        functions.add_row(function.name, function.arguments, function.doc)
    console.print(values, functions)
    if not all(finding.is_good for finding in findings):
        raise ChiplakeError("something is missing, see above")


def main() -> None:
    """Entry point: exit code 0 if all that was asked for was done, 1 for a failure, 2 for wrong usage.

    3 if all was done but for some chips, which are rows with an error (CHIPLAKE_INCOMPLETE_EXIT_CODE).
    """
    try:
        app()
    except Exception as error:  # the last place: whatever it is, the user gets one line and exit code 1
        if "--debug" in sys.argv:
            raise
        print(f"chiplake: {_in_one_line(error)}", file=sys.stderr)
        sys.exit(get_settings().incomplete_exit_code if isinstance(error, IncompleteError) else 1)


def _in_one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"setting CHIPLAKE_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}"
    words = " ".join(str(error).split())
    if isinstance(error, ChiplakeError):
        return words
    return f"{type(error).__name__}: {words[:300]} (chiplake --debug … shows where)"
