"""`chiplake failures`: the chips that could not be read."""

from __future__ import annotations

from dataclasses import asdict

from chiplake.cli.options import AsJson, Day
from chiplake.output import print_json, print_line
from lakehouse.days import Days
from lakehouse.settings import get_settings


def failures_command(start_date: Day = None, end_date: Day = None, as_json: AsJson = False) -> None:
    """Count the chips that could not be read; exit code 3 if there are any. The next run tries them again."""
    from chiplake.failures import unreadable_chips

    unreadable = unreadable_chips(get_settings(), Days(start_date, end_date))
    if as_json:
        print_json(asdict(unreadable))
    elif not unreadable.chips:
        print_line("every chip could be read")
    unreadable.raise_if_any()
