"""What an item states: understood in every form in which tools write it, or the item is rejected.

A value that is stated but cannot be understood is never taken for one that is not stated: a default in its place would
be a guess. Tools write lists and objects as JSON in text, numbers as text, and flags as text or as 0 and 1.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ingestion.item.rejection import RejectedError
from ingestion.item.values import as_lenient_number
from ingestion.model import JsonObject, Reason

# Members that are lists or objects. Tables, such as those of stac-geoparquet, often hold them as JSON in text.
_STRUCTURED: Final = frozenset(
    {"raster:bands", "bands", "eo:bands", "classification:classes", "roles", "alternate"}
    | {"proj:transform", "proj:shape", "proj:bbox", "proj:geometry", "proj:projjson"}
)
_FLAGS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_NOT_FINITE: Final = frozenset({"nan", "inf", "+inf", "-inf"})  # as the raster extension writes them
_SHOWN: Final = 100  # characters of a value in a message


def with_parsed_members(item: JsonObject) -> JsonObject:
    """Return an item in which lists and objects that are written as JSON in text are lists and objects.

    Text that is not JSON stays, for `stated_objects` and others to reject if it matters.
    """
    parsed: JsonObject = item
    for name in ("properties", "assets", "geometry", "bbox", "links"):
        if isinstance(item.get(name), str):
            parsed = parsed | {name: parsed_json(item[name])}
    properties, assets = parsed.get("properties"), parsed.get("assets")
    if isinstance(properties, dict):
        parsed = parsed | {"properties": _with_parsed(properties)}
    if isinstance(assets, dict):
        objects = {key: parsed_json(asset) for key, asset in assets.items()}
        parsed = parsed | {
            "assets": {key: _with_parsed(asset) if isinstance(asset, dict) else asset for key, asset in objects.items()}
        }
    return parsed


def parsed_json(value: Any) -> Any:
    """Return the list or object that a text is as JSON, or the value itself."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (RecursionError, ValueError):
        return value


def _with_parsed(entries: JsonObject) -> JsonObject:
    texts = [name for name, value in entries.items() if type(value) is str and name in _STRUCTURED]
    return entries | {name: parsed_json(entries[name]) for name in texts} if texts else entries


def stated_band(key: str, asset: Mapping[str, Any], name: str) -> JsonObject:
    """Return the first object of an asset's `raster:bands` or `bands`, or an empty one if there is none.

    Raises:
        RejectedError: the asset states something else under this name.
    """
    value = asset.get(name)
    if value is None or value == []:
        return {}
    if isinstance(value, list) and isinstance(value[0], dict):
        return value[0]
    if isinstance(value, list) and name == "bands":
        return {}  # names of bands, which say nothing about values
    raise unreadable(f"{name} of asset {key}", value, "a list of objects")


def stated_bands(properties: Mapping[str, Any], name: str) -> list[JsonObject]:
    """Return the objects of `raster:bands` or `bands` among an item's properties, which say what its assets have.

    Raises:
        RejectedError: the item states something else under this name.
    """
    value = properties.get(name)
    if value is None:
        return []
    if isinstance(value, list) and (name == "bands" or all(isinstance(entry, dict) for entry in value)):
        return [entry for entry in value if isinstance(entry, dict)]
    raise unreadable(f"{name} of the item", value, "a list of objects")


def stated_number(place: str, objects: Sequence[Mapping[str, Any]], names: Sequence[str]) -> float | None:
    """Return the number that these objects state under these names.

    Args:
        place: what states it, for the message.
        objects: the objects.
        names: names of the number.

    Raises:
        RejectedError: one of them states no number, or they contradict each other.
    """
    stated = _stated(objects, names)
    numbers = [_number(f"{name} of {place}", value) for name, value in stated]
    if any(not math.isclose(number, numbers[0], rel_tol=1e-6) for number in numbers):
        shown = " and ".join(f"{number:g}" for number in dict.fromkeys(numbers))
        raise RejectedError(
            Reason.UNREADABLE_VALUE, f"{stated[0][0]} of {place} is {shown}, which contradict each other"
        )
    return numbers[0] if numbers else None


def stated_nodata(place: str, objects: Sequence[Mapping[str, Any]], names: Sequence[str]) -> float | None:
    """Return the first finite nodata value that one of these objects states, DN. NaN and infinities are missing anyway.

    Args:
        place: what states it, for the message.
        objects: the objects, the one that decides first.
        names: names of the value.

    Raises:
        RejectedError: one of them states no number.
    """
    stated = _stated(objects, names)
    numbers = [
        _number(f"{name} of {place}", value)
        for name, value in stated
        if not (isinstance(value, str) and value.strip().lower() in _NOT_FINITE)
    ]
    return next(iter(numbers), None)


def _stated(objects: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[tuple[str, Any]]:
    """Return what these objects state under these names, with the name."""
    return [(name, entries[name]) for entries in objects for name in names if entries.get(name) is not None]


def _number(name: str, value: object) -> float:
    number = as_lenient_number(value)
    if number is None:
        raise unreadable(name, value, "a number")
    return number


def stated_data_type(place: str, objects: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the first data type of pixels that one of these objects states, as `uint16`; None for STAC's `other`.

    Args:
        place: what states it, for the message.
        objects: the objects, the one that decides first.

    Raises:
        RejectedError: it is not a data type of STAC or NumPy.
    """
    stated = next((value for _, value in _stated(objects, ("data_type", "raster:data_type"))), None)
    if stated is None:
        return None
    text = stated.strip().lower() if isinstance(stated, str) else ""
    if text == "other":
        return None
    try:
        kind = np.dtype(text) if text else None
    except TypeError:
        kind = None
    if kind is None or kind.kind not in "uif":
        raise unreadable(f"data_type of {place}", stated, "a data type such as uint16")
    return kind.name


def stated_flag(objects: Sequence[Mapping[str, Any]], names: re.Pattern[str]) -> bool | None:
    """Return what properties of these names state: true or false, also as text, or as 1 or 0.

    Raises:
        RejectedError: one of them states something else, or they contradict each other.
    """
    flags: dict[str, bool] = {}
    for entries in objects:
        stated = {name: value for name, value in entries.items() if value is not None and names.fullmatch(name)}
        for name, value in stated.items():
            flag = _flag(name, value)
            if flags.setdefault(name, flag) is not flag:
                raise RejectedError(Reason.UNREADABLE_VALUE, f"{name} is true and false, which contradict each other")
    if len(set(flags.values())) > 1:
        shown = " and ".join(f"{name} is {flag}".lower() for name, flag in flags.items())
        raise RejectedError(Reason.UNREADABLE_VALUE, f"{shown}, which contradict each other")
    return next(iter(flags.values()), None)


def _flag(name: str, value: object) -> bool:
    flag = value if isinstance(value, bool) else None
    if isinstance(value, int | float):
        flag = {0: False, 1: True}.get(int(value)) if value in (0, 1) else None
    elif isinstance(value, str):
        flag = _FLAGS.get(value.strip().lower())
    if flag is None:
        raise unreadable(name, value, "true or false")
    return flag


def unreadable(name: str, value: object, expected: str) -> RejectedError:
    """Return the error that rejects an item for a value that cannot be understood."""
    return RejectedError(Reason.UNREADABLE_VALUE, f"{name} is {repr(value)[:_SHOWN]}, not {expected}")
