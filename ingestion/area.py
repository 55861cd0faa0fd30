"""The area of interest of an ingest."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, box, shape
from shapely.geometry.base import BaseGeometry

from lakehouse.box import BBox, crosses_180


def area_of_geojson(document: Any) -> BaseGeometry | None:
    """Return the area of a GeoJSON document: a geometry, a Feature, or the union of a FeatureCollection.

    Return None if the document holds no geometry.

    Raises:
        ValueError: a geometry in it cannot be read.
    """
    if not isinstance(document, dict):
        raise ValueError("the document is not a GeoJSON object")
    if document.get("type") == "FeatureCollection":
        areas = [area_of_geojson(feature) for feature in document.get("features") or []]
        found = [area for area in areas if area is not None]
        return shapely.union_all(found) if found else None
    geometry = document.get("geometry") if document.get("type") == "Feature" else document
    if geometry is None:
        return None
    try:
        area = shape(geometry)
    except (AttributeError, IndexError, KeyError, TypeError, shapely.errors.ShapelyError) as error:
        raise ValueError(f"a geometry cannot be read: {error}") from error
    if area.is_empty:
        return None
    if not np.isfinite(shapely.get_coordinates(area)).all():
        raise ValueError("coordinates are not finite numbers")
    return area if area.is_valid else shapely.make_valid(area)


def area_of_bbox(bbox: BBox) -> BaseGeometry:
    """Return the area of a bounding box, in two parts if it crosses 180 degrees."""
    west, south, east, north = bbox
    if crosses_180(bbox):
        return MultiPolygon([box(west, south, 180.0, north), box(-180.0, south, east, north)])
    return box(west, south, east, north)
