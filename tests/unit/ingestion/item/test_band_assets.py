"""The best asset of each band is chosen, and its scale, offset and nodata value are found."""

from __future__ import annotations

from typing import Any

import pytest
from support.normalised import API, OWN_FILE, changed, reject_of, row_of
from support.provider_items import JP2
from support.stac_items import make_asset, make_item

from ingestion.item.normalise import normalise
from ingestion.model import Reason, Received, StacItemRow
from lakehouse.bands import BANDS

NATIVE = {band.name: (band.code, band.gsd) for band in BANDS} | {"scl": ("SCL", 20)}


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


@pytest.mark.parametrize(
    ("href", "media_type", "name"),
    [
        ("https://h/B04.zarr", "application/vnd+zarr", "Zarr"),
        ("https://h/T33TWL.zarr/measurements/B04?x=1", None, "Zarr"),
        ("https://h/B04", "application/vnd.zarr; version=2", "Zarr"),
        ("https://h/B04.nc", "application/netcdf", "netCDF"),
        ("https://h/B04.nc", None, "netCDF"),
        ("https://h/B04", "application/x-netcdf", "netCDF"),
        ("https://h/B04.SAFE.zip", "application/zip", "zip"),
        ("https://h/B04.SAFE.ZIP#B04", None, "zip"),
        ("https://h/B04.h5", "application/x-hdf5", "HDF"),
        ("https://h/B04.png", "image/png", "PNG"),
        ("https://h/B04.vrt", None, "VRT"),
        ("https://h/B04", "application/vnd.icechunk", "Icechunk"),
        ("https://h/S2A_MSIL2A.SAFE/", None, "SAFE"),
        ("https://h/B04.tif.gz", None, "gzip"),
        ("https://h/B04.tar.gz", None, "tar"),
    ],
)
def test_a_format_that_is_not_read_is_rejected_by_its_name(href: str, media_type: str | None, name: str) -> None:
    item = make_item()
    item["assets"]["red"] |= {"href": href, "type": media_type}
    reject = reject_of(item)
    assert reject.reason is Reason.UNSUPPORTED_FORMAT
    assert f"asset red is {name}, which is not read" in reject.detail


def test_the_names_of_formats_tell_why_an_item_has_no_scl() -> None:
    item = make_item()
    scl = item["assets"].pop("scl")
    item["assets"]["classes"] = scl | {"href": "https://h/a.zarr", "type": "application/vnd+zarr"}
    reject = reject_of(item)
    assert reject.reason is Reason.NO_SCL
    assert "classes (Zarr)" in reject.detail


def test_an_asset_that_is_not_read_never_comes_before_one_that_is() -> None:
    item = make_item()
    jp2 = item["assets"].pop("red") | {"href": "https://h/B04", "type": JP2}
    item["assets"] |= {"B04_10m": jp2 | {"href": "https://h/a.zarr", "type": "application/vnd+zarr"}, "B04": jp2}
    red = row_of(item).assets["red"]
    assert (red.asset_key, red.media_type, red.passed_over) == ("B04", JP2, ("B04_10m",))


def test_an_unknown_format_comes_after_those_that_are_read() -> None:
    item = make_item()
    jp2 = item["assets"].pop("red") | {"href": "https://h/B04", "type": JP2}
    item["assets"] |= {"B04_10m": jp2 | {"href": "https://h/a.b04", "type": "application/x-new"}, "B04": jp2}
    assert row_of(item).assets["red"].asset_key == "B04"


@pytest.mark.parametrize(
    "key",
    [
        *("{code}-{gsd}m", "{code}_R{gsd}m", "r{gsd}m_{code}", "T33TWL_{code}_{gsd}m.tif"),
        *("S2A_MSIL2A_20230801T095031_N0509_R079_T33TWL_20230801T155057_{code}_{gsd}m.tif", "R{gsd}m/{code}"),
        "GRANULE/L2A_T33TWL_A042547_20230801T095630/IMG_DATA/R{gsd}m/T33TWL_20230801T095031_{code}_{gsd}m.jp2",
    ],
)
def test_keys_of_native_resolution_are_known_whatever_the_order(key: str) -> None:
    """Keys state the resolution; nothing else does."""
    for sizes in (("native", "60"), ("60", "native")):
        item = make_item()
        assets, item["assets"] = item["assets"], {}
        for size in sizes:
            for name, (code, gsd) in NATIVE.items():
                asset = {"href": f"https://h/{code}_{size}.tif"} if size == "60" else assets[name]
                item["assets"][key.format(code=code, gsd=60 if size == "60" else gsd)] = asset
        for name, asset in row_of(item).assets.items():
            assert asset.asset_key == key.format(code=NATIVE[name][0], gsd=NATIVE[name][1])


def places(*order: str, **changes: Any) -> tuple[str, str | None]:
    """Return address and media type of red for an asset with these members."""
    item = make_item()
    item["assets"]["red"] |= changes
    row = normalise(Received(item, None, OWN_FILE), href_order=order)
    assert isinstance(row, StacItemRow), row
    return row.assets["red"].href, row.assets["red"].media_type


HTTPS, S3, LOCAL = "https://data.example/B04.tif", "s3://eodata.example/B04.tif", "B04.tif"


def test_an_alternate_place_is_read_if_the_first_cannot_be() -> None:
    for unsupported in ("abfs://box.example/B04.tif", "gs://bucket.example/B04.tif", None, "https://h/B04.zarr/r"):
        changes: dict[str, Any] = {"href": unsupported, "type": None}
        assert places(**changes, alternate={"https": {"href": HTTPS}}) == (HTTPS, None)
        assert places(**changes, alternate={"s3": S3, "https": HTTPS}) == (S3, None)
        assert places(**changes, alternate={"local": {"href": LOCAL}}) == ("/data/a/B04.tif", None)
    reject = reject_of(
        changed(("assets", "red"), {"href": "gs://a/b.tif", "alternate": {"az": {"href": "az://b"}}}), API
    )
    assert reject.reason is Reason.UNSUPPORTED_HREF


def test_the_setting_decides_between_several_places() -> None:
    alternate = {"archive": {"href": S3}, "copy": {"href": LOCAL}}
    assert places(href=HTTPS, alternate=alternate)[0] == HTTPS
    assert places("s3", "https", href=HTTPS, alternate=alternate)[0] == S3
    assert places("s3", href=HTTPS, alternate=alternate)[0] == S3
    assert places("file", "s3", href=HTTPS, alternate=alternate)[0] == "/data/a/B04.tif"
    assert places("https", "s3", href=S3, alternate={"http": {"href": HTTPS}})[0] == HTTPS
    assert places("s3", href=HTTPS, alternate={})[0] == HTTPS
    assert places("s3", href=HTTPS, alternate=[{"href": S3}])[0] == S3
    assert places(href=f" {HTTPS}\n")[0] == HTTPS


def test_an_alternate_place_has_a_format_of_its_own() -> None:
    cog = "image/tiff; application=geotiff; profile=cloud-optimized"
    for href, own, expected in (
        (S3, None, cog),
        (S3, JP2, JP2),
        ("s3://a/B04.jp2", None, None),
        ("s3://a/B", None, cog),
    ):
        alternate = {"s3": {"href": href} | ({"type": own} if own else {})}
        assert places("s3", href=HTTPS, type=cog, alternate=alternate) == (href, expected)
    assert places("s3", href=HTTPS, type=cog, alternate={"s3": {"href": "s3://a/B04.zarr"}}) == (HTTPS, cog)


def test_roles_tell_native_resolution_and_pictures() -> None:
    item = make_item()
    plain = item["assets"].pop("red") | {"proj:transform": None, "proj:shape": None}
    item["assets"] |= {
        "B04-jp2": plain | {"type": JP2, "roles": ["data", "sampling:original", "gsd:10m"]},
        "B04": plain | {"roles": ["data", "sampling:downsampled", "gsd:20m"]},
        "red": plain | {"roles": ["overview"]},
    }
    assert row_of(item).assets["red"].asset_key == "B04-jp2"


def test_probabilities_are_layers_beside_the_bands() -> None:
    item = make_item()
    bands = set(row_of(item).assets)
    item["assets"]["cloud"] = make_asset("CLD", 20)
    item["assets"]["snow"] = make_asset("SNW", 20)
    row = row_of(item)
    assert set(row.assets) == bands | {"cloud_probability", "snow_probability"}
    assert row.assets["cloud_probability"].asset_key == "cloud"


@pytest.mark.parametrize(
    "cloud",
    [
        make_asset("CLD", 60),
        make_asset("CLD", 20, href="gs://bucket/CLD.tif"),
        make_asset("CLD", 20, type="application/geo+json", href="https://example.com/clouds.geojson"),
    ],
)
def test_an_item_is_kept_without_a_probability_that_cannot_be_used(cloud: dict[str, Any]) -> None:
    item = make_item()
    before = row_of(item)
    item["assets"]["cloud"] = cloud
    assert row_of(item).assets == before.assets


def test_probabilities_are_no_bands() -> None:
    item = make_item()
    item["assets"] = {"scl": item["assets"]["scl"], "cloud": make_asset("CLD", 20)}
    assert reject_of(item).reason == Reason.NO_BAND
