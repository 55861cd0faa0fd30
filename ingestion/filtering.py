"""Which items pass the filters of an ingest."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import shapely

from ingestion.item.values import parse_time
from ingestion.model import Filters, JsonObject, StacItemRow


def is_surely_outside(content: Any, filters: Filters) -> bool:
    """Return whether an item is outside the filters by what it states, without the cost of normalising it.

    An item that states it not at all, or wrongly, is not surely outside: it is normalised, and may be rejected.
    """
    if not isinstance(content, dict) or not isinstance(content.get("properties"), dict):
        return False
    properties: JsonObject = content["properties"]
    collection = content.get("collection")
    if filters.collection and isinstance(collection, str) and collection != filters.collection:
        return True
    time = parse_time(properties.get("datetime"))
    if time is not None and _is_outside_dates(time, filters):
        return True
    cloud = properties.get("eo:cloud_cover")
    return filters.max_cloud is not None and isinstance(cloud, int | float) and cloud > filters.max_cloud


def passes(row: StacItemRow, filters: Filters) -> bool:
    """Return whether a row passes all filters."""
    if _is_outside_dates(row.acquired_at, filters):
        return False
    if filters.max_cloud is not None and (row.cloud_cover is None or row.cloud_cover > filters.max_cloud):
        return False
    return filters.area is None or bool(shapely.intersects(shapely.from_wkb(row.geometry), filters.area))


def _is_outside_dates(time: datetime, filters: Filters) -> bool:
    return (filters.start is not None and time < filters.start) or (filters.end is not None and time >= filters.end)
