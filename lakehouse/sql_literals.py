"""Values as SQL of Spark."""

from __future__ import annotations


def text_literal(text: str) -> str:
    """Return the SQL literal of a text. No text can end it early."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
