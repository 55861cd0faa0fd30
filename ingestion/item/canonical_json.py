"""One text for one JSON value, which content hashes are taken of."""

from __future__ import annotations

import json
from typing import Any

import orjson


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, the same text for the same content.

    Raises:
        ValueError: it holds NaN or an infinity, which JSON has no words for, it is nested too deep, or it is no JSON.
    """
    try:
        # Its answer to NaN is null, and to what JSON cannot say an error; neither is in most items.
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME)
        if b"null" not in text or orjson.loads(text) == value:
            return text.decode()
    except (TypeError, ValueError):
        pass  # a number of more than 64 bits, half of a surrogate pair, deep nesting: json knows them
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (RecursionError, TypeError) as error:
        raise ValueError("it is nested too deep" if isinstance(error, RecursionError) else str(error)) from error


def lenient_json(value: Any) -> str:
    """Return JSON with sorted keys of any value, for a record of what was received."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (RecursionError, TypeError, ValueError):
        return "(cannot be written as JSON)"
