"""Items from a STAC API: a search cut into windows of time, so that no limit of a server loses items.

A window's answer is read page by page as plain dictionaries. What servers say of it (`numberMatched`, a missing next
link) is not taken for granted: where an answer may have been cut short, its window is split and the parts are read
too, until they show that nothing is missing, or bring it. `WindowSearch` says when and how.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
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

from ingestion.model import CONCURRENCY, PAGE_SIZE, Filters, Origin, Received
from ingestion.sources.addresses import HttpPolicy, check_root_url
from ingestion.sources.http_session import ApiRequest, ApiSession
from ingestion.sources.search_server import SearchServer, error_status
from ingestion.sources.window_search import DatetimeIgnoredError, FoundItem, ItemKey
from ingestion.sources.window_threads import WindowThreads
from ingestion.sources.windows import Window, calendar_windows
from lakehouse.errors import ChiplakeError

SEARCH_POLICY: Final = HttpPolicy(retries=8)  # two minutes of trouble are got over


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
            yield from _windows_in_order(server, origin, windows, concurrency)
    finally:
        session.stop()
        session.session.close()


@contextlib.contextmanager
def _named_errors(api: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        answer = f"HTTP {error_status(error)} " if error_status(error) else ""
        raise ChiplakeError(f"STAC API {api} failed: {answer}{str(error)[:300]}".rstrip()) from error
    except (STACError, ClientTypeError, AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        # All of these are what pystac raises where the answer is no STAC.
        raise ChiplakeError(f"{api} does not answer as a STAC API: {str(error)[:300]}") from error


def _open(api: str, session: ApiSession, filters: Filters, page_size: int) -> SearchServer:
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
    return SearchServer(api, session, requests[0], requests[1], page_size)


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


def _method(client: Client) -> str:
    """POST, which has no limit of length, unless the server says in so many words that it takes GET only."""
    stated = {link.extra_fields.get("method") for link in client.get_links("search")}
    return "GET" if stated == {"GET"} else "POST"


def _cloud_language(client: Client) -> str | None:
    return next((name.lower() for name in ("FILTER", "QUERY") if client.conforms_to(name)), None)


@dataclass(slots=True)
class YieldedItems:
    """Which items were handed on, as far as they may come again in a later window.

    That is those of the window at hand and the one before, since servers take the border for a part of both, and
    those whose datetime is in another window than the one in which the server gave them.
    """

    origin: Origin
    window: set[ItemKey] = field(default_factory=set)
    window_before: set[ItemKey] = field(default_factory=set)
    strays: set[ItemKey] = field(default_factory=set)

    def step(self, found: Iterable[FoundItem], repeated: int) -> SearchStep:
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
    def known(self) -> set[ItemKey]:
        """All of these."""
        return self.window | self.window_before | self.strays


def _windows_in_order(
    server: SearchServer, origin: Origin, windows: Sequence[Window], concurrency: int
) -> Iterator[SearchStep]:
    """The windows side by side, but their items in order; all at once if the server does not heed dates."""
    handed_on = YieldedItems(origin)
    done = 0
    try:
        with WindowThreads(server, windows, set(), concurrency) as emits:
            for window, emit in zip(windows, emits, strict=True):
                for found, repeated in emit.pages():
                    yield handed_on.step(found, repeated)
                yield SearchStep(completed=window)
                handed_on.end_window()
                done += 1
    except DatetimeIgnoredError:
        with WindowThreads(server, [None], handed_on.known, 1) as (emit,):
            for found, repeated in emit.pages():
                yield handed_on.step(found, repeated)
        for window in windows[done:]:
            yield SearchStep(completed=window)
