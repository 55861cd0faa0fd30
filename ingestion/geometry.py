"""Footprints: from what an item says to valid polygons in EPSG:4326 that do not cross the antimeridian."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import MultiPolygon, Polygon, box, shape
from shapely.geometry.base import BaseGeometry

MAX_SPAN_DEG: Final = 180.0  # no Sentinel-2 tile is wider, so a wider ring goes the other way round the earth
EDGE_POINTS: Final = 21  # points on each edge of a tile: the error in degrees is then below a pixel

_WORLD: Final = box(-180.0, -90.0, 180.0, 90.0)
_EAST_OF_WORLD: Final = box(180.0, -90.0, 540.0, 90.0)


def repair_footprint(geometry: BaseGeometry) -> Polygon | MultiPolygon | None:
    """Make a footprint valid, two-dimensional, areal, and within -180 to 180 degrees.

    A polygon that runs from -180 to 180 because its ring crosses the antimeridian is split there; one that is
    split already is kept as it is. None where no area is left.
    """
    flat = shapely.force_2d(geometry)
    if not np.isfinite(shapely.get_coordinates(flat)).all():
        return None
    parts = [part for polygon in _polygons(flat) for part in _on_the_globe(polygon)]
    return _areal(shapely.union_all(parts) if len(parts) > 1 else parts[0]) if parts else None


def footprint_of_item(value: object) -> Polygon | MultiPolygon | None:
    """The repaired footprint of a GeoJSON geometry, or None if there is none that can be used."""
    if not isinstance(value, dict) or value.get("type") not in ("Polygon", "MultiPolygon", "GeometryCollection"):
        return None
    try:
        geometry = shape(value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError):
        return None  # not a geometry: the caller has another source, or a reason to reject
    return repair_footprint(geometry)


def footprint_of_grid(
    epsg: int, transform: Sequence[float], rows_columns: Sequence[int]
) -> Polygon | MultiPolygon | None:
    """The footprint of a north-up raster in a UTM zone: its four edges in degrees, split at the antimeridian."""
    west, north = transform[2], transform[5]
    east, south = west + transform[0] * rows_columns[1], north + transform[4] * rows_columns[0]
    xs, ys = np.linspace(west, east, EDGE_POINTS), np.linspace(south, north, EDGE_POINTS)
    ring_x = np.concatenate([xs, np.full(EDGE_POINTS, east), xs[::-1], np.full(EDGE_POINTS, west)])
    ring_y = np.concatenate([np.full(EDGE_POINTS, south), ys, np.full(EDGE_POINTS, north), ys[::-1]])
    longitudes, latitudes = _to_degrees(epsg).transform(ring_x, ring_y)
    ring = np.column_stack([longitudes, latitudes])
    return repair_footprint(Polygon(ring)) if np.isfinite(ring).all() else None


@lru_cache(maxsize=120)
def _to_degrees(epsg: int) -> Transformer:
    return Transformer.from_crs(epsg, 4326, always_xy=True)


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    """The polygons inside a geometry; its points and lines have no area and are left out."""
    return [
        part
        for part in shapely.get_parts(shapely.get_parts(geometry))  # twice: collections may hold multipolygons
        if isinstance(part, Polygon) and not part.is_empty
    ]


def _on_the_globe(polygon: Polygon) -> list[BaseGeometry]:
    west, south, east, north = polygon.bounds
    if south < -90 or north > 90 or west < -540 or east > 540:
        return []
    if west >= -180 and east <= 180 and east - west <= MAX_SPAN_DEG:
        return [polygon if polygon.is_valid else shapely.make_valid(polygon)]
    unrolled = shapely.make_valid(shapely.transform(polygon, _unroll))
    beyond = shapely.transform(unrolled.intersection(_EAST_OF_WORLD), _one_turn_west)
    return [unrolled.intersection(_WORLD), beyond]


def _unroll(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes as 0 to 360, where a ring across the antimeridian is in one piece."""
    return np.column_stack([np.mod(coordinates[:, 0], 360.0), coordinates[:, 1]])


def _one_turn_west(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([coordinates[:, 0] - 360.0, coordinates[:, 1]])


def _areal(geometry: BaseGeometry) -> Polygon | MultiPolygon | None:
    polygons = [polygon for polygon in _polygons(geometry) if polygon.area > 0]
    if not polygons:
        return None
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def area_of_geojson(document: Any) -> BaseGeometry | None:
    """The area that a GeoJSON document stands for: a geometry, a Feature, or the union of a FeatureCollection.

    Returns None where it holds no geometry.

    Raises:
        ValueError: a geometry in it cannot be read.
    """
    if not isinstance(document, dict):
        raise ValueError("it is not a GeoJSON object")
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
        raise ValueError(f"its geometry cannot be read: {error}") from error
    if area.is_empty:
        return None
    if not np.isfinite(shapely.get_coordinates(area)).all():
        raise ValueError("its coordinates are not numbers")
    return area if area.is_valid else shapely.make_valid(area)


def area_of_bbox(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """The area of a bounding box in degrees; west > east means that it crosses the antimeridian, as in GeoJSON."""
    if west <= east:
        return box(west, south, east, north)
    return MultiPolygon([box(west, south, 180.0, north), box(-180.0, south, east, north)])
