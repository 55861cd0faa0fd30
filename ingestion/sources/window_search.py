"""The search of one window, repeated in parts until no item can be missing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pystac_client.exceptions import APIError

from ingestion.model import JsonObject
from ingestion.sources.http_session import error_status
from ingestion.sources.item_keys import ItemKey, item_keys
from ingestion.sources.page_links import ApiRequest, next_link, next_request
from ingestion.sources.search_server import SearchServer, has_cloud_up_to, is_far, item_time
from ingestion.windows import SECOND, Window, split_at_items, split_evenly
from lakehouse.errors import ChiplakeError

MAX_ANSWER_ITEMS: Final = 5000  # a longer answer is read in parts; servers refuse, or slow down, from 10,000 on
PART_ITEMS: Final = 2500  # wanted in each part of a long answer
MAX_PARTS: Final = 64
MIN_CAP: Final = 10  # items; the smallest default page of STAC servers, so no server's limit is below it
MAX_STALE_PAGES: Final = 5  # consecutive pages without a new item, empty ones included


class Doubt(StrEnum):
    """Why an answer may lack items of its window."""

    COUNT = "it says that more items match"
    FULL = "its last page is full"
    LARGEST = "no answer was larger"
    UNFINISHED = "its pages were not all read, since they are many"
    EDGE = "it left out items at an edge of the window"
    REPEATS = "it gave items twice"
    LOOP = "its pages go in a circle"
    REFUSED = "it refuses to go on"


class DatetimeIgnoredError(Exception):
    """The server ignores dates, so it cannot be searched by windows. Never leaves `ingestion.sources`."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item of a page that this search of a window has not seen."""

    content: Any
    key: ItemKey  # of this version
    is_stray: bool  # its datetime is outside the window that was requested


@dataclass(frozen=True, slots=True)
class NewItems:
    """The new items of a page."""

    items: tuple[NewItem, ...]
    repeated: int  # items of the page that its answer held already


@dataclass(slots=True)
class Answer:
    """The answer of the server for one window, summed over its pages."""

    ids: set[ItemKey] = field(default_factory=set)
    times: list[datetime] = field(default_factory=list)  # acquisition of its items, UTC, whole seconds
    fresh: int = 0  # items that no earlier answer for the same window or its parts held
    repeated: int = 0  # items returned a second time
    pages: int = 0
    matched: int | None = None  # count of matching items that the server states
    doubts: set[Doubt] = field(default_factory=set)
    refusal: str = ""  # status and text of the error, for Doubt.REFUSED


@dataclass(slots=True)
class WindowSearch:
    """Reads one window, and parts of it if there is a reason to doubt the answer.

    `Doubt` lists the reasons. A doubted window is split so that each part holds some of the known items.

    - If the parts bring nothing new, and each is smaller than the doubted answer, then no limit of the server cut
      them short, and the window was complete.
    - If they bring something new, the server did cut the window short. Each part that is in doubt is split in turn.
    """

    server: SearchServer
    window: Window | None  # None: no dates, for a server that ignores them
    emit: Callable[[NewItems], None]  # takes each page
    versions: set[ItemKey] = field(default_factory=set)  # emitted
    ids: set[ItemKey] = field(default_factory=set)  # of all items seen

    def read(self) -> None:
        """Read the window completely.

        Raises:
            APIError: the server keeps failing.
            ChiplakeError: the server withholds items.
            DatetimeIgnoredError: the server ignores dates.
        """
        of_any_cloud = self.server.of_any_cloud()
        answer = self._read(self.window)
        if self.window is None:
            self._check_without_dates(answer)
        else:
            self._verify(self.window, answer)
        if of_any_cloud is not None and not (self.ids and self.server.is_cloud_limit_checked):
            self._check_cloud_limit(of_any_cloud, self.server.max_cloud or 0)

    def _check_cloud_limit(self, server: SearchServer, limit: float) -> None:
        """Read the window without the limit of cloud, percent, and emit what the limit has left out.

        One window shows that the limit works. A server that does not know the property answers with nothing, so a
        window without items is always read again.
        """
        is_more = False

        def emit(page: NewItems) -> None:
            nonlocal is_more
            left_out = tuple(item for item in page.items if has_cloud_up_to(item.content, limit))
            is_more = is_more or bool(left_out)
            self.emit(NewItems(left_out, 0))

        WindowSearch(server, self.window, emit, self.versions).read()
        if is_more:
            self.server.is_cloud_limit_checked = False
            self.server.drop_cloud_limit()
        elif self.ids:
            self.server.is_cloud_limit_checked = True

    def _read(self, window: Window | None, max_items: int | None = None) -> Answer:
        """Emit the items of a window, and collect doubts about the answer. Stop after about `max_items` items."""
        answer = Answer()
        max_items = max_items or MAX_ANSWER_ITEMS
        page: JsonObject = {}
        for page in self._pages(window, answer):
            self._take(page, window, answer)
            is_long = len(answer.ids) >= max_items and window is not None and not window.is_shortest
            if is_long and next_link(page) is not None:
                answer.doubts.add(Doubt.UNFINISHED)
                break
        if not answer.doubts:
            answer.doubts |= self._doubts_of_end(page, answer)
        answer.doubts |= self._doubts_of_content(answer)
        is_checked = window is not None and answer.pages > 1 and not answer.doubts
        if is_checked and window is not None and self._has_more_at_edges(window, answer):
            answer.doubts.add(Doubt.EDGE)
        self.server.note_answer(len(answer.ids))
        return answer

    def _pages(self, window: Window | None, answer: Answer) -> Iterator[JsonObject]:
        """Yield the pages of an answer. The caller adds their ids to `answer` before it asks for the next page."""
        requested: set[tuple[str, str, str]] = set()
        stale = known = 0
        first, page = self.server.first_page(window)
        request: ApiRequest | None = first
        while request is not None:
            requested.add(request.identity)
            yield page
            stale = 0 if len(answer.ids) > known else stale + 1
            known = len(answer.ids)
            request = next_request(page, request, first)
            if request is None:
                return
            self.server.fullest_page = max(self.server.fullest_page, len(page["features"]))
            if request.identity in requested or stale >= MAX_STALE_PAGES:
                answer.doubts.add(Doubt.LOOP)
                return
            try:
                page = self.server.fetch(request)
            except APIError as error:
                if error_status(error) is None:
                    raise
                answer.doubts.add(Doubt.REFUSED)
                answer.refusal = f"HTTP {error_status(error)} {str(error)[:200]}"
                return

    def _take(self, page: JsonObject, window: Window | None, answer: Answer) -> None:
        """Add a page to its answer, and emit its new items."""
        times = [item_time(item) for item in page["features"]]
        if window is not None and any(is_far(time, window) for time in times) and self.server.ignores_datetime():
            raise DatetimeIgnoredError
        new_items = []
        repeated = 0
        for content, time in zip(page["features"], times, strict=True):
            id_key, version_key = item_keys(content)
            if version_key not in self.versions:
                self.versions.add(version_key)
                is_stray = window is not None and time is not None and not window.contains(time)
                new_items.append(NewItem(content, version_key, is_stray))
            elif id_key in answer.ids:
                repeated += 1
            self._count(id_key, time, answer)
        answer.pages += 1
        answer.repeated += repeated
        matched = _matched(page)
        answer.matched = answer.matched if matched is None else matched
        self.emit(NewItems(tuple(new_items), repeated))

    def _count(self, id_key: ItemKey, time: datetime | None, answer: Answer) -> None:
        if id_key not in answer.ids:
            answer.ids.add(id_key)
            answer.fresh += id_key not in self.ids
            if time is not None:
                answer.times.append(time.replace(microsecond=0))
        self.ids.add(id_key)

    def _doubts_of_end(self, page: JsonObject, answer: Answer) -> set[Doubt]:
        """Why an answer whose last page has no next link may continue."""
        doubts = set()
        size = len(page["features"])
        if size == self.server.page_size or 0 < self.server.fullest_page <= size:
            doubts.add(Doubt.FULL)
        if len(answer.ids) >= max(self.server.largest_answer, MIN_CAP):
            doubts.add(Doubt.LARGEST)
        return doubts

    def _doubts_of_content(self, answer: Answer) -> set[Doubt]:
        doubts = set()
        if answer.pages > 1 and answer.repeated:
            doubts.add(Doubt.REPEATS)
        if self.server.believes_counts and answer.matched is not None and answer.matched > len(answer.ids):
            doubts.add(Doubt.COUNT)
        return doubts

    def _has_more_at_edges(self, window: Window, answer: Answer) -> bool:
        """Return whether the window has items before the first or after the last known one.

        A sorted answer that was cut short lacks items there.
        """
        times = [time for time in answer.times if window.contains(time)]
        if not times:
            return False
        known = len(self.ids)
        for edge in (Window(window.start, min(times) + SECOND), Window(max(times), window.end)):
            edge_answer = Answer()
            for page in self._pages(edge, edge_answer):
                self._take(page, edge, edge_answer)
                if len(self.ids) > known:
                    return True
        return False

    def _verify(self, window: Window, answer: Answer) -> None:
        """Read parts of a window until the doubts about its answer are settled."""
        if not answer.doubts:
            return
        parts = self._parts(window, answer)
        size = len(answer.ids)
        answers = [self._read(part) for part in parts]
        is_more = any(part.fresh for part in answers)
        if not is_more and all(len(part.ids) >= size > 0 for part in answers):
            # A window of one second, or a server that respects days but not hours.
            is_unfinished = Doubt.UNFINISHED in answer.doubts
            self._check_unsplit(window, self._read(window, sys.maxsize) if is_unfinished else answer)
            return
        if not is_more and all(len(part.ids) < max(size, 1) for part in answers):
            if Doubt.COUNT in answer.doubts:
                self.server.believes_counts = False
            return
        for part, part_answer in zip(parts, answers, strict=True):
            if len(part_answer.ids) < size:
                part_answer.doubts.discard(Doubt.FULL)  # the server is able to return more items
            self._verify(part, part_answer)

    def _parts(self, window: Window, answer: Answer) -> list[Window]:
        if Doubt.UNFINISHED not in answer.doubts or window.is_shortest:
            return split_at_items(window, answer.times)
        matched = answer.matched if self.server.believes_counts and answer.matched else 0
        return split_evenly(window, min(max(4, -(-matched // PART_ITEMS)), MAX_PARTS))

    def _check_unsplit(self, window: Window, answer: Answer) -> None:
        """Check a window whose parts have the same items as the window, so that they cannot show that it is complete.

        The size of other answers of the server can.

        Raises:
            ChiplakeError: the answer is not complete, or nothing shows that it is.
        """
        serious = answer.doubts & {Doubt.COUNT, Doubt.FULL, Doubt.LOOP, Doubt.REFUSED}
        scope = f"of {window}"
        if Doubt.REFUSED in serious:
            self._fail(scope, answer, serious)
        size = len(answer.ids)
        if size < max(MIN_CAP, self.server.largest_answer):
            return  # no limit of the server cut it short
        all_ids = self._ids_without_dates(size)
        if len(all_ids) <= size and (serious or all_ids - answer.ids):
            self._fail(scope, answer, serious or {Doubt.LARGEST})

    def _ids_without_dates(self, size: int) -> set[ItemKey]:
        """Search without dates, and return the ids of more than `size` items, or of all items of the server."""
        answer = Answer()
        try:
            for page in self._pages(None, answer):
                answer.ids |= {item_keys(content)[0] for content in page["features"]}
                if len(answer.ids) > size:
                    break
        except APIError:
            return set()  # a server that requires dates shows nothing
        self.server.note_answer(len(answer.ids))
        return answer.ids

    def _check_without_dates(self, answer: Answer) -> None:
        """Check the answer of a server that ignores dates, which no smaller window can show to be complete.

        Raises:
            ChiplakeError: the server says that it is not complete.
        """
        serious = answer.doubts & {Doubt.COUNT, Doubt.LOOP, Doubt.REFUSED}
        if serious == {Doubt.LOOP} and answer.matched == len(answer.ids):
            return
        if serious:
            self._fail("whatever the dates", answer, serious)

    def _fail(self, scope: str, answer: Answer, doubts: Iterable[Doubt]) -> None:
        reasons = ", and ".join(sorted(doubts))
        raise ChiplakeError(
            f"STAC API {self.server.api} gives {len(answer.ids)} items {scope} and withholds others: {reasons} "
            f"{answer.refusal}".rstrip()
            + "; the items received are stored; choose a smaller area, or other days"
        )


def _matched(page: JsonObject) -> int | None:
    context = page.get("context")
    values = (page.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)
