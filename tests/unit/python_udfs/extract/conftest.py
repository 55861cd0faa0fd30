"""Cutters, readers and a file server for tests of cutting."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
from support.canvas_scenes import MemoryReader

from lakehouse.settings import PROJECT_DIR
from python_udfs.extract.cutter import ChipCutter


@pytest.fixture
def memory() -> MemoryReader:
    """A reader of scenes in memory."""
    return MemoryReader()


@pytest.fixture
def extract(memory: MemoryReader) -> Iterator[ChipCutter]:
    """A task's cutter, with the reader `memory`."""
    function = ChipCutter(reader=memory)
    yield function
    function.close()
    assert all(raster.is_closed for raster in memory.rasters.values() if raster.is_opened)


@pytest.fixture
def extract_files() -> Iterator[ChipCutter]:
    """A task's cutter as the sink makes it: it reads files."""
    function = ChipCutter()
    yield function
    function.close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each raster is opened for reading."""
    count: Counter[str] = Counter()
    rasterio_open = rasterio.open

    def counting_open(path: Any, mode: str = "r", **options: Any) -> Any:
        if mode == "r":
            count[str(path)] += 1
        return rasterio_open(path, mode, **options)

    monkeypatch.setattr(rasterio, "open", counting_open)
    return count


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Address of a server of `tmp_path`, in its own process, because GDAL waits while it holds the interpreter lock."""
    server = PROJECT_DIR / "benchmarks" / "harness" / "range_server.py"
    command = [sys.executable, str(server), str(tmp_path), "--latency-ms", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        process.terminate()
