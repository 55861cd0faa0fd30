"""Footprints: from what an item says to valid polygons in EPSG:4326 that do not cross the antimeridian."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import MultiPolygon, Polygon, box, shape
from shapely.geometry.base import BaseGeometry

MAX_WIDTH_DEG: Final = 60.0  # a tile is 10 degrees wide at 84 degrees north; anything near this is no tile
MAX_EXTENT_M: Final = 500_000  # several tiles; larger ones would take more points than memory holds
EDGE_M: Final = 5_000.0  # longest edge that is taken to degrees as a straight line: the error is below a pixel
GRID_MARGIN_M: Final = 10_000.0  # how far a footprint's centre may lie outside its raster
MIN_OVERLAP: Final = 0.1  # of a footprint and its raster, as a share of the smaller one

Areal = Polygon | MultiPolygon
G = TypeVar("G", bound=BaseGeometry)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where a scene lies: valid, two-dimensional, EPSG:4326, cut at the antimeridian.

    The box is that of GeoJSON: `xmin` is the west edge and `xmax` the east edge, so `xmin` > `xmax` where it crosses
    the antimeridian, and it never spans the globe.
    """

    outline: Areal
    xmin: float  # degrees
    ymin: float  # degrees
    xmax: float  # degrees
    ymax: float  # degrees
    centre: tuple[float, float]  # longitude, latitude of the centroid, degrees
    square_degrees: float


def footprint_of_geojson(value: object) -> Footprint | None:
    """The footprint that a GeoJSON geometry in degrees stands for, or None where it stands for none."""
    geometry = _geometry(value)
    return None if geometry is None else footprint_of(geometry)


def footprint_of_bbox(value: object) -> Footprint | None:
    """The footprint that a GeoJSON bbox in degrees stands for; west > east crosses the antimeridian."""
    numbers = _bbox(value)
    if numbers is None:
        return None
    west, south, east, north = numbers
    return footprint_of(box(west, south, east + 360.0 if west > east else east, north))


def footprint_of_projected(epsg: int, geometry: BaseGeometry) -> Footprint | None:
    """The footprint of a geometry in the metres of a UTM zone; None where it is larger than any scene."""
    west, south, east, north = geometry.bounds
    if not max(east - west, north - south) <= MAX_EXTENT_M:  # also where they are no numbers
        return None
    dense = shapely.segmentize(shapely.force_2d(geometry), EDGE_M)
    degrees = shapely.transform(dense, lambda points: np.column_stack(to_degrees(epsg).transform(*points.T)))
    return footprint_of(degrees)


def footprint_of_projected_geojson(epsg: int, value: object) -> Footprint | None:
    """The footprint of a `proj:geometry`."""
    geometry = _geometry(value)
    return None if geometry is None else footprint_of_projected(epsg, geometry)


def footprint_of_projected_bbox(epsg: int, value: object) -> Footprint | None:
    """The footprint of a `proj:bbox`."""
    numbers = _bbox(value)
    return None if numbers is None else footprint_of_projected(epsg, box(*numbers))


def footprint_of_grid(epsg: int, transform: Sequence[float], rows_columns: Sequence[int]) -> Footprint | None:
    """The footprint of a north-up raster in a UTM zone."""
    return footprint_of_projected(epsg, box(*grid_extent(transform, rows_columns)))


def grid_extent(transform: Sequence[float], rows_columns: Sequence[int]) -> tuple[float, float, float, float]:
    """West, south, east, north of a north-up raster, metres."""
    west, north = transform[2], transform[5]
    return west, north + transform[4] * rows_columns[0], west + transform[0] * rows_columns[1], north


def is_on_grid(footprint: Footprint, epsg: int, transform: Sequence[float], rows_columns: Sequence[int]) -> bool:
    """Whether a footprint lies where the raster does, and not, say, with longitude and latitude swapped.

    Its centre lies in the raster, give or take `GRID_MARGIN_M`; or the two overlap, as those of a raster that was cut
    out of its tile.
    """
    west, south, east, north = grid_extent(transform, rows_columns)
    x, y = _to_metres(epsg).transform(*footprint.centre)
    if west - GRID_MARGIN_M <= x <= east + GRID_MARGIN_M and south - GRID_MARGIN_M <= y <= north + GRID_MARGIN_M:
        return True
    grid = footprint_of_grid(epsg, transform, rows_columns)
    if grid is None:
        return False
    shared = shapely.intersection(footprint.outline, grid.outline).area
    return bool(shared >= MIN_OVERLAP * min(footprint.square_degrees, grid.square_degrees))


def footprint_of(geometry: BaseGeometry) -> Footprint | None:
    """The footprint of a geometry in degrees, however it crosses the antimeridian.

    Its rings may jump from 180 to -180, go on beyond 180, or be cut there already. A ring that is not valid becomes
    its convex hull: whichever way it was meant, the hull covers it, and cells without pixels do no harm. None where
    no area is left, or where the rings go round a pole or further than any tile.
    """
    flat = shapely.force_2d(geometry)
    if not np.isfinite(shapely.get_coordinates(flat)).all():
        return None
    parts = []
    for polygon in _polygons(flat):
        part = _unrolled(polygon)
        if part is None:
            return None
        parts.append(part if part.is_valid else part.convex_hull)
    whole = _areal(_side_by_side(parts)) if parts else None
    if whole is None:
        return None
    west, south, east, north = whole.bounds
    if east - west > MAX_WIDTH_DEG:
        return None
    turns = math.floor((west + 180.0) / 360.0)
    if turns:
        whole = _shifted(whole, -360.0 * turns)
        west, east = west - 360.0 * turns, east - 360.0 * turns
    outline = _cut(whole) if east > 180.0 else whole
    if outline is None:
        return None
    centroid = whole.centroid
    return Footprint(
        outline=outline,
        xmin=west,
        ymin=south,
        xmax=east - 360.0 if east > 180.0 else east,
        ymax=north,
        centre=(centroid.x - 360.0 if centroid.x > 180.0 else centroid.x, centroid.y),
        square_degrees=whole.area,
    )


@lru_cache(maxsize=120)
def to_degrees(epsg: int) -> Transformer:
    """From the metres of a UTM zone to longitude and latitude."""
    return Transformer.from_crs(epsg, 4326, always_xy=True)


@lru_cache(maxsize=120)
def _to_metres(epsg: int) -> Transformer:
    return Transformer.from_crs(4326, epsg, always_xy=True)


def _geometry(value: object) -> BaseGeometry | None:
    if not isinstance(value, dict) or value.get("type") not in ("Polygon", "MultiPolygon", "GeometryCollection"):
        return None
    try:
        return shape(value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError):
        return None  # not a geometry: the caller has another source, or a reason to reject


def _bbox(value: object) -> tuple[float, float, float, float] | None:
    """West, south, east, north of a list of four numbers, or of six with heights."""
    if not isinstance(value, list) or len(value) not in (4, 6):
        return None
    numbers = [float(entry) for entry in value if isinstance(entry, int | float) and abs(entry) < 1e9]
    if len(numbers) != len(value):
        return None
    half = len(numbers) // 2
    west, south, east, north = numbers[0], numbers[1], numbers[half], numbers[half + 1]
    return (west, south, east, north) if south < north and west != east else None


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    """The polygons inside a geometry; its points and lines have no area and are left out."""
    if isinstance(geometry, Polygon):
        return [] if geometry.is_empty else [geometry]
    return [
        part
        for part in shapely.get_parts(shapely.get_parts(geometry))  # twice: collections may hold multipolygons
        if isinstance(part, Polygon) and not part.is_empty
    ]


def _unrolled(polygon: Polygon) -> Polygon | None:
    """The polygon with longitudes that do not jump; None where it is not on the globe or goes round a pole."""
    west, south, east, north = polygon.bounds
    if south < -90 or north > 90 or west < -540 or east > 540:
        return None
    if east - west <= 180.0:
        return polygon
    rings = [_without_jumps(shapely.get_coordinates(ring)) for ring in (polygon.exterior, *polygon.interiors)]
    if any(abs(ring[-1, 0] - ring[0, 0]) > 180.0 for ring in rings):
        return None
    outer, *inner = rings
    return Polygon(outer, [_moved(hole, 360.0 * _turns_to(outer, hole)) for hole in inner])


def _without_jumps(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    turns = np.cumsum(np.round(np.diff(ring[:, 0]) / 360.0))
    return np.column_stack([ring[:, 0] - 360.0 * np.concatenate([[0.0], turns]), ring[:, 1]])


def _turns_to(target: NDArray[np.float64], ring: NDArray[np.float64]) -> float:
    return float(np.round((target[:, 0].mean() - ring[:, 0].mean()) / 360.0))


def _side_by_side(parts: Sequence[BaseGeometry]) -> BaseGeometry:
    """All parts in one piece of longitude, next to the first one."""
    if len(parts) == 1:
        return parts[0]
    middles = [(part.bounds[0] + part.bounds[2]) / 2 for part in parts if not part.is_empty]
    turns = [round((middles[0] - middle) / 360.0) for middle in middles]
    return shapely.union_all([_shifted(part, 360.0 * turn) for part, turn in zip(parts, turns, strict=True)])


def _shifted(geometry: G, degrees: float) -> G:
    return shapely.transform(geometry, lambda points: _moved(points, degrees)) if degrees else geometry


def _moved(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    return np.column_stack([points[:, 0] + degrees, points[:, 1]])


def _cut(geometry: BaseGeometry) -> Areal | None:
    """Cut at the antimeridian; what lies beyond it comes back from -180."""
    _, south, east, north = geometry.bounds
    here = shapely.intersection(geometry, box(-180.0, south, 180.0, north))
    beyond = shapely.intersection(geometry, box(180.0, south, east, north))
    whole = shapely.union_all([here, _shifted(beyond, -360.0)])
    # An intersection's points may lie the last digit of a number beyond the edge.
    clipped = shapely.transform(whole, lambda points: np.clip(points, [-180.0, -90.0], [180.0, 90.0]))
    return _areal(clipped if clipped.is_valid else shapely.make_valid(clipped))


def _areal(geometry: BaseGeometry) -> Areal | None:
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
