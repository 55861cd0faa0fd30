"""The best asset of each band is chosen, and its scale, offset and nodata value are found."""

from __future__ import annotations

from typing import Any

import pytest
from support.normalised import row_of
from support.provider_items import JP2
from support.stac_items import make_asset, make_item


def test_an_asset_of_coarser_resolution_is_not_chosen() -> None:
    item = make_item()
    item["assets"]["blue_20m"] = item["assets"].pop("blue")
    assert "blue" not in row_of(item).assets


def test_scales_and_offsets_of_stac_1_1_are_read_like_those_of_1_0() -> None:
    item = make_item()
    plain = {"raster:bands": None, "raster:scale": 0.0001, "raster:offset": -0.1, "nodata": 0}
    item["assets"]["red"] = make_asset("B04", 10, **plain)
    item["assets"]["green"] = make_asset("B03", 10, **{"raster:bands": None, "bands": [plain]})
    row = row_of(item)
    for band in ("red", "green", "blue"):
        assert (row.assets[band].scale, row.assets[band].offset, row.assets[band].nodata) == (0.0001, -0.1, 0)


def test_the_cog_of_a_band_is_chosen_and_its_other_assets_are_recorded() -> None:
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
    assert (blue.asset_key, blue.passed_over) == ("B02-jp2", ("free",))  # a key has precedence over a description


def test_an_asset_of_native_resolution_has_precedence_over_one_of_another() -> None:
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
def test_offset_and_scale_are_found_in_every_place(facts: dict[str, Any]) -> None:
    item = make_item()
    item["assets"]["red"] = {**make_asset("B04", **{"raster:bands": None}), **facts}
    red = row_of(item).assets["red"]
    assert (red.offset, red.scale, red.nodata) == (-0.1, 0.0001, 0)


def test_offset_and_scale_of_the_item_hold_for_bands_and_not_for_scl() -> None:
    item = make_item(**{"raster:offset": -0.1, "raster:scale": 0.0001, "nodata": 0})
    for asset in item["assets"].values():
        del asset["raster:bands"]
    row = row_of(item)
    assert {(asset.offset, asset.scale, asset.nodata) for asset in row.assets.values()} == {
        (-0.1, 0.0001, 0),
        (None, None, 0),
    }
    assert row.assets["scl"].offset is None


@pytest.mark.parametrize("stated", [{}, {"data_type": "uint16"}, {"data_type": "Float32"}])
def test_scale_1_with_offset_0_is_kept_beside_the_data_type_that_says_what_it_means(stated: dict[str, Any]) -> None:
    """rio-stac writes these values for every file without them; of reflectance as float they are true."""
    item = make_item()
    for asset in item["assets"].values():
        asset["raster:bands"] = [{"scale": 1.0, "offset": 0.0, "nodata": 0, **stated}]
    assets = row_of(item).assets.values()
    data_type = stated.get("data_type", "").lower() or None
    assert {(asset.scale, asset.offset, asset.data_type) for asset in assets} == {(1, 0, data_type)}
    for asset in item["assets"].values():
        asset["raster:bands"] = [{"scale": 0.0001, "offset": 0.0}]
    assert {(asset.scale, asset.offset) for asset in row_of(item).assets.values()} == {(0.0001, 0)}
