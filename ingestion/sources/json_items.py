"""Reads the items of a JSON document that may be larger than memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TextIO

CHUNK_CHARACTERS: Final = 1 << 20
MAX_VALUE_CHARACTERS: Final = 1 << 28  # a longer value is not an item
_WHITESPACE: Final = " \t\r\n"


class JsonItems:
    """Reads the items of a JSON document piece by piece. Only the current item is in memory."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._position = 0
        self._is_at_end = False

    def items(self) -> Iterator[tuple[Any, bool]]:
        """Yield each item, with True if it is the whole document and False if it is one of many.

        Raises:
            ValueError: the document is not JSON.
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
            raise ValueError("the document continues after its end")

    def _members(self) -> Iterator[tuple[Any, bool]]:
        """Yield the features of a collection one by one, or any other object as one item."""
        document: dict[str, Any] = {}
        has_features = False
        self._take("{")
        while self._peek() != "}":
            name = self._value()
            if not isinstance(name, str):
                raise ValueError("the name of a member is not a string")
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
        self._peek()  # skips white space; the decoder does not
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._position)
            except RecursionError as error:
                raise ValueError("it is nested too deep") from error
            except ValueError:
                if not self._refill():
                    raise
                continue
            # A number at the end of the buffer may continue in the next piece.
            if end < len(self._buffer) or not self._refill():
                self._position = end
                return value

    def _take(self, character: str) -> None:
        found = self._peek()
        if found != character:
            raise ValueError(f"expected {character!r}, found {found!r}" if found else "it ends too early")
        self._position += 1

    def _peek(self) -> str:
        """Return the next character that is not white space, or an empty string at the end."""
        while True:
            while self._position < len(self._buffer):
                character = self._buffer[self._position]
                if character not in _WHITESPACE:
                    return character
                self._position += 1
            if not self._refill():
                return ""

    def _refill(self) -> bool:
        """Read the next piece and drop what was consumed. Pieces grow with the value, so that retries stay few."""
        if self._is_at_end:
            return False
        rest = self._buffer[self._position :]
        if len(rest) > MAX_VALUE_CHARACTERS:
            raise ValueError(f"a value is longer than {MAX_VALUE_CHARACTERS} characters")
        piece = self._stream.read(max(CHUNK_CHARACTERS, len(rest)))
        self._buffer, self._position = rest + piece, 0
        self._is_at_end = not piece
        return bool(piece)
