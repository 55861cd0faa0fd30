"""Search of STAC APIs that fail, lie and stop short: every item comes, and comes once."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.faulty_stac_server import Faults, FaultyServer, Item, bare_item, items_of_a_year, light_item, serving
from support.ingests import stored
from support.stac_items import make_item

from ingestion import Filters, IngestRequest, IngestSummary, batches, ingest, run
from ingestion.area import area_of_bbox
from ingestion.model import CONCURRENCY, PAGE_SIZE, Received
from ingestion.sources import window_search
from ingestion.sources.http_session import ApiSession, HttpPolicy, retry_after_s
from ingestion.sources.page_links import ApiRequest
from ingestion.sources.search import SEARCH_POLICY, search_windows
from ingestion.windows import Window, calendar_windows, span_without_gap, split_at_items
from lakehouse.catalog import open_catalog
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.source_schemas import STAC_CHECKPOINTS, STAC_ITEMS, STAC_REJECTS

COUNT = 10_000
S2 = Filters(collection="sentinel-2-l2a")
IN_2023 = replace(S2, start=datetime(2023, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 1, tzinfo=UTC))
BURST_DAY = replace(S2, start=datetime(2023, 7, 14, tzinfo=UTC), end=datetime(2023, 7, 15, tzinfo=UTC))
HASTY = HttpPolicy(retries=8, backoff_s=0.01, jitter_s=0.01)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def year() -> list[Item]:
    """Items of 2023, 300 of them within one second; all that a search needs."""
    return [bare_item(item) for item in items_of_a_year(COUNT, same_second=300)]


@pytest.fixture(scope="module")
def even_year() -> list[Item]:
    """The same without the crowded second."""
    return [bare_item(item) for item in items_of_a_year(COUNT)]


@pytest.fixture(scope="module")
def usable_year() -> list[Item]:
    """Items of 2023 that an ingest takes."""
    return items_of_a_year(COUNT, same_second=300)


def ids(items: list[Item]) -> list[str]:
    return sorted(item["id"] for item in items)


def search_items(
    api: str,
    filters: Filters,
    page_size: int = PAGE_SIZE,
    policy: HttpPolicy = SEARCH_POLICY,
    concurrency: int = CONCURRENCY,
) -> Iterator[Received]:
    """The items of `search_windows` alone."""
    with closing(search_windows(api, filters, page_size, policy, concurrency)) as steps:
        for step in steps:
            yield from step.received


def found(server: FaultyServer, filters: Filters = IN_2023, **options: Any) -> list[str]:
    """Ids in the order in which the search gives them, with every repetition."""
    return [received.content["id"] for received in search_items(server.url, filters, policy=HASTY, **options)]


# --- nothing lost, nothing twice ------------------------------------------------------------------------------

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
    "cap, and a count of what is given twice over": Faults(cap=450, matched="too high"),
    "cap, and a count that hides it": Faults(cap=500, matched="too low"),
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
def test_a_search_brings_every_item_once(year: list[Item], faults: Faults) -> None:
    with serving(year, faults) as server:
        assert Counter(found(server)) == Counter(ids(year))
    assert server.most_at_once <= CONCURRENCY


def test_a_cap_below_the_page_size_loses_nothing(even_year: list[Item]) -> None:
    with serving(even_year[:2000], Faults(cap=13)) as server:
        assert Counter(found(server)) == Counter(ids(even_year[:2000]))


def test_other_collections_and_places_do_not_come(even_year: list[Item]) -> None:
    other = [item | {"collection": "sentinel-1-grd"} for item in even_year[:50]]
    far = [item | {"bbox": [40.0, 0.0, 41.0, 1.0]} for item in even_year[50:100]]
    filters = replace(IN_2023, area=area_of_bbox((15, 45, 16, 46)))
    with serving([*other, *far, *even_year[100:1000]]) as server:
        assert Counter(found(server, filters)) == Counter(ids(even_year[100:1000]))


def test_many_items_are_read_in_parts(year: list[Item], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_search, "MAX_ANSWER_ITEMS", 200)
    for matched in ("none", "right"):
        with serving(year, Faults(matched=matched)) as server:  # type: ignore[arg-type]
            assert Counter(found(server)) == Counter(ids(year))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("paging", ["get", "post merge", "post whole", "post url"])
def test_a_search_that_moved_is_asked_the_same_where_it_is_now(year: list[Item], status: int, paging: Any) -> None:
    items = year[:: COUNT // 250]
    july = replace(S2, start=day("2023-07-01"), end=day("2023-08-01"))
    expected = [item for item in items if item["properties"]["datetime"].startswith("2023-07")]
    with serving(items, Faults(redirects_search=status, paging=paging)) as server:
        assert Counter(found(server, july, page_size=10)) == Counter(ids(expected))
        assert all("datetime" in parameters for parameters in server.searches)
    assert 10 < len(expected) < len(items)


@pytest.mark.parametrize(
    ("moved_to", "message"),
    [
        (None, "HTTP 301 .*search redirects without saying where to"),
        ("/search", "redirects more than 5 times"),
        ("file:///etc/hosts", "not an http or https address"),
        ("http://[", "not an http or https address"),
    ],
)
def test_a_search_that_moved_nowhere_is_an_error(year: list[Item], moved_to: str | None, message: str) -> None:
    with (
        serving(year[:10], Faults(redirects_search=301, moved_to=moved_to)) as server,
        pytest.raises(ChiplakeError, match=f"{re.escape(server.url)}.*{message}"),
    ):
        found(server)


def test_what_a_link_sends_with_a_request_stays_on_its_host(year: list[Item]) -> None:
    with serving(year[:10]) as other:
        for moved_to, is_sent in (("/moved/search", True), (f"{other.url}moved/search", False)):
            with serving(year[:10], Faults(redirects_search=307, moved_to=moved_to)) as server:
                asked = ApiRequest("POST", f"{server.url}search", {"limit": 3}, {"X-Key": "secret"})
                page = ApiSession(HASTY, 1).fetch(asked, lambda page: "features" in page)
            assert len(page["features"]) == 3
            assert server.headers[0]["x-key"] == "secret"
            assert ("x-key" in (server.headers + other.headers)[-1]) is is_sent


def test_items_published_while_paging_make_no_others_lost_or_repeated(even_year: list[Item]) -> None:
    """Each page moves the later ones on by one, as new scenes do under paging by offset, newest first."""
    late = [light_item(COUNT + number, day("2023-12-31T22:00:00") + timedelta(seconds=number)) for number in range(50)]
    with serving(even_year, Faults(publishes_while_paging=True), late) as server:
        first = Counter(found(server))
        assert not server.late_items
        assert set(first.values()) == {1}
        assert first.keys() >= set(ids(even_year))
        assert Counter(found(server)) == Counter(ids([*even_year, *late]))


def test_what_a_server_keeps_back_of_one_second_is_an_error_and_no_silent_loss(year: list[Item]) -> None:
    for faults in (Faults(cap=200), Faults(cap=250), Faults(cap=250, refuses_beyond_cap=True, page_items=50)):
        for filters in (IN_2023, BURST_DAY):
            with serving(year, faults) as server, pytest.raises(ChiplakeError) as caught:
                found(server, filters)
            assert "smaller area" in str(caught.value)
            assert "2023-07-14T10:00:00Z to 2023-07-14T10:00:01Z" in str(caught.value)


def test_a_server_without_dates_that_stops_short_is_an_error(even_year: list[Item]) -> None:
    for faults in (
        Faults(ignores_datetime=True, loop_from_page=3),
        Faults(ignores_datetime=True, cap=300, matched="right"),
    ):
        with serving(even_year, faults) as server, pytest.raises(ChiplakeError, match="whatever the dates"):
            found(server)


def test_few_items_at_one_moment_are_no_reason_to_doubt(year: list[Item]) -> None:
    few = [item for item in year[:300] if item["properties"]["datetime"].startswith("2023-07-14T10:00:00")][:12]
    for faults in (Faults(), Faults(matched="too low"), Faults(ignores_datetime=True)):
        for filters in (IN_2023, BURST_DAY, S2):
            with serving(few, faults) as server:
                assert Counter(found(server, filters)) == Counter(ids(few))


def test_a_small_area_over_all_years_takes_few_requests(even_year: list[Item]) -> None:
    with serving(even_year[::100]) as server:
        assert len(found(server, S2)) == 100
    assert len(server.searches) < 40


def test_a_server_that_ignores_dates_is_read_once_and_not_for_each_window(even_year: list[Item]) -> None:
    with serving(even_year[:1000], Faults(ignores_datetime=True)) as server:
        found(server)
    assert len(server.searches) < 25


def test_items_at_a_border_that_two_windows_include_come_once() -> None:
    borders = [light_item(number, datetime(2023, number, 1, tzinfo=UTC)) for number in range(1, 13)]
    with serving(borders, Faults(ends_included=True)) as server:
        steps = list(search_windows(server.url, IN_2023, policy=HASTY))
    assert Counter(one.content["id"] for step in steps for one in step.received) == Counter(ids(borders))
    assert sum(step.repeated for step in steps) == 11


def test_windows_are_completed_in_order(even_year: list[Item]) -> None:
    with serving(even_year[::50], Faults(order="random")) as server:
        steps = list(search_windows(server.url, IN_2023, policy=HASTY))
    completed = [step.completed for step in steps if step.completed is not None]
    assert completed == calendar_windows(IN_2023.start, IN_2023.end, datetime.now(UTC))
    months = [one.content["properties"]["datetime"][:7] for step in steps for one in step.received]
    assert months == sorted(months)


# --- manners --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3])
def test_there_are_never_more_requests_at_once_than_allowed(even_year: list[Item], concurrency: int) -> None:
    with serving(even_year[::10], Faults(answer_s=0.02)) as server:
        assert len(found(server, concurrency=concurrency)) == COUNT // 10
    assert server.most_at_once == concurrency


@pytest.mark.parametrize(("retry_after", "at_least_s"), [("1", 1.0), ("date", 0.9), (None, 0.0), ("soon", 0.0)])
def test_retry_after_is_honoured(even_year: list[Item], retry_after: str | None, at_least_s: float) -> None:
    """By all threads: after the server said that it is busy, nobody asks until it said they may."""
    with serving(even_year[::500], Faults(seed=3, busy_rate=0.3, retry_after=retry_after)) as server:
        filters = replace(IN_2023, end=day("2023-03-01"))
        assert Counter(found(server, filters, concurrency=1)) == Counter(
            item["id"] for item in even_year[::500] if item["properties"]["datetime"] < "2023-03"
        )
    gaps = [after[0] - before[0] for before, after in pairwise(server.times) if before[1] == 429]
    assert gaps
    assert min(gaps) >= at_least_s


def test_threads_wait_together_when_the_server_is_busy(even_year: list[Item]) -> None:
    with serving(even_year[::500], Faults(seed=3, busy_rate=0.1, retry_after="1")) as server:
        found(server)
    busy = [at for at, status in server.times if status == 429]
    assert busy
    # Requests that were under way when the answer came may still follow it at once, one for each other thread.
    for at in busy:
        assert sum(0.2 < other - at < 0.95 for other, _ in server.times) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Wed, 01 Mar 2023 00:00:30 GMT", 30.0),
        ("Tue, 28 Feb 2023 00:00:00 GMT", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, day("2023-03-01")) == seconds


def test_a_server_that_asks_for_hours_is_asked_again_earlier(even_year: list[Item]) -> None:
    policy = replace(HASTY, max_retry_after_s=0)
    with serving(even_year[:10], Faults(busy_rate=0.3, retry_after="86400")) as server:
        assert len(list(search_items(server.url, IN_2023, policy=policy))) == 10


# --- windows --------------------------------------------------------------------------------------------------


def test_windows_are_the_same_whenever_the_same_dates_are_asked_for() -> None:
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


def test_a_window_is_split_so_that_both_parts_hold_items_if_they_can() -> None:
    window = Window(day("2023-01-01"), day("2023-02-01"))
    second = timedelta(seconds=1)
    early = [day("2023-01-02")] * 9
    assert split_at_items(window, [*early, day("2023-01-03")])[0].end == day("2023-01-03")
    assert split_at_items(window, early)[0].end == day("2023-01-02")
    assert split_at_items(Window(day("2023-01-02"), window.end), early)[0].end == day("2023-01-02") + second
    assert split_at_items(Window(day("2023-01-02"), day("2023-01-02") + second), early) == []
    assert len(split_at_items(window, [])) == 2


def test_what_is_complete_ends_at_the_first_gap() -> None:
    january, february, april = (Window(day(f"2023-0{m}-01"), day(f"2023-0{m + 1}-01")) for m in (1, 2, 4))
    inside = Window(day("2023-01-10"), day("2023-01-20"))
    assert span_without_gap([april, february, january, inside]) == Window(january.start, february.end)
    assert span_without_gap([]) is None


# --- into the lake --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ingest as patient as the tests are."""
    monkeypatch.setattr(run, "SEARCH_POLICY", HASTY)


def snapshots(settings: Settings) -> list[int]:
    catalog = open_catalog(settings)
    return [len(catalog.load_table(name).snapshots()) for name in (STAC_ITEMS, STAC_REJECTS, STAC_CHECKPOINTS)]


def checkpoints(settings: Settings) -> list[Window]:
    return sorted(Window(row["window_start"], row["window_end"]) for row in stored(settings, STAC_CHECKPOINTS))


def test_ten_thousand_items_go_through_trouble_into_the_lake_once(
    usable_year: list[Item], ingest_settings: Settings
) -> None:
    faults = Faults(
        busy_rate=0.05,
        retry_after="0",
        error_rate=0.05,
        reset_rate=0.03,
        truncated_rate=0.03,
        repeats_page=True,
    )
    with serving(usable_year, faults) as server:
        request = IngestRequest(api=server.url, filters=IN_2023)
        first = ingest(request, ingest_settings)
        assert (first.received, first.written, first.repeated > 0) == (COUNT, COUNT, True)
        assert ids([{"id": row["item_id"]} for row in stored(ingest_settings)]) == ids(usable_year)
        before = snapshots(ingest_settings)
        again = ingest(request, ingest_settings)
    assert (again.received, again.written, again.unchanged) == (COUNT, 0, COUNT)
    assert snapshots(ingest_settings) == before
    rows = sorted(stored(ingest_settings, STAC_CHECKPOINTS), key=lambda row: row["window_start"])
    assert [row["window_start"].month for row in rows] == list(range(1, 13))
    assert sum(row["received"] for row in rows) == sum(row["written"] for row in rows) == COUNT
    assert {(row["source"], row["collection"]) for row in rows} == {(server.url, "sentinel-2-l2a")}
    assert first.searched_until == IN_2023.end


def test_one_changed_item_writes_one_row_and_no_checkpoint(usable_year: list[Item], ingest_settings: Settings) -> None:
    items = usable_year[::20]
    with serving(items) as server:
        request = IngestRequest(api=server.url, filters=IN_2023)
        ingest(request, ingest_settings)
        before = snapshots(ingest_settings)
        changed = json.loads(json.dumps(items[7]))
        changed["properties"]["eo:cloud_cover"] = 77.5
        server.publish([changed])
        assert ingest(request, ingest_settings) == IngestSummary(received=500, written=1, unchanged=499)
    assert snapshots(ingest_settings) == [before[0] + 1, *before[1:]]


def test_a_search_that_goes_on_finds_what_was_published_late(
    usable_year: list[Item], ingest_settings: Settings
) -> None:
    items = [item for item in usable_year[::20] if item["properties"]["datetime"] < "2023-05"]
    until_april = replace(IN_2023, end=day("2023-04-01"))
    with serving(items) as server:
        first = ingest(IngestRequest(api=server.url, filters=until_april), ingest_settings)
        assert first.searched_until == day("2023-04-01")
        late, too_late = light_item(90001, day("2023-03-25")), light_item(90002, day("2023-03-20"))
        server.publish([late, too_late])
        server.searches.clear()
        go_on = IngestRequest(api=server.url, filters=replace(S2, end=day("2023-05-01")), since_last=True)
        second = ingest(go_on, ingest_settings)
        asked = min(parameters["datetime"] for parameters in server.searches)
        april = [item for item in items if item["properties"]["datetime"] >= "2023-04"]
        names = {row["item_id"] for row in stored(ingest_settings)}
        third = ingest(replace(go_on, overlap=timedelta(days=60)), ingest_settings)
    assert asked.startswith("2023-03-22T00:00:00")
    assert second.written == len(april) + 1
    assert late["id"] in names
    assert too_late["id"] not in names
    assert third.written == 1
    assert second.searched_until == third.searched_until == day("2023-05-01")


def test_going_on_needs_a_checkpoint_of_the_same_search(usable_year: list[Item], ingest_settings: Settings) -> None:
    with serving(usable_year[::100]) as server:
        go_on = IngestRequest(api=server.url, filters=replace(S2, end=day("2023-03-01")), since_last=True)
        with pytest.raises(ChiplakeError, match="--start-date once"):
            ingest(go_on, ingest_settings)
        ingest(IngestRequest(api=server.url, filters=replace(IN_2023, end=day("2023-02-01"))), ingest_settings)
        for other in (
            replace(go_on.filters, collection="sentinel-2-c1-l2a"),
            replace(go_on.filters, max_cloud=40),
            replace(go_on.filters, area=area_of_bbox((15, 45, 16, 46))),
        ):
            with pytest.raises(ChiplakeError, match="--start-date once"):
                ingest(replace(go_on, filters=other), ingest_settings)
        # The same server, with and without the last slash; never from before the first start.
        server.searches.clear()
        ingest(replace(go_on, api=server.url.rstrip("/"), overlap=timedelta(days=1000)), ingest_settings)
        asked = [parameters["datetime"] for parameters in server.searches]
    assert min(asked).startswith("2023-01-01")


def test_a_run_that_was_cut_off_goes_on_from_its_last_complete_window(
    usable_year: list[Item], ingest_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ITEMS", 100)
    items = usable_year[::10]

    def stop(summary: IngestSummary) -> None:
        if summary.written >= 500:
            raise KeyboardInterrupt

    with serving(items) as server:
        with pytest.raises(KeyboardInterrupt):
            ingest(IngestRequest(api=server.url, filters=IN_2023), ingest_settings, stop)
        committed = stored(ingest_settings)
        complete = span_without_gap(checkpoints(ingest_settings))
        assert complete is not None
        assert IN_2023.end is not None
        assert complete.start == IN_2023.start < complete.end < IN_2023.end
        # All items of the windows on record are there.
        in_windows = [item for item in items if item["properties"]["datetime"] < complete.end.isoformat()]
        assert {row["item_id"] for row in committed} >= set(ids(in_windows))
        go_on = IngestRequest(api=server.url, filters=replace(S2, end=IN_2023.end), since_last=True)
        summary = ingest(go_on, ingest_settings)
    assert summary.received < len(items)
    assert ids([{"id": row["item_id"]} for row in stored(ingest_settings)]) == ids(items)
    assert span_without_gap(checkpoints(ingest_settings)) == Window(day("2023-01-01"), day("2024-01-01"))


def test_a_limit_records_only_windows_that_were_finished(usable_year: list[Item], ingest_settings: Settings) -> None:
    with serving(usable_year[::20]) as server:  # some 42 a month
        summary = ingest(IngestRequest(api=server.url, filters=IN_2023, limit=100), ingest_settings)
    assert summary.written == 100
    assert [window.end for window in checkpoints(ingest_settings)] == [day("2023-02-01"), day("2023-03-01")]


def test_what_came_before_a_failure_is_stored(usable_year: list[Item], ingest_settings: Settings) -> None:
    with serving(usable_year, Faults(cap=250)) as server, pytest.raises(ChiplakeError, match="smaller area"):
        ingest(IngestRequest(api=server.url, filters=IN_2023), ingest_settings)
    assert [window.start.month for window in checkpoints(ingest_settings)] == [1, 2, 3, 4, 5, 6]
    before_july = [item for item in usable_year if item["properties"]["datetime"] < "2023-07"]
    assert {row["item_id"] for row in stored(ingest_settings)} >= set(ids(before_july))


def test_the_day_at_hand_is_searched_and_not_recorded(ingest_settings: Settings) -> None:
    now = datetime.now(UTC)
    items = [light_item(0, now - timedelta(days=3)), light_item(1, now - timedelta(seconds=2))]
    with serving(items) as server:
        request = IngestRequest(api=server.url, filters=replace(S2, start=now - timedelta(days=5)))
        assert ingest(request, ingest_settings).written == 2
        before = snapshots(ingest_settings)
        assert ingest(request, ingest_settings).written == 0
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    assert max(window.end for window in checkpoints(ingest_settings)) == midnight
    assert snapshots(ingest_settings) == before


def test_the_rows_of_a_file_are_in_order(usable_year: list[Item], ingest_settings: Settings) -> None:
    with serving(usable_year[::20], Faults(order="random")) as server:
        ingest(IngestRequest(api=server.url, filters=replace(IN_2023, end=day("2023-02-01"))), ingest_settings)
    times = [row["acquired_at"] for row in stored(ingest_settings)]
    assert len(times) > 20
    assert times == sorted(times)


@pytest.mark.parametrize(
    "request_",
    [
        IngestRequest(),
        IngestRequest(api="http://127.0.0.1:1/", catalog="http://127.0.0.1:1/"),
        IngestRequest(catalog="http://127.0.0.1:1/", since_last=True),
        IngestRequest(api="http://127.0.0.1:1/", since_last=True, filters=IN_2023),
        IngestRequest(api="http://127.0.0.1:1/", concurrency=0),
        IngestRequest(api="http://127.0.0.1:1/", overlap=timedelta(days=-1)),
    ],
)
def test_a_contradictory_request_is_refused_before_anything_is_made(
    request_: IngestRequest, ingest_settings: Settings
) -> None:
    with pytest.raises(ChiplakeError):
        ingest(request_, ingest_settings)
    assert not ingest_settings.lake.home.exists()


# --- the command ----------------------------------------------------------------------------------------------


def test_the_command_goes_on_and_says_how_far_it_came(command: Callable[..., Any], usable_year: list[Item]) -> None:
    with serving(usable_year[::20]) as server:
        dates = ("--start-date", "2023-01-01", "--end-date", "2023-01-31")
        result = command("--api", server.url, *dates, "--concurrency", "2")
        assert result.exit_code == 0, result.output
        assert "complete until 2023-01-31, included" in result.output
        result = command("--api", server.url, "--since-last", "--overlap-days", "0", "--end-date", "2023-02-28")
        assert result.exit_code == 0, result.output
    assert "complete until 2023-02-28, included" in result.output
    assert min(parameters["datetime"] for parameters in server.searches[-2:]) >= "2023-02"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--api", "https://example.com", "--catalog", "https://example.com"),
        ("--catalog", "file:///etc"),
        ("--api", "https://example.com", "--since-last", "--start-date", "2023-01-01"),
        ("--catalog", "https://example.com", "--since-last"),
        ("--api", "https://example.com", "--overlap-days", "-1"),
        ("--api", "https://example.com", "--concurrency", "0"),
        ("--api", "https://example.com", "--allow-file-hrefs"),
    ],
)
def test_wrong_usage_ends_with_2(command: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert command(*arguments).exit_code == 2
    assert not (tmp_path / "lake").exists()


# --- servers that answer as told ------------------------------------------------------------------------------

Answer = Callable[[int, str], tuple[int, bytes]]  # number and method with path of a request: status and body


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Start an HTTP server on loopback that answers the n-th request as told."""
    servers = []

    def start(answer: Answer) -> str:
        count = iter(range(1_000_000))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body = answer(next(count), f"{self.command} {self.path}")
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def landing_page(**search_link: str) -> bytes:
    links = [{"rel": "search", "href": "/search", "method": "POST", **search_link}]
    conformance = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
    root = {"type": "Catalog", "id": "x", "stac_version": "1.0.0", "description": "x", "links": links}
    return json.dumps(root | {"conformsTo": conformance}).encode()


def page(items: list[Any], next_href: str | None = None) -> bytes:
    links = [{"rel": "next", "href": next_href, "method": "GET"}] if next_href else []
    return json.dumps({"type": "FeatureCollection", "features": items, "links": links}).encode()


def test_a_server_that_is_busy_or_failing_for_a_while_is_asked_again(serve: Callable[[Answer], str]) -> None:
    def answer(number: int, path: str) -> tuple[int, bytes]:
        if number in (0, 2, 3):
            return (429, b"slow down") if number else (503, b"")
        return 200, page([make_item()]) if "/search" in path else landing_page()

    items = list(search_items(serve(answer), S2, policy=HASTY))
    assert [received.content["id"] for received in items] == [make_item()["id"]]


def test_a_server_that_takes_get_only_is_searched_by_get(serve: Callable[[Answer], str]) -> None:
    def answer(number: int, path: str) -> tuple[int, bytes]:
        if "/search" not in path:
            return 200, landing_page(method="GET")
        return (200, page([make_item()])) if path.startswith("GET") else (405, b"")

    assert len(list(search_items(serve(answer), S2, policy=HASTY))) == 1


def test_a_server_that_goes_on_failing_is_named_in_the_error(serve: Callable[[Answer], str]) -> None:
    url = serve(lambda number, path: (500, b"broken") if number else (200, landing_page()))
    with pytest.raises(ChiplakeError, match=f"{re.escape(url)} failed: HTTP 500 broken"):
        list(search_items(url, S2, policy=HASTY))


def test_a_server_that_serves_no_stac_is_named_in_the_error(serve: Callable[[Answer], str]) -> None:
    for body in (b"<html>", b"[]", b"{}", b'{"type": "Catalog"}'):
        url = serve(lambda number, path, body=body: (200, body))
        with pytest.raises(ChiplakeError, match=re.escape(url)):
            list(search_items(url, S2, policy=HASTY))


def test_a_server_whose_pages_go_in_a_circle_does_not_hold_the_ingest_up(serve: Callable[[Answer], str]) -> None:
    def answer(number: int, path: str) -> tuple[int, bytes]:
        return 200, page([make_item()], url[0] + "search?next=1") if "/search" in path else landing_page()

    url: list[str] = []
    url.append(serve(answer))
    with pytest.raises(ChiplakeError, match="pages go in a circle"):
        list(search_items(url[0], S2, policy=HASTY))


def test_a_link_of_a_server_never_opens_a_local_file(serve: Callable[[Answer], str], tmp_path: Path) -> None:
    secret = tmp_path / "page.json"
    secret.write_bytes(page([make_item(1)]))
    for href in (str(secret), secret.as_uri()):

        def answer(number: int, path: str, href: str = href) -> tuple[int, bytes]:
            return 200, page([make_item()], href) if "/search" in path else landing_page()

        received = []
        with pytest.raises(ChiplakeError, match="http"):
            received.extend(search_items(serve(answer), S2, policy=HASTY))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "/etc",
        "ftp://example.com",
        "https://me:secret@example.com",
        "http://",
        "https://example.com?key=secret",
    ],
)
def test_only_http_addresses_without_password_are_searched(url: str) -> None:
    with pytest.raises(ChiplakeError) as caught:
        list(search_items(url, S2))
    assert "secret" not in str(caught.value)


def test_an_item_nested_too_deep_is_a_reject_and_the_others_are_stored(
    serve: Callable[[Answer], str], ingest_settings: Settings
) -> None:
    depth = 990
    deep = json.dumps(make_item(0, note="HERE")).replace('"HERE"', "[" * depth + "]" * depth)
    body = f'{{"type": "FeatureCollection", "links": [], "features": [{deep}, {json.dumps(make_item(1))}]}}'.encode()

    def answer(number: int, path: str) -> tuple[int, bytes]:
        return 200, body if "/search" in path else landing_page()

    filters = Filters(start=datetime(2023, 8, 1, tzinfo=UTC), end=datetime(2023, 9, 1, tzinfo=UTC))
    summary = ingest(IngestRequest(api=serve(answer), filters=filters), ingest_settings)
    assert (summary.written, dict(summary.rejected)) == (1, {"invalid JSON": 1})
