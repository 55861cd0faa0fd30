"""The names that providers give to assets and properties, in one place.

A new provider needs new names in these tables, no new branch in the code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from lakehouse.bands import BANDS, CLOUD_PROBABILITY, SCL, SNOW_PROBABILITY


class RasterFormat(NamedTuple):
    """A format of files, as media types and addresses name it."""

    name: str
    words: tuple[str, ...]  # any of which its media types hold
    endings: tuple[str, ...]  # of addresses
    rank: int | None  # the lowest is the best; None: not read


# Names of a band in addition to its common name and its Sentinel-2 code.
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

BAND_OF_NAME: Final[dict[str, str]] = {
    name.lower(): band.name for band in BANDS for name in (band.name, band.code, *_ALIASES.get(band.name, ()))
} | dict.fromkeys((SCL, "scene_classification", "scene-classification"), SCL)
# Keys of assets; a description that names a cloud may be that of any mask.
_PROBABILITY_OF_KEY: Final[dict[str, str]] = dict.fromkeys(("cld", "cloud"), CLOUD_PROBABILITY) | dict.fromkeys(
    ("snw", "snow"), SNOW_PROBABILITY
)

# Names of assets and bands that providers serve but chips do not use, or not as a band.
OTHER_NAMES: Final = frozenset(
    {"b01", "b1", "coastal", "b09", "b9", "nir09", "b10", "cirrus", "rededge"}
    | {"aot", "wvp", "cld", "cloud", "snw", "snow", "dataquality"}
    | {"visual", "overview", "preview", "rendered_preview", "thumbnail", "tci", "pvi", "browse", "tilejson"}
    | {"reduced_resolution_browse", "index", "info", "metadata", "product"}
)
OTHER_ROLES: Final = frozenset({"thumbnail", "overview", "visual", "metadata"})
RESAMPLED_ROLES: Final = frozenset({"sampling:downsampled", "sampling:upsampled"})

# Earth Search marks JPEG 2000 by `-jp2`. Copernicus Data Space writes the resolution as `_20m`, stactools as `-20m`. In
# catalogues made from a product's files, keys are paths or file names with product, tile and time.
_ASSET_KEY: Final = re.compile(
    r"(?P<folders>.*/)?(?:S2[A-Z]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_)?(?:L2A_)?(?:T?\d\d[A-Z]{3}_)?(?:\d{8}T\d{6}_)?"
    r"(?:R(?P<first_gsd>\d{1,4})m[_-])?(?P<name>.+?)(?:[_-]R?(?P<gsd>\d{1,4})m)?(?P<jp2>-jp2)?(?:\.(?:tiff?|jp2))?",
    re.IGNORECASE,
)
_FOLDER_OF_GSD: Final = re.compile(r"(?:^|/)R?(\d{1,4})m/", re.IGNORECASE)  # R10m in a product, r10m in EOPF's
_ROLE_OF_GSD: Final = re.compile(r"gsd:(\d{1,4})m", re.IGNORECASE)  # as Copernicus Data Space writes it

# Two classes of the SCL that no other classification has under these numbers.
SCL_CLASSES: Final = {4: "veg", 6: "water"}

# Each property under its names in the extensions of STAC 1.1 and 1.0, the first release of stactools and Earth
# Search 0.8. The first name that an item has is taken.
PRODUCT_NAME: Final = ("s2:product_uri", "sentinel2:product_title", "sentinel:product_id", "eopf:product_id")
PRODUCT_TYPE: Final = ("s2:product_type", "product:type", "sentinel2:product_type", "processing:level")
DATATAKE: Final = ("s2:datatake_id", "eopf:datatake_id", "sentinel2:datatake_id")
DATASTRIP: Final = ("s2:datastrip_id", "eopf:datastrip_id", "sentinel2:datastrip_id")
BASELINE: Final = (
    "s2:processing_baseline",
    "sentinel2:processing_baseline",
    "sentinel:processing_baseline",
)
# The baseline at Copernicus Data Space, the version of the software elsewhere.
BASELINE_OR_SOFTWARE: Final = ("processing:version",)
RELATIVE_ORBIT: Final = ("sat:relative_orbit", "sentinel2:relative_orbit_number")
CLOUD_COVER: Final = ("eo:cloud_cover",)
NODATA_PERCENT: Final = ("s2:nodata_pixel_percentage", "sentinel2:nodata_pixel_percentage")

# Formats by the words of their media type and by the end of their addresses. The rank is that of the choice between the
# assets of a band: JPEG 2000 decodes twenty times slower than GeoTIFF, and what is unknown may not be readable at all.
# Formats without a rank are not read.
UNKNOWN_FORMAT: Final = RasterFormat("an unknown format", (), (), 4)
COG: Final = RasterFormat("COG", ("cloud-optimized",), (), 0)
GEOTIFF: Final = RasterFormat("GeoTIFF", ("tiff",), (".tif", ".tiff"), 1)
FORMATS: Final = (
    GEOTIFF,
    RasterFormat("JPEG 2000", ("jp2", "jpeg2000", "jpx"), (".jp2", ".j2k"), 3),
    RasterFormat("Zarr", ("zarr",), (".zarr", ".zarr.zip"), None),
    RasterFormat("netCDF", ("netcdf",), (".nc", ".nc4", ".cdf"), None),
    RasterFormat("HDF", ("hdf",), (".h5", ".hdf5", ".he5", ".hdf"), None),
    RasterFormat("tar", ("x-tar", "x-gtar"), (".tar", ".tgz", ".tar.gz"), None),  # before gzip
    RasterFormat("Icechunk", ("icechunk",), (".icechunk",), None),
    RasterFormat("VRT", ("vrt",), (".vrt", ".kvrt"), None),
    RasterFormat("SAFE", (), (".safe", ".safe/"), None),
    RasterFormat("gzip", ("gzip",), (".gz",), None),
    RasterFormat("7z", ("x-7z",), (".7z",), None),
    RasterFormat("zip", ("zip",), (".zip",), None),
    RasterFormat("GRIB", ("grib",), (".grib", ".grib2", ".grb2"), None),
    RasterFormat("Parquet", ("parquet",), (".parquet",), None),
    RasterFormat("PNG", ("image/png",), (".png",), None),
    RasterFormat("JPEG", ("image/jpeg", "image/jpg"), (".jpg", ".jpeg"), None),
    RasterFormat("JSON", ("json",), (".json", ".geojson"), None),
    RasterFormat("XML", ("xml",), (".xml",), None),
    RasterFormat("WebP", ("image/webp",), (".webp",), None),
    RasterFormat("HTML", ("html",), (".html", ".htm"), None),
)

# earthsearch:, sentinel: and others; ESA's name of the offset is BOA_ADD_OFFSET
BOA_OFFSET_APPLIED: Final = re.compile(r"(?:[\w-]+:)?boa[_-](?:add[_-])?offset[_-]applied", re.IGNORECASE)
DEPRECATED: Final = re.compile("deprecated")
PLATFORM: Final = ("platform", "eo:platform")
TILE: Final = ("grid:code", "s2:mgrs_tile", "s2:tile_id", "s2:granule_id")
TILE_PARTS: Final = (
    ("mgrs:utm_zone", "mgrs:latitude_band", "mgrs:grid_square"),
    ("sentinel:utm_zone", "sentinel:latitude_band", "sentinel:grid_square"),
)
EPSG: Final = ("proj:epsg", "proj:code", "eo:epsg")
CRS_DEFINITIONS: Final = ("proj:wkt2", "proj:projjson")


@lru_cache(maxsize=4096)
def layer_of_asset(key: str) -> tuple[str, int | None] | None:
    """Return the layer that an asset's key names, and the resolution in metres if the key states it.

    Return None for assets that chips do not use (`visual`, `aot`, `thumbnail`, `B01` …) and for keys without a known
    name. `is_other_asset` distinguishes the two.
    """
    match = _ASSET_KEY.fullmatch(key)
    if match is None:
        return None
    name = match["name"].lower()
    layer = BAND_OF_NAME.get(name) or _PROBABILITY_OF_KEY.get(name)
    if layer is None:
        return None
    folder = _FOLDER_OF_GSD.search(match["folders"] or "")
    gsd = match["gsd"] or match["first_gsd"] or (folder and folder[1])
    return layer, int(gsd) if gsd else None


@lru_cache(maxsize=4096)
def is_other_asset(key: str) -> bool:
    """Return whether an asset's key has a known name that is not a band of chips."""
    match = _ASSET_KEY.fullmatch(key)
    return match is not None and match["name"].lower() in OTHER_NAMES


def format_of(media_type: str | None, href: object) -> RasterFormat:
    """Return the format that a media type names, else the one that the end of an address does."""
    named = _format_of_type(media_type) if media_type else None
    return format_of_href(href) if named is None else named


@lru_cache(maxsize=256)
def _format_of_type(media_type: str) -> RasterFormat | None:
    words = media_type.lower()
    named = next((one for one in FORMATS if any(word in words for word in one.words)), None)
    return COG if named is GEOTIFF and COG.words[0] in words else named


def format_of_href(href: object) -> RasterFormat:
    """Return the format that the end of an address names. A Zarr store is a folder, so paths may go on after it."""
    path = re.split(r"[?#]", href, maxsplit=1)[0].lower() if isinstance(href, str) else ""
    if ".zarr/" in path:
        path = path[: path.index(".zarr/") + len(".zarr")]
    return next((one for one in FORMATS if path.endswith(one.endings)), UNKNOWN_FORMAT)


def roles_of(asset: Mapping[str, Any]) -> frozenset[str]:
    """Return the roles of an asset in small letters."""
    roles = asset.get("roles")
    return (
        frozenset(role.lower() for role in roles if isinstance(role, str)) if isinstance(roles, list) else frozenset()
    )


def gsd_of_roles(roles: Iterable[str]) -> float | None:
    """Return the resolution that a role states, metres."""
    return next((float(match[1]) for role in roles if (match := _ROLE_OF_GSD.fullmatch(role))), None)


def band_of_description(asset: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
    """Return the band that an asset describes in `eo:bands` or in STAC 1.1's `bands`; for SCL also in its classes.

    Return None for assets of several bands, and for pictures such as overviews.
    """
    if roles_of(asset) & OTHER_ROLES:
        return None
    described = _only_band(asset, properties)
    if _is_scl(asset) or (described is not None and _is_scl(described)):
        return SCL
    if described is None or any(part.get("data_type") == "uint8" for part in (asset, described, _raster_band(asset))):
        return None  # a picture: reflectances need more than eight bits
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
        if isinstance(band, int) and not isinstance(band, bool):  # STAC 0.8: an index into the item's list
            listed = properties.get(name)
            band = listed[band] if isinstance(listed, list) and 0 <= band < len(listed) else None
        return band if isinstance(band, dict) else None
    return None


def _raster_band(asset: Mapping[str, Any]) -> Mapping[str, Any]:
    bands = asset.get("raster:bands")
    return bands[0] if isinstance(bands, list) and len(bands) == 1 and isinstance(bands[0], dict) else {}


def _is_scl(description: Mapping[str, Any]) -> bool:
    classes = description.get("classification:classes") or _raster_band(description).get("classification:classes")
    if not isinstance(classes, list):
        return False
    names = {
        entry.get("value"): str(entry.get("name") or entry.get("description") or "").lower()
        for entry in classes
        if isinstance(entry, dict) and isinstance(entry.get("value"), int)
    }
    return all(word in names.get(value, "") for value, word in SCL_CLASSES.items())
