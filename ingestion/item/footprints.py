"""Footprints: valid polygons in EPSG:4326, cut at the antimeridian, from the geometries that items state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import MultiPolygon, Polygon, box, shape
from shapely.geometry.base import BaseGeometry

MAX_WIDTH_DEG: Final = 60.0  # a tile is 10 degrees wide at 84 degrees north, and no tile is near this
MAX_EXTENT_M: Final = 500_000  # several tiles; the points of a larger one might not fit into memory
EDGE_M: Final = 5_000.0  # longest edge that is projected as a straight line: the error is below a pixel
GRID_MARGIN_M: Final = 10_000.0  # how far a footprint's centre may lie outside its raster
MIN_OVERLAP: Final = 0.1  # of footprint and raster, as a share of the smaller one

Areal = Polygon | MultiPolygon
G = TypeVar("G", bound=BaseGeometry)


@dataclass(frozen=True, slots=True)
class Footprint:
    """The area of a scene: a valid, two-dimensional outline in EPSG:4326, cut at the antimeridian.

    The box is that of GeoJSON: `xmin` is the west edge and `xmax` the east edge, so `xmin` > `xmax` if it crosses the
    antimeridian. It never spans the globe.
    """

    outline: Areal
    xmin: float  # degrees
    ymin: float  # degrees
    xmax: float  # degrees
    ymax: float  # degrees
    centre: tuple[float, float]  # longitude, latitude of the centroid, degrees
    square_degrees: float


def footprint_of_geojson(value: object) -> Footprint | None:
    """Return the footprint of a GeoJSON geometry in degrees, or None if it is not a usable geometry."""
    geometry = _geometry(value)
    return None if geometry is None else footprint_of(geometry)


def footprint_of_bbox(value: object) -> Footprint | None:
    """Return the footprint of a GeoJSON bbox in degrees, or None. West > east crosses the antimeridian."""
    numbers = _bbox(value)
    if numbers is None:
        return None
    west, south, east, north = numbers
    return footprint_of(box(west, south, east + 360.0 if west > east else east, north))


def footprint_of_projected(epsg: int, geometry: BaseGeometry) -> Footprint | None:
    """Return the footprint of a geometry in a UTM zone, metres, or None if it is larger than any scene."""
    west, south, east, north = geometry.bounds
    if not max(east - west, north - south) <= MAX_EXTENT_M:  # also refuses NaN
        return None
    dense = shapely.segmentize(shapely.force_2d(geometry), EDGE_M)
    degrees = shapely.transform(dense, lambda points: np.column_stack(to_degrees(epsg).transform(*points.T)))
    return footprint_of(degrees)


def footprint_of_projected_geojson(epsg: int, value: object) -> Footprint | None:
    """Return the footprint of a `proj:geometry`, or None if it is not a usable geometry."""
    geometry = _geometry(value)
    return None if geometry is None else footprint_of_projected(epsg, geometry)


def footprint_of_projected_bbox(epsg: int, value: object) -> Footprint | None:
    """Return the footprint of a `proj:bbox`, or None if it is not a usable box."""
    numbers = _bbox(value)
    return None if numbers is None else footprint_of_projected(epsg, box(*numbers))


def footprint_of_grid(epsg: int, affine: Sequence[float], shape: Sequence[int]) -> Footprint | None:
    """Return the footprint of a north-up raster in a UTM zone.

    Args:
        epsg: code of the zone.
        affine: affine transform of the raster, six numbers, metres.
        shape: rows and columns.
    """
    return footprint_of_projected(epsg, box(*grid_extent(affine, shape)))


def grid_extent(affine: Sequence[float], shape: Sequence[int]) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a north-up raster, metres."""
    west, north = affine[2], affine[5]
    return west, north + affine[4] * shape[0], west + affine[0] * shape[1], north


def is_on_grid(footprint: Footprint, epsg: int, affine: Sequence[float], shape: Sequence[int]) -> bool:
    """Return whether a footprint lies on its raster. One with longitude and latitude swapped, for example, does not.

    Its centre lies in the raster or within `GRID_MARGIN_M` of it, or the two overlap, as in the case of a raster that
    was cut out of its tile.
    """
    west, south, east, north = grid_extent(affine, shape)
    x, y = to_metres(epsg).transform(*footprint.centre)
    if west - GRID_MARGIN_M <= x <= east + GRID_MARGIN_M and south - GRID_MARGIN_M <= y <= north + GRID_MARGIN_M:
        return True
    grid = footprint_of_grid(epsg, affine, shape)
    if grid is None:
        return False
    shared = shapely.intersection(footprint.outline, grid.outline).area
    return bool(shared >= MIN_OVERLAP * min(footprint.square_degrees, grid.square_degrees))


def footprint_of(geometry: BaseGeometry) -> Footprint | None:
    """Return the footprint of a geometry in degrees, in whatever way it crosses the antimeridian.

    Rings may jump from 180 to -180, continue beyond 180, or be cut at 180. An invalid ring becomes its convex hull,
    which covers every possible meaning of the ring; cells without pixels do no harm. Return None if no area is left, or
    if the geometry goes round a pole or is wider than any tile.
    """
    flat = shapely.force_2d(geometry)
    if not np.isfinite(shapely.get_coordinates(flat)).all():
        return None
    parts = []
    for polygon in _polygons(flat):
        part = _continuous(polygon)
        if part is None:
            return None
        parts.append(part if part.is_valid else part.convex_hull)
    whole = _areal(_next_to_each_other(parts)) if parts else None
    return None if whole is None else _footprint(whole)


def _footprint(whole: Areal) -> Footprint | None:
    """Return the footprint of an area whose longitudes are continuous but may lie beyond 180 degrees."""
    west, south, east, north = whole.bounds
    if east - west > MAX_WIDTH_DEG:
        return None
    turns = math.floor((west + 180.0) / 360.0)
    if turns:
        whole = _shifted(whole, -360.0 * turns)
        west, east = west - 360.0 * turns, east - 360.0 * turns
    outline = _cut_at_antimeridian(whole) if east > 180.0 else whole
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
    """Return the projection from the metres of a UTM zone to longitude and latitude."""
    return Transformer.from_crs(epsg, 4326, always_xy=True)


@lru_cache(maxsize=120)
def to_metres(epsg: int) -> Transformer:
    """Return the projection from longitude and latitude to the metres of a UTM zone."""
    return Transformer.from_crs(4326, epsg, always_xy=True)


def _geometry(value: object) -> BaseGeometry | None:
    if not isinstance(value, dict) or value.get("type") not in ("Polygon", "MultiPolygon", "GeometryCollection"):
        return None
    try:
        return shape(value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError):
        return None  # the caller tries another source, or rejects the item


def _bbox(value: object) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north of a list of four numbers, or of six with heights."""
    if not isinstance(value, list) or len(value) not in (4, 6):
        return None
    numbers = [float(entry) for entry in value if isinstance(entry, int | float) and abs(entry) < 1e9]
    if len(numbers) != len(value):
        return None
    half = len(numbers) // 2
    west, south, east, north = numbers[0], numbers[1], numbers[half], numbers[half + 1]
    return (west, south, east, north) if south < north and west != east else None


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    """Return the polygons of a geometry, without its points and lines."""
    if isinstance(geometry, Polygon):
        return [] if geometry.is_empty else [geometry]
    return [
        part
        for part in shapely.get_parts(shapely.get_parts(geometry))  # twice, since a collection may hold multipolygons
        if isinstance(part, Polygon) and not part.is_empty
    ]


def _continuous(polygon: Polygon) -> Polygon | None:
    """Return the polygon with continuous longitudes, or None if it is not on the globe or goes round a pole."""
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


def _next_to_each_other(parts: Sequence[BaseGeometry]) -> BaseGeometry:
    """Return the union of the parts, each moved by whole turns to the longitudes next to the first one."""
    if len(parts) == 1:
        return parts[0]
    middles = [(part.bounds[0] + part.bounds[2]) / 2 for part in parts if not part.is_empty]
    turns = [round((middles[0] - middle) / 360.0) for middle in middles]
    return shapely.union_all([_shifted(part, 360.0 * turn) for part, turn in zip(parts, turns, strict=True)])


def _shifted(geometry: G, degrees: float) -> G:
    return shapely.transform(geometry, lambda points: _moved(points, degrees)) if degrees else geometry


def _moved(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    return np.column_stack([points[:, 0] + degrees, points[:, 1]])


def _cut_at_antimeridian(geometry: BaseGeometry) -> Areal | None:
    """Cut a geometry at 180 degrees and move the part beyond it by a turn, so that it starts at -180."""
    _, south, east, north = geometry.bounds
    here = shapely.intersection(geometry, box(-180.0, south, 180.0, north))
    beyond = shapely.intersection(geometry, box(180.0, south, east, north))
    whole = shapely.union_all([here, _shifted(beyond, -360.0)])
    # Rounding may put points of an intersection a last digit beyond the edge.
    clipped = shapely.transform(whole, lambda points: np.clip(points, [-180.0, -90.0], [180.0, 90.0]))
    return _areal(clipped if clipped.is_valid else shapely.make_valid(clipped))


def _areal(geometry: BaseGeometry) -> Areal | None:
    polygons = [polygon for polygon in _polygons(geometry) if polygon.area > 0]
    if not polygons:
        return None
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
