"""The `chiplake` program: its commands, its exit codes, and how it reports an error."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from chiplake.cli.boa_offsets import boa_offsets_command
from chiplake.cli.demo import demo_command
from chiplake.cli.doctor import doctor_command
from chiplake.cli.embed import app as embed_app
from chiplake.cli.ingest import ingest_command
from chiplake.cli.maintain import maintain_command
from chiplake.cli.run import run_command
from chiplake.cli.serve import serve_command
from chiplake.cli.settings import settings_command
from chiplake.cli.setup import setup_command
from chiplake.cli.status import status_command
from chiplake.cli.steps import steps_command
from chiplake.version import project_version
from lakehouse.causes import root_cause
from lakehouse.errors import ChiplakeError, only_some_failed
from lakehouse.settings import get_settings

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
app.command("ingest")(ingest_command)
app.command("run")(run_command)
app.command("steps", context_settings={"ignore_unknown_options": True})(steps_command)
app.command("status")(status_command)
app.command("boa-offsets")(boa_offsets_command)
app.add_typer(embed_app, name="embed")
app.command("maintain")(maintain_command)
app.command("demo")(demo_command)
app.command("serve")(serve_command)
app.command("setup")(setup_command)
app.command("settings")(settings_command)
app.command("doctor")(doctor_command)


@dataclass
class GlobalOptions:
    """Options in front of the command's name."""

    debug: bool = False


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"chiplake {project_version()}")
        raise typer.Exit


@app.callback()
def global_options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Sentinel-2 scenes to gap-filled chips, Clay embeddings and change scores."""
    options = context.ensure_object(GlobalOptions)
    options.debug = options.debug or debug  # of `chiplake --debug steps …`, for each of its commands


def main() -> None:
    """Run the program and exit.

    Exit codes: 0 if everything was done, 1 for an error, 2 for wrong usage, and CHIPLAKE_INCOMPLETE_EXIT_CODE (3) if
    everything was done except for some chips, each of which is a row with an error. If these are more than
    CHIPLAKE_MAX_UNREADABLE_FRACTION of all chips, that is an error, except in `chiplake steps`.
    """
    options = GlobalOptions()
    try:
        app(obj=options)
    except Exception as error:  # the user gets one line for any error
        if options.debug:
            raise
        print(f"chiplake: {_message(error)}", file=sys.stderr)
        sys.exit(get_settings().jobs.incomplete_exit_code if only_some_failed(error) else 1)


def _message(error: Exception) -> str:
    """Return the error in one line."""
    if isinstance(error, ChiplakeError):
        return " ".join(str(error).split())
    return f"{root_cause(error)} (chiplake --debug … shows where)"
