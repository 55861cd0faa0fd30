"""Options that several commands have."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import typer

Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day of acquisition, UTC, included.")]


def as_date(day: Day) -> date | None:
    """The day without its midnight, which is all that typer reads."""
    return day.date() if day else None
