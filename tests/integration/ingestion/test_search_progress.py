"""An ingest from a search: what is stored, which windows are recorded, and where the next search starts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.faulty_stac_server import Faults, Item, light_item, serving
from support.ingests import stored
from support.searches import COUNT, IN_2023, S2, day, item_ids

from ingestion import IngestRequest, IngestSummary, batches, ingest
from ingestion.area import area_of_bbox
from ingestion.windows import Window, span_without_gap
from lakehouse.catalog import open_catalog
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.source_schemas import STAC_CHECKPOINTS, STAC_ITEMS, STAC_REJECTS


def snapshots(settings: Settings) -> list[int]:
    catalog = open_catalog(settings)
    return [len(catalog.load_table(name).snapshots()) for name in (STAC_ITEMS, STAC_REJECTS, STAC_CHECKPOINTS)]


def recorded_windows(settings: Settings) -> list[Window]:
    return sorted(Window(row["window_start"], row["window_end"]) for row in stored(settings, STAC_CHECKPOINTS))


def test_ten_thousand_items_of_a_failing_server_are_stored_once(
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
        assert item_ids([{"id": row["item_id"]} for row in stored(ingest_settings)]) == item_ids(usable_year)
        before = snapshots(ingest_settings)
        again = ingest(request, ingest_settings)
    assert (again.received, again.written, again.unchanged) == (COUNT, 0, COUNT)
    assert snapshots(ingest_settings) == before
    rows = sorted(stored(ingest_settings, STAC_CHECKPOINTS), key=lambda row: row["window_start"])
    assert [row["window_start"].month for row in rows] == list(range(1, 13))
    assert sum(row["received"] for row in rows) == sum(row["written"] for row in rows) == COUNT
    assert {(row["source"], row["collection"]) for row in rows} == {(server.url, "sentinel-2-l2a")}
    assert first.searched_until == IN_2023.end


def test_a_changed_item_writes_one_row_and_no_window(usable_year: list[Item], ingest_settings: Settings) -> None:
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


def test_a_continued_search_finds_items_published_late(usable_year: list[Item], ingest_settings: Settings) -> None:
    items = [item for item in usable_year[::20] if item["properties"]["datetime"] < "2023-05"]
    until_april = replace(IN_2023, end=day("2023-04-01"))
    with serving(items) as server:
        first = ingest(IngestRequest(api=server.url, filters=until_april), ingest_settings)
        assert first.searched_until == day("2023-04-01")
        late, too_late = light_item(90001, day("2023-03-25")), light_item(90002, day("2023-03-20"))
        server.publish([late, too_late])
        server.searches.clear()
        continued = IngestRequest(api=server.url, filters=replace(S2, end=day("2023-05-01")), since_last=True)
        second = ingest(continued, ingest_settings)
        requested = min(parameters["datetime"] for parameters in server.searches)
        april = [item for item in items if item["properties"]["datetime"] >= "2023-04"]
        names = {row["item_id"] for row in stored(ingest_settings)}
        third = ingest(replace(continued, overlap=timedelta(days=60)), ingest_settings)
    assert requested.startswith("2023-03-22T00:00:00")
    assert second.written == len(april) + 1
    assert late["id"] in names
    assert too_late["id"] not in names
    assert third.written == 1
    assert second.searched_until == third.searched_until == day("2023-05-01")


def test_continuing_needs_a_recorded_window_of_the_same_search(
    usable_year: list[Item], ingest_settings: Settings
) -> None:
    with serving(usable_year[::100]) as server:
        continued = IngestRequest(api=server.url, filters=replace(S2, end=day("2023-03-01")), since_last=True)
        with pytest.raises(ChiplakeError, match="--start-date once"):
            ingest(continued, ingest_settings)
        ingest(IngestRequest(api=server.url, filters=replace(IN_2023, end=day("2023-02-01"))), ingest_settings)
        for other in (
            replace(continued.filters, collection="sentinel-2-c1-l2a"),
            replace(continued.filters, max_cloud=40),
            replace(continued.filters, area=area_of_bbox((15, 45, 16, 46))),
        ):
            with pytest.raises(ChiplakeError, match="--start-date once"):
                ingest(replace(continued, filters=other), ingest_settings)
        # The URL without the slash is the same server. The search never starts before the first one.
        server.searches.clear()
        ingest(replace(continued, api=server.url.rstrip("/"), overlap=timedelta(days=1000)), ingest_settings)
        requested = [parameters["datetime"] for parameters in server.searches]
    assert min(requested).startswith("2023-01-01")


def test_an_interrupted_ingest_continues_from_its_last_complete_window(
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
        complete = span_without_gap(recorded_windows(ingest_settings))
        assert complete is not None
        assert IN_2023.start is not None
        assert IN_2023.end is not None
        assert complete.start == IN_2023.start < complete.end < IN_2023.end
        # All items of the recorded windows are stored.
        in_windows = [item for item in items if item["properties"]["datetime"] < complete.end.isoformat()]
        assert {row["item_id"] for row in committed} >= set(item_ids(in_windows))
        continued = IngestRequest(api=server.url, filters=replace(S2, end=IN_2023.end), since_last=True)
        summary = ingest(continued, ingest_settings)
    assert summary.received < len(items)
    assert item_ids([{"id": row["item_id"]} for row in stored(ingest_settings)]) == item_ids(items)
    assert span_without_gap(recorded_windows(ingest_settings)) == Window(day("2023-01-01"), day("2024-01-01"))


def test_a_limit_records_only_complete_windows(usable_year: list[Item], ingest_settings: Settings) -> None:
    with serving(usable_year[::20]) as server:  # about 42 a month
        summary = ingest(IngestRequest(api=server.url, filters=IN_2023, limit=100), ingest_settings)
    assert summary.written == 100
    assert [window.end for window in recorded_windows(ingest_settings)] == [day("2023-02-01"), day("2023-03-01")]


def test_items_received_before_a_failure_are_stored(usable_year: list[Item], ingest_settings: Settings) -> None:
    items = usable_year[:300] + usable_year[300::3]  # 300 in one second of July, and about 270 a month
    with serving(items, Faults(cap=250)) as server, pytest.raises(ChiplakeError, match="smaller area"):
        ingest(IngestRequest(api=server.url, filters=IN_2023), ingest_settings)
    assert [window.start.month for window in recorded_windows(ingest_settings)] == [1, 2, 3, 4, 5, 6]
    before_july = [item for item in items if item["properties"]["datetime"] < "2023-07"]
    assert {row["item_id"] for row in stored(ingest_settings)} >= set(item_ids(before_july))


def test_the_current_day_is_searched_and_not_recorded(ingest_settings: Settings) -> None:
    now = datetime.now(UTC)
    items = [light_item(0, now - timedelta(days=3)), light_item(1, now - timedelta(seconds=2))]
    with serving(items) as server:
        request = IngestRequest(api=server.url, filters=replace(S2, start=now - timedelta(days=5)))
        assert ingest(request, ingest_settings).written == 2
        before = snapshots(ingest_settings)
        assert ingest(request, ingest_settings).written == 0
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    assert max(window.end for window in recorded_windows(ingest_settings)) == midnight
    assert snapshots(ingest_settings) == before


def test_the_rows_of_a_data_file_are_in_order_of_time(usable_year: list[Item], ingest_settings: Settings) -> None:
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
def test_a_contradictory_request_creates_no_lake(request_: IngestRequest, ingest_settings: Settings) -> None:
    with pytest.raises(ChiplakeError):
        ingest(request_, ingest_settings)
    assert not ingest_settings.lake.home.exists()
