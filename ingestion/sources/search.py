"""Items from a STAC API: a search in windows of time, so that no limit of a server loses items.

Answers are read page by page as plain dictionaries. What a server says about completeness (`numberMatched`, a missing
next link) may be wrong. If an answer may have been cut short, parts of its window are read too, until they show that
nothing is missing, or bring it. `WindowSearch` explains when and how.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import shapely
from pystac import STACError
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.warnings import PystacClientWarning
from shapely.geometry.base import BaseGeometry

from ingestion.model import CONCURRENCY, PAGE_SIZE, Filters, Origin, Received, SourceStep
from ingestion.sources.http_session import ApiSession, HttpPolicy, error_status
from ingestion.sources.item_keys import ItemKey
from ingestion.sources.page_links import ApiRequest
from ingestion.sources.search_server import SearchServer
from ingestion.sources.urls import check_root_url
from ingestion.sources.window_search import DatetimeIgnoredError, NewItems
from ingestion.sources.window_threads import WindowThreads
from ingestion.windows import Window, calendar_windows
from lakehouse.errors import ChiplakeError

SEARCH_POLICY: Final = HttpPolicy(retries=8)  # enough for two minutes of errors


def search_windows(
    api: str,
    filters: Filters,
    page_size: int = PAGE_SIZE,
    policy: HttpPolicy = SEARCH_POLICY,
    concurrency: int = CONCURRENCY,
    now: datetime | None = None,
) -> Generator[SourceStep, None, None]:
    """Search a STAC API. Yield each item once, window after window in order of time.

    The request has the area, the dates and, if the server declares support, the cloud limit. The limit is dropped if
    the server refuses it, or if it leaves out items that pass. Servers differ, so the caller filters again. Without
    dates the search is from the launch of Sentinel-2 to now. Memory holds the pages in flight, and some hundred bytes
    for each item of the windows in flight.

    Args:
        api: URL of the landing page.
        filters: which items to search.
        page_size: items of one page.
        policy: timeouts and retries.
        concurrency: most requests at the same time.
        now: start of the search, UTC; later scenes are left for the next search.

    Raises:
        ChiplakeError: the URL is not that of a STAC API, the server keeps failing, or it withholds items.
    """
    origin = Origin(check_root_url(api))
    windows = calendar_windows(filters.start, filters.end, now or datetime.now(UTC))
    session = ApiSession(policy, concurrency)
    try:
        with _named_errors(api):
            server = _open(api, session, filters, page_size)
            yield from _windows_in_order(server, origin, windows, concurrency)
    finally:
        session.stop()
        session.session.close()


@contextlib.contextmanager
def _named_errors(api: str) -> Iterator[None]:
    """Turn errors of pystac-client into a ChiplakeError that names the server."""
    try:
        yield
    except APIError as error:
        status = f"HTTP {error_status(error)} " if error_status(error) else ""
        raise ChiplakeError(f"STAC API {api} failed: {status}{str(error)[:300]}".rstrip()) from error
    except (STACError, ClientTypeError, AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        # pystac raises all of these if the answer is not STAC.
        raise ChiplakeError(f"{api} does not answer as a STAC API: {str(error)[:300]}") from error


def _open(api: str, session: ApiSession, filters: Filters, page_size: int) -> SearchServer:
    """Read the landing page, and let pystac-client make the search requests, without dates, for POST and GET."""
    with warnings.catch_warnings():
        # Many servers accept POST without declaring it. Their answer shows it.
        warnings.simplefilter("ignore", PystacClientWarning)
        client = Client.open(api, stac_io=session)
        if client.get_single_link("search") is None:
            raise ChiplakeError(
                f"{api} has no link to a search, so it is not the root of a STAC API; "
                "give the root, or a static catalogue as --catalog"
            )
        language = _cloud_language(client)
        # Some servers search well and declare nothing.
        client.add_conforms_to("ITEM_SEARCH")
        method = _method(client)

        def request(method: str, language: str | None = None) -> ApiRequest:
            search = client.search(method=method, **search_parameters(filters, page_size, language, method))
            return ApiRequest(search.method or method, search.url, search.get_parameters())

        by_get = request("GET")
        if method == "GET" or language is None or filters.max_cloud is None:
            return SearchServer(api, session, request(method), by_get, page_size)
        limited = request(method, language)
        return SearchServer(api, session, limited, by_get, page_size, request(method), filters.max_cloud)


def search_parameters(
    filters: Filters, page_size: int, cloud_language: str | None, method: str = "POST"
) -> dict[str, Any]:
    """Return the arguments of `Client.search`, without dates.

    Args:
        filters: which items to search.
        page_size: items of one page.
        cloud_language: "filter" for CQL2, "query" for the query extension, None for no cloud limit.
        method: GET or POST.
    """
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
    """Return a bbox for a rectangle, since more servers support it, and for every GET; else the geometry.

    The URL of a GET has a limit of length, and servers lose a geometry in it from one page to the next.
    """
    if method == "GET" or (area.geom_type == "Polygon" and area.equals(shapely.box(*area.bounds))):
        return {"bbox": list(area.bounds)}
    return {"intersects": shapely.geometry.mapping(area)}


def _method(client: Client) -> str:
    """Return POST, which has no limit of length, unless the server declares that it accepts GET only."""
    declared = {link.extra_fields.get("method") for link in client.get_links("search")}
    return "GET" if declared == {"GET"} else "POST"


def _cloud_language(client: Client) -> str | None:
    return next((name.lower() for name in ("FILTER", "QUERY") if client.conforms_to(name)), None)


@dataclass(slots=True)
class _SearchedItems:
    """The items that the search has yielded, as far as a later window may return them again.

    These are the items of the current window and of the one before, since servers count the border to both, and strays:
    items whose datetime is outside the window for which the server gave them.
    """

    origin: Origin
    window: set[ItemKey] = field(default_factory=set)
    window_before: set[ItemKey] = field(default_factory=set)
    strays: set[ItemKey] = field(default_factory=set)

    def step(self, page: NewItems) -> SourceStep:
        """Return the items of a page that the search has not yielded."""
        received = []
        repeated = page.repeated
        for item in page.items:
            if item.key in self.strays or (item.is_stray and item.key in self.window_before):
                repeated += 1
                continue
            self.window.add(item.key)
            if item.is_stray:
                self.strays.add(item.key)
            received.append(Received(item.content, None, self.origin))
        return SourceStep(tuple(received), repeated)

    def end_window(self) -> None:
        """Go on to the next window."""
        self.window, self.window_before = set(), self.window

    @property
    def keys(self) -> set[ItemKey]:
        """The keys of all these items."""
        return self.window | self.window_before | self.strays


def _windows_in_order(
    server: SearchServer, origin: Origin, windows: Sequence[Window], concurrency: int
) -> Iterator[SourceStep]:
    """Read windows in parallel and yield their items in order. Read a server that ignores dates without windows."""
    searched = _SearchedItems(origin)
    done = 0
    try:
        with WindowThreads(server, windows, set(), concurrency) as queues:
            for window, pages in zip(windows, queues, strict=True):
                for page in pages.pages():
                    yield searched.step(page)
                yield SourceStep(completed=window)
                searched.end_window()
                done += 1
    except DatetimeIgnoredError:
        with WindowThreads(server, [None], searched.keys, 1) as (pages,):
            for page in pages.pages():
                yield searched.step(page)
        for window in windows[done:]:
            yield SourceStep(completed=window)
