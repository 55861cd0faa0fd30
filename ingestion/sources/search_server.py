"""One STAC API during a search: its requests, and what its answers have shown of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pystac_client.exceptions import APIError

from ingestion.item.values import parse_time
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
    believes_counts: bool = True  # until an answer that was complete had another count
    fullest_page: int = 0  # items of the largest page that had a next link
    largest_answer: int = 0  # items of the largest answer
    _ignores_datetime: bool | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def first_page(self, window: Window | None) -> tuple[ApiRequest, JsonObject]:
        """Return the request for the first page and the page, of a window or, for None, without dates."""
        request = self._first_request(window)
        try:
            return request, self.fetch(request)
        except APIError as error:
            if request.method == "GET" or error_status(error) not in (404, 405, 501):
                raise
        self.search = self.search_by_get
        request = self._first_request(window)
        return request, self.fetch(request)

    def _first_request(self, window: Window | None) -> ApiRequest:
        dates = {} if window is None else {"datetime": window.interval}
        return replace(self.search, parameters={**self.search.parameters, **dates})

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


def item_time(item: Any) -> datetime | None:
    """Return the acquisition time of an item, UTC, or None if it states none."""
    properties = item.get("properties") if isinstance(item, dict) else None
    return parse_time(properties.get("datetime")) if isinstance(properties, dict) else None


def is_far(time: datetime | None, window: Window) -> bool:
    """Return whether a time is so far from a window that a server which respects dates would not return its item."""
    return time is not None and not window.contains(time, MAX_DATETIME_ERROR)
