"""`chiplake steps`: several commands, one after the other, in one process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import dropwhile, takewhile
from typing import Annotated, Final

import typer
from typer.exceptions import TyperException

from chiplake.output import print_line
from lakehouse.causes import root_cause
from lakehouse.errors import ChiplakeError, IncompleteError

THEN: Final = "then"


def steps_command(
    context: typer.Context,
    commands: Annotated[
        list[str], typer.Argument(help=f"Commands of this program with their options, with `{THEN}` between them.")
    ],
) -> None:
    """Run several commands one after the other, with one Spark session. It is for schedules.

    A command that fails ends the program. After a command that is incomplete, the next ones still run, and the program
    ends as incomplete: the record of stages has the state of each.
    """
    incomplete: list[str] = []
    for command in split(commands):
        name = _name(command)
        print_line(f"step: {name}")
        try:
            code = context.find_root().command.main(command, standalone_mode=False, obj=context.find_root().obj)
        except IncompleteError as error:
            incomplete.append(f"{name}: {error}")
            continue
        except TyperException:  # wrong usage, which Typer reports
            raise
        except Exception as error:
            raise ChiplakeError(f"{name}: {root_cause(error)}") from error
        if code:
            raise typer.Exit(code)
    if incomplete:
        raise IncompleteError("; ".join(incomplete))


def _name(command: Sequence[str]) -> str:
    """Return the words of a command between its global options and its own."""
    return " ".join(takewhile(lambda word: not _is_option(word), dropwhile(_is_option, command)))


def _is_option(word: str) -> bool:
    return word.startswith("-")


def split(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield the commands of a line.

    Raises:
        typer.BadParameter: a command has no word.
    """
    commands: list[list[str]] = [[]]
    for word in words:
        if word == THEN:
            commands.append([])
        else:
            commands[-1].append(word)
    if not all(commands):
        raise typer.BadParameter(f"there is no command beside a `{THEN}`")
    yield from commands
