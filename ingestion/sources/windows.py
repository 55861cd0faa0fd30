"""Windows of time, into which a search is cut: calendar months or years, and their parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

LAUNCH: Final = datetime(2015, 6, 23, tzinfo=UTC)  # of Sentinel-2A: there is no earlier scene
SECOND: Final = timedelta(seconds=1)  # the shortest window
RESOLUTION: Final = timedelta(microseconds=1)
MONTHS_UP_TO: Final = timedelta(days=3 * 366)  # longer spans are cut into years: few requests for a small area


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A span of time that includes its start and not its end; both UTC and whole seconds."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        words = [
            time.isoformat().removesuffix("T00:00:00+00:00").replace("+00:00", "Z") for time in (self.start, self.end)
        ]
        return " to ".join(words)

    @property
    def interval(self) -> str:
        """The same as STAC writes it. STAC's interval includes its end, ours does not."""
        last = self.end - RESOLUTION
        return "/".join(time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for time in (self.start, last))

    @property
    def is_shortest(self) -> bool:
        """Whether it cannot be split."""
        return self.end - self.start <= SECOND

    def holds(self, time: datetime, slack: timedelta = timedelta(0)) -> bool:
        """Whether a moment lies in it, or no further than `slack` away."""
        return self.start - slack <= time < self.end + slack


def calendar_windows(start: datetime | None, end: datetime | None, now: datetime) -> list[Window]:
    """Cut what is asked for into calendar months, or years where it is long; in order.

    The same dates give the same windows, whenever they are asked for: it is only the day at hand, a window of its
    own, that ends with `now`.

    Args:
        start: first moment; None: the launch of Sentinel-2.
        end: first moment that is not asked for; None, or later than `now`: `now`.
        now: when the search began, UTC.
    """
    first = _whole_second(start or LAUNCH)
    last = _whole_second(now if end is None or end > now else end + SECOND - RESOLUTION)
    months = 1 if last - first <= MONTHS_UP_TO else 12
    cuts = [first]
    while cuts[-1] < last:
        cuts.append(min(_next_period(cuts[-1], months), last, *(day for day in (midnight(now),) if day > cuts[-1])))
    return [Window(*pair) for pair in pairwise(cuts)]


def midnight(time: datetime) -> datetime:
    """The start of a moment's day, UTC."""
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _whole_second(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(microsecond=0)


def _next_period(time: datetime, months: int) -> datetime:
    """The next first of a month, or of a year."""
    count = time.year * 12 + time.month - 1
    year, month = divmod((count // months + 1) * months, 12)
    return midnight(time).replace(year=year, month=month + 1, day=1)


def split_at_items(window: Window, times: Iterable[datetime]) -> list[Window]:
    """Two parts that hold about as many of the items seen each, so that neither can hold them all if they can be told
    apart; in the middle where no item was seen; nothing where the window is the shortest.

    Args:
        window: what is split.
        times: acquisition of the items seen, UTC, whole seconds.
    """
    if window.is_shortest:
        return []
    seen = sorted(time for time in times if window.holds(time))
    if not seen:
        return split_evenly(window, 2)
    first, middle = seen[0], seen[len(seen) // 2]
    at = middle if middle > first else next((time for time in seen if time > first), first)
    if at == window.start:
        at += SECOND
    return [Window(window.start, at), Window(at, window.end)]


def split_evenly(window: Window, parts: int) -> list[Window]:
    """Parts of the same length, of a second at least."""
    seconds = int((window.end - window.start).total_seconds())
    cuts = sorted({seconds * part // parts for part in range(parts + 1)})
    return [Window(window.start + start * SECOND, window.start + end * SECOND) for start, end in pairwise(cuts)]


def reached(windows: Sequence[Window]) -> Window | None:
    """From the first start as far as the windows go without a gap; None if there is none."""
    span: Window | None = None
    for window in sorted(windows):
        if span is None:
            span = window
        elif window.start > span.end:
            break
        else:
            span = Window(span.start, max(span.end, window.end))
    return span
