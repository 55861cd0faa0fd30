"""The grid on the whole Earth: macros and models against pyproj, MGRS, shapely and a geohash computed bit by bit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mgrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import shapely
from dbt.cli.main import dbtRunner
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pyproj import Transformer
from pyspark.sql import SparkSession
from support.lakes import dbt, empty_lake

from ingestion.item.footprints import footprint_of_grid
from lakehouse.catalog import MODEL_NAMESPACE
from lakehouse.settings import PROJECT_DIR, Settings

CELL_M = 2560
PLACES = 1_000_000
SAME_M = 1e-6  # tolerance for the macros: a micrometre on the ground
M_PER_DEGREE = 111_320
LIMITS = (-80.0, 84.0)
# Borders of MGRS zones, degrees: every 6 degrees, with the changes of bands V (Norway) and X (Svalbard).
MERIDIANS = np.arange(-180.0, 181.0, 6.0)
BANDS = {
    (-80.0, 56.0): MERIDIANS,
    (56.0, 64.0): np.sort(np.append(MERIDIANS[MERIDIANS != 6.0], 3.0)),
    (64.0, 72.0): MERIDIANS,
    (72.0, 84.0): np.sort(np.append(MERIDIANS[(MERIDIANS <= 0) | (MERIDIANS >= 42)], [9.0, 21.0, 33.0])),
}
PARALLELS = (-80.0, 0.0, 56.0, 64.0, 72.0, 84.0)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


# The reference, independent of the macros.


@lru_cache(maxsize=240)
def _transformer(epsg: int, to_utm: bool) -> Transformer:
    return Transformer.from_crs(*((4326, epsg) if to_utm else (epsg, 4326)), always_xy=True)


def _by_zone(epsg: Ints, x: Floats, y: Floats, to_utm: bool) -> tuple[Floats, Floats]:
    """Transform each point in its zone by PROJ's transverse Mercator."""
    out_x, out_y = np.empty(len(x)), np.empty(len(y))
    order = np.argsort(epsg, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(epsg[order])) + 1):
        if len(part):
            out_x[part], out_y[part] = _transformer(int(epsg[part[0]]), to_utm).transform(x[part], y[part])
    return out_x, out_y


def _to_utm(epsg: Ints, longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
    return _by_zone(epsg, longitude, latitude, to_utm=True)


def _to_degrees(epsg: Ints, easting: Floats, northing: Floats) -> tuple[Floats, Floats]:
    """Transform to degrees; longitudes are continuous around the zone's meridian."""
    longitude, latitude = _by_zone(epsg, easting, northing, to_utm=False)
    meridian = epsg % 100 * 6 - 183
    return meridian + _wrapped(longitude - meridian), latitude


def _wrapped(longitude: Floats) -> Floats:
    return (longitude + 180) % 360 - 180


def _owner(longitude: Floats, latitude: Floats) -> Ints:
    """Return the EPSG code of the zone that owns a place, from the borders around it; 0 outside of the grid."""
    zone = np.zeros(len(longitude), dtype=np.int64)
    for (south, north), borders in BANDS.items():
        here = (latitude >= south) & ((latitude < north) | (latitude == LIMITS[1]) & (north == LIMITS[1]))
        west = borders[np.searchsorted(borders, longitude[here], side="right") - 1]
        # The zone whose 6 degrees hold the middle between the borders.
        east = borders[np.minimum(np.searchsorted(borders, west, side="right"), len(borders) - 1)]
        zone[here] = np.floor((west + east) / 2 / 6 + 30).astype(int) % 60 + 1
    return np.where(zone > 0, zone + np.where(latitude < 0, 32700, 32600), 0)


def _geohash(longitude: float, latitude: float, length: int) -> str:
    """Bisect longitude and latitude alternately, five bits a letter (G. Niemeyer's geohash)."""
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


def _places_at_borders() -> tuple[Floats, Floats]:
    """Return places on every zone border and grid limit, and one float, 0.1 m, 1 km and 5 km away on both sides."""
    choose = np.random.default_rng(20230815)
    beside = np.array([-5_000.0, -1_000.0, -0.1, 0.0, 0.1, 1_000.0, 5_000.0]) / M_PER_DEGREE
    longitudes: list[Floats] = []
    latitudes: list[Floats] = []
    for (south, north), borders in BANDS.items():
        for border in borders:
            for latitude in choose.uniform(south, north, max(4, int((north - south) / 4))):
                near = border + beside / np.cos(np.radians(latitude))
                longitudes.append(np.array([*near, np.nextafter(border, -np.inf), np.nextafter(border, np.inf)]))
                latitudes.append(np.full(len(longitudes[-1]), latitude))
    for parallel in PARALLELS:
        # At random longitudes, and where the parallel meets a border.
        along = np.concatenate([choose.uniform(-180, 180, 300), *BANDS.values(), MERIDIANS + 0.005, MERIDIANS - 0.005])
        for latitude in (*(parallel + beside), np.nextafter(parallel, -np.inf), np.nextafter(parallel, np.inf)):
            longitudes.append(along)
            latitudes.append(np.full(len(along), latitude))
    longitude, latitude = np.concatenate(longitudes), np.concatenate(latitudes)
    on_earth = np.abs(longitude) <= 180
    return longitude[on_earth], latitude[on_earth]


# The macros.

PLACES_SQL = """
    select
        longitude,
        latitude,
        {{ utm_epsg('longitude', 'latitude') }} as epsg,
        {{ grid_primary_cell_id('longitude', 'latitude') }} as cell_id
    from grid_input
"""
CELLS_SQL = """
    select
        cell_id,
        {{ grid_cell_id('parts.epsg', 'parts.cell_col', 'parts.cell_row') }} as id_again,
        {{ grid_cell_is_primary('parts.epsg', 'corners') }} as is_primary
    from (
        select *, {{ grid_cell_corners('parts.epsg', 'parts.cell_col', 'parts.cell_row') }} as corners
        from (select cell_id, {{ grid_cell_parts('cell_id') }} as parts from grid_input)
    )
"""
IDS_SQL = """
    select
        cell_id,
        parts.*,
        {{ grid_cell_id('parts.epsg', 'parts.cell_col', 'parts.cell_row') }} as id_again
    from (select cell_id, {{ grid_cell_parts('cell_id') }} as parts from grid_input)
"""
ZONES_SQL = """
    select
        *,
        utm.*,
        {{ utm_degrees('utm.easting', 'utm.northing', 'epsg') }} as again
    from (select *, {{ utm_coordinates('longitude', 'latitude', 'epsg') }} as utm from grid_input)
"""
STATEMENTS = (PLACES_SQL, CELLS_SQL, IDS_SQL, ZONES_SQL)

Ask = Callable[[str, dict[str, Any]], pa.Table]


@pytest.fixture(scope="module")
def ask(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Return a function that runs one of the statements on a table of its input."""
    path = tmp_path_factory.mktemp("grid") / "input.parquet"
    mark = "-- next statement"
    project = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
    done = dbtRunner().invoke(["--quiet", "compile", "--inline", mark.join(STATEMENTS), *project])
    assert done.success, done.exception
    compiled = dict(zip(STATEMENTS, done.result.results[0].node.compiled_code.split(mark), strict=True))

    def run(statement: str, columns: dict[str, Any]) -> pa.Table:
        pq.write_table(pa.table(columns), path, row_group_size=1 << 16)
        spark.read.parquet(str(path)).createOrReplaceTempView("grid_input")
        return spark.sql(compiled[statement]).toArrow()

    yield run
    spark.catalog.dropTempView("grid_input")


@dataclass(frozen=True)
class Found:
    """Places, and the zone and cell that the macros return for each; zone 0 and a null id outside of the grid."""

    longitude: Floats
    latitude: Floats
    epsg: Ints
    cell_id: pa.ChunkedArray = field(repr=False)

    @property
    def is_inside(self) -> NDArray[np.bool_]:
        return self.epsg > 0

    def parts(self) -> tuple[Ints, Ints, Ints]:
        """Return zone, column and row from the ids of the places inside of the grid."""
        ids = self.cell_id.drop_null().combine_chunks()
        numbers = pc.cast(pc.list_flatten(pc.split_pattern(ids, "_")), pa.int64()).to_numpy()
        epsg, col, row = numbers.reshape(-1, 3).T
        return epsg, col, row


def _find(ask: Ask, longitude: Floats, latitude: Floats) -> Found:
    answer = ask(PLACES_SQL, {"longitude": longitude, "latitude": latitude})
    assert len(answer) == len(longitude)
    epsg = pc.fill_null(answer["epsg"], 0).to_numpy().astype(np.int64)
    found = Found(answer["longitude"].to_numpy(), answer["latitude"].to_numpy(), epsg, answer["cell_id"])
    assert np.array_equal(answer["cell_id"].is_valid().to_numpy(), found.is_inside)
    return found


@pytest.fixture(scope="module")
def borders(ask: Ask) -> Found:
    return _find(ask, *_places_at_borders())


@pytest.fixture(scope="module")
def earth(ask: Ask) -> Found:
    """Return a million places, distributed evenly over the Earth from pole to pole."""
    choose = np.random.default_rng(1)
    return _find(ask, choose.uniform(-180, 180, PLACES), np.degrees(np.arcsin(choose.uniform(-1, 1, PLACES))))


def _assert_one_cell(found: Found) -> None:
    """Assert that each place has the cell of its own zone that contains it, and no cell outside of the grid."""
    expected = _owner(found.longitude, found.latitude)
    wrong = np.flatnonzero(found.epsg != expected)[:5]
    assert not len(wrong), (found.longitude[wrong], found.latitude[wrong], found.epsg[wrong], expected[wrong])
    inside = found.is_inside
    epsg, col, row = found.parts()
    assert np.array_equal(epsg, found.epsg[inside])
    easting, northing = _to_utm(epsg, found.longitude[inside], found.latitude[inside])
    for coordinate, number in ((easting, col), (northing, row)):
        off = coordinate - number * CELL_M
        assert (off >= -SAME_M).all()
        assert (off < CELL_M + SAME_M).all()


def test_a_million_places_have_one_primary_cell_each(earth: Found) -> None:
    _assert_one_cell(earth)
    epsg, col, row = earth.parts()
    easting, northing = _to_utm(epsg, earth.longitude[earth.is_inside], earth.latitude[earth.is_inside])
    # No place lies within a micrometre of an edge, so the comparison is exact here.
    assert np.array_equal(np.floor(easting / CELL_M), col)
    assert np.array_equal(np.floor(northing / CELL_M), row)
    assert len(np.unique(epsg)) == 120
    assert 0.98 * PLACES < len(epsg) < PLACES


def test_places_at_borders_have_one_primary_cell_each(borders: Found) -> None:
    assert len(borders.epsg) > 40_000
    _assert_one_cell(borders)


def test_the_owning_zone_equals_that_of_mgrs(borders: Found, earth: Found) -> None:
    convert = mgrs.MGRS()
    longitude = np.concatenate([borders.longitude, earth.longitude[::100]])
    latitude = np.concatenate([borders.latitude, earth.latitude[::100]])
    epsg = np.concatenate([borders.epsg, earth.epsg[::100]])
    # The package moves a place by 1e-10 radians and widens the limits of the grid by 1.75e-7 radians, so only _owner
    # checks places that are this close to a border.
    off_border = np.abs(longitude[:, None] - np.append(MERIDIANS, [3.0, 9.0, 21.0, 33.0])).min(axis=1)
    off_parallel = np.abs(latitude[:, None] - np.array(PARALLELS)).min(axis=1)
    off_limit = np.abs(latitude[:, None] - np.array(LIMITS)).min(axis=1)
    is_clear = (off_border == 0) | (off_border > 1e-7)
    is_clear &= (off_parallel == 0) | (off_parallel > 1e-7)
    is_clear &= (off_limit == 0) | (off_limit > 1.1e-5)
    assert np.mean(is_clear) > 0.7
    for x, y, code in zip(longitude[is_clear], latitude[is_clear], epsg[is_clear], strict=True):
        name = convert.toMGRS(y, x, MGRSPrecision=0)
        zone = int(name[:-3] or 0)  # names near the poles have no zone
        assert code == (zone + (32600 if name[-3] >= "N" else 32700) if zone else 0), (x, y, name)


def test_the_antimeridian_is_one_line(ask: Ask) -> None:
    latitude = np.linspace(*LIMITS, 2_000)
    east = _find(ask, np.full(len(latitude), 180.0), latitude)
    west = _find(ask, np.full(len(latitude), -180.0), latitude)
    assert east.cell_id.equals(west.cell_id)
    assert set(east.epsg) == {32601, 32701}


def _cells_around(found: Found) -> tuple[Ints, Ints]:
    """Return every cell, of any zone, that contains a place of the grid: number of the place; zone, column, row."""
    places, zones = [], []
    number = np.flatnonzero(found.is_inside)
    latitude = found.latitude[number]
    for step in range(-2, 3):  # zones are up to 12 degrees wide
        zone = (found.epsg[number] % 100 - 1 + step) % 60 + 1
        is_near = np.abs(_wrapped(found.longitude[number] - (zone * 6 - 183))) < 9
        for hemisphere in (32600, 32700):
            is_here = is_near & (latitude > -0.1 if hemisphere == 32600 else latitude < 0.1)
            places.append(number[is_here])
            zones.append(zone[is_here] + hemisphere)
    place, epsg = np.concatenate(places), np.concatenate(zones)
    easting, northing = _to_utm(epsg, found.longitude[place], found.latitude[place])
    cells = np.column_stack([epsg, np.floor(easting / CELL_M), np.floor(northing / CELL_M)])
    return place, cells.astype(np.int64)


def _owns_a_place(cells: Ints) -> NDArray[np.bool_]:
    """Return whether the cell's zone owns any point of a lattice in the cell, which starts 3 mm from its edges."""
    steps = np.linspace(1e-6, 1 - 1e-6, 17)
    x, y = (offset.ravel() for offset in np.meshgrid(steps, steps))
    epsg, col, row = (numbers[:, None] for numbers in cells.T)
    zones = np.repeat(cells[:, 0], len(x))
    longitude, latitude = _to_degrees(zones, ((col + x) * CELL_M).ravel(), ((row + y) * CELL_M).ravel())
    is_owned = _owner(_wrapped(longitude), latitude).reshape(len(cells), -1) == epsg
    owns: NDArray[np.bool_] = is_owned.any(axis=1)
    return owns


def test_primary_cells_are_those_that_own_a_place(ask: Ask, borders: Found, earth: Found) -> None:
    longitude = np.concatenate([borders.longitude, earth.longitude[:20_000]])
    latitude = np.concatenate([borders.latitude, earth.latitude[:20_000]])
    found = _find(ask, longitude, latitude)
    place, of_place = _cells_around(found)
    cells, cell = np.unique(of_place, axis=0, return_inverse=True)
    ids = ["_".join(map(str, numbers)) for numbers in cells.tolist()]
    answer = ask(CELLS_SQL, {"cell_id": ids})
    assert answer["cell_id"].equals(answer["id_again"])
    marked = dict(zip(answer["cell_id"].to_pylist(), answer["is_primary"].to_pylist(), strict=True))
    is_primary = np.array([marked[cell_id] for cell_id in ids])

    # No gaps: is_primary is true for each place's primary cell.
    assert all(marked[cell_id] for cell_id in found.cell_id.drop_null().to_pylist())
    # is_primary is true for exactly those cells that own a place.
    beside = np.random.default_rng(2).permutation(len(cells))[:3_000]
    owns = _owns_a_place(cells[beside])
    assert 300 < owns.sum() < 2_700
    assert np.array_equal(is_primary[beside], owns)
    # Primary cells overlap only at borders: on 0.6 % of the Earth.
    count = np.bincount(place[is_primary[cell]], minlength=len(found.epsg))
    of_earth = count[len(borders.epsg) :][found.is_inside[len(borders.epsg) :]]
    assert of_earth.min() == 1
    assert of_earth.max() <= 4
    assert np.mean(of_earth > 1) < 0.008


def test_utm_equals_pyproj_in_a_zone_and_next_to_it(ask: Ask) -> None:
    choose = np.random.default_rng(3)
    epsg = choose.integers(1, 61, 100_000) + choose.choice([32600, 32700], 100_000)
    longitude = _wrapped(epsg % 100 * 6 - 183 + choose.uniform(-10, 10, len(epsg)))
    latitude = choose.uniform(-85, 85, len(epsg))
    answer = ask(ZONES_SQL, {"longitude": longitude, "latitude": latitude, "epsg": epsg.astype(np.int32)}).flatten()
    longitude, latitude = answer["longitude"].to_numpy(), answer["latitude"].to_numpy()
    easting, northing = _to_utm(answer["epsg"].to_numpy().astype(np.int64), longitude, latitude)
    assert np.abs(answer["easting"].to_numpy() - easting).max() < SAME_M
    assert np.abs(answer["northing"].to_numpy() - northing).max() < SAME_M
    assert np.abs(_wrapped(answer["again.longitude"].to_numpy() - longitude)).max() * M_PER_DEGREE < SAME_M
    assert np.abs(answer["again.latitude"].to_numpy() - latitude).max() * M_PER_DEGREE < SAME_M


# Inputs that hypothesis generates.

properties = hypothesis_settings(
    max_examples=10,  # each has hundreds of places or ids, because a query is slow
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes, and the message names the row
    suppress_health_check=[HealthCheck.large_base_example],
)
longitudes = st.floats(-180, 180) | st.builds(
    lambda border, off: min(180.0, max(-180.0, border + off)),
    st.sampled_from([*MERIDIANS, 3.0, 9.0, 21.0, 33.0]),
    st.floats(-1e-3, 1e-3),
)
latitudes = st.floats(-90, 90) | st.builds(float.__add__, st.sampled_from(PARALLELS), st.floats(-1e-3, 1e-3))
texts = st.from_regex(r"32[67][0-6][0-9]_-?[0-9]{1,4}_-?[0-9]{1,4}") | st.text(st.characters(codec="utf-8"))


@properties
@given(longitude=arrays(np.float64, 200, elements=longitudes), latitude=arrays(np.float64, 200, elements=latitudes))
def test_any_place_has_one_primary_cell(ask: Ask, longitude: Floats, latitude: Floats) -> None:
    _assert_one_cell(_find(ask, longitude, latitude))


def is_int(text: str) -> bool:
    """Return whether the number fits into SQL's int."""
    return -(2**31) <= int(text) < 2**31


@properties
@given(st.lists(texts, min_size=50, max_size=100))
def test_an_id_is_split_and_joined_unchanged_and_other_text_is_null(ask: Ask, ids: list[str]) -> None:
    for row in ask(IDS_SQL, {"cell_id": ids}).to_pylist():
        match = re.fullmatch(r"(32[67]\d\d)_(0|-?[1-9]\d*)_(0|-?[1-9]\d*)", row["cell_id"], re.ASCII)
        is_id = match and 1 <= int(match[1]) % 100 <= 60 and all(is_int(part) for part in match.groups())
        if match and is_id:
            assert (row["epsg"], row["cell_col"], row["cell_row"]) == tuple(map(int, match.groups()))
            assert row["id_again"] == row["cell_id"]
        else:
            assert (row["epsg"], row["id_again"]) == (None, None), row["cell_id"]


# The models.


def _scenes() -> pa.Table:
    """Return small scenes in every zone: across its borders, at the equator, across the limits of the grid."""
    rows = []
    for zone in range(1, 61):
        for latitude in (-79.98, -45.0, -0.01, 0.01, 60.0, 72.0, 78.0, 83.98):
            epsg = zone + (32600 if latitude >= 0 else 32700)
            for off_meridian in (-3.02, 3.02, 5.9 if latitude >= 56 else 0.7):
                easting, northing = _transformer(epsg, True).transform(zone * 6 - 183 + off_meridian, latitude)
                west, south = easting // 20 * 20.0, northing // 20 * 20.0 - CELL_M
                footprint = footprint_of_grid(epsg, (10, 0, west, 0, -10, south + 2 * CELL_M), (512, 1024))
                assert footprint is not None
                name = f"{epsg}_{latitude}_{off_meridian}"
                extent = (west, south, west + 4 * CELL_M, south + 2 * CELL_M)
                rows.append((name, name, "S2A_20230815T095031", epsg, *extent, shapely.to_wkb(footprint.outline)))
    names = (
        "scene_id",
        "scene_hash",
        "datatake_id",
        "epsg",
        "utm_xmin",
        "utm_ymin",
        "utm_xmax",
        "utm_ymax",
        "geometry",
    )
    scenes = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    return scenes.set_column(3, "epsg", scenes["epsg"].cast(pa.int32()))


@dataclass(frozen=True)
class Models:
    scene_cells: pa.Table
    grid_cells: pa.Table


@pytest.fixture(scope="module")
def models(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """Return int_scene_cells and dim_grid_cells of the scenes; dbt builds and tests them."""
    path = tmp_path_factory.mktemp("scenes") / "scenes.parquet"
    empty_lake(spark, settings)
    pq.write_table(_scenes(), path)
    spark.read.parquet(str(path)).writeTo(f"{MODEL_NAMESPACE}.int_scenes").create()
    built = ("int_scene_cells", "dim_grid_cells")
    dbt("build", "--select", *built, "--exclude", "test_type:generic", "--indirect-selection", "cautious")
    yield Models(*(spark.table(f"{MODEL_NAMESPACE}.{name}").toArrow() for name in built))
    for name in ("int_scenes", *built):
        spark.sql(f"drop table {MODEL_NAMESPACE}.{name} purge")


def test_cells_of_the_model_equal_those_of_pyproj(models: Models) -> None:
    cells = models.grid_cells
    epsg, col, row = (cells[name].to_numpy().astype(np.int64) for name in ("epsg", "cell_col", "cell_row"))
    assert len(cells) > 20_000
    assert len(np.unique(epsg)) == 120
    assert row.min() < 0

    longitude, latitude = _to_degrees(epsg, (col + 0.5) * CELL_M, (row + 0.5) * CELL_M)
    longitude = _wrapped(longitude)
    assert np.abs(cells["longitude"].to_numpy() - longitude).max() * M_PER_DEGREE < SAME_M
    assert np.abs(cells["latitude"].to_numpy() - latitude).max() * M_PER_DEGREE < SAME_M
    expected = [_geohash(*centre, 8) for centre in zip(longitude.tolist(), latitude.tolist(), strict=True)]
    assert cells["geohash"].to_pylist() == expected

    corners = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))
    rings = np.stack(
        [np.column_stack(_to_degrees(epsg, (col + x) * CELL_M, (row + y) * CELL_M)) for x, y in corners], axis=1
    )
    (west, south), (east, north) = rings.min(axis=1).T, rings.max(axis=1).T
    for name, bound in (("xmin", _wrapped(west)), ("ymin", south), ("xmax", _wrapped(east)), ("ymax", north)):
        assert np.abs(cells[name].to_numpy() - bound).max() * M_PER_DEGREE < SAME_M, name

    polygons = shapely.from_wkb(cells["geometry"].to_numpy())
    assert shapely.is_valid(polygons).all()
    is_past = (west < -180) | (east > 180)
    assert (shapely.get_num_coordinates(polygons[~is_past]) == len(corners)).all()
    off = shapely.get_coordinates(polygons[~is_past]).reshape(-1, len(corners), 2) - rings[~is_past]
    assert np.abs(off).max() * M_PER_DEGREE < SAME_M
    # A cell across the antimeridian has a part on either side of it, within -180 to 180.
    world = shapely.box(-180, -90, 180, 90)
    for polygon, ring in zip(polygons[is_past], rings[is_past], strict=True):
        turns = [shapely.Polygon(ring + np.array([turn, 0])).intersection(world) for turn in (-360, 0, 360)]
        assert polygon.symmetric_difference(shapely.union_all(turns)).area < 1e-9 * polygon.area
    crosses = (west < -180) & (east > -180) | (west < 180) & (east > 180)
    assert crosses.sum() > 20
    assert np.array_equal(shapely.get_num_geometries(polygons) == 2, crosses)
    assert np.array_equal(cells["xmin"].to_numpy() > cells["xmax"].to_numpy(), crosses)


def test_a_scene_covers_the_cells_that_lie_in_it(models: Models) -> None:
    whole = models.scene_cells.filter(models.scene_cells["is_whole"])["covered_fraction"].to_numpy()
    assert len(whole) > 4_000
    # Edges of cells are straight in degrees, and the footprint follows the raster: they differ by 1 m at 84 degrees.
    assert whole.min() > 0.999
    assert whole.max() < 1 + 1e-9
