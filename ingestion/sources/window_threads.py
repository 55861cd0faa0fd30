"""Threads that read the windows of a search in parallel."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from ingestion.sources.http_session import SearchStoppedError
from ingestion.sources.item_keys import ItemKey
from ingestion.sources.search_server import SearchServer
from ingestion.sources.window_search import NewItems, WindowSearch
from ingestion.windows import Window

PAGES_AHEAD: Final = 2  # pages of one window that wait until earlier windows are read
STOP_TIMEOUT_S: Final = 5.0


class WindowQueue:
    """Pages of one window, from the thread that reads it to the reader of the search."""

    def __init__(self, stopped: threading.Event) -> None:
        self._queue: queue.Queue[NewItems | Exception | None] = queue.Queue(PAGES_AHEAD)
        self._stopped = stopped

    def put(self, message: NewItems | Exception | None) -> None:
        """Wait for room, then add a page, or the error that ends the window, or None after the last page.

        Raises:
            SearchStoppedError: the search has ended.
        """
        while not self._stopped.is_set():
            try:
                return self._queue.put(message, timeout=0.1)
            except queue.Full:
                continue
        raise SearchStoppedError

    def pages(self) -> Iterator[NewItems]:
        """Yield the pages of the window until the last one.

        Raises:
            Exception: the error that ended the window.
        """
        while (message := self._queue.get()) is not None:
            if isinstance(message, Exception):
                raise message
            yield message


class WindowThreads:
    """Threads that read windows in parallel, the earliest first. Entering starts them, leaving stops them."""

    def __init__(
        self, server: SearchServer, windows: Sequence[Window | None], known: set[ItemKey], concurrency: int
    ) -> None:
        self._server = server
        self._known = known
        self._stopped = threading.Event()
        self._queues = [WindowQueue(self._stopped) for _ in windows]
        self._remaining = iter(zip(windows, self._queues, strict=True))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._read_windows, daemon=True) for _ in windows[:concurrency]]

    def __enter__(self) -> list[WindowQueue]:
        for thread in self._threads:
            thread.start()
        return self._queues

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.session.stop()
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        self._server.session.resume()

    def _read_windows(self) -> None:
        with contextlib.suppress(SearchStoppedError):
            while True:
                with self._lock:
                    window, pages = next(self._remaining, (None, None))
                if pages is None:
                    return
                try:
                    WindowSearch(self._server, window, pages.put, set(self._known)).read()
                    pages.put(None)
                except SearchStoppedError:
                    return
                except Exception as error:  # of any kind: the reader of the search raises it
                    pages.put(error)
