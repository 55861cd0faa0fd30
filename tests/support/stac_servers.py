"""STAC servers from packages; each runs on a free port of loopback while its context lasts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from lakehouse.settings import PROJECT_DIR
from support.ingests import write_items
from support.ports import free_port

START_TIMEOUT_S: Final = 180
STOP_TIMEOUT_S: Final = 10
RUSTAC: Final = Path(sys.executable).with_name("rustac")
SERVER_PYTHON: Final = PROJECT_DIR / ".venv-stac-server" / "bin" / "python"  # made by `make setup`
GEOPARQUET_SERVER: Final = next((PROJECT_DIR / "tests").rglob("geoparquet_server.py"))

Items = Sequence[dict[str, Any]]


@contextmanager
def rustac_server(folder: Path, *paths: Path) -> Iterator[str]:
    """Run `rustac serve` on files of items: POST, bbox and datetime, but not CQL2. Yield its URL.

    Args:
        folder: the folder of its log.
        paths: JSON files; of a parquet file it serves only the first page.
    """
    address = f"127.0.0.1:{free_port()}"
    command = [str(RUSTAC), "serve", "--create-collections", "-a", address, *map(str, paths)]
    with _serve(command, f"http://{address}/", folder / "rustac.log") as url:
        yield url


@contextmanager
def geoparquet_server(folder: Path, collections: Path, is_get_only: bool = False) -> Iterator[str]:
    """Run stac-fastapi-geoparquet, with CQL2, by GET and POST or by GET only. Yield its URL.

    Args:
        folder: the folder of its log.
        collections: the file that `write_collections` wrote.
        is_get_only: refuse POST, and leave it out of the landing page.
    """
    if not SERVER_PYTHON.exists():
        pytest.fail(f"no environment of the STAC servers at {SERVER_PYTHON}: run `make setup`", pytrace=False)
    port = free_port()
    command = [str(SERVER_PYTHON), str(GEOPARQUET_SERVER), str(collections), str(port)]
    if is_get_only:
        command.append("--get-only")
    with _serve(command, f"http://127.0.0.1:{port}/", folder / "geoparquet.log") as url:
        yield url


def write_parquet(path: Path, items: Items) -> Path:
    """Write stac-geoparquet."""
    source = write_items(path.with_suffix(".json"), items)
    subprocess.run([RUSTAC, "translate", source, path], check=True)
    return path


def write_collections(folder: Path, collections: Mapping[str, Items]) -> Path:
    """Write a list of collections, and a file of stac-geoparquet for each.

    Each collection needs its own file, because the server returns all items of a file for every collection of the file.
    """
    for name, items in collections.items():
        write_parquet(folder / f"{name}.parquet", items)
    listing = folder / "collections.json"
    listing.write_text(json.dumps([_collection(name) for name in collections]))
    return listing


def _collection(name: str) -> dict[str, Any]:
    parquet = {"href": f"{name}.parquet", "type": "application/vnd.apache.parquet"}
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "description": name,
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
        "assets": {"data": parquet},
    }


@contextmanager
def _serve(command: Sequence[str], url: str, log: Path) -> Iterator[str]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _wait_for(url, process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the STAC server ended: {log.read_text()[-2000:]}", pytrace=False)
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, TimeoutError):
            time.sleep(0.05)
    pytest.fail(f"no answer from {url} in {START_TIMEOUT_S} s: {log.read_text()[-2000:]}", pytrace=False)
