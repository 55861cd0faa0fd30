"""A server on loopback whose answers a test defines."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ScriptedAnswer = Callable[[int, str], tuple[int, bytes]]  # number and method with path of a request: status and body


ServeAnswers = Callable[[ScriptedAnswer], str]


@contextlib.contextmanager
def serving_answers() -> Iterator[ServeAnswers]:
    """Yield a function that starts a server, which calls the given function for each answer."""
    servers = []

    def start(answer: ScriptedAnswer) -> str:
        count = iter(range(1_000_000))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body = answer(next(count), f"{self.command} {self.path}")
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def landing_page_body(**search_link: str) -> bytes:
    links = [{"rel": "search", "href": "/search", "method": "POST", **search_link}]
    conformance = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
    root = {"type": "Catalog", "id": "x", "stac_version": "1.0.0", "description": "x", "links": links}
    return json.dumps(root | {"conformsTo": conformance}).encode()


def page_body(items: list[Any], next_href: str | None = None) -> bytes:
    links = [{"rel": "next", "href": next_href, "method": "GET"}] if next_href else []
    return json.dumps({"type": "FeatureCollection", "features": items, "links": links}).encode()
