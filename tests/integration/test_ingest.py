"""Ingestion on the real thing: a STAC server, files, and an Iceberg catalog."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import shapely
import typer
from stac_items import make_item
from typer.testing import CliRunner

from chiplake.errors import ChiplakeError
from chiplake.lake import STAC_ITEMS, STAC_REJECTS, open_catalog
from chiplake.settings import Settings, get_settings
from ingestion import Filters, IngestRequest, IngestSummary, Reason, ingest
from ingestion import run as ingestion_run
from ingestion.commands import ingest_command
from ingestion.files import read_items
from ingestion.geometry import area_of_bbox
from ingestion.search import search_items

ITEMS = 330
BIG_PAGE = 50  # several pages of the items below
S2 = Filters(collection="sentinel-2-l2a")


@pytest.fixture
def ingest_settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "lake")


@pytest.fixture(scope="module")
def server_items() -> list[dict[str, Any]]:
    items = [make_item(number) for number in range(ITEMS)]
    return [*items, {**make_item(ITEMS, platform="sentinel-1a"), "collection": "sentinel-1-grd"}]


@pytest.fixture(scope="module")
def stac_api(server_items: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("server") / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": server_items}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    rustac = Path(sys.executable).with_name("rustac")
    command = [str(rustac), "serve", "--create-collections", "-a", address, str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"http://{address}/", process)
            yield f"http://{address}/"
        finally:
            process.terminate()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, "the STAC server ended"
        try:
            with urlopen(url, timeout=5):
                return
        except URLError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {url}")


def write_items(path: Path, items: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def snapshots(settings: Settings) -> tuple[int, int]:
    catalog = open_catalog(settings)
    items, rejects = (len(catalog.load_table(name).snapshots()) for name in (STAC_ITEMS, STAC_REJECTS))
    return items, rejects


def stored(settings: Settings, name: str = STAC_ITEMS) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = open_catalog(settings).load_table(name).scan().to_arrow().to_pylist()
    return rows


# --- from a server --------------------------------------------------------------------------------------------


def test_all_pages_of_a_search_become_rows_and_a_second_ingest_commits_nothing(
    stac_api: str, ingest_settings: Settings
) -> None:
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


def test_what_the_server_does_not_filter_is_filtered_here(stac_api: str, ingest_settings: Settings) -> None:
    filters = Filters(
        area=area_of_bbox(15.5, 45.5, 15.6, 45.6),
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


def test_an_area_without_items_is_no_failure(stac_api: str, ingest_settings: Settings) -> None:
    filters = Filters(area=area_of_bbox(0, 0, 1, 1), collection="sentinel-2-l2a")
    assert ingest(IngestRequest(api=stac_api, filters=filters), ingest_settings) == IngestSummary()


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

    items = list(search_items(serve(answer), S2, backoff_s=0.01))
    assert [received.content["id"] for received in items] == [make_item()["id"]]


def test_a_server_that_takes_get_only_is_searched_by_get(serve: Callable[[Answer], str]) -> None:
    def answer(number: int, path: str) -> tuple[int, bytes]:
        if "/search" not in path:
            return 200, landing_page(method="GET")
        return (200, page([make_item()])) if path.startswith("GET") else (405, b"")

    assert len(list(search_items(serve(answer), S2))) == 1


def test_a_server_that_goes_on_failing_is_named_in_the_error(serve: Callable[[Answer], str]) -> None:
    url = serve(lambda number, path: (500, b"broken") if number else (200, landing_page()))
    with pytest.raises(ChiplakeError, match=f"{re.escape(url)} failed: HTTP 500 broken"):
        list(search_items(url, S2, backoff_s=0.01))


def test_a_server_that_serves_no_stac_is_named_in_the_error(serve: Callable[[Answer], str]) -> None:
    for body in (b"<html>", b"[]", b"{}", b'{"type": "Catalog"}'):
        url = serve(lambda number, path, body=body: (200, body))
        with pytest.raises(ChiplakeError, match=re.escape(url)):
            list(search_items(url, S2, backoff_s=0.01))


def test_a_server_whose_pages_go_in_a_circle_does_not_hold_the_ingest_up(serve: Callable[[Answer], str]) -> None:
    def answer(number: int, path: str) -> tuple[int, bytes]:
        return 200, page([make_item()], url[0] + "search?next=1") if "/search" in path else landing_page()

    url: list[str] = []
    url.append(serve(answer))
    with pytest.raises(ChiplakeError, match="same page"):
        list(search_items(url[0], S2))


def test_a_link_of_a_server_never_opens_a_local_file(serve: Callable[[Answer], str], tmp_path: Path) -> None:
    secret = tmp_path / "page.json"
    secret.write_bytes(page([make_item(1)]))
    for href in (str(secret), secret.as_uri()):

        def answer(number: int, path: str, href: str = href) -> tuple[int, bytes]:
            return 200, page([make_item()], href) if "/search" in path else landing_page()

        received = []
        with pytest.raises(ChiplakeError, match="http"):
            received.extend(search_items(serve(answer), S2, backoff_s=0.01))


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


# --- from files -----------------------------------------------------------------------------------------------


def test_every_form_of_file_gives_the_same_items(tmp_path: Path) -> None:
    items = [make_item(number) for number in range(5)]
    collection = {"features": items, "type": "FeatureCollection"}
    (tmp_path / "collection.json").write_text(json.dumps(collection, indent=2), encoding="utf-8-sig")
    (tmp_path / "list.json").write_text(json.dumps(items))
    (tmp_path / "lines.ndjson").write_text("\n".join(json.dumps(item) for item in items) + "\n\n")
    for item in items:
        write = tmp_path / "folder" / item["id"] / "item.json"
        write.parent.mkdir(parents=True)
        write.write_text(json.dumps(item))
    for name in ("collection.json", "list.json", "lines.ndjson", "folder"):
        found = [received.content for received in read_items(tmp_path / name)]
        assert sorted(found, key=lambda item: str(item["id"])) == items


def test_a_file_larger_than_what_is_read_at_once_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [make_item(number) for number in range(20)]
    path = write_items(tmp_path / "items.json", items)
    for size in (1, 7, 1000):
        monkeypatch.setattr("ingestion.files.CHUNK_CHARACTERS", size)
        assert [received.content for received in read_items(path)] == items


@pytest.mark.parametrize(
    "text", ["", "{", "[1,", '{"features": [', "[] []", '{"a" 1}', "nonsense", "\x00", "[" * 99999]
)
def test_a_file_that_is_no_json_is_named_in_the_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "items.json"
    path.write_text(text)
    with pytest.raises(ChiplakeError, match=re.escape(str(path))):
        list(read_items(path))


def test_one_broken_file_or_line_does_not_stop_the_others(tmp_path: Path, ingest_settings: Settings) -> None:
    folder = tmp_path / "items"
    write_items(folder / "good.json", [make_item(0)])
    (folder / "broken.json").write_text('{"type": "Feature",')
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "lines.ndjson").write_text(f"{json.dumps(make_item(1))}\n{{broken\n{json.dumps(make_item(2))}\n")
    (folder / "catalog.json").write_text('{"type": "Catalog"}')
    summary = ingest(IngestRequest(items=folder), ingest_settings)
    assert summary == IngestSummary(received=6, written=3, rejected={Reason.INVALID_JSON.value: 3})
    rejects = stored(ingest_settings, STAC_REJECTS)
    assert {row["item_id"] for row in rejects} == {"broken.json#0", "binary.json#0", "lines.ndjson#2"}


def test_the_filters_apply_to_files_too(tmp_path: Path, ingest_settings: Settings) -> None:
    items = [make_item(number) for number in range(28)]
    far = [[[20, 50], [21, 50], [21, 51], [20, 50]]]
    items[5]["geometry"] = {"type": "Polygon", "coordinates": far}
    items[6]["properties"].pop("eo:cloud_cover")
    filters = Filters(
        area=shapely.box(15.5, 45.5, 15.6, 45.6),
        start=datetime(2023, 8, 5, tzinfo=UTC),
        end=datetime(2023, 8, 11, tzinfo=UTC),
        max_cloud=8,
    )
    path = write_items(tmp_path / "items.json", items)
    summary = ingest(IngestRequest(items=path, filters=filters), ingest_settings)
    assert {row["item_id"] for row in stored(ingest_settings)} == {items[n]["id"] for n in (4, 7, 8)}
    assert summary == IngestSummary(received=28, written=3, skipped=25)


# --- versions -------------------------------------------------------------------------------------------------


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


def test_a_stored_row_holds_its_assets_and_its_item(tmp_path: Path, ingest_settings: Settings) -> None:
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
def test_of_one_id_twice_the_version_updated_last_is_the_current_one_in_any_order(
    tmp_path: Path, batch_items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion_run, "BATCH_ITEMS", batch_items)
    old = make_item(0) | {"stac_version": "1.0.0"}
    new = make_item(0, updated="2024-01-01T00:00:00Z") | {"stac_version": "1.1.0"}
    for number, items in enumerate(([old, new], [new, old])):
        settings = Settings(home=tmp_path / f"lake{number}")
        path = tmp_path / "items.json"
        ingest_items(settings, path, items)
        rows = sorted(stored(settings), key=lambda row: (row["updated_at"], row["ingested_at"]))
        assert json.loads(rows[-1]["item"])["stac_version"] == "1.1.0"
        before = snapshots(settings)
        assert ingest_items(settings, path, items).written == 0
        assert snapshots(settings) == before


def test_two_contents_of_one_id_in_one_run_do_not_take_turns_for_ever(
    tmp_path: Path, ingest_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion_run, "BATCH_ITEMS", 1)
    items = [make_item(0) | {"stac_version": version} for version in ("1.0.0", "1.1.0")]
    ingest_items(ingest_settings, tmp_path / "items.json", items)
    before = snapshots(ingest_settings)
    assert ingest_items(ingest_settings, tmp_path / "items.json", items).written == 0
    assert snapshots(ingest_settings) == before


def test_a_version_that_comes_back_is_current_again_and_stored_once(tmp_path: Path, ingest_settings: Settings) -> None:
    first, second = make_item(0), make_item(0, **{"eo:cloud_cover": 50.0})
    for item in (first, second, first):
        assert ingest_items(ingest_settings, tmp_path / "items.json", [item, make_item(1)]).written >= 1
    rows = [row for row in stored(ingest_settings) if row["item_id"] == first["id"]]
    assert max(rows, key=lambda row: row["ingested_at"])["cloud_cover"] == 0.0
    assert len(rows) == len({row["content_hash"] for row in rows}) == 2
    assert len(stored(ingest_settings)) == 3


def test_ingests_at_the_same_time_write_every_item_once(tmp_path: Path, ingest_settings: Settings) -> None:
    ingest_items(ingest_settings, tmp_path / "first.json", [make_item(100)])
    paths = [
        write_items(tmp_path / f"{start}.json", [make_item(number) for number in range(start, start + 30)])
        for start in (0, 10, 20, 0)
    ]
    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(lambda path: ingest(IngestRequest(items=path), ingest_settings), paths))
    ids = sorted(row["item_id"] for row in stored(ingest_settings))
    assert ids == sorted(make_item(number)["id"] for number in (*range(50), 100))


def test_a_run_that_was_cut_off_is_completed_by_the_next(
    tmp_path: Path, ingest_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion_run, "BATCH_ITEMS", 10)
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


def test_every_sample_file_goes_in_and_goes_in_once(sample_data: Path, ingest_settings: Settings) -> None:
    folder = IngestRequest(items=sample_data / "stac")
    first = ingest(folder, ingest_settings)
    expected = {"no scl asset": 8, "not Sentinel-2": 3, "not level 2A": 5}
    assert first == IngestSummary(received=56, written=40, rejected=expected)
    before = snapshots(ingest_settings)
    assert ingest(folder, ingest_settings) == IngestSummary(received=56, unchanged=40, rejected=expected)
    assert snapshots(ingest_settings) == before


# --- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    get_settings.cache_clear()
    app = typer.Typer()
    app.command()(ingest_command)
    yield lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
    get_settings.cache_clear()


def test_the_command_ends_with_a_table_of_what_became_of_the_items(command: Callable[..., Any], tmp_path: Path) -> None:
    items = [*(make_item(number) for number in range(28)), make_item(0, platform="sentinel-1a") | {"id": "S1"}]
    path = write_items(tmp_path / "items.json", items)
    area = tmp_path / "area.geojson"
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(shapely.box(15, 45, 16, 46))}
    area.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    days = ("--start-date", "2023-08-01", "--end-date", "2023-08-05")
    result = command("--items", path, "--aoi", area, "--bbox", "15.5,45.5,15.6,45.6", *days, "--max-cloud", "3")
    assert result.exit_code == 0, result.output
    counts = dict(re.findall(r"│ ([\w: -]+?) +│ +(\d+) │", result.output))
    # The fifth day counts as a whole, but its item is 4 % cloudy.
    assert (counts["received"], counts["written"], counts["rejected: not Sentinel-2"]) == ("29", "4", "1")
    assert counts["outside the filters"] == "24"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--items", "{items}", "--api", "https://example.com"),
        ("--items", "{items}.missing"),
        ("--api", "file:///etc"),
        ("--items", "{items}", "--bbox", "1,2,3"),
        ("--items", "{items}", "--bbox", "a,b,c,d"),
        ("--items", "{items}", "--bbox", "0,10,1,9"),
        ("--items", "{items}", "--bbox", "0,nan,1,9"),
        ("--items", "{items}", "--start-date", "15.8.2023"),
        ("--items", "{items}", "--end-date", "2023-02-30"),
        ("--items", "{items}", "--start-date", "2023-08-02", "--end-date", "2023-08-01"),
        ("--items", "{items}", "--max-cloud", "101"),
        ("--items", "{items}", "--limit", "0"),
        ("--items", "{items}", "--aoi", "{items}.missing"),
    ],
)
def test_wrong_usage_ends_with_2(command: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = write_items(tmp_path / "items.json", [make_item()])
    assert command(*(argument.format(items=path) for argument in arguments)).exit_code == 2
    assert not (tmp_path / "lake").exists()
