"""Windows of a search: calendar periods, splits and gaps."""

from __future__ import annotations

from datetime import timedelta

from support.searches import day

from ingestion.windows import Window, calendar_windows, span_without_gap, split_at_items


def test_the_same_dates_give_the_same_windows_at_any_time() -> None:
    start, end = day("2023-01-15"), day("2023-04-01")
    expected = [
        Window(start, day("2023-02-01")),
        Window(day("2023-02-01"), day("2023-03-01")),
        Window(day("2023-03-01"), end),
    ]
    for now in (end, day("2024-01-01"), day("2024-06-30T12:00:00")):
        assert calendar_windows(start, end, now) == expected
    today = day("2023-03-20T17:30:00")
    assert calendar_windows(start, None, today)[2:] == [
        Window(day("2023-03-01"), day("2023-03-20")),
        Window(day("2023-03-20"), today),
    ]
    assert calendar_windows(start, None, day("2022-01-01")) == []
    ten_years = calendar_windows(None, None, day("2025-06-01"))
    assert len(ten_years) == 11
    assert ten_years[0].start == day("2015-06-23")


def test_a_window_is_split_so_that_both_parts_hold_items() -> None:
    window = Window(day("2023-01-01"), day("2023-02-01"))
    second = timedelta(seconds=1)
    early = [day("2023-01-02")] * 9
    assert split_at_items(window, [*early, day("2023-01-03")])[0].end == day("2023-01-03")
    assert split_at_items(window, early)[0].end == day("2023-01-02")
    assert split_at_items(Window(day("2023-01-02"), window.end), early)[0].end == day("2023-01-02") + second
    assert split_at_items(Window(day("2023-01-02"), day("2023-01-02") + second), early) == []
    assert len(split_at_items(window, [])) == 2


def test_the_complete_span_ends_at_the_first_gap() -> None:
    january, february, april = (Window(day(f"2023-0{m}-01"), day(f"2023-0{m + 1}-01")) for m in (1, 2, 4))
    inside = Window(day("2023-01-10"), day("2023-01-20"))
    assert span_without_gap([april, february, january, inside]) == Window(january.start, february.end)
    assert span_without_gap([]) is None
