"""A file server that answers ranges, as an object store does, with the latency of a network.

    python benchmarks/harness/range_server.py FOLDER [--port 0] [--latency-ms 20]

It serves on loopback and prints its port. `GET /-/requests` returns the number of requests for files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route


def application(folder: Path, latency_s: float) -> Starlette:
    """Serve the files below a folder."""
    root = folder.resolve()
    counts = {"requests": 0}

    async def count(_request: Request) -> Response:
        return JSONResponse(counts)

    async def file(request: Request) -> Response:
        counts["requests"] += 1
        await asyncio.sleep(latency_s)
        path = (root / request.path_params["path"]).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return Response(status_code=404)
        return FileResponse(path)

    return Starlette(routes=[Route("/-/requests", count), Route("/{path:path}", file)])


def main(folder: Path, port: int, latency_ms: float) -> None:
    """Serve until the process ends."""
    listener = socket.create_server(("127.0.0.1", port))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(application(folder, latency_ms / 1000), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve files by ranges with a network's latency.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--latency-ms", type=float, default=20.0)
    arguments = parser.parse_args()
    main(arguments.folder, arguments.port, arguments.latency_ms)
