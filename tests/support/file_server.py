"""An HTTP server of a folder on loopback, which can send other answers first."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class FileAnswer:
    """An answer that the server sends once, in place of the file."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stated_length: int | None = None  # Content-Length, if it differs from the length of the body
    drip_s: float | None = None  # seconds between further single bytes, until the client disconnects


@dataclass
class FileServer:
    """The state of a server of a folder, and the answers that it sends first."""

    url: str = ""
    answers: dict[str, list[FileAnswer]] = field(default_factory=dict)  # by path, each sent once, in order
    requests: Counter[str] = field(default_factory=Counter)
    delay_s: float = 0
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, path: str) -> FileAnswer | None:
        with self._lock:
            self.requests[path] += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            return self.answers[path].pop(0) if self.answers.get(path) else None

    def leave(self) -> None:
        with self._lock:
            self._at_once -= 1


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, state: FileServer, **kwargs: Any) -> None:
        self.state = state
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        answer = self.state.enter(self.path)
        try:
            time.sleep(self.state.delay_s)
        finally:
            self.state.leave()  # before the client can send another request
        if answer is None:
            super().do_GET()
        else:
            self._answer_with(answer)

    def _answer_with(self, answer: FileAnswer) -> None:
        self.send_response(answer.status)
        length = len(answer.body) if answer.stated_length is None else answer.stated_length
        for name, value in ({"Content-Length": str(length)} | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        with contextlib.suppress(OSError):
            while answer.drip_s is not None:
                self.wfile.write(b" ")
                time.sleep(answer.drip_s)

    def log_message(self, *args: object) -> None:
        pass


ServeFiles = Callable[[Path], FileServer]


@contextlib.contextmanager
def serving_folders() -> Iterator[ServeFiles]:
    """Yield a function that starts a server of a folder. All servers end with the context."""
    servers = []

    def start(folder: Path) -> FileServer:
        state = FileServer()
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, state=state, directory=str(folder)))
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        return state

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
