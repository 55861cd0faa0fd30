"""The grid of the macros against pyproj, MGRS and a geohash worked out bit by bit."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import mgrs
import pytest
from dbt.cli.main import dbtRunner
from pyproj import Transformer
from pyspark.sql import SparkSession

from chiplake.settings import PROJECT_DIR

CELL = 2560
# A place on land in every band that matters: both hemispheres, Norway, Svalbard, close to zone borders and the equator.
PLACES = (
    (15.3, 45.5), (5.9, 60.4), (3.01, 60.0), (2.99, 60.0), (11.99, 63.9), (12.01, 64.01), (8.9, 78.0), (9.1, 78.0),
    (20.9, 78.5), (21.1, 78.5), (33.1, 79.0), (41.9, 80.0), (42.1, 80.0), (-0.01, 51.5), (0.01, 51.5), (-71.9, -45.0),
    (-72.1, -45.0), (36.8, -1.3), (36.8, 0.1), (36.8, -0.1), (141.0, -25.0), (-123.1, 49.2),
    (179.2, 68.0), (-179.2, -17.0),
)  # fmt: skip


def _cells() -> list[tuple[int, int, int]]:
    """Cells around the places: in the zone of the place and in the zones beside it."""
    choose = random.Random(20230815)
    found = set()
    for longitude, latitude in PLACES:
        own = int((longitude + 180) // 6) + 1
        for zone in {own, own % 60 + 1, (own - 2) % 60 + 1}:
            off_meridian = abs((longitude - (zone * 6 - 183) + 180) % 360 - 180) * math.cos(math.radians(latitude))
            if off_meridian > 4:  # no tile of a zone lies as far out
                continue
            epsg = (32600 if latitude >= 0 else 32700) + zone
            east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(longitude, latitude)
            for _ in range(3):
                col, row = east // CELL + choose.randint(-4, 4), north // CELL + choose.randint(-4, 4)
                found.add((epsg, int(col), int(row)))
    return sorted(found)


def _geohash(longitude: float, latitude: float, length: int) -> str:
    """Bisect longitude and latitude in turn, five bits a letter (G. Niemeyer's geohash)."""
    alphabet = "0123456789bcdefghjkmnpqrstuvwxyz"
    ranges = [[-180.0, 180.0], [-90.0, 90.0]]
    place = (longitude, latitude)
    text, number = "", 0
    for bit in range(5 * length):
        low, high = ranges[bit % 2]
        middle = (low + high) / 2
        is_upper = place[bit % 2] >= middle
        ranges[bit % 2] = [middle, high] if is_upper else [low, middle]
        number = number * 2 + is_upper
        if bit % 5 == 4:
            text, number = text + alphabet[number], 0
    return text


@pytest.fixture(scope="module")
def answers(spark: SparkSession) -> list[dict[str, Any]]:
    """What the macros say of each cell."""
    values = ", ".join(f"({epsg}, {col}, {row})" for epsg, col, row in _cells())
    sql = f"""
        with cells as (
            select *, {{{{ grid_cell_polygon('epsg', 'col', 'row') }}}} as polygon,
                {{{{ grid_cell_centre('epsg', 'col', 'row') }}}} as centre
            from values {values} as cells (epsg, col, row)
        )
        select epsg, col, row,
            {{{{ grid_cell_id('epsg', 'col', 'row') }}}} as cell_id,
            {{{{ grid_geohash('centre') }}}} as geohash,
            st_x(centre) as longitude, st_y(centre) as latitude,
            {{{{ utm_epsg('st_x(centre)', 'st_y(centre)') }}}} as owner,
            to_json(transform(sequence(1, 4), n -> array(st_x(st_pointn(st_exteriorring(polygon), n)),
                st_y(st_pointn(st_exteriorring(polygon), n))))) as corners
        from cells
    """
    project = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
    done = dbtRunner().invoke(["--quiet", "show", "--limit", "-1", "--inline", sql, *project])
    assert done.success, done.exception
    table = done.result.results[0].agate_table
    return [dict(zip(table.column_names, row.values(), strict=True)) for row in table.rows]


def test_every_cell_has_an_answer(answers: list[dict[str, Any]]) -> None:
    assert {(row["epsg"], row["col"], row["row"]) for row in answers} == set(_cells())
    assert all(row["cell_id"] == f"{row['epsg']}_{row['col']}_{row['row']}" for row in answers)


def test_centre_and_corners_are_those_of_pyproj(answers: list[dict[str, Any]]) -> None:
    for row in answers:
        to_degrees = Transformer.from_crs(int(row["epsg"]), 4326, always_xy=True)
        col, north = float(row["col"]), float(row["row"])
        x, y = to_degrees.transform((col + 0.5) * CELL, (north + 0.5) * CELL)
        east_m = (float(row["longitude"]) - x) * 111_320 * math.cos(math.radians(y))
        north_m = (float(row["latitude"]) - y) * 111_320
        # Half a percent of a pixel: the series that Sedona's library uses errs by centimetres far from the meridian.
        assert math.hypot(east_m, north_m) < 0.05, row
        corners = {tuple(round(value, 7) for value in corner) for corner in json.loads(row["corners"])}
        expected = {
            tuple(round(value, 7) for value in to_degrees.transform(x * CELL, y * CELL))
            for x in (col, col + 1)
            for y in (north, north + 1)
        }
        assert len(corners) == 4
        for corner in corners:
            assert any(corner == pytest.approx(other, abs=1e-6) for other in expected), row


def test_geohash_is_that_of_the_centre(answers: list[dict[str, Any]]) -> None:
    for row in answers:
        assert row["geohash"] == _geohash(float(row["longitude"]), float(row["latitude"]), 8), row


def test_the_owning_zone_is_that_of_mgrs(answers: list[dict[str, Any]]) -> None:
    convert = mgrs.MGRS()
    for row in answers:
        zone = int(convert.toMGRS(float(row["latitude"]), float(row["longitude"]), MGRSPrecision=0)[:-3])
        assert row["owner"] == (32600 if row["latitude"] >= 0 else 32700) + zone, row
