"""The one table of how providers name things: asset keys, and the properties that hold the same fact.

A new provider is a new name in these tables, not a new branch in the code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from lakehouse.bands import BANDS, SCL

SCL_GSD_M: Final = 20

# Other names that providers give to a band, beside its common name and its Sentinel-2 code.
_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "blue": ("B2",),
    "green": ("B3",),
    "red": ("B4",),
    "rededge1": ("B5", "rededge071", "red-edge-1"),
    "rededge2": ("B6", "rededge075", "red-edge-2"),
    "rededge3": ("B7", "rededge078", "red-edge-3"),
    "nir": ("B8",),
    "nir08": ("nir-2", "nir_2"),
    "swir16": ("swir-1", "swir_1"),
    "swir22": ("swir-2", "swir_2"),
}

BAND_GSD_M: Final[dict[str, int]] = {band.name: band.gsd for band in BANDS} | {SCL: SCL_GSD_M}

BAND_OF_NAME: Final[dict[str, str]] = {
    name.lower(): band.name for band in BANDS for name in (band.name, band.code, *_ALIASES.get(band.name, ()))
} | {SCL: SCL}

# What else providers serve beside the bands of chips: an asset or band of such a name is known, and not taken.
OTHER_NAMES: Final = frozenset(
    {"b01", "b1", "coastal", "b09", "b9", "nir09", "b10", "cirrus", "rededge"}
    | {"aot", "wvp", "cld", "cloud", "snw", "snow", "dataquality"}
    | {"visual", "overview", "preview", "rendered_preview", "thumbnail", "tci", "pvi", "browse", "tilejson"}
    | {"reduced_resolution_browse", "index", "info", "metadata", "product"}
)
OTHER_ROLES: Final = frozenset({"thumbnail", "overview", "visual", "metadata"})

# Earth Search marks JPEG 2000 by `-jp2`, Copernicus Data Space and stactools the resolution by `_20m`. Files of the
# product, named after tile and time, serve as keys in catalogues made from them.
_ASSET_KEY: Final = re.compile(
    r"(?:T\d\d[A-Z]{3}_\d{8}T\d{6}_)?(?P<name>.+?)(?:_(?P<gsd>\d{1,4})m)?(?P<jp2>-jp2)?", re.IGNORECASE
)

# Names of two scene classes that no other classification has under these numbers.
SCL_CLASSES: Final = {4: "veg", 6: "water"}

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


@lru_cache(maxsize=4096)
def band_of_asset(key: str) -> tuple[str, int | None] | None:
    """Band that an asset's key names, and the resolution in metres that the key states, if any.

    None for an asset that is no band that chips use (`visual`, `aot`, `thumbnail`, `B01` …), and for a key that says
    nothing, which `is_other_asset` tells apart.
    """
    match = _ASSET_KEY.fullmatch(key)
    if match is None:
        return None
    band = BAND_OF_NAME.get(match["name"].lower())
    return None if band is None else (band, int(match["gsd"]) if match["gsd"] else None)


@lru_cache(maxsize=4096)
def is_other_asset(key: str) -> bool:
    """Whether an asset's key names something that is known to be no band of chips."""
    match = _ASSET_KEY.fullmatch(key)
    return match is not None and match["name"].lower() in OTHER_NAMES


def band_of_description(asset: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
    """Band that an asset with a free key describes: in `eo:bands` or STAC 1.1's `bands`, SCL also by its classes.

    Only an asset of one band counts, and none that is for looking at.
    """
    roles = asset.get("roles")
    if isinstance(roles, list) and any(isinstance(role, str) and role in OTHER_ROLES for role in roles):
        return None
    described = _only_band(asset, properties)
    if _is_scl(asset) or (described is not None and _is_scl(described)):
        return SCL
    if described is None or any(place.get("data_type") == "uint8" for place in (asset, described, _raster_band(asset))):
        return None  # eight bits hold a picture, not reflectances
    for name in ("name", "common_name", "eo:common_name"):
        value = described.get(name)
        known = value.lower() if isinstance(value, str) else ""
        if known in BAND_OF_NAME:
            return BAND_OF_NAME[known]
        if known in OTHER_NAMES:
            return None
    return None


def _only_band(asset: Mapping[str, Any], properties: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for name in ("eo:bands", "bands"):
        bands = asset.get(name)
        if not isinstance(bands, list) or not bands:
            continue
        band = bands[0] if len(bands) == 1 else None
        if isinstance(band, int) and not isinstance(band, bool):  # STAC 0.8: a place in the item's own list
            listed = properties.get(name)
            band = listed[band] if isinstance(listed, list) and 0 <= band < len(listed) else None
        return band if isinstance(band, dict) else None
    return None


def _raster_band(asset: Mapping[str, Any]) -> Mapping[str, Any]:
    bands = asset.get("raster:bands")
    return bands[0] if isinstance(bands, list) and len(bands) == 1 and isinstance(bands[0], dict) else {}


def _is_scl(place: Mapping[str, Any]) -> bool:
    classes = place.get("classification:classes") or _raster_band(place).get("classification:classes")
    if not isinstance(classes, list):
        return False
    names = {
        entry.get("value"): str(entry.get("name") or entry.get("description") or "").lower()
        for entry in classes
        if isinstance(entry, dict) and isinstance(entry.get("value"), int)
    }
    return all(word in names.get(value, "") for value, word in SCL_CLASSES.items())
