"""What commands print on standard output: tables for a terminal or for a file, lines, and JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = str | Text

_LEAST_WIDTH: Final = 12  # of a column of text in a terminal, in characters; a narrower terminal gets a plain table
_GAP: Final = "  "  # between the columns of a plain table


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    numbers: Collection[str] = (),
    header: bool = True,
) -> None:
    """Print a table. Its first column and its numbers are always whole.

    In a terminal the table has lines, and long texts of the other columns go on in the next line. Elsewhere, and in a
    terminal that is too narrow, a row is one whole line of text without lines and colours.

    Args:
        columns: the heads of the columns.
        rows: the cells.
        title: a line above the table.
        numbers: heads of the columns of numbers, which are aligned to the right.
        header: whether to print the heads.
    """
    console = Console(file=sys.stdout)
    if console.is_terminal and _fits(columns, rows, numbers, console.width, header):
        console.print(_with_lines(columns, rows, title, numbers, header))
        return
    for line in plain_table(columns, rows, title=title, numbers=numbers, header=header):
        print_line(line)


def plain_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    numbers: Collection[str] = (),
    header: bool = True,
) -> list[str]:
    """Return the lines of a table as plain text, with columns below each other."""
    lines = _plain_cells(columns, rows, header)
    widths = _widths(lines, len(columns))
    text = [
        _GAP.join(
            " " * (width - cell_len(cell)) + cell if name in numbers else cell + " " * (width - cell_len(cell))
            for name, cell, width in zip(columns, line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    return [title, *text] if title else text


def print_line(line: str = "") -> None:
    """Print a line as it is, however long."""
    print(line, flush=True)


def print_heading(text: str = "") -> None:
    """Print a line that begins a part of the output."""
    console = Console(file=sys.stdout)
    if console.is_terminal:
        console.rule(text)
    else:
        print_line(f"-- {text}".rstrip(" "))


def print_json(value: Any) -> None:
    """Print a value as JSON; times become ISO 8601."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_jsonable), flush=True)


def _jsonable(value: Any) -> Any:
    match value:
        case datetime() | date():
            return value.isoformat()
        case Path():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _one_line(cell: Cell) -> str:
    return " ".join(str(cell).split())


def _plain_cells(columns: Sequence[str], rows: Sequence[Sequence[Cell]], header: bool) -> list[list[str]]:
    return [[_one_line(cell) for cell in row] for row in ([columns, *rows] if header else rows)]


def _widths(lines: Sequence[Sequence[str]], count: int) -> list[int]:
    return [max((cell_len(line[place]) for line in lines), default=0) for place in range(count)]


def _fits(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], numbers: Collection[str], width: int, header: bool
) -> bool:
    """Return whether the first column and the numbers have room for their longest cells, and texts for some words."""
    lines = _plain_cells(columns, rows, header)
    widths = _widths(lines, len(columns))
    least = [
        longest if place == 0 or name in numbers else min(longest, _LEAST_WIDTH)
        for place, (name, longest) in enumerate(zip(columns, widths, strict=True))
    ]
    return sum(least) + 3 * len(columns) + 1 <= width


def _with_lines(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str, numbers: Collection[str], header: bool
) -> Table:
    table = Table(title=title or None, title_justify="left", show_header=header)
    for place, name in enumerate(columns):
        is_number = name in numbers
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=place == 0 or is_number,
            overflow="fold",
            style="bold" if place == 0 and not header else None,
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table
