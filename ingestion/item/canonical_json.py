"""Canonical JSON, the text from which content hashes are computed."""

from __future__ import annotations

import json
from typing import Any

import orjson


def canonical_json(value: Any) -> str:
    """Write JSON with sorted keys and no spaces, the same text for the same content.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON cannot express, is nested too deep, or is not JSON.
    """
    try:
        # orjson writes null for NaN, and raises on what JSON cannot express; few items hold either.
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME)
        if b"null" not in text or orjson.loads(text) == value:
            return text.decode()
    except (TypeError, ValueError):
        pass  # integers of more than 64 bits, half of a surrogate pair or deep nesting, which `json` can write
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (RecursionError, TypeError) as error:
        raise ValueError("it is nested too deep" if isinstance(error, RecursionError) else str(error)) from error


def lenient_json(value: Any) -> str:
    """Write JSON with sorted keys, NaN included; a fixed text if even that fails. For records of rejected items."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (RecursionError, TypeError, ValueError):
        return "(cannot be written as JSON)"
