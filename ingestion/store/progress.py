"""How far each search of a STAC API has come: `raw.stac_checkpoints`, a row for each window of time ingested whole."""

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
from ingestion.sources.windows import Window, midnight, reached
from ingestion.store.commits import commit, without_blind_retry
from lakehouse.catalog import STAC_CHECKPOINTS, STAC_CHECKPOINTS_SCHEMA
from lakehouse.errors import ChiplakeError

ALL_COLLECTIONS: Final = "*"
SEARCH_ID_CHARACTERS: Final = 16  # of a SHA-256 in hex


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """What became of the items of one window."""

    received: int  # items that the server gave, each once
    written: int  # versions that were new


@dataclass(frozen=True, slots=True)
class SearchName:
    """What tells one search from another, whatever its dates."""

    source: str  # root address of the STAC API, as given
    collection: str  # or ALL_COLLECTIONS
    search: str  # area and cloud limit, canonical JSON

    @classmethod
    def of(cls, api: str, filters: Filters) -> Self:
        """The name of a search of an API."""
        area = None if filters.area is None else shapely.geometry.mapping(shapely.normalize(filters.area))
        asked = {"area": area, "max_cloud": None if filters.max_cloud is None else float(filters.max_cloud)}
        return cls(api, filters.collection or ALL_COLLECTIONS, json.dumps(asked, sort_keys=True, separators=(",", ":")))

    @property
    def search_id(self) -> str:
        """Short hash of `search`."""
        return hashlib.sha256(self.search.encode()).hexdigest()[:SEARCH_ID_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The rows of one search."""

    catalog: Catalog
    name: SearchName

    def windows(self) -> list[Window]:
        """The windows that were ingested whole, by whatever run."""
        return self._recorded(self.catalog.load_table(STAC_CHECKPOINTS))

    def searched_until(self) -> datetime | None:
        """The end of what is complete without a gap, UTC; None if nothing is."""
        span = reached(self.windows())
        return None if span is None else span.end

    def start_after(self, overlap: timedelta) -> datetime:
        """Where a search that goes on begins: `overlap` before the end of what is complete without a gap, UTC.

        It is never earlier than where the first search began.

        Raises:
            ChiplakeError: there is no checkpoint of this search.
        """
        span = reached(self.windows())
        if span is None:
            raise ChiplakeError(
                f"no checkpoint of this search of {self.name.collection} at {self.name.source} (same area and cloud "
                "limit): give --start-date once"
            )
        return max(span.start, midnight(span.end - overlap))

    def record(self, counts: Mapping[Window, WindowCounts], began: datetime) -> int:
        """Add the windows that have no row yet, in one commit; how many these were.

        The day at hand is left out: it is not over, and would have another row at each run.

        Args:
            counts: completed windows, all their items committed.
            began: when the search began, UTC.

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
        source = self.name.source.rstrip("/")  # with and without it is the same server
        return [Window(start, end) for its_source, start, end in rows if its_source.rstrip("/") == source]

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
