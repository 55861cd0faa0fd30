"""Requests for a static catalogue: limits, retries, waits, and documents that cannot be fetched."""

from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path

import pytest
from support.catalogues import CATALOGUE_RETRIES, catalog, link, read_remote
from support.file_server import FileAnswer, ServeFiles
from support.item_forms import parse_errors, received_ids, write_catalog, write_json
from support.stac_items import make_item

from ingestion import IngestRequest, IngestSummary, Reason, ingest
from ingestion.item.normalise import normalise
from ingestion.model import Reject, StacItemRow
from ingestion.sources import http_session
from ingestion.sources.catalogue import read_catalog
from ingestion.sources.http_session import HttpPolicy
from ingestion.sources.local_files import read_items
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings


def test_documents_fetched_ahead_are_limited_by_the_concurrency(tmp_path: Path, serve_files: ServeFiles) -> None:
    write_catalog(tmp_path, [make_item(number) for number in range(40)])
    server = serve_files(tmp_path)
    reading = read_catalog(f"{server.url}/catalog.json", 3, CATALOGUE_RETRIES)
    assert next(reading).content["id"] == make_item(0)["id"]
    time.sleep(0.2)
    assert server.requests.total() <= 1 + 2 + 3  # the root, its children, and the first items
    reading.close()
    time.sleep(0.1)
    assert server.requests.total() <= 1 + 2 + 3


@pytest.mark.parametrize(
    "trouble",
    [
        FileAnswer(503, headers={"Retry-After": "30"}),
        FileAnswer(200, stated_length=1 << 20, drip_s=0.1),
    ],
    ids=["pause", "drip"],
)
def test_a_catalogue_can_be_closed_while_a_server_delays(
    tmp_path: Path, serve_files: ServeFiles, trouble: FileAnswer
) -> None:
    write_json(tmp_path / "item.json", make_item(0))
    server, neighbour = serve_files(tmp_path), serve_files(tmp_path)
    neighbour.answers = {"/item.json": [trouble] * 20}
    links = [link("item", f"{one.url}/item.json") for one in (server, neighbour)]
    root = write_json(tmp_path / "catalog.json", catalog(*links))
    for reading in (read_catalog(f"{server.url}/catalog.json", 2), read_items(root, concurrency=2)):
        neighbour.requests.clear()
        assert next(reading).content["id"] == make_item(0)["id"]
        while not neighbour.requests:
            time.sleep(0.01)
        time.sleep(0.5)  # by then the answer has come
        start = time.monotonic()
        reading.close()
        assert time.monotonic() - start < 10
        assert neighbour.requests.total() == 1


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_answer_that_arrives_byte_by_byte_is_aborted(
    tmp_path: Path, serve_files: ServeFiles, monkeypatch: pytest.MonkeyPatch, is_chunked: bool
) -> None:
    monkeypatch.setattr(http_session, "MAX_ANSWER_S", 0.5)
    server = serve_files(tmp_path)
    headers = {"Transfer-Encoding": "chunked"} if is_chunked else {}
    dripping = FileAnswer(200, b"10000\r\n" if is_chunked else b"", headers, 1 << 20, drip_s=0.05)
    server.answers = {"/catalog.json": [dripping]}
    start = time.monotonic()
    with pytest.raises(ChiplakeError, match=f"{re.escape(server.url)}/catalog.json answers too slowly"):
        read_remote(f"{server.url}/catalog.json")
    assert time.monotonic() - start < 30


def test_a_pause_of_one_server_does_not_delay_another(tmp_path: Path, serve_files: ServeFiles) -> None:
    busy, free = serve_files(tmp_path), serve_files(tmp_path)
    items = [make_item(number) for number in range(6)]
    for number, item in enumerate(items):
        write_json(tmp_path / f"{number}.json", item)
    busy.answers = {"/0.json": [FileAnswer(429, headers={"Retry-After": "2"})]}
    links = [link("item", f"{(free if number else busy).url}/{number}.json") for number in range(6)]
    root = write_json(tmp_path / "catalog.json", catalog(*links))
    start = time.monotonic()
    received = read_items(root, concurrency=6)
    assert next(received).content["id"] == items[0]["id"]
    assert time.monotonic() - start >= 2
    assert free.requests.total() == 5
    assert received_ids(list(received)) == [item["id"] for item in items[1:]]


def test_requests_to_a_failing_server_are_repeated(tmp_path: Path, serve_files: ServeFiles) -> None:
    items = [make_item(number) for number in range(6)]
    write_catalog(tmp_path, items)
    server = serve_files(tmp_path)
    body = json.dumps(items[0]).encode()
    paths = [f"/{'ab'[number % 2]}/{item['id']}/item.json" for number, item in enumerate(items)]
    server.answers = {
        "/catalog.json": [FileAnswer(503)],
        paths[0]: [FileAnswer(200, body[:1000], stated_length=len(body))],  # breaks off
        paths[1]: [FileAnswer(200, body[:1000])],  # the stated length is that of the part
        paths[2]: [FileAnswer(200, b"<html>come back later</html>"), FileAnswer(502)],
        paths[3]: [FileAnswer(429, headers={"Retry-After": "never mind"})],
        paths[4]: [FileAnswer(500), FileAnswer(504)],
    }
    received = read_remote(f"{server.url}/catalog.json")
    assert parse_errors(received) == {}
    assert sorted(received_ids(received)) == sorted(item["id"] for item in items)


def test_a_truncated_compressed_document_is_fetched_again(tmp_path: Path, serve_files: ServeFiles) -> None:
    items = [make_item(number) for number in range(200)]
    body = gzip.compress(json.dumps({"type": "FeatureCollection", "features": items}).encode())
    server = serve_files(tmp_path)
    zipped = {"Content-Encoding": "gzip"}
    server.answers = {"/items.json": [FileAnswer(200, body[:-100], zipped), FileAnswer(200, body, zipped)]}
    assert received_ids(read_remote(f"{server.url}/items.json")) == [item["id"] for item in items]
    assert server.requests.total() == 2


def test_a_retry_after_is_followed_up_to_its_limit(tmp_path: Path, serve_files: ServeFiles) -> None:
    write_catalog(tmp_path, [make_item()])
    server = serve_files(tmp_path)
    server.answers = {"/catalog.json": [FileAnswer(429, headers={"Retry-After": "3600"})]}
    policy = HttpPolicy(backoff_s=0, max_retry_after_s=1)
    start = time.monotonic()
    assert len(list(read_catalog(f"{server.url}/catalog.json", 1, policy))) == 1
    assert 1 <= time.monotonic() - start < 30


def test_a_document_that_cannot_be_fetched_is_recorded_by_name(
    tmp_path: Path, serve_files: ServeFiles, ingest_settings: Settings
) -> None:
    items = [make_item(number) for number in range(6)]
    write_catalog(tmp_path, items)
    (tmp_path / "a" / items[0]["id"] / "item.json").unlink()
    (tmp_path / "b" / items[1]["id"] / "item.json").write_text("{")
    write_json(tmp_path / "a" / items[2]["id"] / "item.json", {"hello": "world"})
    server = serve_files(tmp_path)
    failing = f"/b/{items[3]['id']}/item.json"
    server.answers[failing] = [FileAnswer(500) for _ in range(20)]
    received = read_remote(f"{server.url}/catalog.json")
    places = [f"{server.url}/{'ab'[number % 2]}/{items[number]['id']}/item.json" for number in range(6)]
    found = parse_errors(received)
    assert set(found) == {places[0], places[1], places[3]}
    assert [found[places[number]].rpartition("item.json")[2][:18] for number in (0, 1, 3)] == [
        " answers HTTP 404 ",
        " is not valid JSON",
        " answers HTTP 500 ",
    ]
    outcomes = [normalise(one) for one in received]
    names = {one.item_id: one.reason for one in outcomes if isinstance(one, Reject)}
    assert names == dict.fromkeys(found, Reason.INVALID_JSON) | {places[2]: Reason.NOT_AN_ITEM}
    assert [one.item_id for one in outcomes if isinstance(one, StacItemRow)] == [items[4]["id"], items[5]["id"]]

    summary = ingest(IngestRequest(items=tmp_path / "catalog.json"), ingest_settings)  # the same in local files
    assert summary == IngestSummary(
        received=6, written=3, rejected={Reason.INVALID_JSON.value: 2, Reason.NOT_AN_ITEM.value: 1}
    )


def test_the_error_names_an_unreachable_server() -> None:
    with pytest.raises(ChiplakeError, match=re.escape("http://127.0.0.1:9/catalog.json cannot be fetched")):
        read_remote("http://127.0.0.1:9/catalog.json")
