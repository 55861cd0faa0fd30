"""One ingest, from the request to the summary: read, filter, normalise, load, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import shapely

from chiplake.errors import ChiplakeError
from chiplake.lake import ensure_sources
from chiplake.settings import Settings
from ingestion.files import read_items
from ingestion.load import Loader
from ingestion.model import Filters, IngestRequest, IngestSummary, JsonObject, Received, Reject, StacItemRow
from ingestion.normalise import normalise, parse_time
from ingestion.search import search_items

# A commit costs a fixed time, so batches are as large as memory allows: rows are held as text, not as objects.
BATCH_ITEMS: Final = 2000
BATCH_CHARACTERS: Final = 64 << 20
PROGRESS_ITEMS: Final = 100

Progress = Callable[[IngestSummary], None]


def ingest(request: IngestRequest, settings: Settings, on_progress: Progress | None = None) -> IngestSummary:
    """Bring STAC items into `raw.stac_items`, those that cannot be used into `raw.stac_rejects`.

    Idempotent: items whose version is there already are not written again.

    Args:
        request: where the items are and which are wanted.
        settings: says where the catalog is; the tables are made if they are not there.
        on_progress: called with the summary so far, now and then and after each commit.

    Raises:
        ChiplakeError: the request is contradictory, the source cannot be read, or the table cannot be written.
            What was committed before stays, and the next run goes on from there.
    """
    received = _source(request)
    run = _Run(Loader(ensure_sources(settings), datetime.now(UTC)), request, on_progress or (lambda _: None))
    for one in received:
        run.take(one)
        if request.limit is not None and run.taken >= request.limit:
            break
    run.flush()
    return run.summary


def _source(request: IngestRequest) -> Iterator[Received]:
    if request.items is not None and request.api is None:
        if not request.items.exists():
            raise ChiplakeError(f"{request.items} does not exist")
        return read_items(request.items)
    if request.api is not None and request.items is None:
        page_size = min(request.page_size, request.limit or request.page_size)
        return search_items(request.api, request.filters, page_size)
    raise ChiplakeError("ingest either from a file or from a STAC API")


@dataclass(slots=True)
class _Run:
    """The batch at hand and the counts of one run."""

    loader: Loader
    request: IngestRequest
    on_progress: Progress
    taken: int = 0
    _counts: Counter[str] = field(default_factory=Counter)
    _rejected: Counter[str] = field(default_factory=Counter)
    _rows: list[StacItemRow] = field(default_factory=list)
    _rejects: list[Reject] = field(default_factory=list)
    _characters: int = 0

    @property
    def summary(self) -> IngestSummary:
        return IngestSummary(**self._counts, rejected=dict(sorted(self._rejected.items())))

    def take(self, received: Received) -> None:
        """Filter and normalise one item into the batch; load the batch when it is full."""
        filters = self.request.filters
        self._counts["received"] += 1
        outcome = None if is_surely_unwanted(received.content, filters) else normalise(received, filters.collection)
        if outcome is None or (isinstance(outcome, StacItemRow) and not is_wanted(outcome, filters)):
            self._counts["skipped"] += 1
        else:
            self.taken += 1
            self._characters += len(outcome.item)
            if isinstance(outcome, Reject):
                self._rejects.append(outcome)
            else:
                self._rows.append(outcome)
        if len(self._rows) + len(self._rejects) >= BATCH_ITEMS or self._characters >= BATCH_CHARACTERS:
            self.flush()
        elif self._counts["received"] % PROGRESS_ITEMS == 0:
            self.on_progress(self.summary)

    def flush(self) -> None:
        """Load the batch at hand."""
        if self._rows:
            decision = self.loader.load_rows(self._rows)
            self._counts["written"] += len(decision.write)
            self._counts["unchanged"] += decision.unchanged
            self._counts["superseded"] += decision.superseded
        if self._rejects:
            self.loader.load_rejects(self._rejects)
            self._rejected.update(reject.reason.value for reject in self._rejects)
        self._rows, self._rejects, self._characters = [], [], 0
        self.on_progress(self.summary)


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
