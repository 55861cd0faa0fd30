"""Threads that read the windows of a search side by side."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from ingestion.sources.http_session import SearchStoppedError
from ingestion.sources.search_server import SearchServer
from ingestion.sources.window_search import FoundItem, ItemKey, WindowSearch
from ingestion.sources.windows import Window

PAGES_AHEAD: Final = 2  # read of a window before the earlier ones are done with
STOP_TIMEOUT_S: Final = 5.0


class WindowQueue:
    """Where a window's thread puts what it found, until it is fetched in the windows' order."""

    def __init__(self, stopped: threading.Event) -> None:
        self._queue: queue.Queue[tuple[list[FoundItem], int] | Exception | None] = queue.Queue(PAGES_AHEAD)
        self._stopped = stopped

    def __call__(self, found: list[FoundItem], repeated: int) -> None:
        """Put the new items of one page, and how many of its items are repeated."""
        self.put((found, repeated))

    def put(self, message: tuple[list[FoundItem], int] | Exception | None) -> None:
        """Wait for room; None says that the window is complete.

        Raises:
            SearchStoppedError: nobody will fetch it.
        """
        while not self._stopped.is_set():
            try:
                return self._queue.put(message, timeout=0.1)
            except queue.Full:
                continue
        raise SearchStoppedError

    def pages(self) -> Iterator[tuple[list[FoundItem], int]]:
        """The pages as they come, until the window is complete.

        Raises:
            Exception: what ended the thread's search.
        """
        while (message := self._queue.get()) is not None:
            if isinstance(message, Exception):
                raise message
            yield message


class WindowThreads:
    """Threads that read windows side by side, the earliest first."""

    def __init__(
        self, server: SearchServer, windows: Sequence[Window | None], known: set[ItemKey], concurrency: int
    ) -> None:
        self._server = server
        self._known = known
        self._stopped = threading.Event()
        self._emits = [WindowQueue(self._stopped) for _ in windows]
        self._waiting = iter(zip(windows, self._emits, strict=True))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in windows[:concurrency]]

    def __enter__(self) -> list[WindowQueue]:
        for thread in self._threads:
            thread.start()
        return self._emits

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.session.stop()
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)
        self._server.session.resume()

    def _work(self) -> None:
        with contextlib.suppress(SearchStoppedError):
            while True:
                with self._lock:
                    window, emit = next(self._waiting, (None, None))
                if emit is None:
                    return
                try:
                    WindowSearch(self._server, window, emit, set(self._known)).run()
                    emit.put(None)
                except SearchStoppedError:
                    return
                except Exception as error:  # whatever it is, the thread that reads the search raises it
                    emit.put(error)
