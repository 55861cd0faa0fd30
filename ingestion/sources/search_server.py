"""The search of one STAC API: its requests, and what its answers have shown of the server."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pystac_client.exceptions import APIError

from ingestion.item.values import parse_time
from ingestion.model import JsonObject
from ingestion.sources.http_session import ApiRequest, ApiSession
from ingestion.sources.windows import Window

MAX_OFF: Final = timedelta(days=1)  # how far from its datetime a server may sort an item in

# Nothing of Sentinel-2 can be there, so that a server that has an answer does not heed dates.
_BEFORE_LAUNCH: Final = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC))


@dataclass(slots=True)
class SearchServer:
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
            if request.method == "GET" or error_status(error) not in (404, 405, 501):
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
                self._ignores_datetime = any(is_far(item_time(item), _BEFORE_LAUNCH) for item in page["features"])
            return self._ignores_datetime

    def note_size(self, size: int) -> None:
        """Learn from the size of a finished answer how many items the server gives at once."""
        with self._lock:
            self.largest_answer = max(self.largest_answer, size)


def item_time(item: Any) -> datetime | None:
    """Return the acquisition time that an item states, UTC, or None."""
    properties = item.get("properties") if isinstance(item, dict) else None
    return parse_time(properties.get("datetime")) if isinstance(properties, dict) else None


def is_far(time: datetime | None, window: Window) -> bool:
    """Whether a time is so far from a window that a server which heeds dates would not give its item."""
    return time is not None and not window.holds(time, MAX_OFF)


def error_status(error: APIError) -> int | None:
    """Return the HTTP status of an error, or None if there was no answer."""
    return getattr(error, "status_code", None)  # pystac-client does not always set it
