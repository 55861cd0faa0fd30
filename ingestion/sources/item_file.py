"""Reads the items of one local file: JSON or newline-delimited JSON, compressed by gzip or not, or stac-geoparquet.

Files are read in pieces, so a file may be larger than memory.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from ingestion.sources.geoparquet import read_stac_geoparquet
from ingestion.sources.json_items import JsonItems
from lakehouse.errors import ChiplakeError

LINE_SUFFIXES: Final = frozenset({".ndjson", ".jsonl", ".geojsonl", ".geojsons"})
PARQUET_SUFFIXES: Final = frozenset({".parquet", ".geoparquet"})
TEXT_SUFFIXES: Final = LINE_SUFFIXES | {".json", ".geojson"}
SUFFIXES: Final = TEXT_SUFFIXES | PARQUET_SUFFIXES | {f"{suffix}.gz" for suffix in TEXT_SUFFIXES}

_GZIP_MAGIC: Final = b"\x1f\x8b"


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


def suffix_of(path: Path) -> str:
    """Return the suffix in small letters, both parts of a compressed file: `.json.gz`."""
    parts = [suffix.lower() for suffix in path.suffixes[-2:]]
    return "".join(parts) if parts[-1:] == [".gz"] else "".join(parts[-1:])


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
        kind = "stac-geoparquet" if suffix_of(path) in PARQUET_SUFFIXES else "JSON"
        raise BrokenFileError(f"{path} is not valid {kind} after {count} items: {error}", count) from error


def is_catalog(content: Any) -> bool:
    """Return whether a JSON document is a STAC Catalog or Collection. Before STAC 1.0 a catalog had no type."""
    if not isinstance(content, dict):
        return False
    is_old = "type" not in content and "stac_version" in content and isinstance(content.get("links"), list)
    return is_old or content.get("type") in ("Catalog", "Collection")


def _read(path: Path) -> Iterator[Entry]:
    suffix = suffix_of(path)
    if suffix in PARQUET_SUFFIXES:
        for number, item in enumerate(read_stac_geoparquet(path)):
            yield Entry(item, number)
        return
    with _text(path) as stream:
        if suffix.removesuffix(".gz") in LINE_SUFFIXES:
            yield from _read_lines(stream)
        else:
            for number, (content, is_alone) in enumerate(JsonItems(stream).items()):
                yield Entry(content, number, is_alone)


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """Open a text file; its first bytes, not its suffix, say whether it is compressed.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is compressed, and broken.
    """
    with path.open("rb") as file:
        if not file.peek(2).startswith(_GZIP_MAGIC):
            with io.TextIOWrapper(file, encoding="utf-8-sig") as stream:
                yield stream
            return
        try:
            with gzip.open(file, "rt", encoding="utf-8-sig") as stream:
                yield stream
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(str(error)) from error


def _read_lines(stream: TextIO) -> Iterator[Entry]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            yield Entry(json.loads(line), number)
        except (RecursionError, ValueError) as error:
            yield Entry(line.rstrip("\n"), number, parse_error=f"line {number}: {error}")
