"""Items with the names of each provider give the same row."""

from __future__ import annotations

from typing import Any

import pytest
from support.normalised import row_of
from support.provider_items import (
    CODES,
    copernicus_data_space,
    earth_search_c1,
    earth_search_v0,
    earth_search_v1,
    free_keys,
    planetary_computer,
)
from support.stac_items import NORTH, WEST, make_item

from ingestion.item.providers import layer_of_asset
from lakehouse.bands import BAND_NAMES, BANDS


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
        ("B04-10m", ("red", 10)),
        ("SCL-20m", ("scl", 20)),
        ("B8A-20m", ("nir08", 20)),
        ("swir-1", ("swir16", None)),
        ("nir-2_20m", ("nir08", 20)),
        ("visual-10m", None),
        ("T33TWL_20230302T100031_B04_10m.tif", ("red", 10)),
        ("T33TWL_20230302T100031_SCL_20m.jp2", ("scl", 20)),
        ("L2A_T33TWL_20170815T095031_B11_20m.jp2", ("swir16", 20)),
        ("GRANULE/L2A_T33TWL_A011213/IMG_DATA/R10m/T33TWL_20230302T100031_B03_10m.jp2", ("green", 10)),
        ("B12.TIF", ("swir22", None)),
        ("T33TWL_20230302T100031_TCI_10m.tif", None),
        ("my_blue", None),
        ("cloud", ("cloud_probability", None)),
        ("CLD_20m", ("cloud_probability", 20)),
        ("GRANULE/L2A_T33TWL_A011213/QI_DATA/T33TWL_20230302T100031_SNW_20m.jp2", ("snow_probability", 20)),
    ],
)
def test_asset_keys_of_all_providers_give_their_band(key: str, expected: tuple[str, int | None] | None) -> None:
    assert layer_of_asset(key) == expected


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
def test_an_item_of_each_provider_gives_the_right_row(
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


def test_bands_of_stac_0_8_are_indices_into_the_list_of_the_item() -> None:
    item = make_item(**{"eo:bands": [{"name": "B03"}, {"name": "B02", "common_name": "blue"}]})
    item["assets"]["free"] = item["assets"].pop("blue") | {"eo:bands": [1]}
    assert row_of(item).assets["blue"].asset_key == "free"
    item["assets"]["free"]["eo:bands"] = [7]
    assert "blue" not in row_of(item).assets
