"""The one table of how providers name things: asset keys, and the properties that hold the same fact.

A new provider is a new name in these tables, not a new branch in the code.
"""

from __future__ import annotations

import re
from typing import Final

from chiplake.bands import BANDS, SCL

SCL_GSD_M: Final = 20

# Other names that providers give to a band, beside its common name and its Sentinel-2 code.
_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "rededge1": ("rededge071", "red-edge-1"),
    "rededge2": ("rededge075", "red-edge-2"),
    "rededge3": ("rededge078", "red-edge-3"),
    "nir08": ("nir-2", "nir_2"),
    "swir16": ("swir-1", "swir_1"),
    "swir22": ("swir-2", "swir_2"),
}

BAND_GSD_M: Final[dict[str, int]] = {band.name: band.gsd for band in BANDS} | {SCL: SCL_GSD_M}

BAND_OF_NAME: Final[dict[str, str]] = {
    name.lower(): band.name for band in BANDS for name in (band.name, band.code, *_ALIASES.get(band.name, ()))
} | {SCL: SCL}

# Earth Search marks JPEG 2000 by `-jp2`, Copernicus Data Space and stactools the resolution by `_20m`.
_ASSET_KEY: Final = re.compile(r"(?P<name>.+?)(?:_(?P<gsd>\d{1,4})m)?(?P<jp2>-jp2)?", re.IGNORECASE)

# The same fact under the names of the STAC extensions of 1.1, 1.0, stactools' first release and Earth Search 0.8.
PRODUCT_NAME: Final = ("s2:product_uri", "sentinel2:product_title", "sentinel:product_id", "eopf:product_id")
PRODUCT_TYPE: Final = ("s2:product_type", "product:type", "sentinel2:product_type", "processing:level")
DATATAKE: Final = ("s2:datatake_id", "eopf:datatake_id", "sentinel2:datatake_id")
DATASTRIP: Final = ("s2:datastrip_id", "eopf:datastrip_id", "sentinel2:datastrip_id")
BASELINE: Final = (
    "s2:processing_baseline",
    "sentinel2:processing_baseline",
    "sentinel:processing_baseline",
    "processing:version",
)
RELATIVE_ORBIT: Final = ("sat:relative_orbit", "sentinel2:relative_orbit_number")
CLOUD_COVER: Final = ("eo:cloud_cover",)
NODATA_PERCENT: Final = ("s2:nodata_pixel_percentage", "sentinel2:nodata_pixel_percentage")
BOA_OFFSET_APPLIED: Final = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
PLATFORM: Final = ("platform", "eo:platform")
TILE: Final = ("grid:code", "s2:mgrs_tile", "s2:tile_id", "s2:granule_id")
TILE_PARTS: Final = (
    ("mgrs:utm_zone", "mgrs:latitude_band", "mgrs:grid_square"),
    ("sentinel:utm_zone", "sentinel:latitude_band", "sentinel:grid_square"),
)
EPSG: Final = ("proj:epsg", "proj:code", "eo:epsg")


def band_of_asset(key: str) -> tuple[str, int | None] | None:
    """Band that an asset's key names, and the resolution in metres that the key states, if any.

    None for an asset that is no band that chips use (`visual`, `aot`, `thumbnail`, `B01` …).
    """
    match = _ASSET_KEY.fullmatch(key)
    if match is None:
        return None
    band = BAND_OF_NAME.get(match["name"].lower())
    return None if band is None else (band, int(match["gsd"]) if match["gsd"] else None)
