"""The columns that the setting `stac_properties` adds to `raw.stac_items`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ingestion.item.values import as_number, as_text, parse_time
from lakehouse.redaction import without_secrets
from lakehouse.settings.stac import column_of_property


def extra_columns(properties: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, object]:
    """Return the values of further columns, by column name.

    Args:
        properties: the item's properties.
        types: type of each property that is wanted, as in the setting `stac_properties`; a value of another type
            becomes null.
    """
    return {column_of_property(name): _AS_TYPE[kind](properties.get(name)) for name, kind in types.items()}


def _as_string(value: object) -> str | None:
    text = as_text(value)
    return None if text is None else without_secrets(text)


def _as_long(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**63) <= value < 2**63 else None


def _as_boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


_AS_TYPE: Final[Mapping[str, Callable[[object], object]]] = {
    "string": _as_string,
    "double": as_number,
    "long": _as_long,
    "boolean": _as_boolean,
    "timestamp": parse_time,
}
