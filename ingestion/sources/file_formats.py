"""What one local file holds in place of items: JSON, newline-delimited JSON, or stac-geoparquet.

Files are read in pieces, so a file may be larger than memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from ingestion.sources.geoparquet import read_stac_geoparquet
from lakehouse.errors import ChiplakeError

CHUNK_CHARACTERS: Final = 1 << 20
MAX_VALUE_CHARACTERS: Final = 1 << 28  # a single item larger than this is no item

LINE_SUFFIXES: Final = frozenset({".ndjson", ".jsonl", ".geojsonl", ".geojsons"})
PARQUET_SUFFIXES: Final = frozenset({".parquet", ".geoparquet"})
SUFFIXES: Final = LINE_SUFFIXES | PARQUET_SUFFIXES | {".json", ".geojson"}
_WHITESPACE: Final = " \t\r\n"


class BrokenFileError(ChiplakeError):
    """A file whose content is not what its name says, from some place on."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count  # things read before that place


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a file, which may be an item."""

    content: Any  # parsed JSON, or the text that could not be parsed
    number: int  # of the line, from 1, or of the item or row, from 0
    is_own_file: bool = False  # the file holds this and nothing else
    parse_error: str | None = None


def read_file(path: Path) -> Iterator[Entry]:
    """Everything in a file, in its order. The suffix says how to read it, JSON being what is not said otherwise.

    Raises:
        BrokenFileError: its content is broken, or is something else.
        ChiplakeError: it cannot be read.
    """
    count = 0
    try:
        for entry in _read(path):
            yield entry
            count += 1
    except OSError as error:
        raise ChiplakeError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:  # UnicodeDecodeError is one too
        kind = "stac-geoparquet" if path.suffix.lower() in PARQUET_SUFFIXES else "JSON"
        raise BrokenFileError(f"{path} is not valid {kind} after {count} items: {error}", count) from error


def is_catalog(content: Any) -> bool:
    """Whether a JSON document is a STAC Catalog or Collection; before STAC 1.0 a catalog had no type."""
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
            for number, (content, is_alone) in enumerate(_JsonStream(stream).items()):
                yield Entry(content, number, is_alone)


def _read_lines(stream: TextIO) -> Iterator[Entry]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            yield Entry(json.loads(line), number)
        except (RecursionError, ValueError) as error:
            yield Entry(line.rstrip("\n"), number, parse_error=f"line {number}: {error}")


class _JsonStream:
    """Reads the items of a JSON document piece by piece: only the item at hand is in memory."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._position = 0
        self._is_at_end = False

    def items(self) -> Iterator[tuple[Any, bool]]:
        """Each item, with whether it was the document itself rather than one of many.

        Raises:
            ValueError: the document is no JSON.
        """
        start = self._peek()
        if start == "[":
            for item in self._elements():
                yield item, False
        elif start == "{":
            yield from self._members()
        else:
            yield self._value(), True
        if self._peek():
            raise ValueError("there is more after the end of the document")

    def _members(self) -> Iterator[tuple[Any, bool]]:
        """The features of a collection as they come; any other object as one item."""
        document: dict[str, Any] = {}
        has_features = False
        self._take("{")
        while self._peek() != "}":
            name = self._value()
            if not isinstance(name, str):
                raise ValueError("a member has no name")
            self._take(":")
            if name == "features" and self._peek() == "[":
                has_features = True
                for item in self._elements():
                    yield item, False
            else:
                document[name] = self._value()
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        if not has_features:
            yield document, True

    def _elements(self) -> Iterator[Any]:
        self._take("[")
        while self._peek() != "]":
            yield self._value()
            if self._peek() != "]":
                self._take(",")
        self._take("]")

    def _value(self) -> Any:
        self._peek()  # skips white space, which the decoder does not
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._position)
            except RecursionError as error:
                raise ValueError("it is nested too deep") from error
            except ValueError:
                if not self._refill():
                    raise
                continue
            # A number at the end of the buffer may go on in the next piece.
            if end < len(self._buffer) or not self._refill():
                self._position = end
                return value

    def _take(self, character: str) -> None:
        found = self._peek()
        if found != character:
            raise ValueError(f"expected {character!r}, found {found!r}" if found else "it ends too early")
        self._position += 1

    def _peek(self) -> str:
        """The next character that is no white space, or nothing at the end."""
        while True:
            while self._position < len(self._buffer):
                character = self._buffer[self._position]
                if character not in _WHITESPACE:
                    return character
                self._position += 1
            if not self._refill():
                return ""

    def _refill(self) -> bool:
        """Read on, dropping what was consumed; the piece grows with the value so that retries stay few."""
        if self._is_at_end:
            return False
        rest = self._buffer[self._position :]
        if len(rest) > MAX_VALUE_CHARACTERS:
            raise ValueError(f"a value is longer than {MAX_VALUE_CHARACTERS} characters")
        piece = self._stream.read(max(CHUNK_CHARACTERS, len(rest)))
        self._buffer, self._position = rest + piece, 0
        self._is_at_end = not piece
        return bool(piece)
