"""Errors that a user can act on: one line that names the thing and the remedy."""

from __future__ import annotations


class ChiplakeError(Exception):
    """What went wrong and what to do about it. The command line prints it without a traceback."""
