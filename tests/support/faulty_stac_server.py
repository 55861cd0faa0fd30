"""A STAC API on loopback with the faults of real servers, on demand and repeatable by a seed."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit
from zlib import crc32

from support.stac_items import make_item

Item = dict[str, Any]

YEAR_START = datetime(2023, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


def light_item(number: int, time: datetime, collection: str = "sentinel-2-l2a") -> Item:
    """Make a usable item with two assets."""
    item = make_item(0, datetime=time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    assets = {name: item["assets"][name] for name in ("scl", "blue")}
    return item | {"id": f"S2A_33TWL_{number:05d}_L2A", "collection": collection, "assets": assets}


def bare_item(item: Item) -> Item:
    """Return the members of an item that a search needs."""
    properties = {"datetime": item["properties"]["datetime"]}
    return {name: item[name] for name in ("type", "id", "collection", "bbox")} | {"properties": properties}


def items_of_a_year(count: int, same_second: int = 0) -> list[Item]:
    """Make items spread over 2023, the first `same_second` of them within one second of July."""
    step = YEAR / count
    burst = datetime(2023, 7, 14, 10, 0, 0, tzinfo=UTC)
    return [
        light_item(
            number,
            burst + timedelta(milliseconds=number % 1000) if number < same_second else YEAR_START + number * step,
        )
        for number in range(count)
    ]


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of the server. Rates are fractions of the search requests."""

    seed: int = 0
    busy_rate: float = 0  # 429 with Retry-After
    retry_after: str | None = None  # header of a busy server; "date": one second from now, as a date
    error_rate: float = 0  # 500 and 503
    reset_rate: float = 0  # the connection is lost in the middle of the body
    truncated_rate: float = 0  # half of the JSON, with the Content-Length of that half
    html_rate: float = 0  # status 200 and an HTML page
    repeats_page: bool = False  # the second page is the first again, with a fresh next link
    empty_page: bool = False  # the second page is empty, with a next link
    loop_from_page: int | None = None  # the next link of this page (counted from 0) leads to the first page
    loops_at_the_end: bool = False  # the last page's next link leads to itself
    cap: int | None = None  # most items of one search
    cap_spread: int = 0  # the cap is higher by up to so many items, by a different number for each interval
    refuses_beyond_cap: bool = False  # answers 400 beyond the cap, instead of ending
    order: Literal["newest", "oldest", "random"] = "newest"
    matched: Literal["right", "none", "too high", "too low"] = "none"
    page_items: int | None = None  # items of a page, whatever the requested limit
    ignores_datetime: bool = False
    ignores_hours: bool = False
    ends_included: bool = True  # an interval includes its end, rounded up to the next second
    paging: Literal["get", "post merge", "post whole", "post url"] = "post merge"
    takes_post: bool = True
    redirects_search: int | None = None  # status that redirects a POST to `moved_to`, where a GET ignores filters
    moved_to: str | None = "/moved/search"  # None: the redirect has no location
    publishes_while_paging: bool = False  # publishes an item of `late_items` with each page
    answer_s: float = 0  # seconds before each answer


@dataclass(slots=True)
class FaultyServer:
    """The items of a server, and the requests that it received."""

    items: list[Item]
    faults: Faults = Faults()
    late_items: list[Item] = field(default_factory=list)
    url: str = ""
    searches: list[dict[str, Any]] = field(default_factory=list)  # parameters of each search request
    headers: list[dict[str, str]] = field(default_factory=list)  # of each POST, names in small letters
    times: list[tuple[float, int]] = field(default_factory=list)  # monotonic clock and status of each answer
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _random: random.Random = field(default_factory=random.Random)
    _index: list[tuple[datetime, bytes, Item]] = field(default_factory=list)
    _answers: dict[str, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random.seed(self.faults.seed)
        self.publish(self.items)

    def publish(self, items: Sequence[Item]) -> None:
        """Add items, or new versions of them."""
        with self._lock:
            self._publish(items)

    def _publish(self, items: Sequence[Item]) -> None:
        names = {(item["collection"], item["id"]) for item in items}
        kept = [entry for entry in self._index if (entry[2]["collection"], entry[2]["id"]) not in names]
        new = [
            (datetime.fromisoformat(item["properties"]["datetime"]), json.dumps(item).encode(), item) for item in items
        ]
        entries = kept + new
        if self.faults.order == "random":
            random.Random(self.faults.seed).shuffle(entries)
        else:
            entries.sort(key=lambda entry: (entry[0], entry[2]["id"]), reverse=self.faults.order == "newest")
        self._index = entries
        self._answers.clear()

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Count the requests that run at the same time."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def landing_page(self) -> bytes:
        search = {"rel": "search", "href": f"{self.url}search", "type": "application/geo+json"}
        methods = ("GET", "POST") if self.faults.takes_post else (None,)
        links = [search if method is None else search | {"method": method} for method in methods]
        conforms = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
        root = {"type": "Catalog", "id": "x", "stac_version": "1.0.0", "description": "x"}
        return json.dumps(root | {"links": links, "conformsTo": conforms}).encode()

    def next_fault(self) -> str | None:
        """Draw the fault of the next answer."""
        faults = self.faults
        rates = {
            "busy": faults.busy_rate,
            "error": faults.error_rate,
            "reset": faults.reset_rate,
            "truncated": faults.truncated_rate,
            "html": faults.html_rate,
        }
        with self._lock:
            draw = self._random.random()
        for name, rate in rates.items():
            if draw < rate:
                return name
            draw -= rate
        return None

    def search(self, parameters: dict[str, Any]) -> tuple[int, bytes]:
        """Return status and body of one page."""
        with self._lock:
            self.searches.append(parameters)
            found = self._matching(parameters)
        faults = self.faults
        if faults.cap is not None and faults.cap_spread:
            faults = replace(
                faults, cap=faults.cap + crc32(str(parameters.get("datetime")).encode()) % faults.cap_spread
            )
        number, offset, is_detour = _token(parameters.get("token"))
        total = len(found)
        if faults.cap is not None and offset >= faults.cap:
            return 400, b'{"code": "BadRequest", "description": "result window is too large"}'
        size = faults.page_items or int(parameters.get("limit", 10))
        end = min(offset + size, total if faults.cap is None or faults.refuses_beyond_cap else min(total, faults.cap))
        page = found[offset:end]
        following = (
            (number + 1, end, False)
            if end < (total if faults.refuses_beyond_cap else min(total, faults.cap or total))
            else None
        )
        if is_detour:  # an extra page that leads back
            page, following = ([] if faults.empty_page else found[:size]), (number, offset, False)
        elif following is not None and number == 0 and (faults.empty_page or faults.repeats_page):
            following = (1, end, True)
        if faults.loop_from_page is not None and number >= faults.loop_from_page and following is not None:
            following = (0, 0, False)
        if faults.loops_at_the_end and following is None:
            following = (number, offset, False)
        links = [] if following is None else [self._next_link(parameters, following)]
        counts = {"right": total, "too high": 2 * total + 1, "too low": total // 2}
        head: dict[str, Any] = {"type": "FeatureCollection", "links": links}
        if faults.matched != "none":
            head["numberMatched"] = counts[faults.matched]
        if faults.publishes_while_paging:
            with self._lock:
                if self.late_items:
                    self._publish([self.late_items.pop()])
        return 200, json.dumps(head).encode()[:-1] + b', "features": [' + b",".join(page) + b"]}"

    def _matching(self, parameters: dict[str, Any]) -> list[bytes]:
        asked = {name: value for name, value in parameters.items() if name not in ("token", "limit")}
        key = json.dumps(asked, sort_keys=True)
        if key not in self._answers:
            start, end = self._interval(asked)
            collections, bbox = asked.get("collections"), asked.get("bbox")
            self._answers[key] = [
                body
                for moment, body, item in self._index
                if start <= moment <= end
                and (collections is None or item["collection"] in collections)
                and (bbox is None or _touches(item["bbox"], bbox))
            ]
        return self._answers[key]

    def _interval(self, asked: dict[str, Any]) -> tuple[datetime, datetime]:
        if "datetime" not in asked or self.faults.ignores_datetime:
            return datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
        start, end = (datetime.fromisoformat(part) for part in asked["datetime"].split("/"))
        if self.faults.ignores_hours:
            start, end = (day.replace(hour=0, minute=0, second=0, microsecond=0) for day in (start, end))
            return start, end + timedelta(days=1) - timedelta(microseconds=1)
        if self.faults.ends_included:
            end = end.replace(microsecond=0) + timedelta(seconds=1)
        return start, end

    def _next_link(self, parameters: dict[str, Any], following: tuple[int, int, bool]) -> dict[str, Any]:
        token = f"{following[0]}-{following[1]}-{int(following[2])}"
        match self.faults.paging:
            case "post merge":
                return {
                    "rel": "next",
                    "href": f"{self.url}search",
                    "method": "POST",
                    "merge": True,
                    "body": {"token": token},
                }
            case "post whole":
                body = parameters | {"token": token}
                return {"rel": "next", "href": "/search", "method": "POST", "merge": False, "body": body}
            case "post url":
                return {"rel": "next", "href": f"search?token={token}", "method": "POST"}
        return {"rel": "next", "href": f"{self.url}search?{urlencode(_as_query(parameters) | {'token': token})}"}


def _touches(box: list[float], other: list[float]) -> bool:
    return box[0] <= other[2] and box[2] >= other[0] and box[1] <= other[3] and box[3] >= other[1]


def _token(text: str | None) -> tuple[int, int, bool]:
    number, offset, is_detour = (text or "0-0-0").split("-")
    return int(number), int(offset), is_detour == "1"


def _as_query(parameters: dict[str, Any]) -> dict[str, str]:
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in parameters.items()
    }


def _from_query(query: str) -> dict[str, Any]:
    parameters: dict[str, Any] = dict(parse_qsl(query))
    if "bbox" in parameters:
        parameters["bbox"] = [float(part) for part in parameters["bbox"].split(",")]
    if "collections" in parameters:
        parameters["collections"] = parameters["collections"].split(",")
    return parameters


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: FaultyServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        parameters = _from_query(parts.query)
        if parts.path == "/moved/search":
            return self._search({name: parameters[name] for name in ("limit", "token") if name in parameters})
        if parts.path != "/search":
            return self._answer(200, self.faulty.landing_page())
        return self._search(parameters)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.faulty.headers.append({name.lower(): value for name, value in self.headers.items()})
        faults, parts = self.faulty.faults, urlsplit(self.path)
        if not faults.takes_post:
            return self._answer(405, b"{}")
        if faults.redirects_search is not None and parts.path == "/search":
            place = {} if faults.moved_to is None else {"Location": faults.moved_to}
            return self._answer(faults.redirects_search, b"moved", place)
        return self._search(body | _from_query(parts.query))

    def _search(self, parameters: dict[str, Any]) -> None:
        with self.faulty.enter():
            faults = self.faulty.faults
            time.sleep(faults.answer_s)
            fault = self.faulty.next_fault()
            if fault == "busy":
                wait = faults.retry_after
                if wait == "date":
                    wait = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
                return self._answer(429, b"slow down", {} if wait is None else {"Retry-After": wait})
            if fault == "error":
                return self._answer(503 if len(self.faulty.times) % 2 else 500, b"")
            if fault == "html":
                return self._answer(200, b"<html><body>Gateway</body></html>")
            status, body = self.faulty.search(parameters)
            if fault == "truncated":
                body = body[: len(body) // 2]
            return self._answer(status, body, is_cut=fault == "reset")

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, is_cut: bool = False) -> None:
        with self.faulty._lock:
            self.faulty.times.append((time.monotonic(), status))
        lines = {"Content-Type": "application/geo+json", "Content-Length": str(len(body))} | (headers or {})
        head = f"HTTP/1.1 {status} x\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        if not is_cut:
            self.wfile.write(head.encode() + body)
            return
        self.wfile.write(head.encode() + body[: len(body) // 2])
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not close
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that disconnected


@contextmanager
def serving(
    items: Sequence[Item], faults: Faults | None = None, late_items: Sequence[Item] = ()
) -> Iterator[FaultyServer]:
    """Serve these items while the context lasts."""
    faulty = FaultyServer(list(items), faults or Faults(), list(late_items))
    handler = type("Handler", (_Handler,), {"faulty": faulty})
    server = _Server(("127.0.0.1", 0), handler)
    faulty.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
