"""What a server claims about filters and conformance is not believed: the items that pass are found anyway."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from support.faulty_stac_server import Item, light_item
from support.searches import IN_2023, day, search_items

from lakehouse.errors import ChiplakeError

MONTHS = 12
CLASSES = [f"https://api.stacspec.org/v1.0.0/{name}" for name in ("core", "item-search", "item-search#filter")]
# Two items a month, of 5 and of 60 % cloud, and none in December.
ITEMS = [
    item | {"properties": item["properties"] | {"eo:cloud_cover": cloud}}
    for month in range(1, MONTHS)
    for number, cloud in enumerate((5.0, 60.0))
    for item in [light_item(2 * month + number, day(f"2023-{month:02d}-15T10:0{number}:00"))]
]
CLEAR = sorted(item["id"] for item in ITEMS if item["properties"]["eo:cloud_cover"] == 5.0)
UP_TO_20 = replace(IN_2023, max_cloud=20)

Answer = Callable[[list[Item], bool], tuple[int, Any]]  # items of the days, is the limit asked for


@dataclass
class Server:
    answer: Answer
    conforms_to: list[str] | None = field(default_factory=lambda: CLASSES)
    links: tuple[str, ...] = ("search",)
    limited: int = 0  # requests with a limit of cloud
    unlimited: int = 0

    def landing_page(self) -> dict[str, Any]:
        links = [{"rel": rel, "href": f"/{rel}", "method": "POST"} for rel in self.links]
        root = {"type": "Catalog", "id": "x", "stac_version": "1.0.0", "description": "x", "links": links}
        return root | ({} if self.conforms_to is None else {"conformsTo": self.conforms_to})

    def search(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        is_limited = "eo:cloud_cover" in json.dumps(body)
        self.limited += is_limited
        self.unlimited += not is_limited
        start, end = body["datetime"].split("/")
        inside = [item for item in ITEMS if start <= item["properties"]["datetime"] <= end]
        status, found = self.answer(inside, is_limited)
        is_page = isinstance(found, list)
        return status, {"type": "FeatureCollection", "features": found, "links": []} if is_page else found


@contextmanager
def serving(server: Server) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(200, server.landing_page())

        def do_POST(self) -> None:
            self.reply(*server.search(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def reply(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/"
    http.shutdown()
    http.server_close()


def clear_ids(server: Server) -> list[str]:
    """Search with a limit of 20 % cloud, and return the ids of all clear items, each as often as it came."""
    with serving(server) as url:
        found = [one.content for one in search_items(url, UP_TO_20)]
    return sorted(item["id"] for item in found if item["properties"]["eo:cloud_cover"] <= 20)


def below_20(items: list[Item]) -> list[Item]:
    return [item for item in items if item["properties"]["eo:cloud_cover"] <= 20]


@pytest.mark.parametrize(
    "limited_answer",
    [
        lambda items: (200, []),
        lambda items: (400, []),
        lambda items: (422, []),
        lambda items: (500, []),
        lambda items: (200, {"code": "BadRequest"}),
        lambda items: (200, items[1:]),  # another property than asked for
        lambda items: (200, items if items and items[0]["properties"]["datetime"] < "2023-06" else []),
    ],
    ids=["nothing", "400", "422", "500", "no STAC", "the wrong ones", "nothing from June on"],
)
def test_items_that_a_limit_of_cloud_leaves_out_are_found_without_it(
    limited_answer: Callable[[list[Item]], tuple[int, Any]],
) -> None:
    server = Server(lambda items, is_limited: limited_answer(items) if is_limited else (200, items))
    assert clear_ids(server) == CLEAR


def test_a_limit_of_cloud_that_works_is_kept() -> None:
    server = Server(lambda items, is_limited: (200, below_20(items) if is_limited else items))
    with serving(server) as url:
        found = [one.content["id"] for one in search_items(url, UP_TO_20, concurrency=1)]
    assert sorted(found) == CLEAR  # no item above the limit was taken
    assert server.limited == MONTHS
    assert server.unlimited == 2  # for the first month, and for the one without items


def test_a_server_that_declares_nothing_is_searched() -> None:
    for conforms_to in (None, [], CLASSES[:1]):
        server = Server(lambda items, is_limited: (200, items), conforms_to)
        assert clear_ids(server) == CLEAR
        assert server.limited == 0


def test_a_root_without_a_search_is_an_error_that_says_what_to_do() -> None:
    for conforms_to in (None, CLASSES):
        server = Server(lambda items, is_limited: (200, items), conforms_to, links=("child",))
        with serving(server) as url, pytest.raises(ChiplakeError, match=r"no link to a search.*--catalog"):
            list(search_items(url, UP_TO_20))
