"""Reads the items of one local file: JSON, newline-delimited JSON, or stac-geoparquet.

Files are read in pieces, so a file may be larger than memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from ingestion.sources.geoparquet import read_stac_geoparquet
from ingestion.sources.json_items import JsonItems
from lakehouse.errors import ChiplakeError

LINE_SUFFIXES: Final = frozenset({".ndjson", ".jsonl", ".geojsonl", ".geojsons"})
PARQUET_SUFFIXES: Final = frozenset({".parquet", ".geoparquet"})
SUFFIXES: Final = LINE_SUFFIXES | PARQUET_SUFFIXES | {".json", ".geojson"}


class BrokenFileError(ChiplakeError):
    """The content of a file is not what its name says, or is broken after some items."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count  # entries read before the fault


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a file in the place of an item."""

    content: Any  # parsed JSON, or the text that could not be parsed
    number: int  # of the line, from 1, or of the item or row, from 0
    is_own_file: bool = False  # the file holds only this entry
    parse_error: str | None = None


def read_file(path: Path) -> Iterator[Entry]:
    """Yield the entries of a file in order. The suffix determines the format; JSON is the default.

    Raises:
        BrokenFileError: the content is broken, or is not what the suffix says.
        ChiplakeError: the file cannot be read.
    """
    count = 0
    try:
        for entry in _read(path):
            yield entry
            count += 1
    except OSError as error:
        raise ChiplakeError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:  # includes UnicodeDecodeError
        kind = "stac-geoparquet" if path.suffix.lower() in PARQUET_SUFFIXES else "JSON"
        raise BrokenFileError(f"{path} is not valid {kind} after {count} items: {error}", count) from error


def is_catalog(content: Any) -> bool:
    """Return whether a JSON document is a STAC Catalog or Collection. Before STAC 1.0 a catalog had no type."""
    if not isinstance(content, dict):
        return False
    is_old = "type" not in content and "stac_version" in content and isinstance(content.get("links"), list)
    return is_old or content.get("type") in ("Catalog", "Collection")


def _read(path: Path) -> Iterator[Entry]:
    suffix = path.suffix.lower()
    if suffix in PARQUET_SUFFIXES:
        for number, item in enumerate(read_stac_geoparquet(path)):
            yield Entry(item, number)
        return
    with path.open(encoding="utf-8-sig") as stream:
        if suffix in LINE_SUFFIXES:
            yield from _read_lines(stream)
        else:
            for number, (content, is_alone) in enumerate(JsonItems(stream).items()):
                yield Entry(content, number, is_alone)


def _read_lines(stream: TextIO) -> Iterator[Entry]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            yield Entry(json.loads(line), number)
        except (RecursionError, ValueError) as error:
            yield Entry(line.rstrip("\n"), number, parse_error=f"line {number}: {error}")
