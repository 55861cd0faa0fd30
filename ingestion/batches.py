"""Items into the lake batch by batch: filter, normalise, write, and record the searched windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ingestion.filtering import is_surely_outside, passes
from ingestion.item.normalise import normalise
from ingestion.model import Filters, IngestSummary, Received, Reject, SourceStep, StacItemRow
from ingestion.store.items import ItemWriter
from ingestion.store.progress import SearchProgress, WindowCounts
from ingestion.windows import Window

# A commit costs a fixed time, so batches are as large as memory allows. A row holds its item as text, not as objects.
BATCH_ITEMS: Final = 2000
BATCH_CHARACTERS: Final = 64 << 20
PROGRESS_ITEMS: Final = 100

Progress = Callable[[IngestSummary], None]


@dataclass(slots=True)
class _Batch:
    """Rows and rejects that are not written yet."""

    rows: list[StacItemRow] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    characters: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.rows) + len(self.rejects) >= BATCH_ITEMS or self.characters >= BATCH_CHARACTERS

    def add(self, outcome: StacItemRow | Reject) -> None:
        self.characters += len(outcome.item)
        if isinstance(outcome, Reject):
            self.rejects.append(outcome)
        else:
            self.rows.append(outcome)


@dataclass(slots=True)
class SearchedWindows:
    """Counts the items of each window of a search, and records completed windows. Without progress it only counts."""

    progress: SearchProgress | None  # None for sources other than a STAC API
    began: datetime  # start of the search, UTC
    _number: int = 0  # of the current window
    _completed: dict[Window, int] = field(default_factory=dict)  # not recorded yet, with their numbers
    _number_of_item: dict[tuple[str, str], int] = field(default_factory=dict)  # for the items of the batch
    _received: Counter[int] = field(default_factory=Counter)  # by number
    _written: Counter[int] = field(default_factory=Counter)  # by number

    def add_received(self) -> None:
        """Count an item of the current window."""
        self._received[self._number] += 1

    def add_row(self, row: StacItemRow) -> None:
        """Note that an item of the batch is from the current window."""
        self._number_of_item[row.key] = self._number

    def complete(self, window: Window) -> None:
        """End the current window."""
        self._completed[window] = self._number
        self._number += 1

    def record(self, written: Iterable[StacItemRow]) -> None:
        """Record the completed windows once the batch is written.

        Args:
            written: rows of the batch that were new.
        """
        self._written.update(self._number_of_item[row.key] for row in written)
        self._number_of_item = {}
        if self.progress is not None and self._completed:
            counts = {
                window: WindowCounts(self._received.pop(number, 0), self._written.pop(number, 0))
                for window, number in self._completed.items()
            }
            self.progress.record(counts, self.began)
        self._completed = {}


@dataclass(slots=True)
class BatchedIngest:
    """Takes the items of one ingest into batches, and writes each full batch."""

    writer: ItemWriter
    windows: SearchedWindows
    filters: Filters
    limit: int | None  # most items taken
    extra_types: Mapping[str, str]  # type of each property that becomes a column, as in the setting `stac_properties`
    href_order: Sequence[str]  # as in the setting `stac_href_order`
    on_progress: Progress
    _taken: int = 0
    _counts: Counter[str] = field(default_factory=Counter)  # by field of IngestSummary
    _rejected: Counter[str] = field(default_factory=Counter)  # by reason
    _batch: _Batch = field(default_factory=_Batch)

    @property
    def summary(self) -> IngestSummary:
        """The counts so far."""
        counts: dict[str, Any] = dict(self._counts)
        return IngestSummary(**counts, rejected=dict(sorted(self._rejected.items())))

    def take_all(self, steps: Iterable[SourceStep]) -> None:
        """Take the items of a source until the limit is reached."""
        for step in steps:
            if step.repeated:
                self._counts["repeated"] += step.repeated
            for received in step.received:
                self._take(received)
                if self.limit is not None and self._taken >= self.limit:
                    return
            if step.completed is not None:
                self.windows.complete(step.completed)

    def _take(self, received: Received) -> None:
        """Filter and normalise one item into the batch, and write the batch if it is full."""
        self._counts["received"] += 1
        self.windows.add_received()
        outcome = self._outcome(received)
        if outcome is None:
            self._counts["skipped"] += 1
        else:
            self._taken += 1
            self._batch.add(outcome)
            if isinstance(outcome, StacItemRow):
                self.windows.add_row(outcome)
        if self._batch.is_full:
            self.flush()
        elif self._counts["received"] % PROGRESS_ITEMS == 0:
            self.on_progress(self.summary)

    def _outcome(self, received: Received) -> StacItemRow | Reject | None:
        """Return the row or the reject of an item, or None if it is outside the filters."""
        if is_surely_outside(received.content, self.filters):
            return None
        outcome = normalise(received, self.filters.collection, self.extra_types, self.href_order)
        return None if isinstance(outcome, StacItemRow) and not passes(outcome, self.filters) else outcome

    def flush(self) -> None:
        """Write the batch, then record the windows that it completed.

        Raises:
            ChiplakeError: a table cannot be written.
        """
        batch = self._batch
        written: tuple[StacItemRow, ...] = ()
        if batch.rows:
            decision = self.writer.write_rows(batch.rows)
            written = decision.write
            self._counts["written"] += len(written)
            self._counts["unchanged"] += decision.unchanged
            self._counts["superseded"] += decision.superseded
        if batch.rejects:
            self.writer.write_rejects(batch.rejects)
            self._rejected.update(reject.reason.value for reject in batch.rejects)
        self._batch = _Batch()
        self.windows.record(written)
        self.on_progress(self.summary)
