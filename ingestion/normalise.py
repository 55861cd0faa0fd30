"""From the JSON of one STAC item to one row of `raw.stac_items`, or to a reject that says why not.

Nothing here does I/O and nothing raises on any JSON: what cannot be used becomes a `Reject`. No pystac objects:
they are slower than all the rest of ingestion together.
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

import shapely

from chiplake.bands import SCL
from ingestion.geometry import footprint_of_grid, footprint_of_item
from ingestion.model import NO_COLLECTION, Asset, JsonObject, Origin, Reason, Received, Reject, StacItemRow
from ingestion.providers import (
    BAND_GSD_M,
    BASELINE,
    BOA_OFFSET_APPLIED,
    CLOUD_COVER,
    DATASTRIP,
    DATATAKE,
    EPSG,
    NODATA_PERCENT,
    PLATFORM,
    PRODUCT_NAME,
    PRODUCT_TYPE,
    RELATIVE_ORBIT,
    TILE,
    TILE_PARTS,
    band_of_asset,
)

REMOTE_SCHEMES: Final = frozenset({"http", "https", "s3"})
MAX_TILE_M: Final = 120_000  # a Sentinel-2 tile is 109,800 m wide
MAX_TILE_DEGREES: Final = 1.5  # and so about a degree high
MAX_DETAIL: Final = 500  # characters

_PRODUCT: Final = re.compile(r"(S2[A-Z])_MSI(L\w\w)_(\d{8}T\d{6})_")
_PRODUCT_BASELINE: Final = re.compile(r"_N(\d\d)\.?(\d\d)(?:_|\.|$)")
_DATATAKE: Final = re.compile(r"G?(S2[A-Z])_(\d{8}T\d{6})")
_DATASTRIP: Final = re.compile(r"_S(\d{8}T\d{6})(?:_|$)")
# Earth Search's collection 1 puts the start of the datastrip into the item's id.
_C1_ID: Final = re.compile(r"S2[A-Z]_T\d\d[A-Z]{3}_(\d{8}T\d{6})_L2A")
_SATELLITE: Final = re.compile(r"(?:sentinel[- _]?|s)2[- _]?([a-z])(?![a-z0-9])", re.IGNORECASE)
_SENTINEL_2: Final = re.compile(r"(?:sentinel[- _]?|s)2(?:[- _]?[a-z])?(?![a-z0-9])", re.IGNORECASE)
_LEVEL: Final = re.compile(r"(?:L|MSI|^)(1A|1B|1C|2A)", re.IGNORECASE)
_RELATIVE_ORBIT: Final = re.compile(r"_R(\d{3})_")
_BASELINE: Final = re.compile(r"(\d{1,2})\.(\d{1,2})")
_TILE: Final = re.compile(r"(?:MGRS-|.*_)?T?(\d{1,2})([C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?:_.*)?")


class _RejectedError(Exception):
    """Ends the normalisation of one item; never leaves this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, the same text for the same content.

    Raises:
        ValueError: it holds NaN or an infinity, which JSON has no words for, or is nested too deep.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def normalise(received: Received, default_collection: str | None = None) -> StacItemRow | Reject:
    """Turn one thing that arrived into a row or a reject. Raises nothing."""
    content, origin = received.content, received.origin
    try:
        if received.parse_error is not None:
            raise _RejectedError(Reason.INVALID_JSON, received.parse_error)
        try:
            text = canonical_json(content)
        except ValueError as error:
            raise _RejectedError(Reason.INVALID_JSON, str(error)) from error
        return _row(_checked_item(content), text, origin, default_collection)
    except _RejectedError as rejected:
        return _reject(received, rejected.reason, rejected.detail, default_collection)


def _reject(received: Received, reason: Reason, detail: str, default_collection: str | None) -> Reject:
    content = received.content
    text = content if isinstance(content, str) else _lenient_json(content)
    item = content if isinstance(content, dict) else {}
    content_hash = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return Reject(
        collection=_text(item.get("collection")) or default_collection or NO_COLLECTION,
        item_id=_text(item.get("id")) or received.place or f"sha256:{content_hash[:16]}",
        reason=reason,
        detail=detail[:MAX_DETAIL],
        source=received.origin.source,
        content_hash=content_hash,
        item=text.encode(errors="replace").decode(),
    )


def _lenient_json(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (RecursionError, TypeError, ValueError):
        return "(cannot be written as JSON)"


def _checked_item(content: Any) -> JsonObject:
    if not isinstance(content, dict):
        raise _RejectedError(Reason.NOT_AN_ITEM, f"expected a JSON object, found {type(content).__name__}")
    if content.get("type") != "Feature":
        raise _RejectedError(Reason.NOT_AN_ITEM, f"type is {content.get('type')!r}, not 'Feature'")
    for name in ("properties", "assets"):
        if not isinstance(content.get(name), dict):
            raise _RejectedError(Reason.NOT_AN_ITEM, f"{name} is not an object")
    if _text(content.get("id")) is None:
        raise _RejectedError(Reason.NO_ID, f"id is {content.get('id')!r}")
    return content


def _row(item: JsonObject, text: str, origin: Origin, default_collection: str | None) -> StacItemRow:
    properties: JsonObject = item["properties"]
    item_id = str(item["id"])
    collection = _text(item.get("collection"))
    product = product_name(properties, item_id)
    platform = _platform(properties, product, item_id)
    _check_mission(properties, platform, item_id)
    _check_level(properties, product, item_id, collection)
    acquired_at = parse_time(properties.get("datetime")) or parse_time(properties.get("start_datetime"))
    if acquired_at is None:
        raise _RejectedError(Reason.NO_DATETIME, f"datetime is {properties.get('datetime')!r}")
    epsg = _epsg(item)
    assets = _assets(item, origin)
    footprint = footprint_of_item(item.get("geometry")) or _footprint_of_assets(epsg, assets)
    if footprint is None:
        raise _RejectedError(Reason.NO_GEOMETRY, "neither geometry nor proj:transform with proj:shape give an area")
    xmin, ymin, xmax, ymax = footprint.bounds
    datastrip = _first_text(properties, DATASTRIP)
    tile = mgrs_tile(properties, product, item_id)
    if tile is None:
        raise _RejectedError(Reason.NO_TILE, f"neither properties nor product nor id name the tile of {item_id}")
    datatake = datatake_id(properties, product, platform, acquired_at)
    if datatake is None:
        raise _RejectedError(Reason.NO_DATATAKE, f"neither datatake nor product nor satellite of {item_id} are stated")
    _check_rasters(assets, footprint)
    return StacItemRow(
        collection=collection or default_collection or NO_COLLECTION,
        item_id=item_id,
        content_hash=hashlib.sha256(text.encode()).hexdigest(),
        source=origin.source,
        acquired_at=acquired_at,
        updated_at=parse_time(properties.get("updated")) or parse_time(properties.get("created")),
        platform=platform,
        mgrs_tile=tile,
        product_id=product,
        datatake_id=datatake,
        datastrip_started_at=datastrip_start(datastrip, item_id),
        processing_baseline=processing_baseline(properties, product),
        relative_orbit=relative_orbit(properties, product),
        epsg=epsg,
        cloud_cover=_first_number(properties, CLOUD_COVER),
        nodata_percent=_nodata_percent(properties),
        is_boa_offset_applied=next((v for n in BOA_OFFSET_APPLIED if isinstance(v := properties.get(n), bool)), None),
        geometry=shapely.to_wkb(footprint),
        xmin=xmin,
        ymin=ymin,
        xmax=xmax,
        ymax=ymax,
        assets=assets,
        item=text,
    )


def _check_rasters(assets: Mapping[str, Asset], footprint: Any) -> None:
    """Refuse what would make endless rows of cells, or no reflectance."""
    states_grid = False
    for band, asset in assets.items():
        if band != SCL and asset.scale is not None and not 0 < asset.scale <= 1:
            raise _RejectedError(Reason.IMPLAUSIBLE_RASTER, f"asset {asset.asset_key} has the scale {asset.scale}")
        if asset.transform is not None and asset.shape is not None:
            states_grid = True
            side = max(abs(asset.transform[0]) * asset.shape[1], abs(asset.transform[4]) * asset.shape[0])
            if side > MAX_TILE_M:
                raise _RejectedError(Reason.IMPLAUSIBLE_RASTER, f"asset {asset.asset_key} is {side:.0f} m wide or high")
    if not states_grid:  # the footprint then says where the raster may lie
        size = footprint.area * math.cos(math.radians(footprint.centroid.y))
        if size > MAX_TILE_DEGREES**2:
            raise _RejectedError(Reason.IMPLAUSIBLE_RASTER, f"the footprint covers {size:.1f} square degrees")


# --- identity -------------------------------------------------------------------------------------------------


def product_name(properties: Mapping[str, Any], item_id: str) -> str | None:
    """Name of the ESA product without `.SAFE`, if the item states it or is named after it."""
    for candidate in (*(_text(properties.get(name)) for name in PRODUCT_NAME), item_id):
        if candidate is not None and _PRODUCT.match(candidate):
            return candidate.removesuffix(".SAFE")
    return None


def mgrs_tile(properties: Mapping[str, Any], product: str | None, item_id: str) -> str | None:
    """MGRS tile as `33TWL`: two digits, no `T` or `MGRS-` in front."""
    parts = ("".join(str(properties.get(name, "")) for name in names) for names in TILE_PARTS)
    for candidate in (*(_text(properties.get(name)) for name in TILE), *parts, product, item_id):
        match = _TILE.fullmatch(candidate) if candidate else None
        if match is not None:
            return match[1].zfill(2) + match[2]
    return None


def datatake_id(
    properties: Mapping[str, Any], product: str | None, platform: str | None, acquired_at: datetime
) -> str | None:
    """Satellite and start of the datatake, `S2A_20230815T095031`, the same for all of its tiles and baselines."""
    for candidate in (_first_text(properties, DATATAKE), product and product.replace("_MSIL2A_", "_")):
        match = _DATATAKE.match(candidate) if candidate else None
        if match is not None:
            return f"{match[1]}_{match[2]}"
    satellite = _SATELLITE.search(platform) if platform else None
    return f"S2{satellite[1].upper()}_{acquired_at:%Y%m%dT%H%M%S}" if satellite else None


def datastrip_start(datastrip: str | None, item_id: str) -> datetime | None:
    """Sensing start of the datastrip, which tells the two parts of a split pass apart."""
    match = (_DATASTRIP.search(datastrip) if datastrip else None) or _C1_ID.fullmatch(item_id)
    return _compact_time(match[1]) if match else None


def processing_baseline(properties: Mapping[str, Any], product: str | None) -> str | None:
    """Processing baseline as `05.09`."""
    for name in BASELINE:
        value = properties.get(name)
        match = _BASELINE.fullmatch(str(value)) if isinstance(value, str | float) else None
        if match is not None:
            return f"{match[1].zfill(2)}.{match[2].ljust(2, '0')}"
    for candidate in (product, _first_text(properties, DATATAKE), _first_text(properties, DATASTRIP)):
        match = _PRODUCT_BASELINE.search(candidate) if candidate else None
        if match is not None:
            return f"{match[1]}.{match[2]}"
    return None


def relative_orbit(properties: Mapping[str, Any], product: str | None) -> int | None:
    """Relative orbit number, 1 to 143, as stated or as the product is named."""
    stated = _first_integer(properties, RELATIVE_ORBIT)
    match = _RELATIVE_ORBIT.search(product) if product else None
    return stated if stated is not None or match is None else int(match[1])


def _platform(properties: Mapping[str, Any], product: str | None, item_id: str) -> str | None:
    stated = _first_text(properties, PLATFORM)
    if stated and _SENTINEL_2.match(stated) is None:
        return stated.lower()  # another mission, whatever the id looks like
    for candidate in (stated, product, item_id):
        match = _SATELLITE.match(candidate) if candidate else None
        if match is not None:
            return f"sentinel-2{match[1].lower()}"
    return stated.lower() if stated else None


def _check_mission(properties: Mapping[str, Any], platform: str | None, item_id: str) -> None:
    stated = platform or _text(properties.get("constellation")) or item_id
    if _SENTINEL_2.match(stated) is None:
        raise _RejectedError(Reason.NOT_SENTINEL_2, f"platform or id is {stated!r}")


def _check_level(properties: Mapping[str, Any], product: str | None, item_id: str, collection: str | None) -> None:
    named = _PRODUCT.match(product) if product else None
    stated = [
        *(_text(properties.get(name)) for name in PRODUCT_TYPE),
        named and named[2],
        item_id,
        collection,
    ]
    for candidate in stated:
        level = _LEVEL.search(candidate) if candidate else None
        if level is None:
            continue
        if level[1].upper() == "2A":
            return
        raise _RejectedError(Reason.NOT_LEVEL_2A, f"level {level[1].upper()} according to {candidate!r}")
    raise _RejectedError(Reason.NOT_LEVEL_2A, "no product type, product name or id states the level")


def _nodata_percent(properties: Mapping[str, Any]) -> float | None:
    statistics = properties.get("statistics")  # Copernicus Data Space
    stated = _first_number(properties, NODATA_PERCENT)
    return stated if stated is not None or not isinstance(statistics, dict) else _number(statistics.get("nodata"))


# --- projection -----------------------------------------------------------------------------------------------


def _epsg(item: JsonObject) -> int:
    places = [item["properties"], *(asset for asset in item["assets"].values() if isinstance(asset, dict))]
    stated = [code for place in places for name in EPSG if (code := _epsg_code(place.get(name))) is not None]
    zones = (code for code in stated if 32601 <= code <= 32660 or 32701 <= code <= 32760)
    zone = next(zones, None)
    if zone is None:
        found = f"EPSG:{stated[0]} is no UTM zone" if stated else "neither proj:epsg nor proj:code"
        raise _RejectedError(Reason.NO_PROJECTION, found)
    return zone


def _epsg_code(value: object) -> int | None:
    if isinstance(value, str):
        match = re.fullmatch(r"(?:EPSG:)?(\d{4,6})", value.strip(), re.IGNORECASE)
        return int(match[1]) if match else None
    return _integer(value)


def _footprint_of_assets(epsg: int, assets: Mapping[str, Asset]) -> Any:
    for asset in assets.values():
        if asset.transform is not None and asset.shape is not None:
            return footprint_of_grid(epsg, asset.transform, asset.shape)
    return None


# --- assets ---------------------------------------------------------------------------------------------------


def _assets(item: JsonObject, origin: Origin) -> dict[str, Asset]:
    """The best raster of each band: native resolution only, COG before JPEG 2000."""
    candidates: dict[str, list[tuple[str, JsonObject]]] = {}
    coarser: list[str] = []
    for key, value in item["assets"].items():
        found = band_of_asset(key)
        if found is None or not isinstance(value, dict):
            continue
        band, gsd = found
        if gsd in (None, BAND_GSD_M[band]):
            candidates.setdefault(band, []).append((key, value))
        else:
            coarser.append(key)
    note = f"; not at native resolution: {', '.join(coarser)}" if coarser else ""
    if SCL not in candidates:
        raise _RejectedError(Reason.NO_SCL, f"assets are {', '.join(item['assets'])}{note}")
    if len(candidates) == 1:
        raise _RejectedError(Reason.NO_BAND, f"assets are {', '.join(item['assets'])}{note}")
    order = [band for band in BAND_GSD_M if band in candidates]
    return {band: _best_asset(band, candidates[band], item, origin) for band in order}


def _best_asset(band: str, candidates: Sequence[tuple[str, JsonObject]], item: JsonObject, origin: Origin) -> Asset:
    ranked = sorted(candidates, key=lambda candidate: _format_rank(candidate[1]))
    hrefs = ((key, value, resolve_href(value.get("href"), item, origin)) for key, value in ranked)
    usable = next(((key, value, href) for key, value, href in hrefs if href is not None), None)
    if usable is None:
        key, value = ranked[0]
        raise _RejectedError(Reason.UNSUPPORTED_HREF, f"asset {key}: {str(value.get('href'))[:200]!r}")
    key, value, href = usable
    bands = _first_object(value.get("raster:bands")), _first_object(value.get("bands")), value
    transform, rows_columns = _grid(key, band, value, item["properties"])
    return Asset(
        href=href,
        media_type=_text(value.get("type")),
        asset_key=key,
        gsd=float(BAND_GSD_M[band]),
        scale=_first_number_of(bands, ("raster:scale", "scale")),
        offset=_first_number_of(bands, ("raster:offset", "offset")),
        nodata=_first_number_of(bands, ("nodata", "raster:nodata")),
        transform=transform,
        shape=rows_columns,
    )


def _format_rank(asset: JsonObject) -> int:
    """0 for GeoTIFF, 1 for what is not stated, 2 for JPEG 2000, which decodes twenty times slower."""
    media_type = (_text(asset.get("type")) or "").lower()
    path = (_text(asset.get("href")) or "").lower().partition("?")[0]
    if "tiff" in media_type or path.endswith((".tif", ".tiff")):
        return 0
    return 2 if "jp2" in media_type or path.endswith(".jp2") else 1


def _grid(
    key: str, band: str, asset: JsonObject, properties: JsonObject
) -> tuple[tuple[float, ...] | None, tuple[int, int] | None]:
    """Transform and shape of an asset, from itself or from the item, checked to lie on the chips' lattice."""
    gsd = BAND_GSD_M[band]
    transform, rows_columns = _transform(asset.get("proj:transform")), _shape(asset.get("proj:shape"))
    if transform is None:
        transform = _transform(properties.get("proj:transform"))
        if transform is not None:
            # An item states one grid for all its assets; those of another resolution share its corner and extent.
            rows_columns = rows_columns or _rescaled(_shape(properties.get("proj:shape")), transform[0] / gsd)
            transform = (float(gsd), transform[1], transform[2], transform[3], -float(gsd), transform[5])
    if transform is None:
        return None, rows_columns
    a, b, west, d, e, north = transform
    if (a, b, d, e) != (gsd, 0, 0, -gsd) or west % gsd != 0 or north % gsd != 0:
        detail = f"asset {key}: {list(transform)} is not a north-up grid of {gsd} m anchored at multiples of {gsd} m"
        raise _RejectedError(Reason.OFF_LATTICE, detail)
    return transform, rows_columns


def _transform(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, list) or len(value) < 6:
        return None
    numbers = tuple(number for entry in value[:6] if (number := _number(entry)) is not None)
    return numbers if len(numbers) == 6 else None


def _shape(value: object) -> tuple[int, int] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    rows, columns = (_integer(entry) for entry in value)
    return (rows, columns) if rows and columns and rows > 0 and columns > 0 else None


def _rescaled(rows_columns: tuple[int, int] | None, factor: float) -> tuple[int, int] | None:
    if rows_columns is None:
        return None
    rows, columns = (size * factor for size in rows_columns)
    return (int(rows), int(columns)) if rows.is_integer() and columns.is_integer() and rows and columns else None


def resolve_href(href: object, item: JsonObject, origin: Origin) -> str | None:
    """An href that a reader may open: an http, https or s3 URL, or a local path if the item was a local file.

    A relative one is taken from the item's own file, else from its self link, else from the file it came in.
    None for anything else, GDAL's virtual file systems (`/vsi…`) and control characters included.
    """
    if not isinstance(href, str) or not href or not href.isprintable():
        return None
    scheme = _scheme(href)
    if scheme in REMOTE_SCHEMES:
        return href if urlsplit_safe(href) else None
    if scheme == "file":
        path = unquote(href[len("file://") :]) if href.startswith("file:///") else ""
        return _local_path(path, origin) if path.isprintable() else None
    if scheme:
        return None
    if href.startswith("/"):
        return _local_path(href, origin)
    base = None if origin.is_own_file else _self_link(item)
    if base is not None:
        return _join(base, href)
    return _local_path(posixpath.join(origin.folder, href), origin) if origin.folder else None


def urlsplit_safe(url: str) -> bool:
    """Whether a URL has a host, and a form that can be parsed."""
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


def _scheme(href: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", href)
    return match[1].lower() if match else ""


def _local_path(path: str, origin: Origin) -> str | None:
    normal = posixpath.normpath(path)
    # GDAL would read /vsicurl/… and its like as something other than the file the name suggests.
    return None if not origin.is_local or re.match(r"/+vsi", normal, re.IGNORECASE) else normal


def _self_link(item: JsonObject) -> str | None:
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self":
            href = _text(link.get("href"))
            if href and href.isprintable() and _scheme(href) in REMOTE_SCHEMES and urlsplit_safe(href):
                return href
    return None


def _join(base: str, href: str) -> str | None:
    # urljoin knows the hierarchy of http only: lend its name to s3 for the join.
    scheme, _, rest = base.partition(":")
    joined = urljoin(f"http:{rest}", href)
    return f"{scheme.lower()}:{joined.partition(':')[2]}" if urlsplit_safe(joined) else None


# --- values ---------------------------------------------------------------------------------------------------


def parse_time(value: object) -> datetime | None:
    """A STAC timestamp in UTC; one without zone is UTC. None if it cannot be read."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def _compact_time(value: str) -> datetime | None:
    try:
        return datetime.strptime(value, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _text(value: object) -> str | None:
    """A string that can be stored: not empty, no half of a surrogate pair."""
    if not isinstance(value, str) or not value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _integer(value: object) -> int | None:
    """A whole number of 32 bits, which is what the tables hold."""
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**31 else None


def _first_object(value: object) -> JsonObject:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


def _first_text(properties: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((text for name in names if (text := _text(properties.get(name))) is not None), None)


def _first_number(properties: Mapping[str, Any], names: Sequence[str]) -> float | None:
    return next((number for name in names if (number := _number(properties.get(name))) is not None), None)


def _first_integer(properties: Mapping[str, Any], names: Sequence[str]) -> int | None:
    return next((number for name in names if (number := _integer(properties.get(name))) is not None), None)


def _first_number_of(places: Sequence[Mapping[str, Any]], names: Sequence[str]) -> float | None:
    return next((number for place in places if (number := _first_number(place, names)) is not None), None)
