"""From the JSON of one STAC item to one row of `raw.stac_items`, or to a reject that says why not.

Nothing here does I/O and nothing raises on any JSON: what cannot be used becomes a `Reject`. No pystac objects:
they are slower than all the rest of ingestion together.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import shapely

from ingestion.geometry import (
    Footprint,
    footprint_of_bbox,
    footprint_of_geojson,
    footprint_of_grid,
    footprint_of_projected_bbox,
    footprint_of_projected_geojson,
    is_on_grid,
)
from ingestion.hrefs import is_refused_file, resolve_href
from ingestion.model import (
    NO_COLLECTION,
    Asset,
    GeometrySource,
    JsonObject,
    Origin,
    Reason,
    Received,
    Reject,
    StacItemRow,
)
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
    band_of_description,
    is_other_asset,
)
from lakehouse.bands import SCL
from lakehouse.redaction import without_secrets
from lakehouse.settings import column_of_property

__all__ = ["RULES_VERSION", "canonical_json", "normalise", "parse_time", "resolve_href"]

# Part of every content hash: raise it when the rules change, so that stored items get them when they come again.
RULES_VERSION: Final = 3

MAX_TILE_M: Final = 120_000  # a Sentinel-2 tile is 109,800 m wide
MAX_TILE_DEGREES: Final = 1.5  # and so about a degree high
MAX_SCALE: Final = 0.01  # reflectance per DN; Sentinel-2's is 0.0001
MAX_OFFSET: Final = 1.0  # reflectance, either way; Sentinel-2's is -0.1
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


_UNKNOWN_FORMAT: Final = 2
_JPEG_2000: Final = 3

# Whether only its description says what it is, rank of its format, key, asset: the least is the best.
_Candidate = tuple[bool, int, str, JsonObject]


class _RejectedError(Exception):
    """Ends the normalisation of one item; never leaves this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, the same text for the same content.

    Raises:
        ValueError: it holds NaN or an infinity, which JSON has no words for, it is nested too deep, or it is no JSON.
    """
    try:
        # Its answer to NaN is null, and to what JSON cannot say an error; neither is in most items.
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME)
        if b"null" not in text or orjson.loads(text) == value:
            return text.decode()
    except (TypeError, ValueError):
        pass  # a number of more than 64 bits, half of a surrogate pair, deep nesting: json knows them
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (RecursionError, TypeError) as error:
        raise ValueError("it is nested too deep" if isinstance(error, RecursionError) else str(error)) from error


def normalise(
    received: Received, default_collection: str | None = None, drawn: Mapping[str, str] | None = None
) -> StacItemRow | Reject:
    """Turn one thing that arrived into a row or a reject. Raises nothing.

    Args:
        received: what arrived.
        default_collection: collection of an item that names none.
        drawn: further properties to draw out, as in the setting `stac_properties`: name of the property to its type.
    """
    content, origin = received.content, received.origin
    try:
        if received.parse_error is not None:
            raise _RejectedError(Reason.INVALID_JSON, received.parse_error)
        try:
            text = canonical_json(content)
        except ValueError as error:
            raise _RejectedError(Reason.INVALID_JSON, str(error)) from error
        return _row(_checked_item(content), without_secrets(text), origin, default_collection, drawn or {})
    except _RejectedError as rejected:
        return _reject(received, rejected.reason, rejected.detail, default_collection)
    except shapely.errors.ShapelyError as error:
        return _reject(received, Reason.NO_GEOMETRY, f"its geometry cannot be used: {error}", default_collection)
    except RecursionError:
        return _reject(received, Reason.INVALID_JSON, "it is nested too deep", default_collection)


def _reject(received: Received, reason: Reason, detail: str, default_collection: str | None) -> Reject:
    content = received.content
    text = without_secrets(content if isinstance(content, str) else _lenient_json(content))
    item = content if isinstance(content, dict) else {}
    content_hash = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return Reject(
        collection=_text(item.get("collection")) or default_collection or NO_COLLECTION,
        item_id=_text(item.get("id")) or received.place or f"sha256:{content_hash[:16]}",
        reason=reason,
        detail=without_secrets(detail)[:MAX_DETAIL].encode(errors="replace").decode(),
        source=without_secrets(received.origin.source),
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


def _row(
    item: JsonObject, text: str, origin: Origin, default_collection: str | None, drawn: Mapping[str, str]
) -> StacItemRow:
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
    footprint, geometry_source = _footprint(item, epsg, assets)
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
        content_hash=_content_hash(text, assets, drawn),
        source=without_secrets(origin.source),
        acquired_at=acquired_at,
        updated_at=parse_time(properties.get("updated")) or parse_time(properties.get("created")),
        platform=platform,
        mgrs_tile=tile,
        product_id=product,
        datatake_id=datatake,
        datastrip_id=datastrip,
        datastrip_started_at=datastrip_start(datastrip, item_id),
        processing_baseline=processing_baseline(properties, product),
        relative_orbit=relative_orbit(properties, product),
        epsg=epsg,
        cloud_cover=_first_number(properties, CLOUD_COVER),
        nodata_percent=_nodata_percent(properties),
        is_boa_offset_applied=next((v for n in BOA_OFFSET_APPLIED if isinstance(v := properties.get(n), bool)), None),
        geometry=shapely.to_wkb(footprint.outline),
        geometry_source=geometry_source.value,
        xmin=footprint.xmin,
        ymin=footprint.ymin,
        xmax=footprint.xmax,
        ymax=footprint.ymax,
        assets=assets,
        item=text,
        drawn={column_of_property(name): _DRAW[kind](properties.get(name)) for name, kind in drawn.items()},
    )


def _content_hash(text: str, assets: Mapping[str, Asset], drawn: Mapping[str, str]) -> str:
    """Of the item, of the rules that were applied to it, and of the rasters that they chose, wherever these are."""
    digest = hashlib.sha256(text.encode())
    digest.update(b"\0rules %d" % RULES_VERSION)
    for asset in assets.values():
        digest.update(f"\0{asset.asset_key} {asset.href}".encode())
    if drawn:
        digest.update(b"\0" + canonical_json(dict(drawn)).encode())
    return digest.hexdigest()


def _check_rasters(assets: Mapping[str, Asset], footprint: Footprint) -> None:
    """Refuse what would make endless rows of cells, or wrong reflectances without a word."""
    states_grid = False
    for band, asset in assets.items():
        if band != SCL:
            _check_values(asset)
        if asset.transform is not None and asset.shape is not None:
            states_grid = True
            side = max(abs(asset.transform[0]) * asset.shape[1], abs(asset.transform[4]) * asset.shape[0])
            if side > MAX_TILE_M:
                raise _RejectedError(Reason.IMPLAUSIBLE_RASTER, f"asset {asset.asset_key} is {side:.0f} m wide or high")
    # A product has one offset and one scale; with two of them, one band or the other would come out wrong.
    _check_alike("offset", ((asset.asset_key, asset.offset) for band, asset in assets.items() if band != SCL))
    _check_alike("scale", ((asset.asset_key, asset.scale) for band, asset in assets.items() if band != SCL))
    if not states_grid:  # the footprint then says where the raster may lie
        size = footprint.square_degrees * math.cos(math.radians(footprint.centre[1]))
        if size > MAX_TILE_DEGREES**2:
            raise _RejectedError(Reason.IMPLAUSIBLE_RASTER, f"the footprint covers {size:.1f} square degrees")


def _check_values(asset: Asset) -> None:
    if asset.scale is not None and not 0 < asset.scale <= MAX_SCALE:
        raise _RejectedError(Reason.IMPLAUSIBLE_RASTER, f"asset {asset.asset_key} has the scale {asset.scale}")
    if asset.offset is not None and abs(asset.offset) > MAX_OFFSET:
        detail = f"asset {asset.asset_key} has the offset {asset.offset}, which is no reflectance"
        raise _RejectedError(Reason.IMPLAUSIBLE_RASTER, detail)


def _check_alike(what: str, values: Iterable[tuple[str, float | None]]) -> None:
    stated = [(key, value) for key, value in values if value is not None]
    for key, value in stated:
        first_key, first = stated[0]
        if value != first and not math.isclose(value, first, rel_tol=1e-6):
            detail = f"assets differ in {what}: {first_key} has {first}, {key} has {value}"
            raise _RejectedError(Reason.IMPLAUSIBLE_RASTER, detail)


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
    stated = None
    for place in (item["properties"], *item["assets"].values()):
        if not isinstance(place, dict):
            continue
        for name in EPSG:
            code = _epsg_code(place.get(name))
            if code is not None and (32601 <= code <= 32660 or 32701 <= code <= 32760):
                return code
            stated = code if stated is None else stated
    found = f"EPSG:{stated} is no UTM zone" if stated is not None else "neither proj:epsg nor proj:code"
    raise _RejectedError(Reason.NO_PROJECTION, found)


def _epsg_code(value: object) -> int | None:
    if isinstance(value, str):
        match = re.fullmatch(r"(?:EPSG:)?(\d{4,6})", value.strip(), re.IGNORECASE)
        return int(match[1]) if match else None
    return _integer(value)


def _footprint(item: JsonObject, epsg: int, assets: Mapping[str, Asset]) -> tuple[Footprint, GeometrySource]:
    """Where the scene lies: the item's own words, unless they lie elsewhere than the raster grid; else the grid."""
    grid = next(((a.transform, a.shape) for a in assets.values() if a.transform and a.shape), None)
    own = footprint_of_geojson(item.get("geometry"))
    if own is not None and (grid is None or is_on_grid(own, epsg, *grid)):
        return own, GeometrySource.GEOMETRY
    places = (item["properties"], *(item["assets"][asset.asset_key] for asset in assets.values()))
    for place in places:
        projected = footprint_of_projected_geojson(epsg, place.get("proj:geometry"))
        if projected is not None and (grid is None or is_on_grid(projected, epsg, *grid)):
            return projected, GeometrySource.PROJ_GEOMETRY
    of_grid = None if grid is None else footprint_of_grid(epsg, *grid)
    if of_grid is not None:
        return of_grid, GeometrySource.GRID
    for place in places:
        projected = footprint_of_projected_bbox(epsg, place.get("proj:bbox"))
        if projected is not None:
            return projected, GeometrySource.PROJ_BBOX
    boxed = footprint_of_bbox(item.get("bbox"))
    if boxed is None:
        detail = "neither geometry nor proj:geometry, proj:transform with proj:shape, proj:bbox or bbox give an area"
        raise _RejectedError(Reason.NO_GEOMETRY, detail)
    return boxed, GeometrySource.BBOX


# --- assets ---------------------------------------------------------------------------------------------------


def _assets(item: JsonObject, origin: Origin) -> dict[str, Asset]:
    """The best raster of each band: native resolution only, COG before JPEG 2000."""
    candidates: dict[str, list[_Candidate]] = {}
    off_grid: dict[str, list[_Candidate]] = {}
    coarser: list[str] = []
    properties = item["properties"]
    for key, value in item["assets"].items():
        if not isinstance(value, dict):
            continue
        named = band_of_asset(key)
        if named is not None:
            (band, gsd), is_named = named, True
        elif is_other_asset(key):
            continue
        else:
            described = band_of_description(value, properties)
            if described is None or _format_rank(value) == _UNKNOWN_FORMAT:
                continue
            band, gsd, is_named = described, None, False
        resolution = gsd or _resolution(value, is_named)
        candidate = (not is_named, _format_rank(value), key, value)
        if resolution in (None, BAND_GSD_M[band]):
            candidates.setdefault(band, []).append(candidate)
            continue
        coarser.append(key)
        if is_named and gsd is None:
            off_grid.setdefault(band, []).append(candidate)
    # The name alone says that it is the band: not to be left out in silence for the grid it states.
    candidates = off_grid | candidates
    if SCL not in candidates or len(candidates) == 1:
        note = f"; not at native resolution: {', '.join(coarser)}" if coarser else ""
        reason = Reason.NO_BAND if SCL in candidates else Reason.NO_SCL
        raise _RejectedError(reason, f"assets are {', '.join(item['assets'])}{note}")
    order = [band for band in BAND_GSD_M if band in candidates]
    return {band: _best_asset(band, candidates[band], item, origin) for band in order}


def _resolution(asset: JsonObject, is_named: bool) -> float | None:
    """Pixel size that an asset states, metres. Of one that its key names only the grid counts."""
    transform = _transform(asset.get("proj:transform"))
    if transform is not None:
        return transform[0] if transform[0] == -transform[4] and transform[1] == transform[3] == 0 else None
    if is_named:
        return None
    stated = _first_object(asset.get("raster:bands")).get("spatial_resolution"), asset.get("raster:spatial_resolution")
    return next((size for value in (*stated, asset.get("gsd")) if (size := _number(value)) is not None), None)


def _best_asset(band: str, candidates: Sequence[_Candidate], item: JsonObject, origin: Origin) -> Asset:
    ranked = sorted(candidates, key=lambda candidate: candidate[:2]) if len(candidates) > 1 else candidates
    resolved = ((key, value, resolve_href(value.get("href"), item, origin)) for _, _, key, value in ranked)
    usable = next(((key, value, href) for key, value, href in resolved if href is not None), None)
    if usable is None:
        raise _RejectedError(Reason.UNSUPPORTED_HREF, _unsupported(ranked, item, origin))
    key, value, href = usable
    bands = _first_object(value.get("raster:bands")), _first_object(value.get("bands")), value
    properties = item["properties"]
    transform, rows_columns = _grid(key, band, value, properties)
    scale, offset = _fact(bands, ("raster:scale", "scale")), _fact(bands, ("raster:offset", "offset"))
    if band != SCL:
        scale = _lenient_number(properties.get("raster:scale")) if scale is None else scale
        offset = _lenient_number(properties.get("raster:offset")) if offset is None else offset
    if scale == 1 and offset in (None, 0):
        scale = offset = None  # what GDAL answers where a file states nothing, and some catalogues pass on
    return Asset(
        href=without_secrets(href),
        media_type=_text(value.get("type")),
        asset_key=key,
        gsd=float(BAND_GSD_M[band]),
        scale=scale,
        offset=offset,
        nodata=_fact((*bands, properties), ("nodata", "raster:nodata")),
        transform=transform,
        shape=rows_columns,
        passed_over=tuple(other[2] for other in candidates if other[2] != key),
    )


def _unsupported(candidates: Sequence[_Candidate], item: JsonObject, origin: Origin) -> str:
    for _, _, key, value in candidates:
        if is_refused_file(value.get("href"), item, origin):
            return (
                f"asset {key}: {str(value.get('href'))[:200]!r} is a local file outside the folder that was read; "
                "--allow-file-hrefs allows it"
            )
    _, _, key, value = candidates[0]
    return f"asset {key}: {str(value.get('href'))[:200]!r}"


def _format_rank(asset: JsonObject) -> int:
    """0 for a COG, 1 for any GeoTIFF, then what is not stated; JPEG 2000 last, for it decodes twenty times slower."""
    stated = asset.get("type")
    media_type = stated.lower() if isinstance(stated, str) else ""
    if "tiff" in media_type:
        return 0 if "cloud-optimized" in media_type else 1
    if "jp2" in media_type:
        return _JPEG_2000
    href = asset.get("href")
    path = href.partition("?")[0].lower() if isinstance(href, str) else ""
    if path.endswith((".tif", ".tiff")):
        return 1
    return _JPEG_2000 if path.endswith(".jp2") else _UNKNOWN_FORMAT


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
    if not isinstance(value, list) or len(value) < 6 or not {*map(type, value[:6])} <= {int, float}:
        return None
    try:
        numbers = tuple(map(float, value[:6]))
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


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


def _lenient_number(value: object) -> float | None:
    """A number, also one that is written as a string."""
    if isinstance(value, str):
        try:
            return _number(float(value))
        except ValueError:
            return None
    return _number(value)


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


def _fact(places: Sequence[Mapping[str, Any]], names: Sequence[str]) -> float | None:
    for place in places:
        for name in names:
            value = place.get(name)
            if value is not None and (number := _lenient_number(value)) is not None:
                return number
    return None


def _drawn_text(value: object) -> str | None:
    text = _text(value)
    return None if text is None else without_secrets(text)


def _drawn_long(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**63) <= value < 2**63 else None


# By the types of the setting `stac_properties`; a value of another type is null.
_DRAW: Final[Mapping[str, Callable[[object], object]]] = {
    "string": _drawn_text,
    "double": _number,
    "long": _drawn_long,
    "boolean": lambda value: value if isinstance(value, bool) else None,
    "timestamp": parse_time,
}
