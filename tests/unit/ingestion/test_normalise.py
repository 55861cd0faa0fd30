"""What an item becomes: one test for each trap that real providers set."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stac_items import NORTH, WEST, make_asset, make_item

from ingestion.item.canonical_json import canonical_json
from ingestion.item.hrefs import resolve_href
from ingestion.item.normalise import normalise
from ingestion.item.providers import band_of_asset
from ingestion.model import GeometrySource, Origin, Reason, Received, Reject, StacItemRow
from ingestion.sources.local_files import read_items
from lakehouse.bands import BAND_NAMES, BANDS
from lakehouse.redaction import without_secrets
from lakehouse.settings import PROJECT_DIR

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


def test_trap_offset_flag_and_raster_offset_both_are_kept_for_the_models_to_weigh(sample_data: Path) -> None:
    row = outcomes(sample_data / "sentinel-2" / "33TWL-120m")["S2A_33TWL_20230815_0_L2A"]
    assert isinstance(row, StacItemRow)
    assert row.is_boa_offset_applied is True
    assert (row.assets["blue"].scale, row.assets["blue"].offset, row.assets["blue"].nodata) == (0.0001, -0.1, 0)
    assert row.assets["scl"].offset is None


def test_a_folder_of_items_passes_over_the_collection_beside_them(sample_data: Path) -> None:
    found = outcomes(sample_data / "sentinel-2" / "33TWL-120m")
    assert len(found) == 3
    assert all(isinstance(outcome, StacItemRow) for outcome in found.values())


def test_trap_copernicus_data_space_1_1_with_proj_code_raster_offset_keys_and_jpeg_2000(sample_data: Path) -> None:
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


def test_trap_planetary_computer_without_offset_has_a_baseline(sample_data: Path) -> None:
    found = outcomes(sample_data / "stac" / "pc-two-13TDE.json")
    row = found["S2A_MSIL2A_20240823T174901_R141_T13TDE_20240824T013055"]
    assert isinstance(row, StacItemRow)
    assert row.assets["blue"].offset is None
    assert row.is_boa_offset_applied is None
    assert (row.processing_baseline, row.platform, row.mgrs_tile) == ("05.11", "sentinel-2a", "13TDE")
    assert row.product_id == "S2A_MSIL2A_20240823T174901_N0511_R141_T13TDE_20240824T013055"


def test_trap_parts_0_and_1_of_a_pass_share_the_datatake_and_differ_in_the_datastrip() -> None:
    first = row_of(make_item(7))
    second = make_item(7, **{"s2:datastrip_id": "S2A_OPER_MSI_L2A_DS_ATOS_20230808T184259_S20230808T105906_N05.09"})
    part = row_of(second | {"id": "S2A_33TWL_20230808_1_L2A"})
    assert part.datatake_id == first.datatake_id == "S2A_20230808T095031"
    assert first.datastrip_started_at == datetime(2023, 8, 8, 9, 56, 30, tzinfo=UTC)
    assert part.datastrip_started_at == datetime(2023, 8, 8, 10, 59, 6, tzinfo=UTC)


def test_trap_same_scene_in_two_collections_has_one_product_name(sample_data: Path) -> None:
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


def test_trap_antimeridian_multipolygon_keeps_its_two_parts(sample_data: Path) -> None:
    path = sample_data / "stac" / "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCS_20230626T022157.json"
    (row,) = outcomes(path).values()
    assert isinstance(row, StacItemRow)
    footprint = shapely.from_wkb(row.geometry)
    assert sorted(part.bounds[0::2] for part in footprint.geoms) == [(-180.0, -179.197), (179.0059, 180.0)]
    # As in GeoJSON's bbox, which this item has: from the west edge to the east edge, never round the globe.
    assert (row.xmin, row.ymin, row.xmax, row.ymax) == pytest.approx((179.0059, 68.372483, -179.197, 69.394461))
    assert row.geometry_source == "geometry"


def test_trap_one_polygon_from_minus_180_to_180_is_split_at_the_antimeridian(sample_data: Path) -> None:
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
    assert (row.xmin, row.xmax) == pytest.approx((178.597178, -179.610226), abs=1e-6)
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
    assert row.datastrip_id == "S2A_OPER_MSI_L2A_DS_2APS_20230815T155057_S20230815T095630_N05.09"
    assert (row.xmin, row.ymin, row.xmax, row.ymax) == (15.0, 45.06, 16.42, 46.05)
    assert row.geometry_source == "geometry"
    assert set(row.assets) == ALL_BANDS
    assert row.assets["scl"].transform == (20, 0, WEST, 0, -20, NORTH)
    assert row.assets["nir"].shape == (10980, 10980)
    assert json.loads(row.item) == make_item(14)
    assert row.extra == {}


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
        ("B8", ("nir", None)),
        ("T33TWL_20230815T095031_B11_20m", ("swir16", 20)),
        ("my_blue", None),
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
def test_trap_geometry_null_is_that_of_the_grid(geometry: object) -> None:
    row = row_of(make_item() | {"geometry": geometry})
    # Corners of the tile by an independent calculation (PROJ, EPSG:32633 to 4326).
    assert (row.xmin, row.ymin) == (pytest.approx(14.999742, abs=1e-5), pytest.approx(45.057, abs=1e-3))
    assert (row.xmax, row.ymax) == (pytest.approx(16.4195, abs=1e-3), pytest.approx(46.0536, abs=1e-3))


def test_a_missing_geometry_at_the_antimeridian_is_split_too() -> None:
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


def test_a_footprint_that_crosses_itself_becomes_its_hull_which_covers_every_reading_of_it() -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[15, 45], [16, 46], [16, 45], [15, 46], [15, 45]]]}
    footprint = shapely.from_wkb(row_of(make_item() | {"geometry": bow_tie}).geometry)
    assert footprint.equals(shapely.box(15, 45, 16, 46))


def swapped(coordinates: Any) -> Any:
    return [swapped(entry) if isinstance(entry[0], list) else entry[::-1] for entry in coordinates]


METRES = [[[499980, 4990200], [609780, 4990200], [609780, 5100000], [499980, 5100000], [499980, 4990200]]]


@pytest.mark.parametrize(
    "coordinates", [swapped(make_item()["geometry"]["coordinates"]), METRES, [[[0, 0], [1, 0], [1, 1], [0, 0]]]]
)
def test_a_geometry_that_lies_elsewhere_than_the_grid_is_replaced_by_the_grid(coordinates: Any) -> None:
    row = row_of(make_item() | {"geometry": {"type": "Polygon", "coordinates": coordinates}})
    assert (row.xmin, row.ymin) == (pytest.approx(14.999742, abs=1e-5), pytest.approx(45.057, abs=1e-3))
    assert row.geometry_source == "raster grid"


def test_every_source_of_a_footprint_is_an_accepted_value() -> None:
    document = yaml.safe_load((PROJECT_DIR / "models" / "staging" / "_staging__sources.yml").read_text())
    columns = {column["name"]: column for table in document["sources"][0]["tables"] for column in table["columns"]}
    (test,) = columns["geometry_source"]["data_tests"]
    assert test["accepted_values"]["arguments"]["values"] == [source.value for source in GeometrySource]


def test_a_raster_that_was_cut_out_of_its_tile_keeps_the_footprint_of_the_tile() -> None:
    item = make_item()
    for asset in item["assets"].values():
        gsd = asset["proj:transform"][0]
        asset |= {"proj:transform": [gsd, 0, 589980, 0, -gsd, 5010000], "proj:shape": [10240 // gsd, 20480 // gsd]}
    assert row_of(item).geometry_source == "geometry"


def without_grid(**properties: Any) -> dict[str, Any]:
    item = make_item(**properties) | {"geometry": None, "bbox": None}
    for asset in item["assets"].values():
        del asset["proj:transform"], asset["proj:shape"]
    return item


def test_a_footprint_comes_from_what_the_item_has_in_a_fixed_order() -> None:
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


def test_trap_latitudes_beyond_82_degrees_are_kept() -> None:
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


def test_trap_stac_0_8_item_becomes_a_row() -> None:
    item = make_item(**{"s2:product_type": None, "s2:processing_baseline": None, "grid:code": None, "updated": None})
    item["properties"] |= {"sentinel:utm_zone": 33, "sentinel:latitude_band": "T", "sentinel:grid_square": "WL"}
    item["properties"]["sentinel:boa_offset_applied"] = False
    item |= {"stac_version": "0.8.1", "collection": "sentinel-s2-l2a-cogs"}
    item["assets"] = {"SCL": item["assets"]["scl"], "B02": item["assets"]["blue"]}
    row = row_of(item)
    assert (row.mgrs_tile, row.is_boa_offset_applied, set(row.assets)) == ("33TWL", False, {"scl", "blue"})


def test_trap_sentinel_1_among_the_results_is_rejected(sample_data: Path) -> None:
    found = outcomes(sample_data / "stac" / "api-page-1.json")
    others = [outcome for name, outcome in found.items() if name.startswith("S1")]
    assert len(others) == 3
    assert {outcome.reason for outcome in others if isinstance(outcome, Reject)} == {Reason.NOT_SENTINEL_2}


def test_trap_bare_json_list_of_items(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([make_item(0), make_item(1)]))
    assert [type(outcome) for outcome in outcomes(path).values()] == [StacItemRow, StacItemRow]


def in_stac_1_1(item: dict[str, Any]) -> dict[str, Any]:
    """The same facts in the words of STAC 1.1 and its extensions' second versions."""
    new = copy.deepcopy(item) | {"stac_version": "1.1.0"}
    new["properties"]["proj:code"] = f"EPSG:{new['properties'].pop('proj:epsg')}"
    for asset in new["assets"].values():
        (old,) = asset.pop("raster:bands")
        asset |= {name if name == "nodata" else f"raster:{name}": value for name, value in old.items()}
    return new


def test_trap_same_id_in_stac_1_0_and_1_1_gives_the_same_facts() -> None:
    old, new = row_of(make_item()), row_of(in_stac_1_1(make_item()))
    assert new.key == old.key
    assert new.content_hash != old.content_hash  # two versions of one item
    assert (new.assets, new.epsg) == (old.assets, old.epsg)


def test_trap_99_percent_nodata_is_kept_and_stated(sample_data: Path) -> None:
    row = outcomes(sample_data / "stac" / "api-page-1.json")["S2B_20EPT_20250731_0_L2A"]
    assert isinstance(row, StacItemRow)
    assert row.nodata_percent == pytest.approx(98.002911)
    almost = row_of(make_item(**{"s2:nodata_pixel_percentage": 99.97}))
    assert almost.nodata_percent == 99.97


def test_trap_flags_that_lie_are_kept_beside_what_they_contradict() -> None:
    """The flag says that the offset was added, the rasters that it was not: a user's override decides."""
    row = row_of(make_item(**{"earthsearch:boa_offset_applied": True}))
    assert (row.is_boa_offset_applied, row.assets["blue"].offset, row.processing_baseline) == (True, -0.1, "05.09")
    for value in ("true", 1, None):
        assert row_of(make_item(**{"earthsearch:boa_offset_applied": value})).is_boa_offset_applied is None


# --- providers ------------------------------------------------------------------------------------------------

SAS = (
    "st=2024-01-01T00%3A00%3A00Z&se=2024-01-02&sp=rl&sv=2021-06-08&sr=c&skoid=a&sktid=b&skt=c&ske=d&sks=b&skv=e"
    "&sig=S3CRET%3D"
)
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
JP2 = "image/jp2"
CODES = {band.name: band.code for band in BANDS}
FOOTPRINT = make_item()["geometry"]


def raster(href: str, pixel: int, /, **members: Any) -> dict[str, Any]:
    size = 109_800 // pixel
    grid = {"proj:shape": [size, size], "proj:transform": [pixel, 0, WEST, 0, -pixel, NORTH]}
    return {"href": href, "type": COG} | grid | members


def skeleton(item_id: str, properties: dict[str, Any], assets: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "geometry": FOOTPRINT,
        "properties": {"datetime": "2023-08-15T09:58:11.662Z", **properties},
        "assets": assets,
        "links": [],
        **members,
    }


def earth_search_v0() -> dict[str, Any]:
    """`sentinel-s2-l2a-cogs`: codes as keys, nine numbers in the transform, no datatake and no offset."""
    bands = {
        band.code: raster(
            f"https://sentinel-cogs.s3.us-west-2.amazonaws.com/x/{band.code}.tif",
            band.gsd,
            **{"proj:transform": [band.gsd, 0, WEST, 0, -band.gsd, NORTH, 0, 0, 1], "gsd": band.gsd},
            **{"eo:bands": [{"name": band.code, "common_name": band.name.rstrip("123")}]},
        )
        for band in BANDS
    }
    tri = [{"name": name, "common_name": name} for name in ("red", "green", "blue")]
    others = {
        "overview": raster("https://x.com/L2A_PVI.tif", 10, gsd=10, **{"eo:bands": tri}),
        "thumbnail": {"href": "https://roda.sentinel-hub.com/x/preview.jpg", "type": "image/png"},
        "B01": raster("https://x.com/B01.tif", 60, gsd=60),
        "SCL": raster("https://sentinel-cogs.s3.us-west-2.amazonaws.com/x/SCL.tif", 20),
    }
    properties = {
        **{"platform": "sentinel-2a", "constellation": "sentinel-2", "gsd": 10, "proj:epsg": 32633},
        **{"sentinel:utm_zone": 33, "sentinel:latitude_band": "T", "sentinel:grid_square": "WL"},
        **{"sentinel:product_id": "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057"},
        **{"sentinel:processing_baseline": "05.09", "sentinel:boa_offset_applied": True, "sentinel:sequence": "0"},
    }
    collection = {"stac_version": "1.0.0-beta.2", "collection": "sentinel-s2-l2a-cogs"}
    return skeleton("S2A_33TWL_20230815_0_L2A", properties, others | bands, **collection)


def earth_search_v1() -> dict[str, Any]:
    """`sentinel-2-l2a`: common names as keys, the same once more in JPEG 2000, flag and raster offset both."""
    facts = {"raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]}
    assets = {"visual": raster("https://x.com/TCI.tif", 10, **{"eo:bands": [{"name": "B04"}] * 3})}
    for band in BANDS:
        assets[f"{band.name}-jp2"] = raster(f"s3://sentinel-s2-l2a/x/{band.code}.jp2", band.gsd, type=JP2, **facts)
        assets[band.name] = raster(f"https://sentinel-cogs.s3.amazonaws.com/x/{band.code}.tif", band.gsd, **facts)
    assets["scl-jp2"] = raster("s3://sentinel-s2-l2a/x/SCL.jp2", 20, type=JP2)
    assets["scl"] = raster("https://sentinel-cogs.s3.amazonaws.com/x/SCL.tif", 20)
    properties = {
        **{"platform": "sentinel-2a", "proj:code": "EPSG:32633", "grid:code": "MGRS-33TWL"},
        **{"s2:product_uri": "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057.SAFE"},
        **{"s2:processing_baseline": "05.09", "s2:product_type": "S2MSI2A", "earthsearch:boa_offset_applied": True},
        **{"s2:datatake_id": "GS2A_20230815T095031_042547_N05.09"},
    }
    return skeleton("S2A_33TWL_20230815_0_L2A", properties, assets, collection="sentinel-2-l2a")


def earth_search_c1() -> dict[str, Any]:
    """`sentinel-2-c1-l2a`: as v1, but no JPEG 2000 and no flag; the id tells the datastrip."""
    item = earth_search_v1() | {"id": "S2A_T33TWL_20230815T095630_L2A", "collection": "sentinel-2-c1-l2a"}
    del item["properties"]["earthsearch:boa_offset_applied"]
    item["assets"] = {key: asset for key, asset in item["assets"].items() if not key.endswith("-jp2")}
    return item


def planetary_computer() -> dict[str, Any]:
    """Codes as keys, no offset, and an id that leaves the baseline out."""
    assets = {
        band.code: raster(
            f"https://sentinel2l2a01.blob.core.windows.net/x/{band.code}_{band.gsd}m.tif?{SAS}",
            band.gsd,
            **{"gsd": band.gsd, "eo:bands": [{"name": band.code, "common_name": band.name}]},
        )
        for band in BANDS
    }
    assets["SCL"] = raster(f"https://sentinel2l2a01.blob.core.windows.net/x/SCL_20m.tif?{SAS}", 20)
    assets["preview"] = raster("https://sentinel2l2a01.blob.core.windows.net/x/PVI.tif", 320, roles=["thumbnail"])
    properties = {
        **{"platform": "Sentinel-2A", "constellation": "Sentinel 2", "proj:epsg": 32633, "s2:mgrs_tile": "33TWL"},
        **{"s2:product_uri": "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057.SAFE"},
        **{"s2:processing_baseline": "05.09", "s2:product_type": "S2MSI2A"},
        **{"s2:datatake_id": "GS2A_20230815T095031_042547_N05.09"},
    }
    item_id = "S2A_MSIL2A_20230815T095031_R079_T33TWL_20230815T155057"
    return skeleton(item_id, properties, assets, collection="sentinel-2-l2a")


def copernicus_data_space() -> dict[str, Any]:
    """STAC 1.1: resolutions in the keys, JPEG 2000, code and offset on the assets."""
    assets = {}
    for band in (*BANDS, None):
        for gsd in (10, 20, 60):
            code = band.code if band else "SCL"
            assets[f"{code}_{gsd}m"] = raster(
                f"s3://eodata/x/T33TWL_20230815T095031_{code}_{gsd}m.jp2",
                gsd,
                **{"type": JP2, "proj:code": "EPSG:32633", "gsd": gsd, "nodata": 0},
                **({"raster:scale": 0.0001, "raster:offset": -0.1, "bands": [{"name": code}]} if band else {}),
            )
    properties = {
        **{"platform": "sentinel-2a", "grid:code": "MGRS-33TWL", "product:type": "S2MSI2A"},
        **{"processing:version": "05.09", "eopf:datatake_id": "GS2A_20230815T095031_042547_N05.09"},
        **{"sat:relative_orbit": 79, "statistics": {"nodata": 1.5}},
    }
    item_id = "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057"
    return skeleton(item_id, properties, assets, collection="sentinel-2-l2a", stac_version="1.1.0")


CLASSES = [{"value": 4, "name": "vegetation"}, {"value": 5, "name": "not_vegetated"}, {"value": 6, "name": "water"}]


def free_keys(stac_1_1: bool) -> dict[str, Any]:
    """Keys that say nothing, as the USGS and many home-made catalogues have: the bands are described instead."""
    assets = {
        "browse": raster("https://x.com/browse.tif", 10, **{"eo:bands": [{"name": "B02"}]}),
        "picture": raster("https://x.com/p.tif", 10, roles=["overview"], **{"eo:bands": [{"name": "B02"}]}),
        "three": raster("https://x.com/3.tif", 10, **{"eo:bands": [{"name": "B02"}, {"name": "B03"}]}),
        "haze": raster("https://x.com/h.tif", 10, **{"eo:bands": [{"name": "B01", "common_name": "coastal"}]}),
        "edge": raster("https://x.com/e.tif", 20, **{"eo:bands": [{"name": "x", "common_name": "rededge"}]}),
        "bytes": raster(
            "https://x.com/8.tif", 10, **{"eo:bands": [{"name": "B02"}], "raster:bands": [{"data_type": "uint8"}]}
        ),
        "small_2": raster("https://x.com/s2.tif", 60, **{"eo:bands": [{"name": "B02", "common_name": "blue"}]}),
    }
    for number, band in enumerate(BANDS):
        described: dict[str, Any] = {"name": band.code, "common_name": band.name}
        if number % 2:
            described = {"name": f"layer {number}", "eo:common_name" if stac_1_1 else "common_name": band.name}
        facts: dict[str, Any] = {"bands" if stac_1_1 else "eo:bands": [described]}
        facts |= {"proj:transform": None, "gsd": band.gsd} if number == 3 else {}
        assets[f"file_{number}"] = raster(f"https://x.com/{number}.tif", band.gsd, **facts)
    classes = {"classification:classes": CLASSES}
    assets["classes"] = raster("https://x.com/c.tif", 20, **(classes if stac_1_1 else {"raster:bands": [classes]}))
    properties = {
        **{"platform": "Sentinel-2A", "proj:epsg": 32633, "s2:processing_baseline": "05.09"},
        **{"s2:product_uri": "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057.SAFE"},
    }
    return skeleton("mine", properties, assets, stac_version="1.1.0" if stac_1_1 else "1.0.0")


@pytest.mark.parametrize(
    ("item", "keys", "offset", "passed_over"),
    [
        (earth_search_v0(), CODES | {"scl": "SCL"}, None, ()),
        (earth_search_v1(), {name: name for name in (*BAND_NAMES, "scl")}, -0.1, ("blue-jp2",)),
        (earth_search_c1(), {name: name for name in (*BAND_NAMES, "scl")}, -0.1, ()),
        (planetary_computer(), CODES | {"scl": "SCL"}, None, ()),
        (
            copernicus_data_space(),
            {band.name: f"{band.code}_{band.gsd}m" for band in BANDS} | {"scl": "SCL_20m"},
            -0.1,
            (),
        ),
        (free_keys(False), {name: f"file_{n}" for n, name in enumerate(BAND_NAMES)} | {"scl": "classes"}, None, ()),
        (free_keys(True), {name: f"file_{n}" for n, name in enumerate(BAND_NAMES)} | {"scl": "classes"}, None, ()),
    ],
    ids=[
        "Earth Search v0",
        "Earth Search v1",
        "Earth Search c1",
        "Planetary Computer",
        "Copernicus Data Space",
        "free keys in STAC 1.0, as of the USGS",
        "free keys in STAC 1.1, home-made",
    ],
)
def test_the_item_of_a_provider_lands_right(
    item: dict[str, Any], keys: dict[str, str], offset: float | None, passed_over: tuple[str, ...]
) -> None:
    row = row_of(item)
    assert {band: asset.asset_key for band, asset in row.assets.items()} == keys
    assert row.assets["blue"].offset == offset
    assert row.assets["blue"].passed_over == passed_over
    assert row.assets["scl"].offset is None
    assert row.assets["blue"].transform == (10, 0, WEST, 0, -10, NORTH)
    assert (row.mgrs_tile, row.epsg, row.platform) == ("33TWL", 32633, "sentinel-2a")
    assert (row.datatake_id, row.processing_baseline, row.relative_orbit) == ("S2A_20230815T095031", "05.09", 79)
    assert row.product_id is not None
    assert row.product_id.startswith("S2A_MSIL2A_20230815T095031_")
    assert not any("sig=" in asset.href for asset in row.assets.values())
    assert row.is_boa_offset_applied is (True if item["id"].endswith("_0_L2A") else None)


# --- which asset is taken -------------------------------------------------------------------------------------


def test_of_the_assets_of_a_band_the_cog_is_taken_and_the_others_are_recorded() -> None:
    item = make_item()
    plain = "image/tiff; application=geotiff"
    item["assets"] |= {"B02-jp2": make_asset("B02", type=JP2), "B02": make_asset("B02", type=plain)}
    item["assets"]["free"] = make_asset("B2", **{"eo:bands": [{"name": "B02"}]})
    item["assets"]["blue_20m"] = make_asset("B02", 20)
    blue = row_of(item).assets["blue"]
    assert (blue.asset_key, blue.passed_over) == ("blue", ("B02-jp2", "B02", "free"))
    item["assets"]["blue"]["href"] = "gs://bucket/B02.tif"
    blue = row_of(item).assets["blue"]
    assert (blue.asset_key, blue.passed_over) == ("B02", ("blue", "B02-jp2", "free"))
    del item["assets"]["B02"], item["assets"]["blue"]
    blue = row_of(item).assets["blue"]
    assert (blue.asset_key, blue.passed_over) == ("B02-jp2", ("free",))  # what the key says outranks a description


def test_an_asset_of_the_right_name_and_another_resolution_gives_way_to_one_of_the_right_one() -> None:
    item = make_item()
    item["assets"]["B04_10m"] = item["assets"]["red"]
    item["assets"]["red"] = make_asset("B04", 20)
    assert row_of(item).assets["red"].asset_key == "B04_10m"


@pytest.mark.parametrize(
    "facts",
    [
        {"raster:bands": [{"offset": "-0.1", "scale": "1e-4", "nodata": "0"}]},
        {"raster:bands": [{"offset": -0.1, "scale": 0.0001, "nodata": "nan"}], "nodata": 0},
        {"raster:bands": [{}], "bands": [{"raster:offset": -0.1, "raster:scale": 0.0001, "nodata": 0}]},
        {"raster:offset": -0.1, "raster:scale": 0.0001, "raster:nodata": 0},
    ],
)
def test_offset_and_scale_are_read_wherever_they_stand(facts: dict[str, Any]) -> None:
    item = make_item()
    item["assets"]["red"] = {**make_asset("B04", **{"raster:bands": None}), **facts}
    red = row_of(item).assets["red"]
    assert (red.offset, red.scale, red.nodata) == (-0.1, 0.0001, 0)


def test_offset_and_scale_of_the_item_are_those_of_its_bands_and_not_of_scl() -> None:
    item = make_item(**{"raster:offset": -0.1, "raster:scale": 0.0001, "nodata": 0})
    for asset in item["assets"].values():
        del asset["raster:bands"]
    row = row_of(item)
    assert {(asset.offset, asset.scale, asset.nodata) for asset in row.assets.values()} == {
        (-0.1, 0.0001, 0),
        (None, None, 0),
    }
    assert row.assets["scl"].offset is None


def test_scale_1_and_offset_0_state_nothing() -> None:
    """rio-stac writes them for every file whose header holds neither; taken at their word, the offset would be lost."""
    item = make_item()
    for asset in item["assets"].values():
        asset["raster:bands"] = [{"data_type": "uint16", "scale": 1.0, "offset": 0.0, "nodata": 0}]
    assert {(asset.scale, asset.offset) for asset in row_of(item).assets.values()} == {(None, None)}
    for asset in item["assets"].values():
        asset["raster:bands"] = [{"scale": 0.0001, "offset": 0.0}]
    assert {(asset.scale, asset.offset) for asset in row_of(item).assets.values()} == {(0.0001, 0)}


def test_bands_of_stac_0_8_are_places_in_the_list_of_the_item() -> None:
    item = make_item(**{"eo:bands": [{"name": "B03"}, {"name": "B02", "common_name": "blue"}]})
    item["assets"]["free"] = item["assets"].pop("blue") | {"eo:bands": [1]}
    assert row_of(item).assets["blue"].asset_key == "free"
    item["assets"]["free"]["eo:bands"] = [7]
    assert "blue" not in row_of(item).assets


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
    assert reject_of(without_grid()).reason is Reason.NO_GEOMETRY


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"raster:bands": [{"scale": 0, "offset": 0}]}, "asset red has the scale 0"),
        ({"raster:bands": [{"scale": 1, "offset": -1000}]}, "asset red has the scale 1"),
        ({"raster:bands": [{"scale": 0.0001, "offset": -1000}]}, "asset red has the offset -1000"),
        ({"raster:bands": [{"scale": 0.0001, "offset": 0}]}, "assets differ in offset: blue has -0.1, red has 0.0"),
        (
            {"raster:bands": [{"scale": 0.001, "offset": -0.1}]},
            "assets differ in scale: blue has 0.0001, red has 0.001",
        ),
        ({"proj:shape": [20000, 10980]}, "asset red is 200000 m wide or high"),
    ],
)
def test_values_that_would_give_wrong_reflectances_are_rejected(changes: dict[str, Any], words: str) -> None:
    item = make_item()
    item["assets"]["red"] |= changes
    reject = reject_of(item)
    assert reject.reason is Reason.IMPLAUSIBLE_RASTER
    assert words in reject.detail


def test_a_footprint_without_grid_that_is_larger_than_a_tile_is_rejected() -> None:
    reject = reject_of(without_grid() | {"bbox": [10, 40, 16, 46]})
    assert (reject.reason, reject.detail) == (Reason.IMPLAUSIBLE_RASTER, "the footprint covers 26.3 square degrees")


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
IN_ARCHIVE = Origin("/data/a/items.json", "/data/a", root="/data")
ALLOWED = Origin("/data/a/item.json", "/data/a", is_own_file=True, allow_file_hrefs=True)
STATIC = Origin("https://example.com/cat.json", url="https://example.com/b/item.json")
SELF = {"links": [{"rel": "self", "href": "s3://bucket/tiles/item.json"}]}


@pytest.mark.parametrize(
    ("href", "item", "origin", "expected"),
    [
        ("https://example.com/a.tif", {}, API, "https://example.com/a.tif"),
        ("HTTPS://example.com:8080/a.tif", {}, API, "HTTPS://example.com:8080/a.tif"),
        ("s3://bucket/a.tif", {}, API, "s3://bucket/a.tif"),
        ("./a.tif", SELF, API, "s3://bucket/tiles/a.tif"),
        ("/a.tif", SELF, API, "s3://bucket/a.tif"),
        ("../a.tif", SELF, IN_COLLECTION, "s3://bucket/a.tif"),
        ("a.tif", {}, IN_COLLECTION, "/data/a/a.tif"),
        ("./b/a.tif", SELF, OWN_FILE, "/data/a/b/a.tif"),
        ("/data/a/c/a.tif", {}, OWN_FILE, "/data/a/c/a.tif"),
        ("file:///data/a/a%20b.tif", {}, OWN_FILE, "/data/a/a b.tif"),
        ("file://localhost/data/a/b.tif", {}, OWN_FILE, "/data/a/b.tif"),
        ("a.tif", SELF, STATIC, "https://example.com/b/a.tif"),
        ("../a.tif", {}, STATIC, "https://example.com/a.tif"),
        ("/a.tif", {}, STATIC, "https://example.com/a.tif"),
        # Local files elsewhere: within the root, or allowed.
        ("../b/a.tif", {}, IN_ARCHIVE, "/data/b/a.tif"),
        ("/data/b/a.tif", {}, IN_ARCHIVE, "/data/b/a.tif"),
        ("/abs/a.tif", {}, ALLOWED, "/abs/a.tif"),
        ("file:///abs/a%20b.tif", {}, ALLOWED, "/abs/a b.tif"),
        ("../../a.tif", {}, ALLOWED, "/a.tif"),
        ("/abs/a.tif", {}, OWN_FILE, None),
        ("/data/abs.tif", {}, OWN_FILE, None),
        ("../a.tif", {}, OWN_FILE, None),
        ("../../a.tif", {}, IN_ARCHIVE, None),
        ("file:///abs/a.tif", {}, OWN_FILE, None),
        ("file:///data/a/%2e%2e/%2e%2e/a.tif", {}, OWN_FILE, None),
        ("file:///data/a/%0a.tif", {}, OWN_FILE, None),
        ("file://server/data/a/a.tif", {}, OWN_FILE, None),
        # Never, allowed or not.
        ("file:///abs/a.tif", {}, API, None),
        ("/abs/a.tif", {}, API, None),
        ("file:///abs/a.tif", {}, STATIC, None),
        ("/vsicurl/http://169.254.169.254/", {}, ALLOWED, None),
        ("//vsizip/a.zip", {}, ALLOWED, None),
        ("../../vsimem/a.tif", {}, ALLOWED, None),
        ("file:///%76simem/a.tif", {}, ALLOWED, None),
        ("gs://bucket/a.tif", {}, ALLOWED, None),
        ("javascript:alert(1)", {}, ALLOWED, None),
        ("https:///a.tif", {}, API, None),
        ("https://[bad/a.tif", {}, API, None),
        ("https://example.com:port/a.tif", {}, API, None),
        ("https://example.com/a.tif\nX", {}, API, None),
        ("a.tif", {"links": [{"rel": "self", "href": "file:///etc/item.json"}]}, API, None),
        (7, {}, API, None),
    ],
)
def test_only_hrefs_that_a_reader_may_open_are_resolved(
    href: object, item: dict[str, Any], origin: Origin, expected: str | None
) -> None:
    assert resolve_href(href, item, origin) == expected


def test_a_refused_local_file_is_told_with_the_option_that_allows_it() -> None:
    item = changed(("assets", "red", "href"), "/etc/passwd")
    reject = reject_of(item, OWN_FILE)
    assert reject.reason is Reason.UNSUPPORTED_HREF
    assert "'/etc/passwd'" in reject.detail
    assert "--allow-file-hrefs" in reject.detail
    assert row_of(item, ALLOWED).assets["red"].href == "/etc/passwd"
    # To a server's item the option means nothing.
    assert "--allow-file-hrefs" not in reject_of(item).detail


def test_a_link_that_leads_out_of_the_folder_is_where_it_leads(tmp_path: Path) -> None:
    folder, outside = tmp_path / "items", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "a.tif").write_bytes(b"")
    (folder / "link.tif").symlink_to(outside / "a.tif")
    (folder / "linked").symlink_to(outside)
    (folder / "b.tif").write_bytes(b"")
    (folder / "near.tif").symlink_to(folder / "b.tif")
    origin = Origin(str(folder / "item.json"), str(folder), is_own_file=True)
    assert resolve_href("link.tif", {}, origin) is None
    assert resolve_href("linked/a.tif", {}, origin) is None
    assert resolve_href("near.tif", {}, origin) == str(folder / "near.tif")
    # A folder that is a link itself is the folder that was asked for.
    through = Origin(str(tmp_path / "through"), str(tmp_path / "through"), is_own_file=True)
    (tmp_path / "through").symlink_to(folder)
    assert resolve_href("b.tif", {}, through) == str(tmp_path / "through" / "b.tif")


# --- secrets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "clean"),
    [
        (f"https://a.blob.core.windows.net/c/B02.tif?{SAS}", "https://a.blob.core.windows.net/c/B02.tif"),
        (f"https://a.net/B02.tif?version=7&{SAS}&x=y", "https://a.net/B02.tif?version=7&x=y"),
        ("https://a.net/?st=5&se=north", "https://a.net/?st=5&se=north"),  # no signature, so no SAS
        (
            "https://b.s3.amazonaws.com/a.tif?X-Amz-Algorithm=A&X-Amz-Credential=S3CRET&X-Amz-Date=D"
            "&x-amz-security-token=S3CRET&X-Amz-Signature=S3CRET&versionId=v",
            "https://b.s3.amazonaws.com/a.tif?versionId=v",
        ),
        ("https://b.com/a.tif?AWSAccessKeyId=S3CRET&Signature=S3CRET&Expires=1", "https://b.com/a.tif"),
        (
            "https://d.cloudfront.net/a?Policy=S3CRET&Key-Pair-Id=S3CRET&Signature=S3CRET#x",
            "https://d.cloudfront.net/a#x",
        ),
        ("https://b.com/a.tif?%74oken=S3CRET&access_token=S3CRET&band=2", "https://b.com/a.tif?band=2"),
        ("https://b.com/a.tif?api_key=S3CRET", "https://b.com/a.tif"),
        ("https://b.com/a.tif?APIKEY=S3CRET&key=S3CRET", "https://b.com/a.tif"),
        (
            "https://b.com/t?url=https%3A%2F%2Fa.net%2Fb%3Fsig%3DS3CRET&x=1",
            "https://b.com/t?url=https%3A%2F%2Fa.net%2Fb&x=1",
        ),
        ("https://b.com/d?key=S2/B04.tif&id=7", "https://b.com/d?key=S2/B04.tif&id=7"),  # a key that names a file
        ("https://b.com/d?policy=open&expires=never", "https://b.com/d?policy=open&expires=never"),
        ("https://b.com/a?api-key=S3CRET&accesstoken=S3CRET&client_secret=S3CRET&b=1", "https://b.com/a?b=1"),
        ("https://b.com/a?hdnts=S3CRET&X-Oss-Signature=S3CRET&security-token=S3CRET", "https://b.com/a"),
        ("https://b.com/a.tif#access_token=S3CRET", "https://b.com/a.tif"),
        ("https://b.com/a.tif;token=S3CRET/b;v=1", "https://b.com/a.tif/b;v=1"),
        ("https://me:S3/CRET@b.com/a.tif", "https://b.com/a.tif"),
        ("https://b.com/x:y/a@2x.tif", "https://b.com/x:y/a@2x.tif"),
        ("https://me:S3CRET@b.com/a.tif", "https://b.com/a.tif"),
        ("s3://me:S3C@RET@bucket/a@2x.tif", "s3://bucket/a@2x.tif"),
        ("https://b.com/a.tif?band=2&empty=&flag", "https://b.com/a.tif?band=2&empty=&flag"),
        ("https://b.com/a.tif?", "https://b.com/a.tif?"),
        ("ask me?", "ask me?"),
        ("mail me@b.com?", "mail me@b.com?"),
    ],
)
def test_an_address_loses_what_is_secret_and_nothing_else(address: str, clean: str) -> None:
    assert without_secrets(address) == clean


def signed(item: dict[str, Any], signature: str) -> dict[str, Any]:
    for asset in item["assets"].values():
        asset["href"] += f"?sv=1&se=2024-01-01&sig={signature}"
        asset["alternate"] = {"https": {"href": f'https://me:{signature}@example.com/a"é?x=1&token={signature}'}}
    item["links"] = [{"rel": "self", "href": f"https://example.com/item.json?subscription-key={signature}"}]
    item["properties"]["note"] = f"see https://example.com/?Signature={signature} for more"
    return item


def test_nothing_secret_is_stored_and_a_new_signature_is_no_new_version() -> None:
    first, second = row_of(signed(make_item(), "S3CRET1")), row_of(signed(make_item(), "S3CRET2"))
    assert first == second
    assert "S3CRET" not in repr(first)
    assert first.assets["red"].href == make_item()["assets"]["red"]["href"]
    stored = json.loads(first.item)
    assert stored["assets"]["red"]["alternate"]["https"]["href"] == 'https://example.com/a"é?x=1'
    assert stored["properties"]["note"] == "see https://example.com/ for more"


@pytest.mark.parametrize(
    "href", ["ftp://example.com/a.tif?sig=S3CRET", "ftp://me:S3CRET@example.com/a.tif", "gs://a?key=S3CRET"]
)
def test_nothing_secret_is_stored_of_rejects(href: str) -> None:
    item = signed(make_item(), "S3CRET")
    item["assets"]["red"]["href"] = href
    reject = reject_of(item, Origin("https://me:S3CRET@example.com/?token=S3CRET"))
    assert reject.reason is Reason.UNSUPPORTED_HREF
    assert "S3CRET" not in repr(reject)
    broken = '{"href": "https://example.com/a?x=1\\u0026sig=S3CRET", "b": "https://example.com/a?token=S3CRET"'
    unread = normalise(Received(broken, "a.json#1", API, "line 1: it ends too early"))
    assert "S3CRET" not in repr(unread)


# --- hash -----------------------------------------------------------------------------------------------------


def test_canonical_json_is_the_same_for_the_same_content_and_refuses_what_is_no_json() -> None:
    assert (
        canonical_json({"b": [1, 1.5, None], "a": {"d": "é", "c": True}}) == '{"a":{"c":true,"d":"é"},"b":[1,1.5,null]}'
    )
    assert canonical_json({"null": 1}) == '{"null":1}'
    assert json.loads(canonical_json([2**70, "\ud800", -0.0, 1e300])) == [2**70, "\ud800", -0.0, 1e300]
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    assert canonical_json(deep) == "[" * 301 + "]" * 301
    for value in (float("nan"), [None, float("inf")], {"a": {"b": -float("inf")}}, {"a": object()}):
        with pytest.raises(ValueError, match=r"\w"):
            canonical_json(value)


def test_an_archive_that_was_moved_is_a_new_version_if_its_hrefs_are_relative() -> None:
    absolute, relative = make_item(), make_item()
    for asset in relative["assets"].values():
        asset["href"] = asset["href"].rpartition("/")[2]
    here, there = OWN_FILE, Origin("/moved/item.json", "/moved", is_own_file=True)
    assert row_of(absolute, here).content_hash == row_of(absolute, there).content_hash
    assert row_of(relative, here).content_hash != row_of(relative, there).content_hash
    assert row_of(relative, there).assets["red"].href == "/moved/B04.tif"


def test_new_rules_make_a_new_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = row_of(make_item()).content_hash
    monkeypatch.setattr("ingestion.item.normalise.RULES_VERSION", 99)
    assert row_of(make_item()).content_hash != before


# --- properties that the settings draw out --------------------------------------------------------------------


def test_further_properties_are_drawn_out_and_are_null_where_their_type_is_another() -> None:
    kinds = {"a:text": "string", "a:number": "double", "a:whole": "long", "a:flag": "boolean", "a:time": "timestamp"}
    right = {"a:text": "x", "a:number": 2, "a:whole": 3.0, "a:flag": False, "a:time": "2024-01-01T00:00:00Z"}
    wrong = {"a:text": 1, "a:number": "2", "a:whole": 3.5, "a:flag": 0, "a:time": "soon"}
    for properties, expected in (
        (right, ["x", 2.0, 3, False, datetime(2024, 1, 1, tzinfo=UTC)]),
        (wrong, [None] * 5),
        ({}, [None] * 5),
    ):
        row = normalise(Received(make_item(**properties), None, API), None, kinds)
        assert isinstance(row, StacItemRow)
        assert row.extra == dict(zip(("a_text", "a_number", "a_whole", "a_flag", "a_time"), expected, strict=True))
        assert row.content_hash != row_of(make_item(**properties)).content_hash
        huge = normalise(Received(make_item(**{"a:whole": 2**63, "a:flag": True}), None, API), None, kinds)
        assert isinstance(huge, StacItemRow)
        assert (huge.extra["a_whole"], huge.extra["a_flag"]) == (None, True)


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
        assert -180 <= outcome.xmin <= 180
        assert -180 <= outcome.xmax <= 180
        assert 0 < (outcome.xmax - outcome.xmin) % 360 < 60


def test_addresses_inside_addresses_without_end_are_no_trouble() -> None:
    value = "x"
    for _ in range(300):
        value = "%3fa=" + value.replace("%", "%25")[:20_000]
    assert isinstance(normalise(Received(make_item(0, note=f"https://b.com/?a={value}"), None, API)), StacItemRow)


def test_a_projected_geometry_larger_than_any_scene_is_passed_over() -> None:
    item = make_item()
    item["geometry"] = None
    ring = [[0, 0], [1e11, 0], [1e11, 1e11], [0, 1e11], [0, 0]]
    item["properties"]["proj:geometry"] = {"type": "Polygon", "coordinates": [ring]}
    row = normalise(Received(item, None, API))
    assert isinstance(row, StacItemRow)
    assert row.geometry_source == "raster grid"


def test_a_raster_of_endless_pixels_is_refused_without_counting_them() -> None:
    item = make_item()
    for asset in item["assets"].values():
        asset["proj:shape"] = [2_147_483_000, 2_147_483_000]
    item["geometry"] = None
    reject = normalise(Received(item, None, API))
    assert isinstance(reject, Reject)
    assert reject.reason in (Reason.IMPLAUSIBLE_RASTER, Reason.NO_GEOMETRY)


def test_another_choice_of_rasters_is_another_version(tmp_path: Path) -> None:
    item = make_item()
    item["assets"]["blue-jp2"] = item["assets"]["blue"] | {"href": "https://h/B02.jp2", "type": "image/jp2"}
    item["assets"]["blue"] = item["assets"]["blue"] | {"href": "file:///data/other/B02.tif"}
    rows = [
        normalise(Received(item, None, Origin("items.json", str(tmp_path), allow_file_hrefs=allowed)))
        for allowed in (False, True)
    ]
    hrefs = [row.assets["blue"].href for row in rows if isinstance(row, StacItemRow)]
    assert hrefs == ["https://h/B02.jp2", "/data/other/B02.tif"]
    assert len({row.content_hash for row in rows}) == 2
