"""What an item becomes: one test for each trap that real providers set."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from stac_items import NORTH, WEST, make_asset, make_item

from chiplake.bands import BAND_NAMES
from ingestion.files import read_items
from ingestion.model import Origin, Reason, Received, Reject, StacItemRow
from ingestion.normalise import normalise, resolve_href
from ingestion.providers import band_of_asset

API = Origin("https://example.com/stac")
ALL_BANDS = {*BAND_NAMES, "scl"}


def row_of(item: Any, origin: Origin = API) -> StacItemRow:
    outcome = normalise(Received(item, None, origin))
    assert isinstance(outcome, StacItemRow), outcome
    return outcome


def reject_of(item: Any, origin: Origin = API) -> Reject:
    outcome = normalise(Received(item, "items.json#0", origin))
    assert isinstance(outcome, Reject), outcome
    return outcome


def outcomes(path: Path) -> dict[str, StacItemRow | Reject]:
    found = [normalise(received) for received in read_items(path)]
    return {outcome.item_id: outcome for outcome in found}


# --- the traps, on what the providers served ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows", "reasons"),
    [
        ("S2A_MSIL2A_20230625T234621_N0509_R073_T01WCS_20230626T022157.json", 1, {}),
        ("S2A_OPER_MSI_L2A_TL_2APS_20230806T022123_A042412_T60VXH.json", 1, {}),
        ("api-page-1.json", 5, {Reason.NOT_SENTINEL_2: 3, Reason.NOT_LEVEL_2A: 2}),
        ("api-page-2.json", 7, {Reason.NOT_LEVEL_2A: 3}),
        ("c1-13TDE-10.json", 10, {}),
        ("cdse-36NYH.json", 1, {}),
        ("e84-31TCJ-boa-mixed.json", 0, {Reason.NO_SCL: 8}),
        ("pc-35MNM-13.geojson", 13, {}),
        ("pc-two-13TDE.json", 2, {}),
    ],
)
def test_every_sample_file_gives_its_rows_and_its_rejects(
    sample_data: Path, name: str, rows: int, reasons: dict[Reason, int]
) -> None:
    found = list(outcomes(sample_data / "stac" / name).values())
    rejects = [outcome.reason for outcome in found if isinstance(outcome, Reject)]
    usable = [outcome for outcome in found if isinstance(outcome, StacItemRow)]
    assert {reason: rejects.count(reason) for reason in set(rejects)} == reasons
    assert len(usable) == rows
    for row in usable:
        assert set(row.assets) == ALL_BANDS
        assert None not in (row.mgrs_tile, row.product_id, row.datatake_id, row.processing_baseline, row.relative_orbit)


def test_offset_flag_and_offset_value_are_both_kept_for_the_models_to_weigh(sample_data: Path) -> None:
    row = outcomes(sample_data / "sentinel-2" / "33TWL-120m")["S2A_33TWL_20230815_0_L2A"]
    assert isinstance(row, StacItemRow)
    assert row.is_boa_offset_applied is True
    assert (row.assets["blue"].scale, row.assets["blue"].offset, row.assets["blue"].nodata) == (0.0001, -0.1, 0)
    assert row.assets["scl"].offset is None


def test_a_folder_of_items_passes_over_the_collection_beside_them(sample_data: Path) -> None:
    found = outcomes(sample_data / "sentinel-2" / "33TWL-120m")
    assert len(found) == 3
    assert all(isinstance(outcome, StacItemRow) for outcome in found.values())


def test_copernicus_data_space_item_gives_code_offset_and_native_bands(sample_data: Path) -> None:
    (row,) = outcomes(sample_data / "stac" / "cdse-36NYH.json").values()
    assert isinstance(row, StacItemRow)
    assert (row.epsg, row.mgrs_tile, row.platform) == (32636, "36NYH", "sentinel-2b")
    assert (row.datatake_id, row.processing_baseline) == ("S2B_20200322T074609", "05.00")
    assert row.datastrip_started_at == datetime(2020, 3, 22, 7, 58, 11, tzinfo=UTC)
    assert row.product_id == "S2B_MSIL2A_20200322T074609_N0500_R135_T36NYH_20230612T214223"
    assert {band: asset.asset_key for band, asset in row.assets.items()} | {"scl": "SCL_20m"} == {
        **{"blue": "B02_10m", "green": "B03_10m", "red": "B04_10m", "nir": "B08_10m", "scl": "SCL_20m"},
        **{"rededge1": "B05_20m", "rededge2": "B06_20m", "rededge3": "B07_20m"},
        **{"nir08": "B8A_20m", "swir16": "B11_20m", "swir22": "B12_20m"},
    }
    assert all(asset.offset == -0.1 for band, asset in row.assets.items() if band != "scl")
    assert all(asset.href.startswith("s3://eodata/") for asset in row.assets.values())


def test_planetary_computer_item_without_offset_has_no_offset_but_a_baseline(sample_data: Path) -> None:
    found = outcomes(sample_data / "stac" / "pc-two-13TDE.json")
    row = found["S2A_MSIL2A_20240823T174901_R141_T13TDE_20240824T013055"]
    assert isinstance(row, StacItemRow)
    assert row.assets["blue"].offset is None
    assert row.is_boa_offset_applied is None
    assert (row.processing_baseline, row.platform, row.mgrs_tile) == ("05.11", "sentinel-2a", "13TDE")
    assert row.product_id == "S2A_MSIL2A_20240823T174901_N0511_R141_T13TDE_20240824T013055"


def test_the_two_parts_of_a_split_pass_share_the_datatake_and_differ_in_the_datastrip() -> None:
    first = row_of(make_item(7))
    second = make_item(7, **{"s2:datastrip_id": "S2A_OPER_MSI_L2A_DS_ATOS_20230808T184259_S20230808T105906_N05.09"})
    part = row_of(second | {"id": "S2A_33TWL_20230808_1_L2A"})
    assert part.datatake_id == first.datatake_id == "S2A_20230808T095031"
    assert first.datastrip_started_at == datetime(2023, 8, 8, 9, 56, 30, tzinfo=UTC)
    assert part.datastrip_started_at == datetime(2023, 8, 8, 10, 59, 6, tzinfo=UTC)


def test_one_scene_in_two_collections_has_one_product_name(sample_data: Path) -> None:
    found = outcomes(sample_data / "stac" / "api-page-1.json")
    old, new = found["S2B_20EPT_20250731_0_L2A"], found["S2B_T20EPT_20250731T131905_L2A"]
    assert isinstance(old, StacItemRow)
    assert isinstance(new, StacItemRow)
    assert (old.product_id, old.datatake_id) == (new.product_id, new.datatake_id)
    assert (old.collection, new.collection) == ("sentinel-2-l2a", "sentinel-2-c1-l2a")
    assert old.nodata_percent == pytest.approx(98.002911)


def test_geotiff_is_taken_where_an_item_has_jpeg_2000_too(sample_data: Path) -> None:
    row = outcomes(sample_data / "stac" / "api-page-2.json")["S2B_24MVV_20250731_0_L2A"]
    assert isinstance(row, StacItemRow)
    assert {Path(asset.href).suffix for asset in row.assets.values()} == {".tif"}


def test_a_multipolygon_at_the_antimeridian_keeps_its_two_parts(sample_data: Path) -> None:
    path = sample_data / "stac" / "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCS_20230626T022157.json"
    (row,) = outcomes(path).values()
    assert isinstance(row, StacItemRow)
    footprint = shapely.from_wkb(row.geometry)
    assert [part.bounds[0::2] for part in footprint.geoms] == [(179.0059, 180.0), (-180.0, -179.197)]


def test_a_polygon_from_minus_180_to_180_is_split_at_the_antimeridian(sample_data: Path) -> None:
    path = sample_data / "stac" / "S2A_OPER_MSI_L2A_TL_2APS_20230806T022123_A042412_T60VXH.json"
    (row,) = outcomes(path).values()
    assert isinstance(row, StacItemRow)
    footprint = shapely.from_wkb(row.geometry)
    assert footprint.geom_type == "MultiPolygon"
    assert footprint.is_valid
    # The ring zigzags over the antimeridian, so there are two parts east of it.
    assert sorted(part.bounds[0::2] for part in footprint.geoms) == [
        (-180.0, pytest.approx(-179.995621, abs=1e-6)),
        (-180.0, pytest.approx(-179.610226, abs=1e-6)),
        (pytest.approx(178.597178, abs=1e-6), 180.0),
    ]
    assert footprint.area < 1.2
    assert row.datatake_id == "S2A_20230805T231601"  # from the product's title: the item names no datatake


# --- the traps, on small items --------------------------------------------------------------------------------


def test_a_usable_item_becomes_a_row_with_every_column() -> None:
    row = row_of(make_item(14))
    assert (row.collection, row.item_id, row.source) == ("sentinel-2-l2a", "S2A_33TWL_20230815_14_L2A", API.source)
    assert row.acquired_at == datetime(2023, 8, 15, 9, 58, 11, 662000, tzinfo=UTC)
    assert row.updated_at == datetime(2023, 8, 15, 21, 18, 57, 67000, tzinfo=UTC)
    assert (row.platform, row.mgrs_tile, row.epsg) == ("sentinel-2a", "33TWL", 32633)
    assert row.product_id == "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057"
    assert (row.datatake_id, row.processing_baseline, row.relative_orbit) == ("S2A_20230815T095031", "05.09", 79)
    assert (row.xmin, row.ymin, row.xmax, row.ymax) == (15.0, 45.06, 16.42, 46.05)
    assert set(row.assets) == ALL_BANDS
    assert row.assets["scl"].transform == (20, 0, WEST, 0, -20, NORTH)
    assert row.assets["nir"].shape == (10980, 10980)
    assert json.loads(row.item) == make_item(14)


def test_the_hash_is_that_of_the_content_and_not_of_its_order() -> None:
    item = make_item()
    turned = json.loads(json.dumps(dict(reversed(item.items()))))
    assert row_of(turned).content_hash == row_of(item).content_hash
    assert row_of(make_item(**{"eo:cloud_cover": 1.5})).content_hash != row_of(item).content_hash


@pytest.mark.parametrize("code", ["EPSG:32633", "epsg:32633", "32633", 32633, 32633.0])
def test_the_projection_is_found_under_both_names(code: object) -> None:
    assert row_of(make_item(**{"proj:epsg": None, "proj:code": code})).epsg == 32633


def test_the_projection_may_be_on_the_assets() -> None:
    item = make_item(**{"proj:epsg": None})
    item["assets"]["scl"]["proj:code"] = "EPSG:32633"
    assert row_of(item).epsg == 32633


@pytest.mark.parametrize(
    ("properties", "item_id", "tile"),
    [
        ({"grid:code": "MGRS-1CCV"}, "x", "01CCV"),
        ({"grid:code": None, "s2:mgrs_tile": "33TWL"}, "x", "33TWL"),
        (
            {"grid:code": None, "mgrs:utm_zone": 5, "mgrs:latitude_band": "Q", "mgrs:grid_square": "KB"},
            "S2A_x_L2A",
            "05QKB",
        ),
        ({"grid:code": None}, "x", "33TWL"),
        ({"grid:code": None, "s2:product_uri": None}, "S2A_33TWL_20230815_0_L2A", "33TWL"),
        ({"grid:code": None, "s2:product_uri": None}, "S2A_T33TWL_20230815T095630_L2A", "33TWL"),
    ],
)
def test_the_tile_is_found_wherever_a_provider_puts_it(properties: dict[str, Any], item_id: str, tile: str) -> None:
    assert row_of(make_item(**properties) | {"id": item_id}).mgrs_tile == tile


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, "S2A_20230801T095031"),
        ({"s2:datatake_id": None, "eopf:datatake_id": "GS2C_20230801T095033_1_N05.09"}, "S2C_20230801T095033"),
        ({"s2:datatake_id": None}, "S2A_20230801T095031"),
        ({"s2:datatake_id": None, "s2:product_uri": None}, "S2A_20230801T095811"),
    ],
)
def test_the_datatake_is_named_alike_whatever_names_it(properties: dict[str, Any], expected: str) -> None:
    assert row_of(make_item(**properties)).datatake_id == expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"s2:processing_baseline": None, "processing:version": "05.00"}, "05.00"),
        ({"s2:processing_baseline": 5.1}, "05.10"),
        ({"s2:processing_baseline": "4.0"}, "04.00"),
        ({"s2:processing_baseline": None}, "05.09"),
        ({"s2:processing_baseline": None, "s2:product_uri": None}, "05.09"),
        (
            {"s2:processing_baseline": None, "s2:product_uri": None, "s2:datatake_id": None, "s2:datastrip_id": None},
            None,
        ),
    ],
)
def test_the_baseline_is_written_alike_whatever_states_it(properties: dict[str, Any], expected: str | None) -> None:
    assert row_of(make_item(**properties)).processing_baseline == expected


def test_a_collection_1_id_tells_the_datastrip_where_no_property_does() -> None:
    item = make_item(**{"s2:datastrip_id": None}) | {"id": "S2A_T33TWL_20230815T095630_L2A"}
    assert row_of(item).datastrip_started_at == datetime(2023, 8, 15, 9, 56, 30, tzinfo=UTC)
    assert row_of(make_item(**{"s2:datastrip_id": None})).datastrip_started_at is None


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("blue", ("blue", None)),
        ("B02", ("blue", None)),
        ("B02_10m", ("blue", 10)),
        ("blue-jp2", ("blue", None)),
        ("SCL_20m", ("scl", 20)),
        ("B8A", ("nir08", None)),
        ("visual", None),
        ("B01_20m", None),
        ("aot_10m", None),
    ],
)
def test_asset_keys_of_all_providers_name_their_band(key: str, expected: tuple[str, int | None] | None) -> None:
    assert band_of_asset(key) == expected


def test_a_band_at_a_coarser_resolution_is_not_taken_for_the_band() -> None:
    item = make_item()
    item["assets"]["blue_20m"] = item["assets"].pop("blue")
    assert "blue" not in row_of(item).assets


def test_stac_1_1_bands_and_plain_offsets_are_read_as_those_of_1_0() -> None:
    item = make_item()
    plain = {"raster:bands": None, "raster:scale": 0.0001, "raster:offset": -0.1, "nodata": 0}
    item["assets"]["red"] = make_asset("B04", 10, **plain)
    item["assets"]["green"] = make_asset("B03", 10, **{"raster:bands": None, "bands": [plain]})
    row = row_of(item)
    for band in ("red", "green", "blue"):
        assert (row.assets[band].scale, row.assets[band].offset, row.assets[band].nodata) == (0.0001, -0.1, 0)


def test_a_grid_stated_once_for_the_item_holds_for_each_resolution() -> None:
    item = make_item(**{"proj:transform": [10, 0, WEST, 0, -10, NORTH, 0, 0, 1], "proj:shape": [10980, 10980]})
    for asset in item["assets"].values():
        del asset["proj:transform"], asset["proj:shape"]
    row = row_of(item)
    assert row.assets["blue"].transform == (10, 0, WEST, 0, -10, NORTH)
    assert row.assets["scl"].transform == (20, 0, WEST, 0, -20, NORTH)
    assert (row.assets["blue"].shape, row.assets["scl"].shape) == ((10980, 10980), (5490, 5490))


@pytest.mark.parametrize("geometry", [None, {}, {"type": "Polygon", "coordinates": [[[1, 2]]]}, {"type": "Point"}, 7])
def test_a_missing_geometry_is_that_of_the_grid(geometry: object) -> None:
    row = row_of(make_item() | {"geometry": geometry})
    # Corners of the tile by an independent calculation (PROJ, EPSG:32633 to 4326).
    assert (row.xmin, row.ymin) == (pytest.approx(14.999742, abs=1e-5), pytest.approx(45.057, abs=1e-3))
    assert (row.xmax, row.ymax) == (pytest.approx(16.4195, abs=1e-3), pytest.approx(46.0536, abs=1e-3))


def test_a_missing_geometry_at_the_antimeridian_is_split_too() -> None:
    item = make_item(**{"proj:epsg": 32660}) | {"geometry": None}
    for asset in item["assets"].values():
        asset["proj:transform"] = [asset["proj:transform"][0], 0, 600000, 0, -asset["proj:transform"][0], 6300000]
    footprint = shapely.from_wkb(row_of(item).geometry)
    assert footprint.geom_type == "MultiPolygon"
    assert (footprint.bounds[0], footprint.bounds[2]) == (-180, 180)
    assert footprint.area < 3


def test_a_footprint_that_crosses_itself_is_made_valid() -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[15, 45], [16, 46], [16, 45], [15, 46], [15, 45]]]}
    footprint = shapely.from_wkb(row_of(make_item() | {"geometry": bow_tie}).geometry)
    assert footprint.is_valid
    assert footprint.area == pytest.approx(0.5)


def test_heights_in_a_footprint_are_dropped() -> None:
    ring = [[15, 45, 7], [16, 45, 7], [16, 46, 7], [15, 45, 7]]
    row = row_of(make_item() | {"geometry": {"type": "Polygon", "coordinates": [ring]}})
    assert not shapely.from_wkb(row.geometry).has_z


def test_latitudes_beyond_82_degrees_are_kept() -> None:
    ring = [[-40, 82.1], [-30, 82.1], [-30, 83.2], [-40, 83.2], [-40, 82.1]]
    row = row_of(make_item() | {"geometry": {"type": "Polygon", "coordinates": [ring]}})
    assert (row.ymin, row.ymax) == (82.1, 83.2)


def test_an_item_of_stac_0_8_becomes_a_row() -> None:
    item = make_item(**{"s2:product_type": None, "s2:processing_baseline": None, "grid:code": None, "updated": None})
    item["properties"] |= {"sentinel:utm_zone": 33, "sentinel:latitude_band": "T", "sentinel:grid_square": "WL"}
    item["properties"]["sentinel:boa_offset_applied"] = False
    item |= {"stac_version": "0.8.1", "collection": "sentinel-s2-l2a-cogs"}
    item["assets"] = {"SCL": item["assets"]["scl"], "B02": item["assets"]["blue"]}
    row = row_of(item)
    assert (row.mgrs_tile, row.is_boa_offset_applied, set(row.assets)) == ("33TWL", False, {"scl", "blue"})


def test_an_item_without_collection_has_a_name_for_it_all_the_same() -> None:
    item = make_item() | {"collection": None}
    assert row_of(item).collection == "unknown"
    named = normalise(Received(item, None, API), default_collection="mine")
    assert isinstance(named, StacItemRow)
    assert named.collection == "mine"


# --- rejects --------------------------------------------------------------------------------------------------


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    item = make_item()
    place = item
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return item


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, Reason.NOT_AN_ITEM),
        ([], Reason.NOT_AN_ITEM),
        ("text", Reason.NOT_AN_ITEM),
        ({"type": "Collection"}, Reason.NOT_AN_ITEM),
        (changed(("assets",), None), Reason.NOT_AN_ITEM),
        (changed(("properties", "eo:cloud_cover"), float("nan")), Reason.INVALID_JSON),
        (changed(("id",), None), Reason.NO_ID),
        (changed(("id",), ""), Reason.NO_ID),
        (changed(("properties", "platform"), "sentinel-1a"), Reason.NOT_SENTINEL_2),
        (changed(("properties", "platform"), "landsat-8"), Reason.NOT_SENTINEL_2),
        (changed(("properties", "s2:product_type"), "S2MSI1C"), Reason.NOT_LEVEL_2A),
        (changed(("properties", "datetime"), None), Reason.NO_DATETIME),
        (changed(("properties", "datetime"), "yesterday"), Reason.NO_DATETIME),
        (changed(("properties", "proj:epsg"), None), Reason.NO_PROJECTION),
        (changed(("properties", "proj:epsg"), 4326), Reason.NO_PROJECTION),
        (changed(("assets",), {"blue": make_asset()}), Reason.NO_SCL),
        (changed(("assets",), {"blue": make_asset(), "SCL_60m": make_asset()}), Reason.NO_SCL),
        (changed(("assets",), {"scl": make_asset("SCL", 20)}), Reason.NO_BAND),
        (changed(("assets", "red", "href"), "ftp://example.com/B04.tif"), Reason.UNSUPPORTED_HREF),
        (changed(("assets", "red", "href"), "/etc/passwd"), Reason.UNSUPPORTED_HREF),
        (changed(("assets", "red", "href"), "B04.tif"), Reason.UNSUPPORTED_HREF),
        (changed(("assets", "red", "href"), None), Reason.UNSUPPORTED_HREF),
        (changed(("assets", "red", "proj:transform"), [10, 0, WEST + 5, 0, -10, NORTH]), Reason.OFF_LATTICE),
        (changed(("assets", "red", "proj:transform"), [10, 1, WEST, 1, -10, NORTH]), Reason.OFF_LATTICE),
        (changed(("assets", "red", "proj:transform"), [20, 0, WEST, 0, -20, NORTH]), Reason.OFF_LATTICE),
        (changed(("assets", "red", "proj:transform"), [WEST, 10, 0, NORTH, 0, -10]), Reason.OFF_LATTICE),
    ],
)
def test_what_cannot_be_used_is_rejected_for_its_reason(item: Any, reason: Reason) -> None:
    assert reject_of(item).reason is reason


def test_an_item_with_neither_geometry_nor_grid_is_rejected() -> None:
    item = make_item() | {"geometry": None}
    for asset in item["assets"].values():
        del asset["proj:transform"]
    assert reject_of(item).reason is Reason.NO_GEOMETRY


def test_a_reject_keeps_what_was_received_and_where_it_stood() -> None:
    reject = reject_of({"type": "Feature", "properties": {}, "assets": {}})
    assert (reject.item_id, reject.collection) == ("items.json#0", "unknown")
    assert json.loads(reject.item) == {"type": "Feature", "properties": {}, "assets": {}}
    assert len(reject.content_hash) == 64
    unplaced = normalise(Received({}, None, API))
    assert unplaced.item_id.startswith("sha256:")


# --- hrefs ----------------------------------------------------------------------------------------------------

OWN_FILE = Origin("/data/a/item.json", "/data/a", is_own_file=True)
IN_COLLECTION = Origin("/data/a/items.json", "/data/a")
SELF = {"links": [{"rel": "self", "href": "s3://bucket/tiles/item.json"}]}


@pytest.mark.parametrize(
    ("href", "item", "origin", "expected"),
    [
        ("https://example.com/a.tif", {}, API, "https://example.com/a.tif"),
        ("s3://bucket/a.tif", {}, API, "s3://bucket/a.tif"),
        ("./a.tif", SELF, API, "s3://bucket/tiles/a.tif"),
        ("../a.tif", SELF, IN_COLLECTION, "s3://bucket/a.tif"),
        ("a.tif", {}, IN_COLLECTION, "/data/a/a.tif"),
        ("./b/a.tif", SELF, OWN_FILE, "/data/a/b/a.tif"),
        ("/abs/a.tif", {}, OWN_FILE, "/abs/a.tif"),
        ("file:///abs/a%20b.tif", {}, OWN_FILE, "/abs/a b.tif"),
        ("file:///abs/a.tif", {}, API, None),
        ("/abs/a.tif", {}, API, None),
        ("/vsicurl/http://169.254.169.254/", {}, OWN_FILE, None),
        ("//vsizip/a.zip", {}, OWN_FILE, None),
        ("../../vsimem/a.tif", {}, OWN_FILE, None),
        ("gs://bucket/a.tif", {}, OWN_FILE, None),
        ("javascript:alert(1)", {}, OWN_FILE, None),
        ("https:///a.tif", {}, API, None),
        ("https://[bad/a.tif", {}, API, None),
        ("https://example.com/a.tif\nX", {}, API, None),
        ("a.tif", {"links": [{"rel": "self", "href": "file:///etc/item.json"}]}, API, None),
        (7, {}, API, None),
    ],
)
def test_only_hrefs_that_a_reader_may_open_are_resolved(
    href: object, item: dict[str, Any], origin: Origin, expected: str | None
) -> None:
    assert resolve_href(href, item, origin) == expected


# --- anything -------------------------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda values: st.lists(values, max_size=7) | st.dictionaries(st.text(max_size=8), values, max_size=4),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_no_json_makes_normalising_fail(value: Any) -> None:
    assert isinstance(normalise(Received(value, None, API)), Reject)


@settings(max_examples=300)
@given(st.data(), JSON_VALUES)
def test_no_damage_to_an_item_makes_normalising_fail(data: st.DataObject, value: Any) -> None:
    item = copy.deepcopy(make_item())
    place: Any = item
    while True:
        name = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[name]
        if not inner or not isinstance(inner, dict | list) or data.draw(st.booleans()):
            place[name] = value
            break
        place = inner
    outcome = normalise(Received(item, None, API))
    assert isinstance(outcome, StacItemRow | Reject)
    if isinstance(outcome, StacItemRow):
        assert shapely.from_wkb(outcome.geometry).is_valid
        assert -180 <= outcome.xmin < outcome.xmax <= 180
