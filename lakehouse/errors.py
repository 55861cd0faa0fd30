"""Errors that a user can act on, and how an error is written in one line."""

from __future__ import annotations

from typing import Any, Final

from lakehouse.redaction import without_secrets

_MAX_LENGTH: Final = 400  # characters of a message of another program


class ChiplakeError(Exception):
    """An error whose message names the thing and the remedy. The command line prints it without a traceback."""


class IncompleteError(ChiplakeError):
    """A job ended, but some chips failed: each is a row with an error, and the next run tries them again.

    The command line has a separate exit code for it, so that a schedule can continue with a warning.
    """


def one_line(text: str, max_length: int = _MAX_LENGTH) -> str:
    """Return a text as one line for a message: printable characters, no secrets in addresses, no final full stop.

    Args:
        text: the answer of a service, a line of a log, or the message of an exception.
        max_length: the longest line, characters; the rest is cut off.
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    return without_secrets(" ".join(printable.split()))[:max_length].rstrip(".")


def error_line(error: BaseException, max_length: int = _MAX_LENGTH) -> str:
    """Return the first line of an error's message, or the name of its type where the message is empty.

    The message of an error that comes from the JVM is that of its root cause, without the JVM's stack trace.

    Args:
        error: any exception, of Python, Py4J or PySpark.
        max_length: the longest line, characters; the rest is cut off.
    """
    root = _java_root_cause(error)
    message = str(error) if root is None else str(root.getMessage() or root.getClass().getName())
    lines = (one_line(line, max_length) for line in message.splitlines())
    return next(filter(None, lines), type(error).__name__)


def _java_root_cause(error: BaseException) -> Any | None:
    """Return the innermost Java exception. Py4J keeps it in `java_exception`, PySpark in `_origin`."""
    cause: Any | None = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    while cause is not None and cause.getCause() is not None:
        cause = cause.getCause()
    return cause
