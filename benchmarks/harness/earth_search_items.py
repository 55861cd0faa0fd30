"""Items of about 16 kB as Earth Search serves them."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from lakehouse.bands import BANDS

ITEMS_A_DAY: Final = 30  # of an area of a few tiles, newest day first, as a search returns them
LAST_DAY: Final = datetime(2024, 8, 31, 9, 58, 11, 662000, tzinfo=UTC)
TILES: Final = ("33TVL", "33TVM", "33TWL", "33TWM", "33TXL", "33TXM")

Item = dict[str, Any]


def write_items(path: Path, count: int) -> Path:
    """Write a number of items as newline-delimited JSON."""
    with path.open("w") as lines:
        lines.writelines(json.dumps(make_item(number)) + "\n" for number in range(count))
    return path


def make_item(number: int) -> Item:
    """Make the item of a number, which is the same in every run."""
    chance = random.Random(number)  # noqa: S311
    tile = TILES[number % len(TILES)]
    time = LAST_DAY - timedelta(days=number // ITEMS_A_DAY)
    day, name = f"{time:%Y%m%d}", f"S2A_{tile}_{time:%Y%m%d}_{number}_L2A"
    sensed, made = f"{day}T095031", f"{day}T155057"
    stamp = f"{time + timedelta(hours=11):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    place = f"{tile[:2]}/{tile[2]}/{tile[3:]}/{time.year}/{time.month}"
    west, south = (round(value + chance.uniform(0, 0.01), 6) for value in (15.0, 45.06))
    east, north = round(west + 1.39, 6), round(south + 0.99, 6)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    shares = ("water", "vegetation", "cloud_shadow", "snow_ice", "thin_cirrus", "unclassified", "not_vegetated")
    api = "https://earth-search.aws.element84.com/v1"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            f"https://stac-extensions.github.io/{extension}/schema.json"
            for extension in ("view/v1.0.0", "projection/v1.1.0", "grid/v1.1.0", "eo/v1.1.0", "raster/v1.1.0")
        ],
        "id": name,
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "created": stamp,
            "updated": stamp,
            "datetime": f"{time:%Y-%m-%dT%H:%M:%S.%f}Z",
            "platform": "sentinel-2a",
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "eo:cloud_cover": round(chance.uniform(0, 100), 6),
            "proj:epsg": 32633,
            "proj:centroid": {"lat": round((south + north) / 2, 5), "lon": round((west + east) / 2, 5)},
            "mgrs:utm_zone": 33,
            "mgrs:latitude_band": tile[2],
            "mgrs:grid_square": tile[3:],
            "grid:code": f"MGRS-{tile}",
            "view:sun_azimuth": chance.uniform(140, 170),
            "view:sun_elevation": chance.uniform(20, 60),
            "s2:sequence": "0",
            "s2:product_type": "S2MSI2A",
            "s2:processing_baseline": "05.09",
            "s2:product_uri": f"S2A_MSIL2A_{sensed}_N0509_R079_T{tile}_{made}.SAFE",
            "s2:tile_id": f"S2A_OPER_MSI_L2A_TL_2APS_{made}_A042547_T{tile}_N05.09",
            "s2:datatake_id": f"GS2A_{sensed}_042547_N05.09",
            "s2:datatake_type": "INS-NOBS",
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_2APS_{made}_S{day}T095630_N05.09",
            "s2:generation_time": f"{time:%Y-%m-%d}T15:50:57.000000Z",
            "s2:reflectance_conversion_factor": chance.uniform(0.96, 1.04),
            "s2:nodata_pixel_percentage": round(chance.uniform(0, 100), 6),
            **{f"s2:{share}_percentage": round(chance.uniform(0, 30), 6) for share in shares},
            "earthsearch:s3_path": f"s3://sentinel-cogs/sentinel-s2-l2a-cogs/{place}/{name}",
            "earthsearch:payload_id": f"roda-sentinel2/workflow-sentinel2-to-stac/{chance.getrandbits(128):032x}",
            "earthsearch:boa_offset_applied": False,
            "processing:software": {"sentinel2-to-stac": "0.1.1"},
        },
        "assets": _assets(f"{place}/{name}", f"{place}/{time.day}/0"),
        "links": [
            {"rel": "self", "type": "application/geo+json", "href": f"{api}/collections/sentinel-2-l2a/items/{name}"},
            {"rel": "parent", "type": "application/json", "href": f"{api}/collections/sentinel-2-l2a"},
            {"rel": "collection", "type": "application/json", "href": f"{api}/collections/sentinel-2-l2a"},
            {"rel": "root", "type": "application/json", "href": api},
        ],
    }


def _assets(cog_place: str, jp2_place: str) -> Item:
    """COG and JPEG 2000 of each band, and the other assets of Earth Search."""
    cog, jp2 = "image/tiff; application=geotiff; profile=cloud-optimized", "image/jp2"
    bucket = f"https://sentinel-cogs.s3.us-west-2.amazonaws.com/sentinel-s2-l2a-cogs/{cog_place}"
    assets: Item = {}
    for band in BANDS:
        meaning = {"name": band.code, "common_name": band.name, "center_wavelength": band.wavelength}
        raster = {"nodata": 0, "data_type": "uint16", "spatial_resolution": band.gsd, "scale": 0.0001, "offset": -0.1}
        shared = {
            "title": f"{band.name} - {band.gsd}m",
            "eo:bands": [meaning | {"full_width_half_max": 0.038}],
            **_grid(band.gsd),
            "raster:bands": [raster],
            "roles": ["data", "reflectance"],
        }
        assets[band.name] = {"href": f"{bucket}/{band.code}.tif", "type": cog} | shared
        href = f"s3://sentinel-s2-l2a/tiles/{jp2_place}/R{band.gsd}m/{band.code}.jp2"
        assets[f"{band.name}-jp2"] = {"href": href, "type": jp2} | shared
    for name, gsd in (("scl", 20), ("aot", 20), ("wvp", 20), ("visual", 10)):
        raster = {"nodata": 0, "data_type": "uint8", "spatial_resolution": gsd}
        assets[name] = {
            "href": f"{bucket}/{name.upper()}.tif",
            "type": cog,
            "title": name,
            **_grid(gsd),
            "raster:bands": [raster],
            "roles": ["data"],
        }
    for name in ("granule_metadata", "tileinfo_metadata", "product_metadata"):
        assets[name] = {"href": f"{bucket}/{name}.xml", "type": "application/xml", "roles": ["metadata"]}
    assets["thumbnail"] = {"href": f"{bucket}/preview.jpg", "type": "image/jpeg", "roles": ["thumbnail"]}
    return assets


def _grid(gsd: int) -> Item:
    size = 109_800 // gsd
    return {"gsd": gsd, "proj:shape": [size, size], "proj:transform": [gsd, 0, 499980, 0, -gsd, 5100000]}
