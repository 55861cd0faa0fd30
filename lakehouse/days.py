"""A window of days of acquisition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from lakehouse.errors import ChiplakeError


@dataclass(frozen=True)
class Days:
    """Days of acquisition in UTC. Both ends are included; None means no bound.

    Raises:
        ChiplakeError: the first day is after the last.
    """

    start: date | None = None
    end: date | None = None

    def __post_init__(self) -> None:
        if self.start and self.end and self.start > self.end:
            raise ChiplakeError(f"the start date {self.start} is after the end date {self.end}")

    @property
    def start_time(self) -> datetime | None:
        """The first moment of the window, UTC."""
        return None if self.start is None else midnight(self.start)

    @property
    def end_time(self) -> datetime | None:
        """The first moment after the window, UTC."""
        return None if self.end is None else midnight(self.end + timedelta(days=1))

    def conditions(self, column: str) -> list[str]:
        """Return the conditions on a timestamp column, as a filter of PyIceberg takes them."""
        bounds = ((">=", self.start_time), ("<", self.end_time))
        return [f"{column} {sign} '{bound.isoformat()}'" for sign, bound in bounds if bound is not None]


def midnight(day: date) -> datetime:
    """Return the first moment of a day, UTC."""
    return datetime.combine(day, time(), UTC)


def parse_day(text: str) -> date:
    """Return the day of a text such as 2023-08-15.

    Raises:
        ValueError: the text is not a day in that form. The year 9999 is refused: the day after has no date.
    """
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) or text.startswith("9999"):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a day such as 2023-08-15") from None
