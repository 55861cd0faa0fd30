"""Ingestion from a STAC server and from files into an Iceberg table: rows, versions, rejects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
from support.ingests import stored, write_items
from support.stac_items import make_item
from support.stac_servers import rustac_server

from ingestion import Filters, IngestRequest, IngestSummary, batches, ingest
from ingestion.area import area_of_bbox
from lakehouse.catalog import open_catalog
from lakehouse.settings import Settings
from lakehouse.source_schemas import STAC_ITEMS, STAC_REJECTS

ITEMS = 330


BIG_PAGE = 50  # items of a page; the items below take several pages


S2 = Filters(collection="sentinel-2-l2a")


@pytest.fixture(scope="module")
def server_items() -> list[dict[str, Any]]:
    items = [make_item(number) for number in range(ITEMS)]
    return [*items, {**make_item(ITEMS, platform="sentinel-1a"), "collection": "sentinel-1-grd"}]


@pytest.fixture(scope="module")
def stac_api(server_items: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with rustac_server(folder, write_items(folder / "items.json", server_items)) as url:
        yield url


def snapshots(settings: Settings) -> tuple[int, int]:
    catalog = open_catalog(settings)
    items, rejects = (len(catalog.load_table(name).snapshots()) for name in (STAC_ITEMS, STAC_REJECTS))
    return items, rejects


def test_all_pages_become_rows_and_a_second_ingest_commits_nothing(stac_api: str, ingest_settings: Settings) -> None:
    request = IngestRequest(api=stac_api, filters=S2, page_size=BIG_PAGE)
    assert ingest(request, ingest_settings) == IngestSummary(received=ITEMS, written=ITEMS)
    before = snapshots(ingest_settings)
    assert before == (1, 0)
    assert ingest(request, ingest_settings) == IngestSummary(received=ITEMS, unchanged=ITEMS)
    assert snapshots(ingest_settings) == before
    rows = stored(ingest_settings)
    assert len({row["item_id"] for row in rows}) == len(rows) == ITEMS
    assert {row["source"] for row in rows} == {stac_api}
    assert len({row["ingested_at"] for row in rows}) == 1


def test_filters_that_the_server_ignores_are_applied(stac_api: str, ingest_settings: Settings) -> None:
    filters = Filters(
        area=area_of_bbox((15.5, 45.5, 15.6, 45.6)),
        start=datetime(2023, 8, 5, tzinfo=UTC),
        end=datetime(2023, 8, 8, tzinfo=UTC),
        max_cloud=40,
        collection="sentinel-2-l2a",
    )
    summary = ingest(IngestRequest(api=stac_api, filters=filters), ingest_settings)
    expected = {make_item(n)["id"] for n in range(ITEMS) if 4 <= n % 28 <= 6 and n % 100 <= 40}
    assert {row["item_id"] for row in stored(ingest_settings)} == expected
    assert (summary.written, summary.rejected_total) == (len(expected), 0)
    assert summary.received == summary.written + summary.skipped


def test_a_limit_ends_the_paging(stac_api: str, ingest_settings: Settings) -> None:
    summary = ingest(IngestRequest(api=stac_api, filters=S2, limit=70, page_size=BIG_PAGE), ingest_settings)
    assert summary == IngestSummary(received=70, written=70)


def test_an_area_without_items_is_not_an_error(stac_api: str, ingest_settings: Settings) -> None:
    filters = Filters(area=area_of_bbox((0, 0, 1, 1)), collection="sentinel-2-l2a")
    assert ingest(IngestRequest(api=stac_api, filters=filters), ingest_settings) == IngestSummary()


def ingest_items(settings: Settings, path: Path, items: list[Any]) -> IngestSummary:
    return ingest(IngestRequest(items=write_items(path, items)), settings)


def test_one_changed_item_writes_one_row(tmp_path: Path, ingest_settings: Settings) -> None:
    items = [make_item(number) for number in range(30)]
    path = tmp_path / "items.json"
    ingest_items(ingest_settings, path, items)
    items[3]["properties"]["eo:cloud_cover"] = 77.5
    assert ingest_items(ingest_settings, path, items) == IngestSummary(received=30, written=1, unchanged=29)
    versions = [row for row in stored(ingest_settings) if row["item_id"] == items[3]["id"]]
    assert sorted((row["ingested_at"], row["cloud_cover"]) for row in versions)[-1][1] == 77.5
    assert len(versions) == 2


def test_a_stored_row_has_its_assets_and_its_item(tmp_path: Path, ingest_settings: Settings) -> None:
    ingest_items(ingest_settings, tmp_path / "items.json", [make_item()])
    (row,) = stored(ingest_settings)
    assets = dict(row["assets"])
    assert set(assets) == {"scl", *(name for name in make_item()["assets"] if name != "scl")}
    assert (assets["blue"]["href"], assets["blue"]["offset"]) == ("https://example.com/33TWL/B02.tif", -0.1)
    assert (assets["scl"]["transform"], assets["scl"]["shape"]) == ([20, 0, 499980, 0, -20, 5100000], [5490, 5490])
    assert json.loads(row["item"]) == make_item()
    assert row["acquired_at"] == datetime(2023, 8, 1, 9, 58, 11, 662000, tzinfo=UTC)
    assert shapely.from_wkb(row["geometry"]).bounds == (row["xmin"], row["ymin"], row["xmax"], row["ymax"])


def test_rejects_are_recorded_once(tmp_path: Path, ingest_settings: Settings) -> None:
    items = [make_item(0, platform="sentinel-1a"), make_item(1, datetime=None), make_item(2), "text"]
    expected = {"no datetime": 1, "not Sentinel-2": 1, "not an item": 1}
    path = tmp_path / "items.json"
    first = ingest_items(ingest_settings, path, items)
    assert first == IngestSummary(received=4, written=1, rejected=expected)
    before = snapshots(ingest_settings)
    assert ingest_items(ingest_settings, path, items) == IngestSummary(received=4, unchanged=1, rejected=expected)
    assert snapshots(ingest_settings) == before == (1, 1)
    assert sorted(row["reason"] for row in stored(ingest_settings, STAC_REJECTS)) == sorted(expected)


@pytest.mark.parametrize("batch_items", [2000, 1])
def test_the_version_updated_last_becomes_current_in_any_order(
    tmp_path: Path, batch_items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ITEMS", batch_items)
    old = make_item(0) | {"stac_version": "1.0.0"}
    new = make_item(0, updated="2024-01-01T00:00:00Z") | {"stac_version": "1.1.0"}
    for number, items in enumerate(([old, new], [new, old])):
        settings = Settings().replace(home=tmp_path / f"lake{number}")
        path = tmp_path / "items.json"
        ingest_items(settings, path, items)
        rows = sorted(stored(settings), key=lambda row: (row["updated_at"], row["ingested_at"]))
        assert json.loads(rows[-1]["item"])["stac_version"] == "1.1.0"
        before = snapshots(settings)
        assert ingest_items(settings, path, items).written == 0
        assert snapshots(settings) == before


def test_of_versions_without_update_time_the_last_received_is_stored(tmp_path: Path, ingest_settings: Settings) -> None:
    first = make_item(0, updated=None, datetime="2023-08-01T10:00:00Z")
    corrected = make_item(0, updated=None, datetime="2023-08-01T09:00:00Z")
    ingest_items(ingest_settings, tmp_path / "items.json", [first, make_item(1), corrected])
    rows = {row["item_id"]: row for row in stored(ingest_settings)}
    assert rows[first["id"]]["acquired_at"] == datetime(2023, 8, 1, 9, tzinfo=UTC)
    assert len(rows) == 2


def test_two_versions_in_one_ingest_are_written_once(
    tmp_path: Path, ingest_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ITEMS", 1)
    items = [make_item(0) | {"stac_version": version} for version in ("1.0.0", "1.1.0")]
    ingest_items(ingest_settings, tmp_path / "items.json", items)
    before = snapshots(ingest_settings)
    assert ingest_items(ingest_settings, tmp_path / "items.json", items).written == 0
    assert snapshots(ingest_settings) == before


def test_a_version_that_returns_is_current_again_and_stored_once(tmp_path: Path, ingest_settings: Settings) -> None:
    first, second = make_item(0), make_item(0, **{"eo:cloud_cover": 50.0})
    for item in (first, second, first):
        assert ingest_items(ingest_settings, tmp_path / "items.json", [item, make_item(1)]).written >= 1
    rows = [row for row in stored(ingest_settings) if row["item_id"] == first["id"]]
    assert max(rows, key=lambda row: row["ingested_at"])["cloud_cover"] == 0.0
    assert len(rows) == len({row["content_hash"] for row in rows}) == 2
    assert len(stored(ingest_settings)) == 3


def test_concurrent_ingests_write_every_item_once(tmp_path: Path, ingest_settings: Settings) -> None:
    ingest_items(ingest_settings, tmp_path / "first.json", [make_item(100)])
    paths = [
        write_items(tmp_path / f"{start}.json", [make_item(number) for number in range(start, start + 30)])
        for start in (0, 10, 20, 0)
    ]
    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(lambda path: ingest(IngestRequest(items=path), ingest_settings), paths))
    ids = sorted(row["item_id"] for row in stored(ingest_settings))
    assert ids == sorted(make_item(number)["id"] for number in (*range(50), 100))


def test_an_interrupted_ingest_is_completed_by_the_next(
    tmp_path: Path, ingest_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ITEMS", 10)
    path = tmp_path / "items.ndjson"
    lines = [json.dumps(make_item(number)) for number in range(25)]
    path.write_text("\n".join(lines))

    def stop(summary: IngestSummary) -> None:
        if summary.written:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(IngestRequest(items=path), ingest_settings, stop)
    assert ingest(IngestRequest(items=path), ingest_settings) == IngestSummary(received=25, written=15, unchanged=10)
    assert len(stored(ingest_settings)) == 25


def test_progress_counts_up_to_the_summary(tmp_path: Path, ingest_settings: Settings) -> None:
    path = write_items(tmp_path / "items.json", [make_item(number) for number in range(250)])
    seen: list[IngestSummary] = []
    summary = ingest(IngestRequest(items=path), ingest_settings, seen.append)
    assert [step.received for step in seen] == [100, 200, 250]
    assert seen[-1] == summary


def test_every_sample_file_is_ingested_once(sample_data: Path, ingest_settings: Settings) -> None:
    folder = IngestRequest(items=sample_data / "stac")
    first = ingest(folder, ingest_settings)
    expected = {"no scl asset": 8, "not Sentinel-2": 3, "not level 2A": 5}
    # Two items of Planetary Computer come as JSON and again in its stac-geoparquet.
    assert first == IngestSummary(received=1056, written=1038, superseded=2, rejected=expected)
    before = snapshots(ingest_settings)
    again = IngestSummary(received=1056, unchanged=1038, superseded=2, rejected=expected)
    assert ingest(folder, ingest_settings) == again
    assert snapshots(ingest_settings) == before
