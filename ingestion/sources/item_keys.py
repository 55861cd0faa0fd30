"""Short keys by which a search recognises items that a server returns again."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

import orjson

ItemKey = bytes  # digest of 16 bytes


def item_keys(content: Any) -> tuple[ItemKey, ItemKey]:
    """Return the key of the item, equal for all its versions, and the key of this version."""
    try:
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # large integers, half of a surrogate pair, or deep nesting
        text = _as_text(content)
    version_key = _digest(text)
    item_id = content.get("id") if isinstance(content, dict) else None
    if not isinstance(item_id, str):
        return version_key, version_key
    return _digest(f"{content.get('collection')}\0{item_id}".encode(errors="replace")), version_key


def _as_text(content: Any) -> bytes:
    try:
        return json.dumps(content, sort_keys=True).encode()
    except (RecursionError, TypeError, ValueError):  # it will be rejected, once for each id
        return repr(content.get("id") if isinstance(content, dict) else type(content)).encode(errors="replace")


def _digest(text: bytes) -> ItemKey:
    return blake2b(text, digest_size=16).digest()
