"""Errors that a user can act on: one line that names the thing and the remedy."""

from __future__ import annotations


class ChiplakeError(Exception):
    """What went wrong and what to do about it. The command line prints it without a traceback."""


class IncompleteError(ChiplakeError):
    """A job did what it could, but some chips failed; each is a row with an error, which the next run tries again.

    The command line ends with an exit code of its own for it: a schedule can go on, and warn.
    """
