"""The window of days."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from lakehouse.days import Days, parse_day
from lakehouse.errors import ChiplakeError


def test_a_window_ends_with_the_midnight_after_its_last_day() -> None:
    days = Days(date(2024, 2, 28), date(2024, 2, 29))
    assert days.start_time == datetime(2024, 2, 28, tzinfo=UTC)
    assert days.end_time == datetime(2024, 3, 1, tzinfo=UTC)
    assert days.conditions("acquired_at") == [
        "acquired_at >= '2024-02-28T00:00:00+00:00'",
        "acquired_at < '2024-03-01T00:00:00+00:00'",
    ]


def test_a_window_without_bounds_has_no_condition() -> None:
    assert Days().conditions("acquired_at") == []
    assert (Days().start_time, Days().end_time) == (None, None)


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    assert Days(date(2023, 8, 1), date(2023, 8, 1)).end_time == datetime(2023, 8, 2, tzinfo=UTC)
    with pytest.raises(ChiplakeError, match="2023-08-02 is after the end date 2023-08-01"):
        Days(date(2023, 8, 2), date(2023, 8, 1))


@pytest.mark.parametrize(
    "text", ["15.8.2023", "2023-02-30", "2023-8-1", "20230801", "9999-12-31", "", "\uff12023-08-01"]
)
def test_a_text_that_is_not_a_day_is_refused(text: str) -> None:
    assert parse_day("2024-02-29") == date(2024, 2, 29)
    with pytest.raises(ValueError, match="is not a day such as 2023-08-15"):
        parse_day(text)
