"""The progress of each search of a STAC API: `raw.stac_checkpoints`, one row for each window ingested completely."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import pyarrow as pa
import shapely
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import And, EqualTo
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from ingestion.model import Filters
from ingestion.windows import Window, midnight, span_without_gap
from lakehouse.commits import commit, without_blind_retry
from lakehouse.errors import ChiplakeError
from lakehouse.source_schemas import STAC_CHECKPOINTS, STAC_CHECKPOINTS_SCHEMA

ALL_COLLECTIONS: Final = "*"
SEARCH_ID_CHARACTERS: Final = 16  # of a SHA-256 in hex


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """Counts of the items of one window."""

    received: int  # items that the server returned, each counted once
    written: int  # new versions


@dataclass(frozen=True, slots=True)
class SearchName:
    """The identity of a search: everything except its dates."""

    source: str  # URL of the STAC API, as given
    collection: str  # or ALL_COLLECTIONS
    search: str  # area and cloud limit, canonical JSON

    @classmethod
    def of(cls, api: str, filters: Filters) -> Self:
        """Return the name of a search of an API."""
        area = None if filters.area is None else shapely.geometry.mapping(shapely.normalize(filters.area))
        search = {"area": area, "max_cloud": None if filters.max_cloud is None else float(filters.max_cloud)}
        return cls(
            api, filters.collection or ALL_COLLECTIONS, json.dumps(search, sort_keys=True, separators=(",", ":"))
        )

    @property
    def search_id(self) -> str:
        """A short hash of `search`."""
        return hashlib.sha256(self.search.encode()).hexdigest()[:SEARCH_ID_CHARACTERS]


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """The searched windows of one search."""

    catalog: Catalog
    name: SearchName

    def windows(self) -> list[Window]:
        """Return the windows that any run has ingested completely."""
        return self._recorded(self.catalog.load_table(STAC_CHECKPOINTS))

    def searched_until(self) -> datetime | None:
        """Return the end of the span that is complete without a gap, UTC, or None if there is none."""
        span = span_without_gap(self.windows())
        return None if span is None else span.end

    def start_after(self, overlap: timedelta) -> datetime:
        """Return where a search continues, UTC: `overlap` before the end of the span that is complete without a gap.

        It is never earlier than the start of the first search.

        Raises:
            ChiplakeError: no window of this search is recorded.
        """
        span = span_without_gap(self.windows())
        if span is None:
            raise ChiplakeError(
                f"no window is recorded of this search of {self.name.collection} at {self.name.source} (same area and "
                "cloud limit): give --start-date once"
            )
        return max(span.start, midnight(span.end - overlap))

    def record(self, counts: Mapping[Window, WindowCounts], began: datetime) -> int:
        """Add the windows that have no row, in one commit. Return how many these were.

        The current day is left out: it is not over, and each run would add another row.

        Args:
            counts: completed windows, of which all items are committed.
            began: start of the search, UTC.

        Raises:
            ChiplakeError: other writers commit to the table without pause.
        """
        over = {window: count for window, count in counts.items() if window.end <= midnight(began)}
        if not over:
            return 0
        return commit(self.catalog, STAC_CHECKPOINTS, lambda table: self._append(table, over))

    def _append(self, table: Table, counts: Mapping[Window, WindowCounts]) -> int:
        windows = sorted(counts.keys() - set(self._recorded(table)))
        if windows:
            with without_blind_retry(table).transaction() as transaction:
                transaction.append(self._to_arrow(windows, counts))
        return len(windows)

    def _recorded(self, table: Table) -> list[Window]:
        columns = ("source", "window_start", "window_end")
        condition = And(
            EqualTo(term="collection", value=self.name.collection), EqualTo(term="search_id", value=self.name.search_id)
        )
        scanned = table.scan(row_filter=condition, selected_fields=columns).to_arrow()
        rows = zip(*(scanned.column(name).to_pylist() for name in columns), strict=True)
        source = self.name.source.rstrip("/")  # a URL with and without the slash is the same server
        return [Window(start, end) for row_source, start, end in rows if row_source.rstrip("/") == source]

    def _to_arrow(self, windows: Sequence[Window], counts: Mapping[Window, WindowCounts]) -> pa.Table:
        same = {
            "source": self.name.source,
            "collection": self.name.collection,
            "search_id": self.name.search_id,
            "search": self.name.search,
            "completed_at": datetime.now(UTC),
        }
        columns = {name: [value] * len(windows) for name, value in same.items()} | {
            "window_start": [window.start for window in windows],
            "window_end": [window.end for window in windows],
            "received": [counts[window].received for window in windows],
            "written": [counts[window].written for window in windows],
        }
        return pa.Table.from_pydict(columns, schema=schema_to_pyarrow(STAC_CHECKPOINTS_SCHEMA, include_field_ids=False))
