"""Options that several commands share, and how a wrong value of an option is reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Annotated

import typer

from lakehouse.days import parse_day
from lakehouse.errors import ChiplakeError


@contextmanager
def usage_errors(option: str | None = None) -> Iterator[None]:
    """Report an error of the block as wrong usage of an option, with exit code 2.

    Args:
        option: the option's name, such as `--api`; None where the message names what is wrong.

    Raises:
        typer.BadParameter: the block raised a ChiplakeError or a ValueError.
    """
    try:
        yield
    except (ChiplakeError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _day(text: str) -> date:
    with usage_errors():
        return parse_day(text)


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Day = Annotated[date | None, typer.Option(parser=_day, metavar="YYYY-MM-DD", help="Day of acquisition, UTC, included.")]
