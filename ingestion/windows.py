"""Windows of time, into which a search is divided: calendar months or years, and parts of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

LAUNCH: Final = datetime(2015, 6, 23, tzinfo=UTC)  # launch of Sentinel-2A, the date of the earliest possible scene
SECOND: Final = timedelta(seconds=1)  # the shortest window
RESOLUTION: Final = timedelta(microseconds=1)
MONTHS_UP_TO: Final = timedelta(days=3 * 366)  # longer spans are divided into years, for few requests


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A span of time that includes its start and excludes its end. Both are UTC and whole seconds."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        ends = (self.start, self.end)
        return " to ".join(end.isoformat().removesuffix("T00:00:00+00:00").replace("+00:00", "Z") for end in ends)

    @property
    def interval(self) -> str:
        """The window as a STAC interval, which includes its end."""
        last = self.end - RESOLUTION
        return "/".join(time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for time in (self.start, last))

    @property
    def is_shortest(self) -> bool:
        """Return whether the window cannot be split."""
        return self.end - self.start <= SECOND

    def contains(self, time: datetime, slack: timedelta = timedelta(0)) -> bool:
        """Return whether a time lies in the window, or at most `slack` away."""
        return self.start - slack <= time < self.end + slack


def calendar_windows(start: datetime | None, end: datetime | None, now: datetime) -> list[Window]:
    """Divide a span into calendar months, or into years if it is long. Return the windows in order.

    The same dates give the same windows at any time. Only the current day, which is its own window, ends at `now`.

    Args:
        start: start of the span, included; None is the launch of Sentinel-2.
        end: end of the span, excluded; None, or a time after `now`, is `now`.
        now: start of the search, UTC.
    """
    first = _whole_second(start or LAUNCH)
    last = _whole_second(now if end is None or end > now else end + SECOND - RESOLUTION)
    months = 1 if last - first <= MONTHS_UP_TO else 12
    cuts = [first]
    while cuts[-1] < last:
        cuts.append(min(_next_period(cuts[-1], months), last, *(day for day in (midnight(now),) if day > cuts[-1])))
    return [Window(*pair) for pair in pairwise(cuts)]


def midnight(time: datetime) -> datetime:
    """Return the start of the day, UTC."""
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _whole_second(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(microsecond=0)


def _next_period(time: datetime, months: int) -> datetime:
    """Return the next first day of a month, or of a year."""
    count = time.year * 12 + time.month - 1
    year, month = divmod((count // months + 1) * months, 12)
    return midnight(time).replace(year=year, month=month + 1, day=1)


def split_at_items(window: Window, times: Iterable[datetime]) -> list[Window]:
    """Split a window in two parts with about the same number of known items.

    If the items have several times, neither part holds them all. A window without items is split in the middle. A
    window of one second cannot be split: the list is empty.

    Args:
        window: the window.
        times: acquisition times of the known items, UTC, whole seconds.
    """
    if window.is_shortest:
        return []
    known = sorted(time for time in times if window.contains(time))
    if not known:
        return split_evenly(window, 2)
    first, middle = known[0], known[len(known) // 2]
    at = middle if middle > first else next((time for time in known if time > first), first)
    if at == window.start:
        at += SECOND
    return [Window(window.start, at), Window(at, window.end)]


def split_evenly(window: Window, parts: int) -> list[Window]:
    """Split a window into parts of the same length, at least one second each."""
    seconds = int((window.end - window.start).total_seconds())
    cuts = sorted({seconds * part // parts for part in range(parts + 1)})
    return [Window(window.start + start * SECOND, window.start + end * SECOND) for start, end in pairwise(cuts)]


def span_without_gap(windows: Sequence[Window]) -> Window | None:
    """Return the span from the first start to the first gap, or None if there is no window."""
    span: Window | None = None
    for window in sorted(windows):
        if span is None:
            span = window
        elif window.start > span.end:
            break
        else:
            span = Window(span.start, max(span.end, window.end))
    return span
