"""Requests of a search: redirects, limits, retries, waits, and answers that are not STAC."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.faulty_stac_server import Faults, Item, serving
from support.scripted_server import ServeAnswers, landing_page_body, page_body
from support.searches import COUNT, FAST_RETRIES, IN_2023, S2, day, found_ids, item_ids, search_items
from support.stac_items import make_item

from ingestion import Filters, IngestRequest, ingest
from ingestion.model import Received
from ingestion.sources.http_session import ApiSession
from ingestion.sources.page_links import ApiRequest
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("paging", ["get", "post merge", "post whole", "post url"])
def test_a_redirected_search_sends_the_same_request(year: list[Item], status: int, paging: Any) -> None:
    items = year[:: COUNT // 250]
    july = replace(S2, start=day("2023-07-01"), end=day("2023-08-01"))
    expected = [item for item in items if item["properties"]["datetime"].startswith("2023-07")]
    with serving(items, Faults(redirects_search=status, paging=paging)) as server:
        assert Counter(found_ids(server, july, page_size=10)) == Counter(item_ids(expected))
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
def test_a_redirect_to_no_usable_url_is_an_error(year: list[Item], moved_to: str | None, message: str) -> None:
    with (
        serving(year[:10], Faults(redirects_search=301, moved_to=moved_to)) as server,
        pytest.raises(ChiplakeError, match=f"{re.escape(server.url)}.*{message}"),
    ):
        found_ids(server)


def test_headers_of_a_link_are_sent_only_to_its_host(year: list[Item]) -> None:
    with serving(year[:10]) as other:
        for moved_to, is_sent in (("/moved/search", True), (f"{other.url}moved/search", False)):
            with serving(year[:10], Faults(redirects_search=307, moved_to=moved_to)) as server:
                request = ApiRequest("POST", f"{server.url}search", {"limit": 3}, {"X-Key": "secret"})
                page = ApiSession(FAST_RETRIES, 1).fetch(request, lambda page: "features" in page)
            assert len(page["features"]) == 3
            assert server.headers[0]["x-key"] == "secret"
            assert ("x-key" in (server.headers + other.headers)[-1]) is is_sent


@pytest.mark.parametrize("concurrency", [1, 3])
def test_concurrent_requests_are_limited(even_year: list[Item], concurrency: int) -> None:
    with serving(even_year[::10], Faults(answer_s=0.02)) as server:
        assert len(found_ids(server, concurrency=concurrency)) == COUNT // 10
    assert server.most_at_once == concurrency


@pytest.mark.parametrize(("retry_after", "at_least_s"), [("1", 1.0), ("date", 0.9), (None, 0.0), ("soon", 0.0)])
def test_a_busy_server_gets_no_request_before_its_retry_after(
    even_year: list[Item], retry_after: str | None, at_least_s: float
) -> None:
    with serving(even_year[::500], Faults(seed=3, busy_rate=0.3, retry_after=retry_after)) as server:
        filters = replace(IN_2023, end=day("2023-03-01"))
        assert Counter(found_ids(server, filters, concurrency=1)) == Counter(
            item["id"] for item in even_year[::500] if item["properties"]["datetime"] < "2023-03"
        )
    gaps = [after[0] - before[0] for before, after in pairwise(server.times) if before[1] == 429]
    assert gaps
    assert min(gaps) >= at_least_s


def test_all_threads_wait_when_the_server_is_busy(even_year: list[Item]) -> None:
    with serving(even_year[::500], Faults(seed=3, busy_rate=0.1, retry_after="1")) as server:
        found_ids(server)
    busy = [at for at, status in server.times if status == 429]
    assert busy
    # Each other thread may have had a request in flight when the answer came.
    for at in busy:
        assert sum(0.2 < other - at < 0.95 for other, _ in server.times) == 0


def test_a_retry_after_of_hours_is_limited_by_the_policy(even_year: list[Item]) -> None:
    policy = replace(FAST_RETRIES, max_retry_after_s=0)
    with serving(even_year[:10], Faults(busy_rate=0.3, retry_after="86400")) as server:
        assert len(list(search_items(server.url, IN_2023, policy=policy))) == 10


def test_requests_are_repeated_while_a_server_is_busy_or_failing(serve_answers: ServeAnswers) -> None:
    def answer(number: int, path: str) -> tuple[int, bytes]:
        if number in (0, 2, 3):
            return (429, b"slow down") if number else (503, b"")
        return 200, page_body([make_item()]) if "/search" in path else landing_page_body()

    items = list(search_items(serve_answers(answer), S2, policy=FAST_RETRIES))
    assert [received.content["id"] for received in items] == [make_item()["id"]]


def test_a_server_that_accepts_get_only_is_searched_by_get(serve_answers: ServeAnswers) -> None:
    def answer(_: int, path: str) -> tuple[int, bytes]:
        if "/search" not in path:
            return 200, landing_page_body(method="GET")
        return (200, page_body([make_item()])) if path.startswith("GET") else (405, b"")

    assert len(list(search_items(serve_answers(answer), S2, policy=FAST_RETRIES))) == 1


def test_the_error_names_a_server_that_keeps_failing(serve_answers: ServeAnswers) -> None:
    url = serve_answers(lambda number, _: (500, b"broken") if number else (200, landing_page_body()))
    with pytest.raises(ChiplakeError, match=f"{re.escape(url)} failed: HTTP 500 broken"):
        list(search_items(url, S2, policy=FAST_RETRIES))


def test_the_error_names_a_server_that_does_not_serve_stac(serve_answers: ServeAnswers) -> None:
    for body in (b"<html>", b"[]", b"{}", b'{"type": "Catalog"}'):
        url = serve_answers(lambda *_, body=body: (200, body))
        with pytest.raises(ChiplakeError, match=re.escape(url)):
            list(search_items(url, S2, policy=FAST_RETRIES))


def test_pages_that_go_in_a_circle_are_an_error(serve_answers: ServeAnswers) -> None:
    def answer(_: int, path: str) -> tuple[int, bytes]:
        return 200, page_body([make_item()], url[0] + "search?next=1") if "/search" in path else landing_page_body()

    url: list[str] = []
    url.append(serve_answers(answer))
    with pytest.raises(ChiplakeError, match="pages go in a circle"):
        list(search_items(url[0], S2, policy=FAST_RETRIES))


def test_a_link_of_a_server_never_opens_a_local_file(serve_answers: ServeAnswers, tmp_path: Path) -> None:
    secret = tmp_path / "page.json"
    secret.write_bytes(page_body([make_item(1)]))
    for href in (str(secret), secret.as_uri()):

        def answer(_: int, path: str, href: str = href) -> tuple[int, bytes]:
            return 200, page_body([make_item()], href) if "/search" in path else landing_page_body()

        received: list[Received] = []
        with pytest.raises(ChiplakeError, match="http"):
            received.extend(search_items(serve_answers(answer), S2, policy=FAST_RETRIES))


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
def test_only_http_urls_without_password_are_searched(url: str) -> None:
    with pytest.raises(ChiplakeError) as caught:
        list(search_items(url, S2))
    assert "secret" not in str(caught.value)


def test_an_item_that_is_nested_too_deep_is_rejected(serve_answers: ServeAnswers, ingest_settings: Settings) -> None:
    depth = 990
    deep = json.dumps(make_item(0, note="HERE")).replace('"HERE"', "[" * depth + "]" * depth)
    body = f'{{"type": "FeatureCollection", "links": [], "features": [{deep}, {json.dumps(make_item(1))}]}}'.encode()

    def answer(_: int, path: str) -> tuple[int, bytes]:
        return 200, body if "/search" in path else landing_page_body()

    filters = Filters(start=datetime(2023, 8, 1, tzinfo=UTC), end=datetime(2023, 9, 1, tzinfo=UTC))
    summary = ingest(IngestRequest(api=serve_answers(answer), filters=filters), ingest_settings)
    assert (summary.written, dict(summary.rejected)) == (1, {"invalid JSON": 1})
