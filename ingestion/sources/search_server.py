"""One STAC API during a search: its requests, and what its answers have shown of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pystac_client.exceptions import APIError

from ingestion.item.values import as_lenient_number, parse_time
from ingestion.model import JsonObject
from ingestion.sources.http_session import ApiSession, error_status
from ingestion.sources.page_links import ApiRequest
from ingestion.windows import Window

MAX_DATETIME_ERROR: Final = timedelta(days=1)  # servers may sort an item by a time this far from its datetime

# Sentinel-2 has no scene here, so a server that answers with items ignores dates.
_BEFORE_LAUNCH: Final = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC))


@dataclass(slots=True)
class SearchServer:
    """The state of the server, shared by the threads of a search."""

    api: str
    session: ApiSession
    search: ApiRequest  # without dates
    search_by_get: ApiRequest  # replaces `search` if the server does not accept POST
    page_size: int
    search_of_any_cloud: ApiRequest | None = None  # if `search` has a limit of cloud: the same without it
    max_cloud: float | None = None  # percent, of the limit
    is_cloud_limit_checked: bool = False  # a window gave the same items with and without the limit
    believes_counts: bool = True  # until an answer that was complete had another count
    fullest_page: int = 0  # items of the largest page that had a next link
    largest_answer: int = 0  # items of the largest answer
    _ignores_datetime: bool | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def first_page(self, window: Window | None) -> tuple[ApiRequest, JsonObject]:
        """Return the request for the first page and the page, of a window or, for None, without dates.

        A server that refuses the limit of cloud is searched without it, and one that accepts no POST by GET.
        """
        search = self.search
        request = self._first_request(search, window)
        try:
            return request, self.fetch(request)
        except APIError as error:
            status = error_status(error)
            if request.method == "POST" and status in (404, 405, 501):
                with self._lock:
                    self.search, self.search_of_any_cloud = self.search_by_get, None
            else:
                self.drop_cloud_limit()
            if self.search is search:
                raise
        return self.first_page(window)

    def drop_cloud_limit(self) -> None:
        """Search without a limit of cloud from now on; the caller filters."""
        with self._lock:
            if self.search_of_any_cloud is not None:
                self.search, self.search_of_any_cloud = self.search_of_any_cloud, None

    def of_any_cloud(self) -> SearchServer | None:
        """Return the server without the limit of cloud, or None if it has none."""
        search = self.search_of_any_cloud
        if search is None:
            return None
        return SearchServer(self.api, self.session, search, self.search_by_get, self.page_size)

    @staticmethod
    def _first_request(search: ApiRequest, window: Window | None) -> ApiRequest:
        dates = {} if window is None else {"datetime": window.interval}
        return replace(search, parameters={**search.parameters, **dates})

    def fetch(self, request: ApiRequest) -> JsonObject:
        """Return one page, which has a list of features."""
        page = self.session.fetch(request, lambda page: isinstance(page.get("features"), list))
        self.session.has_answered = True
        return page

    def ignores_datetime(self) -> bool:
        """Return whether the server returns items of days that were not requested. Sends one request, once."""
        with self._lock:
            if self._ignores_datetime is None:
                _, page = self.first_page(_BEFORE_LAUNCH)
                self._ignores_datetime = any(is_far(item_time(item), _BEFORE_LAUNCH) for item in page["features"])
            return self._ignores_datetime

    def note_answer(self, size: int) -> None:
        """Record the number of items of an answer, which the server is therefore able to return."""
        with self._lock:
            self.largest_answer = max(self.largest_answer, size)


def has_cloud_up_to(item: Any, limit: float) -> bool:
    """Return whether an item states a cloud cover of at most so many percent."""
    properties = item.get("properties") if isinstance(item, dict) else None
    cloud = as_lenient_number(properties.get("eo:cloud_cover")) if isinstance(properties, dict) else None
    return cloud is not None and cloud <= limit


def item_time(item: Any) -> datetime | None:
    """Return the acquisition time of an item, UTC, or None if it states none."""
    properties = item.get("properties") if isinstance(item, dict) else None
    return parse_time(properties.get("datetime")) if isinstance(properties, dict) else None


def is_far(time: datetime | None, window: Window) -> bool:
    """Return whether a time is so far from a window that a server which respects dates would not return its item."""
    return time is not None and not window.contains(time, MAX_DATETIME_ERROR)
