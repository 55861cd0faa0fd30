"""UTM zone, raster grid and footprint of an item."""

from __future__ import annotations

from typing import Any

import pytest
import shapely
import yaml
from pyproj import CRS
from support.normalised import API, reject_of, row_of, without_grid
from support.stac_items import NORTH, WEST, make_item

from ingestion.item.normalise import normalise
from ingestion.model import GeometrySource, Reason, Received, StacItemRow
from lakehouse.settings import PROJECT_DIR


@pytest.mark.parametrize("code", ["EPSG:32633", "epsg:32633", "32633", 32633, 32633.0])
def test_the_epsg_code_is_found_under_both_names(code: object) -> None:
    assert row_of(make_item(**{"proj:epsg": None, "proj:code": code})).epsg == 32633


@pytest.mark.parametrize("code", ["urn:ogc:def:crs:EPSG::32633", "http://www.opengis.net/def/crs/EPSG/0/32633"])
def test_the_epsg_code_may_be_a_urn_or_an_address(code: str) -> None:
    assert row_of(make_item(**{"proj:epsg": None, "proj:code": code})).epsg == 32633


def test_the_zone_is_found_in_wkt_2_and_projjson() -> None:
    for epsg in (32633, 32733):
        crs = CRS.from_epsg(epsg)
        for version in ("WKT2_2015", "WKT2_2019"):
            assert row_of(make_item(**{"proj:epsg": None, "proj:wkt2": crs.to_wkt(version)})).epsg == epsg
        for projjson in (crs.to_json_dict(), crs.to_json()):
            assert row_of(make_item(**{"proj:epsg": None, "proj:projjson": projjson})).epsg == epsg
    item = make_item(**{"proj:epsg": None})
    item["assets"]["scl"]["proj:wkt2"] = CRS.from_epsg(32633).to_wkt()
    assert row_of(item).epsg == 32633


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"proj:wkt2": CRS.from_epsg(25833).to_wkt()}, "EPSG:25833 is not a UTM zone"),
        ({"proj:wkt2": "UTM zone 33"}, "proj:wkt2 is 'UTM zone 33', which names no UTM zone"),
        ({"proj:projjson": {"type": "ProjectedCRS"}}, "proj:projjson is"),
        ({"proj:code": "UTM33"}, "proj:code is 'UTM33', which names no UTM zone"),
        ({}, "it has none of proj:epsg, proj:code, proj:wkt2, proj:projjson"),
        ({"proj:epsg": 32633, "proj:code": "EPSG:32634"}, "several UTM zones: EPSG:32633, EPSG:32634"),
        (
            {"proj:epsg": 32633, "proj:wkt2": CRS.from_epsg(32634).to_wkt()},
            "several UTM zones: EPSG:32633, EPSG:32634",
        ),
    ],
)
def test_an_item_without_one_utm_zone_is_rejected_with_what_it_states(properties: dict[str, Any], words: str) -> None:
    reject = reject_of(make_item(**{"proj:epsg": None} | properties))
    assert reject.reason is Reason.NO_PROJECTION
    assert words in reject.detail


def test_the_epsg_code_may_be_on_an_asset() -> None:
    item = make_item(**{"proj:epsg": None})
    item["assets"]["scl"]["proj:code"] = "EPSG:32633"
    assert row_of(item).epsg == 32633


def test_a_grid_of_the_item_holds_for_assets_of_each_resolution() -> None:
    item = make_item(**{"proj:transform": [10, 0, WEST, 0, -10, NORTH, 0, 0, 1], "proj:shape": [10980, 10980]})
    for asset in item["assets"].values():
        del asset["proj:transform"], asset["proj:shape"]
    row = row_of(item)
    assert row.assets["blue"].transform == (10, 0, WEST, 0, -10, NORTH)
    assert row.assets["scl"].transform == (20, 0, WEST, 0, -20, NORTH)
    assert (row.assets["blue"].shape, row.assets["scl"].shape) == ((10980, 10980), (5490, 5490))


@pytest.mark.parametrize("geometry", [None, {}, {"type": "Polygon", "coordinates": [[[1, 2]]]}, {"type": "Point"}, 7])
def test_an_unusable_geometry_is_replaced_by_the_raster_grid(geometry: object) -> None:
    row = row_of(make_item() | {"geometry": geometry})
    # Corners of the tile by an independent calculation (PROJ, EPSG:32633 to 4326).
    assert row.xmin == pytest.approx(14.999742, abs=1e-5)
    assert (row.ymin, row.xmax, row.ymax) == pytest.approx((45.057, 16.4195, 46.0536), abs=1e-3)


def test_a_raster_grid_at_the_antimeridian_is_split() -> None:
    item = make_item(**{"proj:epsg": 32660}) | {"geometry": None}
    for asset in item["assets"].values():
        asset["proj:transform"] = [asset["proj:transform"][0], 0, 600000, 0, -asset["proj:transform"][0], 6300000]
    row = row_of(item)
    footprint = shapely.from_wkb(row.geometry)
    assert footprint.geom_type == "MultiPolygon"
    assert 178 < row.xmin < 180
    assert -180 < row.xmax < -179
    assert footprint.area < 3
    assert row.geometry_source == "raster grid"


def test_a_geometry_that_crosses_itself_becomes_its_convex_hull() -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[15, 45], [16, 46], [16, 45], [15, 46], [15, 45]]]}
    footprint = shapely.from_wkb(row_of(make_item() | {"geometry": bow_tie}).geometry)
    assert footprint.equals(shapely.box(15, 45, 16, 46))


def swapped(coordinates: Any) -> Any:
    return [swapped(entry) if isinstance(entry[0], list) else entry[::-1] for entry in coordinates]


METRES = [[[499980, 4990200], [609780, 4990200], [609780, 5100000], [499980, 5100000], [499980, 4990200]]]


@pytest.mark.parametrize(
    "coordinates", [swapped(make_item()["geometry"]["coordinates"]), METRES, [[[0, 0], [1, 0], [1, 1], [0, 0]]]]
)
def test_a_geometry_off_the_raster_grid_is_replaced_by_the_grid(coordinates: Any) -> None:
    row = row_of(make_item() | {"geometry": {"type": "Polygon", "coordinates": coordinates}})
    assert row.xmin == pytest.approx(14.999742, abs=1e-5)
    assert row.ymin == pytest.approx(45.057, abs=1e-3)
    assert row.geometry_source == "raster grid"


def test_the_models_accept_every_source_of_a_footprint() -> None:
    document = yaml.safe_load((PROJECT_DIR / "models" / "staging" / "_staging__sources.yml").read_text())
    columns = {column["name"]: column for table in document["sources"][0]["tables"] for column in table["columns"]}
    (test,) = columns["geometry_source"]["data_tests"]
    assert test["accepted_values"]["arguments"]["values"] == [source.value for source in GeometrySource]


def test_a_raster_cut_out_of_its_tile_keeps_the_footprint_of_the_tile() -> None:
    item = make_item()
    for asset in item["assets"].values():
        gsd = asset["proj:transform"][0]
        asset |= {"proj:transform": [gsd, 0, 589980, 0, -gsd, 5010000], "proj:shape": [10240 // gsd, 20480 // gsd]}
    assert row_of(item).geometry_source == "geometry"


def test_sources_of_a_footprint_are_tried_in_a_fixed_order() -> None:
    box = [499980, 4990200, 609780, 5100000]
    half = {"type": "Polygon", "coordinates": [[[*box[:2]], [609780, 4990200], [*box[2:]], [*box[:2]]]]}
    sources = []
    for item in (
        without_grid(**{"proj:geometry": half, "proj:bbox": box}),
        without_grid(**{"proj:bbox": box}) | {"bbox": [15.0, 45.06, 16.42, 46.05]},
        without_grid() | {"bbox": [15.0, 45.06, 16.42, 46.05]},
        without_grid() | {"bbox": [15.0, 45.06, 0, 16.42, 46.05, 2000]},
    ):
        row = row_of(item)
        assert (row.xmin, row.ymin, row.xmax) == pytest.approx((15.0, 45.058, 16.42), abs=0.01)
        sources.append(row.geometry_source)
    assert sources == ["proj:geometry", "proj:bbox", "bbox", "bbox"]
    assert set(sources) | {"geometry", "raster grid"} == {source.value for source in GeometrySource}


def test_heights_in_a_footprint_are_dropped() -> None:
    ring = [[15, 45, 7], [16, 45, 7], [16, 46, 7], [15, 45, 7]]
    row = row_of(make_item() | {"geometry": {"type": "Polygon", "coordinates": [ring]}})
    assert not shapely.from_wkb(row.geometry).has_z


def test_latitudes_beyond_82_degrees_are_kept() -> None:
    # Tile 25XEN, whose grid goes up to 83.8 degrees north.
    item = make_item(**{"proj:epsg": 32625, "grid:code": "MGRS-25XEN"}) | {"geometry": None}
    for asset in item["assets"].values():
        asset["proj:transform"] = [asset["proj:transform"][0], 0, 499980, 0, -asset["proj:transform"][0], 9300040]
    by_grid = row_of(item)
    # Corners of the grid by PROJ: the south-east, the north-west and the north-east one.
    assert (by_grid.ymin, by_grid.ymax) == pytest.approx((82.698965, 83.748704), abs=1e-5)
    assert (by_grid.xmin, by_grid.xmax) == pytest.approx((-33.001645, -24.043007), abs=1e-5)
    ring = [[-33, 82.8], [-25, 82.8], [-25, 83.7], [-33, 83.7], [-33, 82.8]]
    row = row_of(item | {"geometry": {"type": "Polygon", "coordinates": [ring]}})
    assert (row.ymin, row.ymax, row.geometry_source) == (82.8, 83.7, "geometry")


def test_an_item_with_neither_geometry_nor_grid_is_rejected() -> None:
    assert reject_of(without_grid()).reason is Reason.NO_GEOMETRY


def test_a_projected_geometry_larger_than_any_scene_is_ignored() -> None:
    item = make_item()
    item["geometry"] = None
    ring = [[0, 0], [1e11, 0], [1e11, 1e11], [0, 1e11], [0, 0]]
    item["properties"]["proj:geometry"] = {"type": "Polygon", "coordinates": [ring]}
    row = normalise(Received(item, None, API))
    assert isinstance(row, StacItemRow)
    assert row.geometry_source == "raster grid"


def with_noise(noise: float, east: float = 0.0) -> dict[str, Any]:
    item = make_item()
    for asset in item["assets"].values():
        gsd, _, west, _, _, north = asset["proj:transform"]
        asset["proj:transform"] = [gsd + noise, noise, west + east + noise, noise, -gsd - noise, north - noise]
    return item


@pytest.mark.parametrize("noise", [1e-10, -1e-10, 1e-13])
def test_what_floating_point_leaves_in_a_transform_is_no_other_lattice(noise: float) -> None:
    assets, exact = row_of(with_noise(noise)).assets, row_of(make_item()).assets
    assert {name: asset.transform for name, asset in assets.items()} == {
        name: asset.transform for name, asset in exact.items()
    }
    whole = make_item(**{"proj:transform": [20 + noise, 0, 499980 + noise, 0, -20 - noise, 5100000]})
    whole["properties"]["proj:shape"] = [5490, 5490]
    for asset in whole["assets"].values():
        del asset["proj:transform"], asset["proj:shape"]
    assert (row_of(whole).assets["blue"].transform, row_of(whole).assets["blue"].shape) == (
        (10, 0, 499980, 0, -10, 5100000),
        (10980, 10980),
    )


@pytest.mark.parametrize(("noise", "east"), [(1e-5, 0.0), (0.0, 2.5), (0.0, 0.02), (1e-10, 10.0)])
def test_more_than_a_thousandth_of_a_pixel_is_off_the_lattice(noise: float, east: float) -> None:
    """1e-5 m a pixel is 11 cm over the width of a tile; 10 m is half a pixel of SCL."""
    reject = reject_of(with_noise(noise, east))
    assert reject.reason is Reason.OFF_LATTICE
    assert "lattice" in reject.detail
