"""Items from a STAC API: a search cut into windows of time, so that no limit of a server loses items.

A window's answer is read page by page as plain dictionaries. What servers say of it (`numberMatched`, a missing next
link) is not taken for granted: where an answer may have been cut short, its window is split and the parts are read
too, until they show that nothing is missing, or bring it. `_WindowSearch` says when and how.
"""

from __future__ import annotations

import contextlib
import json
import queue
import sys
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

import orjson
import shapely
from pystac import STACError
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.warnings import PystacClientWarning
from shapely.geometry.base import BaseGeometry

from ingestion.http import CONCURRENCY, HttpPolicy, check_root_url
from ingestion.model import PAGE_SIZE, Filters, JsonObject, Origin, Received
from ingestion.normalise import parse_time
from ingestion.stac_api import ApiRequest, ApiSession, SearchStoppedError, next_link, next_request
from ingestion.windows import Window, calendar_windows, split_at_items, split_evenly
from lakehouse.errors import ChiplakeError

SEARCH_POLICY: Final = HttpPolicy(retries=8)  # two minutes of trouble are got over

MAX_ANSWER_ITEMS: Final = 5000  # more are asked for in parts; servers refuse, or slow down, from 10,000 on
PART_ITEMS: Final = 2500  # wanted in a part of a window of more
MAX_PARTS: Final = 64
MIN_CAP: Final = 10  # items; the smallest page that STAC servers give by default, so no server's cap is below it
MAX_STALE_PAGES: Final = 5  # pages in a row without anything new, empty ones too
PAGES_AHEAD: Final = 2  # read of a window before the earlier ones are done with
MAX_OFF: Final = timedelta(days=1)  # how far from its datetime a server may sort an item in
STOP_TIMEOUT_S: Final = 5.0

# Nothing of Sentinel-2 can be there, so that a server that has an answer does not heed dates.
_BEFORE_LAUNCH: Final = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC))

_Key = bytes


class Doubt(StrEnum):
    """Why an answer may not be all that the server has."""

    COUNT = "it says that more items match"
    FULL = "its last page is full"
    LARGEST = "no answer was larger"
    TOO_MANY = "they are many"
    EDGE = "it left out items at the edge"
    REPEATS = "it gave items twice"
    LOOP = "its pages go in a circle"
    REFUSED = "it refuses to go on"


@dataclass(frozen=True, slots=True)
class SearchStep:
    """What a search has brought since the step before."""

    received: tuple[Received, ...] = ()
    repeated: int = 0  # items that the server gave again, left out of `received`
    completed: Window | None = None  # all that the server has of this window has been received


def search_windows(
    api: str,
    filters: Filters,
    page_size: int = PAGE_SIZE,
    policy: HttpPolicy = SEARCH_POLICY,
    concurrency: int = CONCURRENCY,
    now: datetime | None = None,
) -> Generator[SearchStep, None, None]:
    """What a STAC API has for a search, each item once, window after window in order of time.

    The server is asked for the area, the dates and the cloud limit as far as it says that it knows them; whoever
    calls filters again, since servers differ. Without dates it is everything from the launch of Sentinel-2 to now.
    Memory is bounded by the pages in flight, and some hundred bytes for each item of the windows in flight.

    Args:
        api: root address.
        filters: what is wanted.
        page_size: items asked for at once.
        policy: how patient to be with the server.
        concurrency: most requests at the same time.
        now: when the search begins, UTC; later scenes are left for the next one.

    Raises:
        ChiplakeError: the address is no STAC API, it goes on failing, or it keeps items back that no search brings.
    """
    origin = Origin(check_root_url(api))
    windows = calendar_windows(filters.start, filters.end, now or datetime.now(UTC))
    session = ApiSession(policy, concurrency)
    try:
        with _named_errors(api):
            server = _open(api, session, filters, page_size)
            yield from _in_order(server, origin, windows, concurrency)
    finally:
        session.stop()
        session.session.close()


@contextlib.contextmanager
def _named_errors(api: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        answer = f"HTTP {_status(error)} " if _status(error) else ""
        raise ChiplakeError(f"STAC API {api} failed: {answer}{str(error)[:300]}".rstrip()) from error
    except (STACError, ClientTypeError, AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        # All of these are what pystac raises where the answer is no STAC.
        raise ChiplakeError(f"{api} does not answer as a STAC API: {str(error)[:300]}") from error


def _open(api: str, session: ApiSession, filters: Filters, page_size: int) -> _Server:
    """The search as pystac-client puts it, from what the landing page says; without dates, which come later."""
    with warnings.catch_warnings():
        # Servers that take POST often forget to say so; the answer tells, not the landing page.
        warnings.simplefilter("ignore", PystacClientWarning)
        client = Client.open(api, stac_io=session)
        method = _method(client)
        language = _cloud_language(client) if method == "POST" else None
        requests = [
            ApiRequest(search.method or method, search.url, search.get_parameters())
            for search in (
                client.search(method=method, **search_parameters(filters, page_size, language, method)),
                client.search(method="GET", **search_parameters(filters, page_size, None, "GET")),
            )
        ]
    return _Server(api, session, requests[0], requests[1], page_size)


def search_parameters(
    filters: Filters, page_size: int, cloud_language: str | None, method: str = "POST"
) -> dict[str, Any]:
    """Arguments of `Client.search` for what is wanted but the dates; `cloud_language`: "filter", "query" or None."""
    parameters: dict[str, Any] = {"limit": page_size}
    if filters.collection:
        parameters["collections"] = [filters.collection]
    if filters.area is not None:
        parameters |= _area_parameter(filters.area, method)
    if filters.max_cloud is not None and cloud_language == "filter":
        operands = [{"property": "eo:cloud_cover"}, filters.max_cloud]
        parameters |= {"filter": {"op": "<=", "args": operands}, "filter_lang": "cql2-json"}
    elif filters.max_cloud is not None and cloud_language == "query":
        parameters["query"] = {"eo:cloud_cover": {"lte": filters.max_cloud}}
    return parameters


def _area_parameter(area: BaseGeometry, method: str) -> dict[str, Any]:
    """A bbox where the area is one, since more servers know it, or where it must fit into an address, where servers
    also lose geometries from one page to the next; else the geometry.
    """
    if method == "GET" or (area.geom_type == "Polygon" and area.equals(shapely.box(*area.bounds))):
        return {"bbox": list(area.bounds)}
    return {"intersects": shapely.geometry.mapping(area)}


def _status(error: APIError) -> int | None:
    return getattr(error, "status_code", None)  # pystac-client does not always set it


def _method(client: Client) -> str:
    """POST, which has no limit of length, unless the server says in so many words that it takes GET only."""
    stated = {link.extra_fields.get("method") for link in client.get_links("search")}
    return "GET" if stated == {"GET"} else "POST"


def _cloud_language(client: Client) -> str | None:
    return next((name.lower() for name in ("FILTER", "QUERY") if client.conforms_to(name)), None)


# --- one window -----------------------------------------------------------------------------------------------


class _DatetimeIgnoredError(Exception):
    """The server gives the same whatever the dates, so windows are of no use; never leaves this module."""


@dataclass(slots=True)
class _Server:
    """What is known of the server; shared by the threads of a search."""

    api: str
    session: ApiSession
    search: ApiRequest  # without dates
    search_by_get: ApiRequest  # in its place where the server takes no POST
    page_size: int
    believes_counts: bool = True
    fullest_page: int = 0  # items in the fullest page that led on to another
    largest_answer: int = 0  # items in the largest answer
    _ignores_datetime: bool | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, window: Window | None) -> ApiRequest:
        """The first page of a window, or of everything."""
        dates = {} if window is None else {"datetime": window.interval}
        return replace(self.search, parameters={**self.search.parameters, **dates})

    def first_page(self, window: Window | None) -> tuple[ApiRequest, JsonObject]:
        """The first page of a window, or of everything, and what was asked for it."""
        request = self.request(window)
        try:
            return request, self.fetch(request)
        except APIError as error:
            if request.method == "GET" or _status(error) not in (404, 405, 501):
                raise
        self.search = self.search_by_get
        request = self.request(window)
        return request, self.fetch(request)

    def fetch(self, request: ApiRequest) -> JsonObject:
        """One page. It has a list of features."""
        page = self.session.fetch(request, lambda page: isinstance(page.get("features"), list))
        self.session.is_open = True
        return page

    def ignores_datetime(self) -> bool:
        """Whether the server gives items of days that were not asked for. Asks once."""
        with self._lock:
            if self._ignores_datetime is None:
                _, page = self.first_page(_BEFORE_LAUNCH)
                self._ignores_datetime = any(_is_far(_time(item), _BEFORE_LAUNCH) for item in page["features"])
            return self._ignores_datetime

    def note(self, answer: _Answer) -> None:
        """Learn from a finished answer how much the server gives at once."""
        with self._lock:
            self.largest_answer = max(self.largest_answer, len(answer.ids))


@dataclass(frozen=True, slots=True)
class _Found:
    """An item of a page."""

    content: Any
    key: _Key  # of its content
    is_stray: bool  # its datetime is not in the window that was asked for


@dataclass(slots=True)
class _Answer:
    """What the server gave for one window, page by page."""

    ids: set[_Key] = field(default_factory=set)
    times: list[datetime] = field(default_factory=list)  # acquisition of its items, UTC, whole seconds
    fresh: int = 0  # items that no earlier answer for the same tree of windows held
    repeated: int = 0  # items given a second time
    pages: int = 0
    matched: int | None = None  # items that match, if the server says so
    doubts: set[Doubt] = field(default_factory=set)
    refusal: str = ""


@dataclass(slots=True)
class _WindowSearch:
    """Reads one window, and its parts where the answer gives reason to doubt.

    An answer is doubted for the reasons that `Doubt` lists. A doubted window is split so that both parts hold some of
    the items seen. If the parts then bring nothing new, though each is smaller than the answer in doubt, then no
    limit of the server cut them short, and the window was whole. If they bring something new, the server did cut the
    window short, and each part whose own answer is in doubt is split in turn.
    """

    server: _Server
    window: Window | None  # None: everything at once, from a server that does not heed dates
    emit: _Emit
    contents: set[_Key] = field(default_factory=set)  # handed on already
    ids: set[_Key] = field(default_factory=set)

    def run(self) -> None:
        """Read it whole.

        Raises:
            APIError: the server goes on failing.
            ChiplakeError: the server keeps items back.
        """
        answer = self._read(self.window)
        if self.window is None:
            self._check_everything(answer)
        else:
            self._verify(self.window, answer)

    def _read(self, window: Window | None, most: int | None = None) -> _Answer:
        """Hand on a window's items, about `most` of them where it can be split, and doubt the answer."""
        answer = _Answer()
        page: JsonObject = {}
        for page in self._pages(window, answer):
            self._take(page, window, answer)
            is_long = len(answer.ids) >= (most or MAX_ANSWER_ITEMS) and window is not None and not window.is_shortest
            if is_long and next_link(page) is not None:
                answer.doubts.add(Doubt.TOO_MANY)
                break
        if not answer.doubts:
            self._doubt_the_end(page, answer)
        if answer.pages > 1 and answer.repeated:
            answer.doubts.add(Doubt.REPEATS)
        if self.server.believes_counts and answer.matched is not None and answer.matched > len(answer.ids):
            answer.doubts.add(Doubt.COUNT)
        if (
            window is not None
            and answer.pages > 1
            and not answer.doubts
            and self._has_more_at_its_edges(window, answer)
        ):
            answer.doubts.add(Doubt.EDGE)
        self.server.note(answer)
        return answer

    def _pages(self, window: Window | None, answer: _Answer) -> Iterator[JsonObject]:
        """Page after page, whose ids are to be put into `answer`, as far as the next links go."""
        asked: set[tuple[str, str, str]] = set()
        stale = known = 0
        first, page = self.server.first_page(window)
        request: ApiRequest | None = first
        while request is not None:
            asked.add(request.identity)
            yield page
            stale = 0 if len(answer.ids) > known else stale + 1
            known = len(answer.ids)
            request = next_request(page, request, first)
            if request is None:
                return
            self.server.fullest_page = max(self.server.fullest_page, len(page["features"]))
            if request.identity in asked or stale >= MAX_STALE_PAGES:
                answer.doubts.add(Doubt.LOOP)
                return
            try:
                page = self.server.fetch(request)
            except APIError as error:
                if _status(error) is None:
                    raise
                answer.doubts.add(Doubt.REFUSED)
                answer.refusal = f"HTTP {_status(error)} {str(error)[:200]}"
                return

    def _take(self, page: JsonObject, window: Window | None, answer: _Answer) -> None:
        """Hand on what is new of a page."""
        times = [_time(item) for item in page["features"]]
        if window is not None and any(_is_far(time, window) for time in times) and self.server.ignores_datetime():
            raise _DatetimeIgnoredError
        found = []
        repeated = 0
        for content, time in zip(page["features"], times, strict=True):
            id_key, key = _keys(content)
            if key not in self.contents:
                self.contents.add(key)
                is_stray = window is not None and time is not None and not window.holds(time)
                found.append(_Found(content, key, is_stray))
            elif id_key in answer.ids:
                repeated += 1
            if id_key not in answer.ids:
                answer.ids.add(id_key)
                answer.fresh += id_key not in self.ids
                if time is not None:
                    answer.times.append(time.replace(microsecond=0))
            self.ids.add(id_key)
        answer.pages += 1
        answer.repeated += repeated
        matched = _matched(page)
        answer.matched = answer.matched if matched is None else matched
        self.emit(found, repeated)

    def _doubt_the_end(self, page: JsonObject, answer: _Answer) -> None:
        """Whether an answer that ends without a next link may go on all the same."""
        size = len(page["features"])
        if size == self.server.page_size or 0 < self.server.fullest_page <= size:
            answer.doubts.add(Doubt.FULL)
        if len(answer.ids) >= max(self.server.largest_answer, MIN_CAP):
            answer.doubts.add(Doubt.LARGEST)

    def _has_more_at_its_edges(self, window: Window, answer: _Answer) -> bool:
        """Whether there are items before the first or after the last one seen: a sorted answer is cut short there."""
        times = [time for time in answer.times if window.holds(time)]
        if not times:
            return False
        known = len(self.ids)
        second = timedelta(seconds=1)
        for edge in (Window(window.start, min(times) + second), Window(max(times), window.end)):
            of_edge = _Answer()
            for page in self._pages(edge, of_edge):
                self._take(page, edge, of_edge)
                if len(self.ids) > known:
                    return True
        return False

    def _verify(self, window: Window, answer: _Answer) -> None:
        if not answer.doubts:
            return
        parts = self._parts(window, answer)
        size = len(answer.ids)
        answers = [self._read(part) for part in parts]
        is_more = any(part.fresh for part in answers)
        if not is_more and all(len(part.ids) >= size > 0 for part in answers):
            # The shortest window, or a server that heeds days but not hours.
            is_abandoned = Doubt.TOO_MANY in answer.doubts
            self._check_unsplit(window, self._read(window, sys.maxsize) if is_abandoned else answer)
            return
        if not is_more and all(len(part.ids) < max(size, 1) for part in answers):
            if Doubt.COUNT in answer.doubts:
                self.server.believes_counts = False
            return
        for part, part_answer in zip(parts, answers, strict=True):
            if len(part_answer.ids) < size:
                part_answer.doubts.discard(Doubt.FULL)  # the server gives more at once than that
            self._verify(part, part_answer)

    def _parts(self, window: Window, answer: _Answer) -> list[Window]:
        if Doubt.TOO_MANY not in answer.doubts or window.is_shortest:
            return split_at_items(window, answer.times)
        matched = answer.matched if self.server.believes_counts and answer.matched else 0
        return split_evenly(window, min(max(4, -(-matched // PART_ITEMS)), MAX_PARTS))

    def _check_unsplit(self, window: Window, answer: _Answer) -> None:
        """Whether an answer is whole that no smaller window can show to be; what the server gives elsewhere may.

        Raises:
            ChiplakeError: it is not, or nothing shows that it is.
        """
        serious = answer.doubts & {Doubt.COUNT, Doubt.FULL, Doubt.LOOP, Doubt.REFUSED}
        what = f"of {window}"
        if Doubt.REFUSED in serious:
            self._fail(what, answer, serious)
        size = len(answer.ids)
        if size < max(MIN_CAP, self.server.largest_answer):
            return  # no limit of the server cut it short
        everything = self._ids_of_everything(size)
        if len(everything) <= size and (serious or everything - answer.ids):
            self._fail(what, answer, serious or {Doubt.LARGEST})

    def _ids_of_everything(self, size: int) -> set[_Key]:
        """What the server gives when it is not asked for dates: more than `size` items, if it ever does."""
        answer = _Answer()
        try:
            for page in self._pages(None, answer):
                answer.ids |= {_keys(content)[0] for content in page["features"]}
                if len(answer.ids) > size:
                    break
        except APIError:
            return set()  # a server that wants dates shows nothing, one way or the other
        self.server.note(answer)
        return answer.ids

    def _check_everything(self, answer: _Answer) -> None:
        """Whether the answer of a server that does not heed dates is whole, which no smaller window can show.

        Raises:
            ChiplakeError: the server says that it is not.
        """
        serious = answer.doubts & {Doubt.COUNT, Doubt.LOOP, Doubt.REFUSED}
        if serious == {Doubt.LOOP} and answer.matched == len(answer.ids):
            return
        if serious:
            self._fail("whatever the dates", answer, serious)

    def _fail(self, what: str, answer: _Answer, doubts: Iterable[Doubt]) -> None:
        reasons = ", and ".join(sorted(doubts))
        raise ChiplakeError(
            f"STAC API {self.server.api} gives {len(answer.ids)} items {what} and keeps others back: {reasons} "
            f"{answer.refusal}".rstrip()
            + "; what came is stored; ask for a smaller area, or for other days"
        )


def _time(item: Any) -> datetime | None:
    properties = item.get("properties") if isinstance(item, dict) else None
    return parse_time(properties.get("datetime")) if isinstance(properties, dict) else None


def _is_far(time: datetime | None, window: Window) -> bool:
    return time is not None and not window.holds(time, MAX_OFF)


def _matched(page: JsonObject) -> int | None:
    context = page.get("context")
    values = (page.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)


def _keys(content: Any) -> tuple[_Key, _Key]:
    """What is the same for two versions of an item, and what is the same for one version of it."""
    try:
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # large integers, halves of surrogate pairs, nested too deep
        text = _as_text(content)
    key = _digest(text)
    item_id = content.get("id") if isinstance(content, dict) else None
    if not isinstance(item_id, str):
        return key, key
    return _digest(f"{content.get('collection')}\0{item_id}".encode(errors="replace")), key


def _as_text(content: Any) -> bytes:
    try:
        return json.dumps(content, sort_keys=True).encode()
    except (RecursionError, TypeError, ValueError):  # it becomes a reject, of which one a name is enough
        return repr(content.get("id") if isinstance(content, dict) else type(content)).encode(errors="replace")


def _digest(text: bytes) -> _Key:
    return blake2b(text, digest_size=16).digest()


# --- all windows ----------------------------------------------------------------------------------------------


class _Emit:
    """Where a window's thread puts what it found, until it is fetched in the windows' order."""

    def __init__(self, stopped: threading.Event) -> None:
        self._queue: queue.Queue[tuple[list[_Found], int] | Exception | None] = queue.Queue(PAGES_AHEAD)
        self._stopped = stopped

    def __call__(self, found: list[_Found], repeated: int) -> None:
        self.put((found, repeated))

    def put(self, message: tuple[list[_Found], int] | Exception | None) -> None:
        """Wait for room; None says that the window is complete.

        Raises:
            SearchStoppedError: nobody will fetch it.
        """
        while not self._stopped.is_set():
            try:
                return self._queue.put(message, timeout=0.1)
            except queue.Full:
                continue
        raise SearchStoppedError

    def pages(self) -> Iterator[tuple[list[_Found], int]]:
        """The pages as they come, until the window is complete.

        Raises:
            Exception: what ended the thread's search.
        """
        while (message := self._queue.get()) is not None:
            if isinstance(message, Exception):
                raise message
            yield message


class _Crew:
    """Threads that read windows side by side, the earliest first."""

    def __init__(self, server: _Server, windows: Sequence[Window | None], known: set[_Key], concurrency: int) -> None:
        self._server = server
        self._known = known
        self._stopped = threading.Event()
        self._emits = [_Emit(self._stopped) for _ in windows]
        self._waiting = iter(zip(windows, self._emits, strict=True))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in windows[:concurrency]]

    def __enter__(self) -> list[_Emit]:
        for thread in self._threads:
            thread.start()
        return self._emits

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.session.stop()
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        self._server.session.resume()

    def _work(self) -> None:
        with contextlib.suppress(SearchStoppedError):
            while True:
                with self._lock:
                    window, emit = next(self._waiting, (None, None))
                if emit is None:
                    return
                try:
                    _WindowSearch(self._server, window, emit, set(self._known)).run()
                    emit.put(None)
                except SearchStoppedError:
                    return
                except Exception as error:  # whatever it is, the thread that reads the search raises it
                    emit.put(error)


@dataclass(slots=True)
class _HandedOn:
    """Which items were handed on, as far as they may come again in a later window.

    That is those of the window at hand and the one before, since servers take the border for a part of both, and
    those whose datetime is in another window than the one in which the server gave them.
    """

    origin: Origin
    window: set[_Key] = field(default_factory=set)
    window_before: set[_Key] = field(default_factory=set)
    strays: set[_Key] = field(default_factory=set)

    def step(self, found: Iterable[_Found], repeated: int) -> SearchStep:
        """What of a page has not been handed on."""
        received = []
        for one in found:
            if one.key in self.strays or (one.is_stray and one.key in self.window_before):
                repeated += 1
                continue
            self.window.add(one.key)
            if one.is_stray:
                self.strays.add(one.key)
            received.append(Received(one.content, None, self.origin))
        return SearchStep(tuple(received), repeated)

    def end_window(self) -> None:
        """Go on to the next window."""
        self.window, self.window_before = set(), self.window

    @property
    def known(self) -> set[_Key]:
        """All of these."""
        return self.window | self.window_before | self.strays


def _in_order(server: _Server, origin: Origin, windows: Sequence[Window], concurrency: int) -> Iterator[SearchStep]:
    """The windows side by side, but their items in order; all at once if the server does not heed dates."""
    handed_on = _HandedOn(origin)
    done = 0
    try:
        with _Crew(server, windows, set(), concurrency) as emits:
            for window, emit in zip(windows, emits, strict=True):
                for found, repeated in emit.pages():
                    yield handed_on.step(found, repeated)
                yield SearchStep(completed=window)
                handed_on.end_window()
                done += 1
    except _DatetimeIgnoredError:
        with _Crew(server, [None], handed_on.known, 1) as (emit,):
            for found, repeated in emit.pages():
                yield handed_on.step(found, repeated)
        for window in windows[done:]:
            yield SearchStep(completed=window)
