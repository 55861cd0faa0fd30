"""Small synthetic STAC items in the form of Earth Search."""

from __future__ import annotations

from typing import Any

from lakehouse.bands import BANDS

WEST, NORTH = 499980, 5100000  # corner of tile 33TWL in EPSG:32633, metres


def make_asset(key: str = "B02", gsd: int = 10, /, **changes: Any) -> dict[str, Any]:
    """Make the asset of a band; `changes` replace its members."""
    size = 109_800 // gsd
    asset: dict[str, Any] = {
        "href": f"https://example.com/33TWL/{key}.tif",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "proj:transform": [gsd, 0, WEST, 0, -gsd, NORTH],
        "proj:shape": [size, size],
        "raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}],
    }
    return asset | changes


def make_item(number: int = 0, /, **properties: Any) -> dict[str, Any]:
    """Make a usable item. `number` determines id and day; `properties` replace properties, and None removes one."""
    day = f"2023-08-{number % 28 + 1:02d}"
    compact = day.replace("-", "")
    defaults = {
        "datetime": f"{day}T09:58:11.662000Z",
        "updated": f"{day}T21:18:57.067Z",
        "platform": "sentinel-2a",
        "constellation": "sentinel-2",
        "eo:cloud_cover": float(number % 100),
        "proj:epsg": 32633,
        "grid:code": "MGRS-33TWL",
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": "05.09",
        "s2:product_uri": f"S2A_MSIL2A_{compact}T095031_N0509_R079_T33TWL_{compact}T155057.SAFE",
        "s2:datatake_id": f"GS2A_{compact}T095031_042547_N05.09",
        "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_2APS_{compact}T155057_S{compact}T095630_N05.09",
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"S2A_33TWL_{compact}_{number}_L2A",
        "collection": "sentinel-2-l2a",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[15.0, 45.06], [16.39, 45.06], [16.42, 46.04], [15.0, 46.05], [15.0, 45.06]]],
        },
        "bbox": [15.0, 45.06, 16.42, 46.05],
        "properties": {name: value for name, value in (defaults | properties).items() if value is not None},
        "assets": {
            "scl": make_asset("SCL", 20, **{"raster:bands": [{"nodata": 0}]}),
            **{band.name: make_asset(band.code, band.gsd) for band in BANDS},
        },
        "links": [],
    }
