"""One item of each provider, in the provider's names and layout."""

from __future__ import annotations

import copy
from typing import Any

from lakehouse.bands import BANDS
from support.stac_items import NORTH, WEST, make_item

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
    """`sentinel-s2-l2a-cogs`: band codes as keys, affine transforms of nine numbers, no datatake, no offset."""
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
    """`sentinel-2-l2a`: common names as keys, all assets again in JPEG 2000, both a flag and a raster offset."""
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
    """`sentinel-2-c1-l2a`: as v1, but without JPEG 2000 and flag; the id has the start of the datastrip."""
    item = earth_search_v1() | {"id": "S2A_T33TWL_20230815T095630_L2A", "collection": "sentinel-2-c1-l2a"}
    del item["properties"]["earthsearch:boa_offset_applied"]
    item["assets"] = {key: asset for key, asset in item["assets"].items() if not key.endswith("-jp2")}
    return item


def planetary_computer() -> dict[str, Any]:
    """Band codes as keys, no offset, an id without the baseline."""
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
    """STAC 1.1: resolutions in the keys, JPEG 2000, EPSG code and offset on the assets."""
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
    """Keys without meaning, as in the catalogues of the USGS and others: the assets describe their bands instead."""
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
    classes: dict[str, Any] = {"classification:classes": CLASSES}
    assets["classes"] = raster("https://x.com/c.tif", 20, **(classes if stac_1_1 else {"raster:bands": [classes]}))
    properties = {
        **{"platform": "Sentinel-2A", "proj:epsg": 32633, "s2:processing_baseline": "05.09"},
        **{"s2:product_uri": "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057.SAFE"},
    }
    return skeleton("mine", properties, assets, stac_version="1.1.0" if stac_1_1 else "1.0.0")


def in_stac_1_1(item: dict[str, Any]) -> dict[str, Any]:
    """Rewrite an item of STAC 1.0 in STAC 1.1 and the second versions of its extensions."""
    new = copy.deepcopy(item) | {"stac_version": "1.1.0"}
    new["properties"]["proj:code"] = f"EPSG:{new['properties'].pop('proj:epsg')}"
    for asset in new["assets"].values():
        (old,) = asset.pop("raster:bands")
        asset |= {name if name == "nodata" else f"raster:{name}": value for name, value in old.items()}
    return new
