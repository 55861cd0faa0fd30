"""Footprints: every way in which providers write the outline of a tile gives the same valid outline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.geometry.base import BaseGeometry
from support.examples import examples

from ingestion.area import area_of_bbox
from ingestion.item.footprints import (
    Footprint,
    footprint_of_bbox,
    footprint_of_geojson,
    footprint_of_grid,
    footprint_of_projected_bbox,
    footprint_of_projected_geojson,
    is_on_grid,
)

SIDE_M = 109_800
WORLD = box(-180, -90, 180, 90)
Grid = tuple[int, list[float], list[int]]  # EPSG code, affine, rows and columns


@st.composite
def grids(draw: st.DrawFn, at_the_antimeridian: bool = False) -> Grid:
    """Draw the raster grid of a tile in any zone, from 80 degrees south to 84 north; a third are in zone 1 or 60."""
    zone = draw(st.one_of(st.sampled_from([1, 60]), *([] if at_the_antimeridian else [st.integers(1, 60)] * 2)))
    latitude = draw(st.floats(-80, 83))
    epsg = (32600 if latitude >= 0 else 32700) + zone
    meridian = zone * 6 - 183
    longitude = meridian + draw(st.floats(-3, 3))
    if at_the_antimeridian:
        longitude = 180 if zone == 60 else -180
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(longitude, latitude)
    shift = draw(st.floats(0.1, 0.9))
    west, north = (round((value + shift * side) / 20) * 20 for value, side in ((x, -SIDE_M), (y, SIDE_M)))
    return epsg, [10.0, 0.0, float(west), 0.0, -10.0, float(north)], [SIDE_M // 10, SIDE_M // 10]


def true_outline(grid: Grid) -> Polygon:
    """Return the tile in degrees, with longitudes that continue beyond 180, projected point by point with pyproj."""
    epsg, affine, _ = grid
    west, north = affine[2], affine[5]
    steps = np.linspace(0, SIDE_M, 101)
    xs = np.concatenate([west + steps, np.full(101, west + SIDE_M), west + SIDE_M - steps, np.full(101, west)])
    ys = np.concatenate([np.full(101, north), north - steps, np.full(101, north - SIDE_M), north - SIDE_M + steps])
    longitudes, latitudes = Transformer.from_crs(epsg, 4326, always_xy=True).transform(xs, ys)
    meridian = epsg % 100 * 6 - 183
    return Polygon(np.column_stack([(longitudes - meridian + 180) % 360 - 180 + meridian, latitudes]))


def joined(outline: BaseGeometry, true: Polygon) -> BaseGeometry:
    """Join an outline that is cut at the antimeridian, at the longitudes of the true one."""
    middle = true.centroid.x
    parts = [
        translate(part, 360 * round((middle - part.centroid.x) / 360)) for part in shapely.get_parts(outline).tolist()
    ]
    return shapely.union_all(parts)


def check(footprint: Footprint | None, true: Polygon, is_hull: bool = False) -> None:
    assert footprint is not None
    assert footprint.outline.is_valid
    assert shapely.get_dimensions(footprint.outline) == 2
    assert WORLD.covers(footprint.outline)
    together = joined(footprint.outline, true)
    allowed = true.convex_hull.buffer(1e-6) if is_hull else true.buffer(1e-4)
    assert allowed.buffer(1e-5).covers(together)
    assert together.buffer(1e-4).covers(true)
    width = (footprint.xmax - footprint.xmin) % 360
    assert width == pytest.approx(true.bounds[2] - true.bounds[0], abs=2e-4)
    assert width < 11
    assert (footprint.ymin, footprint.ymax) == pytest.approx((true.bounds[1], true.bounds[3]), abs=2e-4)
    assert -180 <= footprint.xmin < 180
    assert -180 < footprint.xmax <= 180


def wrapped(ring: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [((x + 180) % 360 - 180, y) for x, y in ring]


def geojson(true: Polygon, style: str) -> dict[str, Any]:
    """Return GeoJSON of the outline in one of the styles of real providers."""
    ring = [(x, y) for x, y in true.exterior.coords]
    if style == "cut":
        parts: list[Any] = [
            translate(true.intersection(box(west, -90, west + 360, 90)), -west - 180)
            for west in (-540, -180, 180)
            if true.intersection(box(west, -90, west + 360, 90)).area > 0
        ]
        return dict(mapping(parts[0] if len(parts) == 1 else MultiPolygon(parts)))
    rings = {
        "jumping from 180 to -180": wrapped(ring),
        "jumping, with 180 in place of -180": [(180.0 if x == -180 else x, y) for x, y in wrapped(ring)],
        "beyond 180": [(x + (360 if true.centroid.x < 0 else 0), y) for x, y in ring],
        "beyond -180": [(x - (360 if true.centroid.x > 0 else 0), y) for x, y in ring],
        "from 0 to 360": [(x % 360, y) for x, y in ring],
    }
    return {"type": "Polygon", "coordinates": [rings[style]]}


STYLES = st.sampled_from(
    [
        "cut",
        "jumping from 180 to -180",
        "jumping, with 180 in place of -180",
        "beyond 180",
        "beyond -180",
        "from 0 to 360",
    ]
)
TILES = grids() | grids(at_the_antimeridian=True)


@settings(max_examples=examples(150), deadline=None)
@given(TILES)
def test_the_outline_of_a_grid_is_the_true_one(grid: Grid) -> None:
    true = true_outline(grid)
    check(footprint_of_grid(*grid), true)
    epsg, affine, _ = grid
    west, north = affine[2], affine[5]
    extent = (west, north - SIDE_M, west + SIDE_M, north)
    check(footprint_of_projected_bbox(epsg, list(extent)), true)
    check(footprint_of_projected_geojson(epsg, mapping(box(*extent))), true)


@settings(max_examples=examples(300), deadline=None)
@given(TILES, STYLES, st.booleans(), st.booleans())
def test_every_way_to_write_a_ring_gives_the_true_outline(
    grid: Grid, style: str, is_reversed: bool, is_closed: bool
) -> None:
    true = true_outline(grid)
    geometry = geojson(true, style)
    if geometry["type"] == "Polygon":
        (ring,) = geometry["coordinates"]
        points = list(ring)[:: -1 if is_reversed else 1]
        geometry = {"type": "Polygon", "coordinates": [points if is_closed else points[:-1]]}
    footprint = footprint_of_geojson(geometry)
    check(footprint, true)
    assert footprint is not None
    assert is_on_grid(footprint, *grid)


@settings(max_examples=examples(200), deadline=None)
@given(TILES, STYLES.filter(lambda style: style != "cut"), st.integers(0, 3), st.integers(0, 3))
def test_a_ring_that_crosses_itself_still_covers_the_tile(grid: Grid, style: str, one: int, other: int) -> None:
    true = true_outline(grid)
    geometry = geojson(true, style)
    points = list(geometry["coordinates"][0])[:-1]
    one, other = one * 101, other * 101  # corners
    points[one], points[other] = points[other], points[one]
    footprint = footprint_of_geojson({"type": "Polygon", "coordinates": [[*points, points[0]]]})
    check(footprint, true, is_hull=one != other)


@settings(max_examples=examples(100), deadline=None)
@given(TILES, st.integers(60_000, 300_000), st.sampled_from([(1, 0), (0, 1), (-1, 0), (0, -1)]))
def test_a_footprint_that_was_moved_off_its_grid_is_recognised(
    grid: Grid, metres: int, direction: tuple[int, int]
) -> None:
    epsg, affine, shape = grid
    east, north = (SIDE_M / 2 + metres) * direction[0], (SIDE_M / 2 + metres) * direction[1]
    moved = [*affine[:2], affine[2] + east, *affine[3:5], affine[5] + north]
    footprint = footprint_of_grid(epsg, moved, shape)
    assert footprint is not None
    assert not is_on_grid(footprint, *grid)


def test_swapped_axes_and_metres_are_recognised() -> None:
    grid: Grid = (32633, [10.0, 0.0, 499980.0, 0.0, -10.0, 5100000.0], [10980, 10980])
    west, south, east, north = true_outline(grid).bounds
    swapped = footprint_of_geojson(mapping(box(south, west, north, east)))
    assert swapped is not None
    assert not is_on_grid(swapped, *grid)
    assert footprint_of_geojson(mapping(box(499980, 4990200, 609780, 5100000))) is None


@pytest.mark.parametrize(
    "ring",
    [
        [
            [-180, 60],
            [180, 60],
            [180, 61],
            [-180, 61],
            [-180, 60],
        ],  # bounds of an outline cut at the antimeridian
        [[-180, 60], [0, 60], [180, 60], [180, 61], [0, 61], [-180, 61], [-180, 60]],
        [[-120, 85], [0, 85], [120, 85], [-120, 85]],  # round the pole
        [[-120, -85], [0, -85], [120, -85], [-120, -85]],
        [[-30, 0], [40, 0], [40, 1], [-30, 0]],
        [[0, 80], [1, 91], [1, 80], [0, 80]],
        [[0, 1], [1, 1], [2, 1], [0, 1]],  # no area
        [[0, 1], [1, 1], [float("inf"), 1], [0, 1]],
    ],
)
def test_rings_that_span_the_globe_or_have_no_area_give_no_footprint(ring: list[list[float]]) -> None:
    assert footprint_of_geojson({"type": "Polygon", "coordinates": [ring]}) is None


def test_the_box_of_a_footprint_across_the_antimeridian_is_that_of_geojson() -> None:
    footprint = footprint_of_bbox([179.0, 68.0, -179.25, 69.0])
    assert footprint is not None
    assert (footprint.xmin, footprint.ymin, footprint.xmax, footprint.ymax) == (179.0, 68.0, -179.25, 69.0)
    assert footprint.outline.equals(area_of_bbox((179.0, 68.0, -179.25, 69.0)))
    assert footprint.centre == pytest.approx((179.875, 68.5))
    assert footprint.square_degrees == pytest.approx(1.75)
    # A box that only touches the antimeridian is not cut.
    touching = footprint_of_bbox([179.0, 68.0, 180.0, 69.0])
    assert touching is not None
    assert (touching.xmin, touching.xmax, touching.outline.geom_type) == (179.0, 180.0, "Polygon")
    beyond = footprint_of_bbox([-180.0, 68.0, 0, -179.0, 69.0, 100])
    assert beyond is not None
    assert (beyond.xmin, beyond.xmax) == (-180.0, -179.0)


@pytest.mark.parametrize("value", [None, [], [1, 2, 3], [1, 2, 1, 3], [0, 5, 1, 4], ["1", 2, 3, 4], [-180, 0, 180, 1]])
def test_an_invalid_box_gives_no_footprint(value: object) -> None:
    assert footprint_of_bbox(value) is None


def test_a_hole_stays_on_its_side_of_the_antimeridian() -> None:
    outer = [[179, 10], [-179, 10], [-179, 11], [179, 11], [179, 10]]
    hole = [[-179.8, 10.2], [-179.2, 10.2], [-179.2, 10.8], [-179.8, 10.2]]
    footprint = footprint_of_geojson({"type": "Polygon", "coordinates": [outer, hole]})
    assert footprint is not None
    assert footprint.outline.area == pytest.approx(2 - 0.18)
