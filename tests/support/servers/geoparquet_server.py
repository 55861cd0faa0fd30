"""stac-fastapi-geoparquet on loopback, in the environment of the tests' STAC servers.

Usage: python geoparquet_server.py COLLECTIONS PORT [--get-only]

COLLECTIONS is a JSON list of STAC collections, each with a stac-geoparquet file as its asset.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio.to_thread
import duckdb
import uvicorn
from rustac import DuckdbClient
from stac_fastapi.api.app import StacApi
from stac_fastapi.geoparquet.api import create
from stac_fastapi.geoparquet.settings import Settings
from stac_fastapi.types.stac import LandingPage
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

# Extensions that rustac's DuckDB loads when it starts, and would download if they were missing.
EXTENSIONS = ("icu", "parquet", "spatial")


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("collections", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--get-only", action="store_true", help="as a server that takes no POST")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        install_extensions(Path(folder))
        client = DuckdbClient(extension_directory=Path(folder), install_extensions=False)
        settings = Settings(
            stac_fastapi_landing_id="geoparquet", stac_fastapi_collections_href=str(arguments.collections)
        )
        api = create(settings, client)
        take_one_request_at_a_time(api)
        if arguments.get_only:
            take_get_only(api)
        uvicorn.run(api.app, host="127.0.0.1", port=arguments.port, log_level="warning")


def install_extensions(folder: Path) -> None:
    """Install DuckDB's extensions from their packages into the folder in which DuckDB looks for them."""
    with duckdb.connect(config={"home_directory": str(folder), "extension_directory": str(folder)}) as connection:
        for name in EXTENSIONS:
            package = Path(str(files(f"duckdb_extension_{name}")))
            (path,) = package.glob(f"extensions/*/{name}.duckdb_extension")
            connection.install_extension(str(path))


def take_one_request_at_a_time(api: StacApi) -> None:
    """Let one thread search. Two can wait for each other for ever: one holds rustac's lock, the other Python's."""

    async def in_one_thread(request: Request, answer: RequestResponseEndpoint) -> Response:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        return await answer(request)

    api.app.middleware("http")(in_one_thread)


def take_get_only(api: StacApi) -> None:
    """Refuse POST, and leave it out of the landing page."""
    landing_page = api.client._landing_page

    def without_post(**options: Any) -> LandingPage:
        page = landing_page(**options)
        page["links"] = [link for link in page["links"] if link.get("method") != "POST"]
        return page

    async def refuse_post(request: Request, answer: RequestResponseEndpoint) -> Response:
        return Response(status_code=405) if request.method == "POST" else await answer(request)

    api.client._landing_page = without_post
    api.app.middleware("http")(refuse_post)


if __name__ == "__main__":
    main()
