"""`chiplake failures`: the chips that could not be read."""

from __future__ import annotations

from rich.console import Console

from chiplake.cli.options import Day
from lakehouse.days import Days
from lakehouse.settings import get_settings


def failures_command(start_date: Day = None, end_date: Day = None) -> None:
    """Count the chips that could not be read; exit code 3 if there are any. The next run tries them again."""
    from chiplake.failures import unreadable_chips

    unreadable_chips(get_settings(), Days(start_date, end_date)).raise_if_any()
    Console().print("every chip could be read")
