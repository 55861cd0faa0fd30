"""Items as real providers served them become the right rows and rejects."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import shapely
from support.normalised import ALL_BANDS, outcomes, row_of
from support.stac_items import make_item

from ingestion.model import Reason, Reject, StacItemRow
from lakehouse.bands import PROBABILITIES


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
def test_each_sample_file_gives_its_rows_and_rejects(
    sample_data: Path, name: str, rows: int, reasons: dict[Reason, int]
) -> None:
    found = list(outcomes(sample_data / "stac" / name).values())
    rejects = [outcome.reason for outcome in found if isinstance(outcome, Reject)]
    usable = [outcome for outcome in found if isinstance(outcome, StacItemRow)]
    assert {reason: rejects.count(reason) for reason in set(rejects)} == reasons
    assert len(usable) == rows
    for row in usable:
        assert set(row.assets) - {*PROBABILITIES} == ALL_BANDS
        assert None not in (row.mgrs_tile, row.product_id, row.datatake_id, row.processing_baseline, row.relative_orbit)


def test_an_offset_flag_and_a_raster_offset_are_both_kept_for_the_models(sample_data: Path) -> None:
    row = outcomes(sample_data / "sentinel-2" / "33TWL-120m")["S2A_33TWL_20230815_0_L2A"]
    assert isinstance(row, StacItemRow)
    assert row.is_boa_offset_applied is True
    assert (row.assets["blue"].scale, row.assets["blue"].offset, row.assets["blue"].nodata) == (0.0001, -0.1, 0)
    assert row.assets["scl"].offset is None


def test_the_probabilities_of_collection_1_are_found(sample_data: Path) -> None:
    for row in outcomes(sample_data / "stac" / "c1-13TDE-10.json").values():
        assert isinstance(row, StacItemRow)
        ends = {layer: row.assets[layer].href.rpartition("/")[2] for layer in PROBABILITIES}
        assert ends == {"cloud_probability": "CLD_20m.tif", "snow_probability": "SNW_20m.tif"}


def test_reading_a_folder_skips_the_collection_document(sample_data: Path) -> None:
    found = outcomes(sample_data / "sentinel-2" / "33TWL-120m")
    assert len(found) == 3
    assert all(isinstance(outcome, StacItemRow) for outcome in found.values())


def test_an_item_of_copernicus_data_space_in_stac_1_1_becomes_a_row(sample_data: Path) -> None:
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


def test_an_item_of_planetary_computer_has_a_baseline_and_no_offset(sample_data: Path) -> None:
    found = outcomes(sample_data / "stac" / "pc-two-13TDE.json")
    row = found["S2A_MSIL2A_20240823T174901_R141_T13TDE_20240824T013055"]
    assert isinstance(row, StacItemRow)
    assert row.assets["blue"].offset is None
    assert row.is_boa_offset_applied is None
    assert (row.processing_baseline, row.platform, row.mgrs_tile) == ("05.11", "sentinel-2a", "13TDE")
    assert row.product_id == "S2A_MSIL2A_20240823T174901_N0511_R141_T13TDE_20240824T013055"


def test_one_scene_in_two_collections_has_one_product_name(sample_data: Path) -> None:
    found = outcomes(sample_data / "stac" / "api-page-1.json")
    old, new = found["S2B_20EPT_20250731_0_L2A"], found["S2B_T20EPT_20250731T131905_L2A"]
    assert isinstance(old, StacItemRow)
    assert isinstance(new, StacItemRow)
    assert (old.product_id, old.datatake_id) == (new.product_id, new.datatake_id)
    assert (old.collection, new.collection) == ("sentinel-2-l2a", "sentinel-2-c1-l2a")
    assert old.nodata_percent == pytest.approx(98.002911)


def test_geotiff_is_chosen_over_jpeg_2000(sample_data: Path) -> None:
    row = outcomes(sample_data / "stac" / "api-page-2.json")["S2B_24MVV_20250731_0_L2A"]
    assert isinstance(row, StacItemRow)
    assert {Path(row.assets[layer].href).suffix for layer in ALL_BANDS} == {".tif"}


def test_a_multipolygon_at_the_antimeridian_keeps_its_two_parts(sample_data: Path) -> None:
    path = sample_data / "stac" / "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCS_20230626T022157.json"
    (row,) = outcomes(path).values()
    assert isinstance(row, StacItemRow)
    footprint = shapely.from_wkb(row.geometry)
    assert sorted(part.bounds[0::2] for part in shapely.get_parts(footprint)) == [(-180.0, -179.197), (179.0059, 180.0)]
    # As in the item's bbox: from the west edge to the east edge, not round the globe.
    assert (row.xmin, row.ymin, row.xmax, row.ymax) == pytest.approx((179.0059, 68.372483, -179.197, 69.394461))
    assert row.geometry_source == "geometry"


def test_one_polygon_from_minus_180_to_180_is_split_at_the_antimeridian(sample_data: Path) -> None:
    path = sample_data / "stac" / "S2A_OPER_MSI_L2A_TL_2APS_20230806T022123_A042412_T60VXH.json"
    (row,) = outcomes(path).values()
    assert isinstance(row, StacItemRow)
    footprint = shapely.from_wkb(row.geometry)
    assert footprint.geom_type == "MultiPolygon"
    assert footprint.is_valid
    # The ring crosses the antimeridian three times, so there are two parts east of it.
    assert sorted(part.bounds[0::2] for part in shapely.get_parts(footprint)) == [
        (-180.0, pytest.approx(-179.995621, abs=1e-6)),
        (-180.0, pytest.approx(-179.610226, abs=1e-6)),
        (pytest.approx(178.597178, abs=1e-6), 180.0),
    ]
    assert footprint.area < 1.2
    assert (row.xmin, row.xmax) == pytest.approx((178.597178, -179.610226), abs=1e-6)
    assert row.datatake_id == "S2A_20230805T231601"  # from the product title, since the item states no datatake


def test_sentinel_1_among_the_results_is_rejected(sample_data: Path) -> None:
    found = outcomes(sample_data / "stac" / "api-page-1.json")
    others = [outcome for name, outcome in found.items() if name.startswith("S1")]
    assert len(others) == 3
    assert {outcome.reason for outcome in others if isinstance(outcome, Reject)} == {Reason.NOT_SENTINEL_2}


def test_a_scene_of_99_percent_nodata_is_kept_with_the_percentage(sample_data: Path) -> None:
    row = outcomes(sample_data / "stac" / "api-page-1.json")["S2B_20EPT_20250731_0_L2A"]
    assert isinstance(row, StacItemRow)
    assert row.nodata_percent == pytest.approx(98.002911)
    almost = row_of(make_item(**{"s2:nodata_pixel_percentage": 99.97}))
    assert almost.nodata_percent == 99.97
