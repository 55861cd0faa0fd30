"""One ingest, from the request to the summary: read, filter, normalise, load, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import shapely

from ingestion.item.normalise import normalise
from ingestion.item.values import parse_time
from ingestion.model import Filters, IngestRequest, IngestSummary, JsonObject, Received, Reject, StacItemRow
from ingestion.sources.addresses import check_root_url
from ingestion.sources.local_files import read_catalog, read_items
from ingestion.sources.search import SEARCH_POLICY, SearchStep, search_windows
from ingestion.sources.window_search import MIN_CAP
from ingestion.sources.windows import Window
from ingestion.store.items import Loader
from ingestion.store.progress import Checkpoints, SearchName, WindowCounts
from lakehouse.catalog import ensure_sources
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings

# A commit costs a fixed time, so batches are as large as memory allows: rows are held as text, not as objects.
BATCH_ITEMS: Final = 2000
BATCH_CHARACTERS: Final = 64 << 20
PROGRESS_ITEMS: Final = 100

Progress = Callable[[IngestSummary], None]


def ingest(request: IngestRequest, settings: Settings, on_progress: Progress | None = None) -> IngestSummary:
    """Bring STAC items into `raw.stac_items`, those that cannot be used into `raw.stac_rejects`.

    Idempotent: items whose version is there already are not written again. How far the search of an API came is
    recorded in `raw.stac_checkpoints`, where `since_last` finds it.

    Args:
        request: where the items are and which are wanted.
        settings: says where the catalog is; the tables are made if they are not there.
        on_progress: called with the summary so far, now and then and after each commit.

    Raises:
        ChiplakeError: the request is contradictory, the source cannot be read, or the table cannot be written.
            What came before is stored, and the next run goes on from there.
    """
    check_request(request)
    catalog = ensure_sources(settings)
    began = datetime.now(UTC)
    checkpoints = None
    if request.api is not None:
        checkpoints = Checkpoints(catalog, SearchName.of(request.api, request.filters))
        request = _continued(request, checkpoints)
    run = _Run(Loader(catalog, began), checkpoints, request, settings.stac_properties, on_progress or (lambda _: None))
    try:
        # Closed at once, not when it is collected: a search has threads.
        with closing(_steps(request, began)) as steps:
            run.take_all(steps)
    except ChiplakeError:
        run.flush()
        raise
    run.flush()
    return run.summary if checkpoints is None else replace(run.summary, searched_until=checkpoints.searched_until())


def check_request(request: IngestRequest) -> None:
    """Whether a request can be followed.

    Raises:
        ChiplakeError: it is contradictory, or its file does not exist.
    """
    if sum(source is not None for source in (request.items, request.catalog, request.api)) != 1:
        raise ChiplakeError("ingest from a file, a static catalogue or a STAC API: exactly one of them")
    if request.items is not None and not request.items.exists():
        raise ChiplakeError(f"{request.items} does not exist")
    if request.api is not None:
        check_root_url(request.api)
    if request.since_last and request.api is None:
        raise ChiplakeError("only the search of a STAC API can go on where the last one ended: give its address")
    if request.since_last and request.filters.start is not None:
        raise ChiplakeError("give either a start date or the wish to go on where the last search ended")
    if request.concurrency < 1 or request.page_size < 1 or request.overlap < timedelta(0):
        raise ChiplakeError("concurrency and page size are at least 1, and the overlap is not negative")


def _continued(request: IngestRequest, checkpoints: Checkpoints) -> IngestRequest:
    if not request.since_last:
        return request
    return replace(request, filters=replace(request.filters, start=checkpoints.start_after(request.overlap)))


def _steps(request: IngestRequest, began: datetime) -> Generator[SearchStep, None, None]:
    """What the source holds, piece by piece."""
    if request.api is not None:
        page_size = min(request.page_size, max(request.limit or request.page_size, MIN_CAP))
        yield from search_windows(
            request.api, request.filters, page_size, SEARCH_POLICY, request.concurrency, now=began
        )
    elif request.catalog is not None:
        yield from _one_by_one(read_catalog(request.catalog, request.concurrency))
    elif request.items is not None:
        yield from _one_by_one(read_items(request.items, request.allow_file_hrefs, request.concurrency))


def _one_by_one(items: Iterator[Received]) -> Iterator[SearchStep]:
    for received in items:
        yield SearchStep((received,))


@dataclass(slots=True)
class _Run:
    """The batch at hand and the counts of one run."""

    loader: Loader
    checkpoints: Checkpoints | None
    request: IngestRequest
    extra_types: Mapping[str, str]  # type of each further property that is a column
    on_progress: Progress
    taken: int = 0
    _counts: Counter[str] = field(default_factory=Counter)
    _rejected: Counter[str] = field(default_factory=Counter)
    _rows: list[StacItemRow] = field(default_factory=list)
    _rejects: list[Reject] = field(default_factory=list)
    _characters: int = 0
    _window: int = 0  # number of the window at hand
    _completed: dict[Window, int] = field(default_factory=dict)  # windows without checkpoint, by number
    _window_of_item: dict[tuple[str, str], int] = field(default_factory=dict)  # of the items of the batch
    _received_of_window: Counter[int] = field(default_factory=Counter)
    _written_of_window: Counter[int] = field(default_factory=Counter)

    @property
    def summary(self) -> IngestSummary:
        counts: dict[str, Any] = dict(self._counts)
        return IngestSummary(**counts, rejected=dict(sorted(self._rejected.items())))

    def take_all(self, steps: Iterable[SearchStep]) -> None:
        """Take what comes until the limit is reached."""
        for step in steps:
            if step.repeated:
                self._counts["repeated"] += step.repeated
            for one in step.received:
                self.take(one)
                if self.request.limit is not None and self.taken >= self.request.limit:
                    return
            if step.completed is not None:
                self._completed[step.completed] = self._window
                self._window += 1

    def take(self, received: Received) -> None:
        """Filter and normalise one item into the batch; load the batch when it is full."""
        filters = self.request.filters
        self._counts["received"] += 1
        self._received_of_window[self._window] += 1
        outcome = (
            None
            if is_surely_unwanted(received.content, filters)
            else normalise(received, filters.collection, self.extra_types)
        )
        if outcome is None or (isinstance(outcome, StacItemRow) and not is_wanted(outcome, filters)):
            self._counts["skipped"] += 1
        else:
            self.taken += 1
            self._characters += len(outcome.item)
            if isinstance(outcome, Reject):
                self._rejects.append(outcome)
            else:
                self._rows.append(outcome)
                self._window_of_item[outcome.key] = self._window
        if len(self._rows) + len(self._rejects) >= BATCH_ITEMS or self._characters >= BATCH_CHARACTERS:
            self.flush()
        elif self._counts["received"] % PROGRESS_ITEMS == 0:
            self.on_progress(self.summary)

    def flush(self) -> None:
        """Load the batch at hand, then record the windows that it completed."""
        if self._rows:
            decision = self.loader.load_rows(self._rows)
            self._counts["written"] += len(decision.write)
            self._counts["unchanged"] += decision.unchanged
            self._counts["superseded"] += decision.superseded
            self._written_of_window.update(self._window_of_item[row.key] for row in decision.write)
        if self._rejects:
            self.loader.load_rejects(self._rejects)
            self._rejected.update(reject.reason.value for reject in self._rejects)
        self._rows, self._rejects, self._characters, self._window_of_item = [], [], 0, {}
        self._record_windows()
        self.on_progress(self.summary)

    def _record_windows(self) -> None:
        if self.checkpoints is not None and self._completed:
            counts = {
                window: WindowCounts(self._received_of_window.pop(number, 0), self._written_of_window.pop(number, 0))
                for window, number in self._completed.items()
            }
            self.checkpoints.record(counts, self.loader.ingested_at)
        self._completed = {}


def is_surely_unwanted(content: Any, filters: Filters) -> bool:
    """Whether what an item says of itself puts it outside the filters, found without normalising it.

    An item that does not say it, or says it wrongly, is not surely unwanted: it goes on, and may be rejected.
    """
    if not isinstance(content, dict) or not isinstance(content.get("properties"), dict):
        return False
    properties: JsonObject = content["properties"]
    collection = content.get("collection")
    if filters.collection and isinstance(collection, str) and collection != filters.collection:
        return True
    time = parse_time(properties.get("datetime"))
    if time is not None and _is_outside(time, filters):
        return True
    cloud = properties.get("eo:cloud_cover")
    return filters.max_cloud is not None and isinstance(cloud, int | float) and cloud > filters.max_cloud


def is_wanted(row: StacItemRow, filters: Filters) -> bool:
    """Whether a row passes all filters."""
    if _is_outside(row.acquired_at, filters):
        return False
    if filters.max_cloud is not None and (row.cloud_cover is None or row.cloud_cover > filters.max_cloud):
        return False
    return filters.area is None or bool(shapely.intersects(shapely.from_wkb(row.geometry), filters.area))


def _is_outside(time: datetime, filters: Filters) -> bool:
    return (filters.start is not None and time < filters.start) or (filters.end is not None and time >= filters.end)
