"""One window of a search, read until nothing of it can be missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

import orjson
from pystac_client.exceptions import APIError

from ingestion.model import JsonObject
from ingestion.sources.http_session import ApiRequest, next_link, next_request
from ingestion.sources.search_server import SearchServer, error_status, is_far, item_time
from ingestion.sources.windows import Window, split_at_items, split_evenly
from lakehouse.errors import ChiplakeError

MAX_ANSWER_ITEMS: Final = 5000  # more are asked for in parts; servers refuse, or slow down, from 10,000 on
PART_ITEMS: Final = 2500  # wanted in a part of a window of more
MAX_PARTS: Final = 64
MIN_CAP: Final = 10  # items; the smallest page that STAC servers give by default, so no server's cap is below it
MAX_STALE_PAGES: Final = 5  # pages in a row without anything new, empty ones too

ItemKey = bytes


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


class DatetimeIgnoredError(Exception):
    """The server gives the same whatever the dates, so windows are of no use; never leaves `ingestion.sources`."""


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An item of a page."""

    content: Any
    key: ItemKey  # of its content
    is_stray: bool  # its datetime is not in the window that was asked for


Emit = Callable[[list[FoundItem], int], None]  # takes the new items of a page, and how many it repeats


@dataclass(slots=True)
class Answer:
    """What the server gave for one window, page by page."""

    ids: set[ItemKey] = field(default_factory=set)
    times: list[datetime] = field(default_factory=list)  # acquisition of its items, UTC, whole seconds
    fresh: int = 0  # items that no earlier answer for the same tree of windows held
    repeated: int = 0  # items given a second time
    pages: int = 0
    matched: int | None = None  # items that match, if the server says so
    doubts: set[Doubt] = field(default_factory=set)
    refusal: str = ""


@dataclass(slots=True)
class WindowSearch:
    """Reads one window, and its parts where the answer gives reason to doubt.

    An answer is doubted for the reasons that `Doubt` lists. A doubted window is split so that both parts hold some of
    the items seen. If the parts then bring nothing new, though each is smaller than the answer in doubt, then no
    limit of the server cut them short, and the window was whole. If they bring something new, the server did cut the
    window short, and each part whose own answer is in doubt is split in turn.
    """

    server: SearchServer
    window: Window | None  # None: everything at once, from a server that does not heed dates
    emit: Emit
    contents: set[ItemKey] = field(default_factory=set)  # handed on already
    ids: set[ItemKey] = field(default_factory=set)

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

    def _read(self, window: Window | None, most: int | None = None) -> Answer:
        """Hand on a window's items, about `most` of them where it can be split, and doubt the answer."""
        answer = Answer()
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
        self.server.note_size(len(answer.ids))
        return answer

    def _pages(self, window: Window | None, answer: Answer) -> Iterator[JsonObject]:
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
                if error_status(error) is None:
                    raise
                answer.doubts.add(Doubt.REFUSED)
                answer.refusal = f"HTTP {error_status(error)} {str(error)[:200]}"
                return

    def _take(self, page: JsonObject, window: Window | None, answer: Answer) -> None:
        """Hand on what is new of a page."""
        times = [item_time(item) for item in page["features"]]
        if window is not None and any(is_far(time, window) for time in times) and self.server.ignores_datetime():
            raise DatetimeIgnoredError
        found = []
        repeated = 0
        for content, time in zip(page["features"], times, strict=True):
            id_key, key = _item_keys(content)
            if key not in self.contents:
                self.contents.add(key)
                is_stray = window is not None and time is not None and not window.holds(time)
                found.append(FoundItem(content, key, is_stray))
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
        matched = _matched_count(page)
        answer.matched = answer.matched if matched is None else matched
        self.emit(found, repeated)

    def _doubt_the_end(self, page: JsonObject, answer: Answer) -> None:
        """Whether an answer that ends without a next link may go on all the same."""
        size = len(page["features"])
        if size == self.server.page_size or 0 < self.server.fullest_page <= size:
            answer.doubts.add(Doubt.FULL)
        if len(answer.ids) >= max(self.server.largest_answer, MIN_CAP):
            answer.doubts.add(Doubt.LARGEST)

    def _has_more_at_its_edges(self, window: Window, answer: Answer) -> bool:
        """Whether there are items before the first or after the last one seen: a sorted answer is cut short there."""
        times = [time for time in answer.times if window.holds(time)]
        if not times:
            return False
        known = len(self.ids)
        second = timedelta(seconds=1)
        for edge in (Window(window.start, min(times) + second), Window(max(times), window.end)):
            of_edge = Answer()
            for page in self._pages(edge, of_edge):
                self._take(page, edge, of_edge)
                if len(self.ids) > known:
                    return True
        return False

    def _verify(self, window: Window, answer: Answer) -> None:
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

    def _parts(self, window: Window, answer: Answer) -> list[Window]:
        if Doubt.TOO_MANY not in answer.doubts or window.is_shortest:
            return split_at_items(window, answer.times)
        matched = answer.matched if self.server.believes_counts and answer.matched else 0
        return split_evenly(window, min(max(4, -(-matched // PART_ITEMS)), MAX_PARTS))

    def _check_unsplit(self, window: Window, answer: Answer) -> None:
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

    def _ids_of_everything(self, size: int) -> set[ItemKey]:
        """What the server gives when it is not asked for dates: more than `size` items, if it ever does."""
        answer = Answer()
        try:
            for page in self._pages(None, answer):
                answer.ids |= {_item_keys(content)[0] for content in page["features"]}
                if len(answer.ids) > size:
                    break
        except APIError:
            return set()  # a server that wants dates shows nothing, one way or the other
        self.server.note_size(len(answer.ids))
        return answer.ids

    def _check_everything(self, answer: Answer) -> None:
        """Whether the answer of a server that does not heed dates is whole, which no smaller window can show.

        Raises:
            ChiplakeError: the server says that it is not.
        """
        serious = answer.doubts & {Doubt.COUNT, Doubt.LOOP, Doubt.REFUSED}
        if serious == {Doubt.LOOP} and answer.matched == len(answer.ids):
            return
        if serious:
            self._fail("whatever the dates", answer, serious)

    def _fail(self, what: str, answer: Answer, doubts: Iterable[Doubt]) -> None:
        reasons = ", and ".join(sorted(doubts))
        raise ChiplakeError(
            f"STAC API {self.server.api} gives {len(answer.ids)} items {what} and keeps others back: {reasons} "
            f"{answer.refusal}".rstrip()
            + "; what came is stored; ask for a smaller area, or for other days"
        )


def _matched_count(page: JsonObject) -> int | None:
    context = page.get("context")
    values = (page.get("numberMatched"), context.get("matched") if isinstance(context, dict) else None)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)


def _item_keys(content: Any) -> tuple[ItemKey, ItemKey]:
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


def _digest(text: bytes) -> ItemKey:
    return blake2b(text, digest_size=16).digest()
