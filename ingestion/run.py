"""One ingest, from the request to the summary."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ingestion.batches import BatchedIngest, Progress, SearchedWindows
from ingestion.model import IngestRequest, IngestSummary, Received, SourceStep
from ingestion.sources.catalogue import read_catalog
from ingestion.sources.local_files import read_items
from ingestion.sources.search import SEARCH_POLICY, search_windows
from ingestion.sources.urls import check_root_url
from ingestion.sources.window_search import MIN_CAP
from ingestion.store.items import ItemWriter
from ingestion.store.progress import SearchName, SearchProgress
from lakehouse.catalog import ensure_sources
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings


def ingest(request: IngestRequest, settings: Settings, on_progress: Progress | None = None) -> IngestSummary:
    """Ingest STAC items into `raw.stac_items`, and record those that cannot be used in `raw.stac_rejects`.

    The call is idempotent: a version that is stored is not written again. The progress of the search of an API is
    recorded in `raw.stac_checkpoints`, from which `since_last` continues.

    Args:
        request: the source of the items, and the filters.
        settings: the settings of the lake; missing tables are created.
        on_progress: called with the counts so far, after every hundred items and after each commit.

    Returns:
        What became of the items.

    Raises:
        ChiplakeError: the request is contradictory, the source cannot be read, or a table cannot be written. Items
            received before are stored, and the next run continues from there.
    """
    check_request(request)
    catalog = ensure_sources(settings)
    began = datetime.now(UTC)
    progress = None
    if request.api is not None:
        progress = SearchProgress(catalog, SearchName.of(request.api, request.filters))
        request = _from_last_search(request, progress)
    batches = BatchedIngest(
        writer=ItemWriter(catalog, began),
        windows=SearchedWindows(progress, began),
        filters=request.filters,
        limit=request.limit,
        extra_types=settings.stac.properties,
        href_order=settings.stac.href_order,
        on_progress=on_progress or (lambda _: None),
    )
    try:
        # A search has threads, so it is closed here, not when it is garbage-collected.
        with closing(_read_source(request, began)) as steps:
            batches.take_all(steps)
    except ChiplakeError:
        batches.flush()
        raise
    batches.flush()
    return batches.summary if progress is None else replace(batches.summary, searched_until=progress.searched_until())


def check_request(request: IngestRequest) -> None:
    """Check that a request is consistent.

    Raises:
        ChiplakeError: it is contradictory, or its file does not exist.
    """
    if sum(source is not None for source in (request.items, request.catalog, request.api)) != 1:
        raise ChiplakeError("give exactly one of a file, a static catalogue and a STAC API")
    if request.items is not None and not request.items.exists():
        raise ChiplakeError(f"{request.items} does not exist")
    if request.api is not None:
        check_root_url(request.api)
    if request.since_last and request.api is None:
        raise ChiplakeError("only the search of a STAC API can continue where the last one ended: give its address")
    if request.since_last and request.filters.start is not None:
        raise ChiplakeError("give either a start date or the option to continue where the last search ended")
    if request.concurrency < 1 or request.page_size < 1 or request.overlap < timedelta(0):
        raise ChiplakeError("concurrency and page size must be at least 1, and the overlap not negative")


def _from_last_search(request: IngestRequest, progress: SearchProgress) -> IngestRequest:
    if not request.since_last:
        return request
    return replace(request, filters=replace(request.filters, start=progress.start_after(request.overlap)))


def _read_source(request: IngestRequest, began: datetime) -> Generator[SourceStep, None, None]:
    if request.api is not None:
        page_size = min(request.page_size, max(request.limit or request.page_size, MIN_CAP))
        yield from search_windows(
            request.api, request.filters, page_size, SEARCH_POLICY, request.concurrency, now=began
        )
    elif request.catalog is not None:
        yield from _one_by_one(read_catalog(request.catalog, request.concurrency))
    elif request.items is not None:
        yield from _one_by_one(read_items(request.items, request.allow_file_hrefs, request.concurrency))


def _one_by_one(items: Iterator[Received]) -> Iterator[SourceStep]:
    for received in items:
        yield SourceStep((received,))
