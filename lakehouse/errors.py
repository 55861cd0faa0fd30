"""Errors that a user can act on, and how a text is written in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lakehouse.redaction import without_secrets

_MAX_LINE_LENGTH: Final = 400  # characters of a message of another program


class ChiplakeError(Exception):
    """An error whose message names the thing and the remedy. The command line prints it without a traceback."""


class IncompleteError(ChiplakeError):
    """A job ended, but some chips failed: each is a row with an error, and the next run tries them again.

    The command line has a separate exit code for it, so that a schedule can continue with a warning.
    """


class AttentionError(IncompleteError):
    """Somebody has to look: many chips could not be read, a source is stale, a test of the lake failed.

    The run does the rest, and then fails.
    """


def only_some_failed(error: BaseException | str) -> bool:
    """Return whether an error says that everything was done except for some chips, and that nobody has to look."""
    return isinstance(error, IncompleteError) and not isinstance(error, AttentionError)


def joined(errors: Sequence[IncompleteError]) -> IncompleteError:
    """Return one error with the messages of several; at least one."""
    needs_attention = any(isinstance(error, AttentionError) for error in errors)
    return (AttentionError if needs_attention else IncompleteError)("; ".join(map(str, errors)))


def one_line(text: str, max_length: int = _MAX_LINE_LENGTH) -> str:
    """Return a text as one line for a message: printable characters, no secrets in addresses, no final full stop.

    Args:
        text: the answer of a service, a line of a log, or the message of an exception.
        max_length: the longest line, characters; the rest is cut off.
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    return without_secrets(" ".join(printable.split()))[:max_length].rstrip(".")
