"""A search in windows returns every item once from servers that fail, miscount and cut answers short."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.faulty_stac_server import Faults, Item, light_item, serving
from support.searches import BURST_DAY, COUNT, FAST_RETRIES, IN_2023, S2, day, found_ids, item_ids

from ingestion.area import area_of_bbox
from ingestion.model import CONCURRENCY
from ingestion.sources import window_search
from ingestion.sources.search import search_windows
from ingestion.windows import calendar_windows
from lakehouse.errors import ChiplakeError

TROUBLES = {
    "none": Faults(matched="right"),
    "busy, failing, cut off, truncated, HTML": Faults(
        busy_rate=0.1, retry_after="0", error_rate=0.1, reset_rate=0.05, truncated_rate=0.05, html_rate=0.05
    ),
    "page repeated with a fresh link": Faults(repeats_page=True),
    "empty page in the middle": Faults(empty_page=True),
    "next link in a circle": Faults(loop_from_page=3),
    "last page leads to itself": Faults(loops_at_the_end=True),
    "cap, whole pages": Faults(cap=500),
    "cap, not whole pages, newest first": Faults(cap=450),
    "cap, not whole pages, oldest first": Faults(cap=450, order="oldest"),
    "cap, not whole pages, no order": Faults(cap=450, order="random"),
    "cap, and a count that is twice too high": Faults(cap=450, matched="too high"),
    "cap, and a count that equals it": Faults(cap=500, matched="too low"),
    "cap that varies, newest first": Faults(cap=410, cap_spread=80),
    "cap that varies, and an honest count": Faults(cap=410, cap_spread=80, order="random", matched="right"),
    "refuses to page deep": Faults(cap=500, refuses_beyond_cap=True),
    "counts too high": Faults(matched="too high"),
    "counts too low": Faults(matched="too low"),
    "ignores the limit": Faults(page_items=250),
    "smaller pages than asked for": Faults(page_items=37),
    "ignores dates": Faults(ignores_datetime=True),
    "ignores dates, oldest first": Faults(ignores_datetime=True, order="oldest"),
    "ignores hours": Faults(ignores_hours=True, cap=800),
    "any order": Faults(order="random"),
    "next by GET": Faults(paging="get"),
    "next by POST with the whole body": Faults(paging="post whole"),
    "next by POST with the token in the address": Faults(paging="post url"),
    "no POST": Faults(paging="get", takes_post=False),
}


@pytest.mark.parametrize("faults", TROUBLES.values(), ids=TROUBLES.keys())
def test_a_search_returns_every_item_once(year: list[Item], faults: Faults) -> None:
    with serving(year, faults) as server:
        assert Counter(found_ids(server)) == Counter(item_ids(year))
    assert server.most_at_once <= CONCURRENCY


def test_a_cap_below_the_page_size_loses_nothing(even_year: list[Item]) -> None:
    with serving(even_year[:2000], Faults(cap=13)) as server:
        assert Counter(found_ids(server)) == Counter(item_ids(even_year[:2000]))


def test_items_of_other_collections_and_areas_are_not_searched(even_year: list[Item]) -> None:
    other = [item | {"collection": "sentinel-1-grd"} for item in even_year[:50]]
    far = [item | {"bbox": [40.0, 0.0, 41.0, 1.0]} for item in even_year[50:100]]
    filters = replace(IN_2023, area=area_of_bbox((15, 45, 16, 46)))
    with serving([*other, *far, *even_year[100:1000]]) as server:
        assert Counter(found_ids(server, filters)) == Counter(item_ids(even_year[100:1000]))


def test_a_window_of_many_items_is_read_in_parts(year: list[Item], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_search, "MAX_ANSWER_ITEMS", 200)
    for matched in ("none", "right"):
        with serving(year, Faults(matched=matched)) as server:
            assert Counter(found_ids(server)) == Counter(item_ids(year))


def test_items_published_during_a_search_make_no_others_lost_or_repeated(even_year: list[Item]) -> None:
    """Each page shifts the later ones by one, as new scenes do with paging by offset, newest first."""
    late = [light_item(COUNT + number, day("2023-12-31T22:00:00") + timedelta(seconds=number)) for number in range(50)]
    with serving(even_year, Faults(publishes_while_paging=True), late) as server:
        first = Counter(found_ids(server))
        assert not server.late_items
        assert set(first.values()) == {1}
        assert first.keys() >= set(item_ids(even_year))
        assert Counter(found_ids(server)) == Counter(item_ids([*even_year, *late]))


def test_items_of_one_second_that_a_server_withholds_are_an_error(year: list[Item]) -> None:
    for faults in (Faults(cap=200), Faults(cap=250), Faults(cap=250, refuses_beyond_cap=True, page_items=50)):
        for filters in (IN_2023, BURST_DAY):
            with serving(year, faults) as server, pytest.raises(ChiplakeError) as caught:
                found_ids(server, filters)
            assert "smaller area" in str(caught.value)
            assert "2023-07-14T10:00:00Z to 2023-07-14T10:00:01Z" in str(caught.value)


def test_a_server_that_ignores_dates_and_stops_early_is_an_error(even_year: list[Item]) -> None:
    for faults in (
        Faults(ignores_datetime=True, loop_from_page=3),
        Faults(ignores_datetime=True, cap=300, matched="right"),
    ):
        with serving(even_year, faults) as server, pytest.raises(ChiplakeError, match="whatever the dates"):
            found_ids(server)


def test_a_few_items_of_one_second_raise_no_error(year: list[Item]) -> None:
    few = [item for item in year[:300] if item["properties"]["datetime"].startswith("2023-07-14T10:00:00")][:12]
    for faults in (Faults(), Faults(matched="too low"), Faults(ignores_datetime=True)):
        for filters in (IN_2023, BURST_DAY, S2):
            with serving(few, faults) as server:
                assert Counter(found_ids(server, filters)) == Counter(item_ids(few))


def test_a_small_area_over_all_years_takes_few_requests(even_year: list[Item]) -> None:
    with serving(even_year[::100]) as server:
        assert len(found_ids(server, S2)) == 100
    assert len(server.searches) < 40


def test_a_server_that_ignores_dates_is_read_once(even_year: list[Item]) -> None:
    with serving(even_year[:1000], Faults(ignores_datetime=True)) as server:
        found_ids(server)
    assert len(server.searches) < 25


def test_items_at_the_border_of_two_windows_are_returned_once() -> None:
    borders = [light_item(number, datetime(2023, number, 1, tzinfo=UTC)) for number in range(1, 13)]
    with serving(borders, Faults(ends_included=True)) as server:
        steps = list(search_windows(server.url, IN_2023, policy=FAST_RETRIES))
    assert Counter(one.content["id"] for step in steps for one in step.received) == Counter(item_ids(borders))
    assert sum(step.repeated for step in steps) == 11


def test_windows_are_completed_in_order(even_year: list[Item]) -> None:
    with serving(even_year[::50], Faults(order="random")) as server:
        steps = list(search_windows(server.url, IN_2023, policy=FAST_RETRIES))
    completed = [step.completed for step in steps if step.completed is not None]
    assert completed == calendar_windows(IN_2023.start, IN_2023.end, datetime.now(UTC))
    months = [one.content["properties"]["datetime"][:7] for step in steps for one in step.received]
    assert months == sorted(months)
