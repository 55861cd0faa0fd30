"""The raster of each band: which of an item's assets is taken, and what it says of its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ingestion.item.hrefs import is_refused_file, resolve_href
from ingestion.item.projection import asset_grid, parse_affine
from ingestion.item.providers import BAND_GSD_M, band_of_asset, band_of_description, is_other_asset
from ingestion.item.rejection import RejectedError
from ingestion.item.values import as_lenient_number, as_number, as_text, first_number_of, first_object
from ingestion.model import Asset, JsonObject, Origin, Reason
from lakehouse.bands import SCL
from lakehouse.redaction import without_secrets

_UNKNOWN_FORMAT: Final = 2
_JPEG_2000: Final = 3

# Whether only its description says what it is, rank of its format, key, asset: the least is the best.
_Candidate = tuple[bool, int, str, JsonObject]


def best_assets(item: JsonObject, origin: Origin) -> dict[str, Asset]:
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
        raise RejectedError(reason, f"assets are {', '.join(item['assets'])}{note}")
    order = [band for band in BAND_GSD_M if band in candidates]
    return {band: _best_asset(band, candidates[band], item, origin) for band in order}


def _resolution(asset: JsonObject, is_named: bool) -> float | None:
    """Pixel size that an asset states, metres. Of one that its key names only the grid counts."""
    transform = parse_affine(asset.get("proj:transform"))
    if transform is not None:
        return transform[0] if transform[0] == -transform[4] and transform[1] == transform[3] == 0 else None
    if is_named:
        return None
    stated = first_object(asset.get("raster:bands")).get("spatial_resolution"), asset.get("raster:spatial_resolution")
    return next((size for value in (*stated, asset.get("gsd")) if (size := as_number(value)) is not None), None)


def _best_asset(band: str, candidates: Sequence[_Candidate], item: JsonObject, origin: Origin) -> Asset:
    ranked = sorted(candidates, key=lambda candidate: candidate[:2]) if len(candidates) > 1 else candidates
    resolved = ((key, value, resolve_href(value.get("href"), item, origin)) for _, _, key, value in ranked)
    usable = next(((key, value, href) for key, value, href in resolved if href is not None), None)
    if usable is None:
        raise RejectedError(Reason.UNSUPPORTED_HREF, _unsupported(ranked, item, origin))
    key, value, href = usable
    bands = first_object(value.get("raster:bands")), first_object(value.get("bands")), value
    properties = item["properties"]
    transform, rows_columns = asset_grid(key, band, value, properties)
    scale, offset = (
        first_number_of(bands, ("raster:scale", "scale")),
        first_number_of(bands, ("raster:offset", "offset")),
    )
    if band != SCL:
        scale = as_lenient_number(properties.get("raster:scale")) if scale is None else scale
        offset = as_lenient_number(properties.get("raster:offset")) if offset is None else offset
    if scale == 1 and offset in (None, 0):
        scale = offset = None  # what GDAL answers where a file states nothing, and some catalogues pass on
    return Asset(
        href=without_secrets(href),
        media_type=as_text(value.get("type")),
        asset_key=key,
        gsd=float(BAND_GSD_M[band]),
        scale=scale,
        offset=offset,
        nodata=first_number_of((*bands, properties), ("nodata", "raster:nodata")),
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
