"""Values of untrusted JSON: each function returns a value of one type, or None."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ingestion.model import JsonObject

_LEAP_SECOND: Final = re.compile(r"(.*[T ]\d\d:?\d\d:?)60(?!\d)(.*)")


def parse_time(value: object) -> datetime | None:
    """Parse a STAC timestamp. Return it in UTC, taking one without a zone for UTC, or None if it cannot be read.

    RFC 3339 allows small letters and leap seconds; a leap second becomes the second after it.
    """
    if not isinstance(value, str):
        return None
    text = value.strip().upper()
    leap = _LEAP_SECOND.fullmatch(text)
    try:
        if leap is not None:
            time = datetime.fromisoformat(f"{leap[1]}59{leap[2]}") + timedelta(seconds=1)
        else:
            time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def parse_compact_time(value: str) -> datetime | None:
    """Parse a time as ESA writes it in names, `20230815T095031`, in UTC."""
    try:
        return datetime.strptime(value, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def as_text(value: object) -> str | None:
    """Return a string that can be stored: not empty, and without half of a surrogate pair."""
    if not isinstance(value, str) or not value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def as_number(value: object) -> float | None:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_lenient_number(value: object) -> float | None:
    """Return a finite number, also one that is written as a string."""
    if isinstance(value, str):
        try:
            return as_number(float(value))
        except ValueError:
            return None
    return as_number(value)


def as_integer(value: object) -> int | None:
    """Return a whole number of 32 bits, which is what the tables hold."""
    number = as_number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**31 else None


def as_object(value: object) -> JsonObject:
    """Return the object, or an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def first_text(properties: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the first of these properties that is a usable string."""
    return next((text for name in names if (text := as_text(properties.get(name))) is not None), None)


def first_lenient_number(properties: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """Return the first of these properties that is a number, also one that is written as a string."""
    return next((number for name in names if (number := as_lenient_number(properties.get(name))) is not None), None)


def first_integer(properties: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """Return the first of these properties that is a whole number."""
    return next((number for name in names if (number := as_integer(properties.get(name))) is not None), None)
