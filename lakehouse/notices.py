"""Notices: lines about something that the user probably did not mean, on standard error."""

from __future__ import annotations

import sys

_printed: set[str] = set()


def notice(line: str) -> None:
    """Print a warning of one line, once a process: several parts of a command may find the same."""
    if line not in _printed:
        _printed.add(line)
        print(f"warning: {line}", file=sys.stderr, flush=True)


def forget_notices() -> None:
    """Let every notice be printed again, as in a new process."""
    _printed.clear()
