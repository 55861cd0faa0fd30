"""Items from local files: ItemCollection, single item, bare list, newline-delimited JSON, or a folder of these.

Files are read in pieces, so a file may be larger than memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from chiplake.errors import ChiplakeError
from ingestion.model import Origin, Received

CHUNK_CHARACTERS: Final = 1 << 20
MAX_VALUE_CHARACTERS: Final = 1 << 28  # a single item larger than this is no item

_LINE_SUFFIXES: Final = frozenset({".ndjson", ".jsonl", ".geojsonl", ".geojsons"})
_SUFFIXES: Final = _LINE_SUFFIXES | {".json", ".geojson"}
_WHITESPACE: Final = " \t\r\n"


def read_items(path: Path) -> Iterator[Received]:
    """Everything that a file, or a folder with its sub-folders, holds in place of items, in a fixed order.

    In a folder, catalogs and collections are passed over, and a file that is no JSON is one thing received that
    cannot be parsed.

    Raises:
        ChiplakeError: the path cannot be read, or a file named by itself is no JSON.
    """
    if not path.is_dir():
        yield from _read_file(path.absolute(), is_in_folder=False)
        return
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not files:
        raise ChiplakeError(f"{path} holds no STAC files; expected {', '.join(sorted(_SUFFIXES))}")
    for file in files:
        yield from _read_file(file.absolute(), is_in_folder=True)


def _read_file(path: Path, is_in_folder: bool) -> Iterator[Received]:
    read = _read_lines if path.suffix.lower() in _LINE_SUFFIXES else _read_json
    count = 0
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for received in read(path, stream):
                count += 1
                if is_in_folder and _is_catalog(received.content):
                    continue
                yield received
    except OSError as error:
        raise ChiplakeError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:  # UnicodeDecodeError is one too
        if not is_in_folder:
            raise ChiplakeError(f"{path} is not valid JSON after {count} items: {error}") from error
        yield Received("", f"{path.name}#{count}", Origin(str(path), str(path.parent)), f"invalid JSON: {error}")


def _is_catalog(content: Any) -> bool:
    return isinstance(content, dict) and content.get("type") in ("Catalog", "Collection")


def _read_lines(path: Path, stream: TextIO) -> Iterator[Received]:
    origin = Origin(str(path), str(path.parent))
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        place = f"{path.name}#{number}"
        try:
            yield Received(json.loads(line), place, origin)
        except (RecursionError, ValueError) as error:
            yield Received(line.rstrip("\n"), place, origin, f"line {number}: {error}")


def _read_json(path: Path, stream: TextIO) -> Iterator[Received]:
    origin = Origin(str(path), str(path.parent))
    own = Origin(str(path), str(path.parent), is_own_file=True)
    for number, (content, is_alone) in enumerate(_JsonStream(stream).items()):
        yield Received(content, f"{path.name}#{number}", own if is_alone else origin)


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
