"""Searches of a STAC API on loopback, with retries that wait hundredths of a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ingestion import Filters
from ingestion.model import CONCURRENCY, PAGE_SIZE, Received
from ingestion.sources.http_session import HttpPolicy
from ingestion.sources.search import search_windows
from support.faulty_stac_server import FaultyServer, Item

COUNT = 10_000


S2 = Filters(collection="sentinel-2-l2a")


IN_2023 = replace(S2, start=datetime(2023, 1, 1, tzinfo=UTC), end=datetime(2024, 1, 1, tzinfo=UTC))


BURST_DAY = replace(S2, start=datetime(2023, 7, 14, tzinfo=UTC), end=datetime(2023, 7, 15, tzinfo=UTC))


FAST_RETRIES = HttpPolicy(retries=8, backoff_s=0.01, jitter_s=0.01)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def item_ids(items: list[Item]) -> list[str]:
    return sorted(item["id"] for item in items)


def search_items(
    api: str,
    filters: Filters,
    page_size: int = PAGE_SIZE,
    policy: HttpPolicy = FAST_RETRIES,
    concurrency: int = CONCURRENCY,
) -> Iterator[Received]:
    """Yield the items of `search_windows`, without the windows."""
    with closing(search_windows(api, filters, page_size, policy, concurrency)) as steps:
        for step in steps:
            yield from step.received


def found_ids(server: FaultyServer, filters: Filters = IN_2023, **options: Any) -> list[str]:
    """Return ids in the order of the search, with every repetition."""
    return [received.content["id"] for received in search_items(server.url, filters, **options)]
