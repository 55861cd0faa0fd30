"""The choice of one asset for each band, and the values that it states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

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
_DIGITS: Final = 3  # of a pixel size in metres; what floating point adds is no other size


class _Candidate(NamedTuple):  # cheaper than a frozen dataclass; one is made for each asset
    """An asset that holds a band."""

    band: str
    key: str
    asset: JsonObject
    is_named: bool  # the key names the band; otherwise only the asset's description does
    key_gsd: int | None  # metres, if the key states it
    gsd: float | None  # metres, of the key or the asset
    format_rank: int

    @property
    def rank(self) -> tuple[bool, int]:
        """The lowest rank is the best."""
        return not self.is_named, self.format_rank


def best_assets(item: JsonObject, origin: Origin) -> dict[str, Asset]:
    """Return the best asset of each band, by band name: native resolution only, COG before JPEG 2000.

    Raises:
        RejectedError: the item has no SCL or no band, no href of a band is supported, or a grid is off the lattice.
    """
    native: dict[str, list[_Candidate]] = {}
    off_grid: dict[str, list[_Candidate]] = {}
    other_gsd: list[str] = []
    for candidate in _candidates(item):
        if candidate.gsd in (None, BAND_GSD_M[candidate.band]):
            native.setdefault(candidate.band, []).append(candidate)
            continue
        other_gsd.append(candidate.key)
        if candidate.is_named and candidate.key_gsd is None:
            off_grid.setdefault(candidate.band, []).append(candidate)
    # A key that names a band without a resolution means that band: an item without another asset for it is rejected
    # for the grid that this one states, instead of losing the band without notice.
    by_band = off_grid | native
    if SCL not in by_band or len(by_band) == 1:
        note = f"; not at native resolution: {', '.join(other_gsd)}" if other_gsd else ""
        reason = Reason.NO_BAND if SCL in by_band else Reason.NO_SCL
        raise RejectedError(reason, f"assets are {', '.join(item['assets'])}{note}")
    return {band: _best_asset(by_band[band], item, origin) for band in BAND_GSD_M if band in by_band}


def _candidates(item: JsonObject) -> Iterator[_Candidate]:
    properties = item["properties"]
    for key, asset in item["assets"].items():
        if not isinstance(asset, dict):
            continue
        named = band_of_asset(key)
        if named is not None:
            band, key_gsd = named
            gsd = key_gsd or _pixel_size(asset)
            yield _Candidate(band, key, asset, True, key_gsd, gsd, _format_rank(asset))
        elif not is_other_asset(key):
            described = band_of_description(asset, properties)
            format_rank = _format_rank(asset)
            if described is not None and format_rank != _UNKNOWN_FORMAT:
                gsd = _pixel_size(asset) if _has_affine(asset) else _stated_gsd(asset)
                yield _Candidate(described, key, asset, False, None, gsd, format_rank)


def _has_affine(asset: JsonObject) -> bool:
    return parse_affine(asset.get("proj:transform")) is not None


def _pixel_size(asset: JsonObject) -> float | None:
    """Return the pixel size of the asset's grid, metres, or None if it has no north-up grid of square pixels."""
    affine = parse_affine(asset.get("proj:transform"))
    if affine is None:
        return None
    width, row_skew, _, column_skew, height, _ = (round(number, _DIGITS) for number in affine)
    return width if (height, row_skew, column_skew) == (-width, 0, 0) else None


def _stated_gsd(asset: JsonObject) -> float | None:
    """Return the resolution that an asset without a grid states, metres."""
    raster_band = first_object(asset.get("raster:bands"))
    values = (raster_band.get("spatial_resolution"), asset.get("raster:spatial_resolution"), asset.get("gsd"))
    return next((round(size, _DIGITS) for value in values if (size := as_number(value)) is not None), None)


def _best_asset(candidates: Sequence[_Candidate], item: JsonObject, origin: Origin) -> Asset:
    ranked = sorted(candidates, key=lambda candidate: candidate.rank) if len(candidates) > 1 else candidates
    for candidate in ranked:
        href = resolve_href(candidate.asset.get("href"), item, origin)
        if href is not None:
            skipped = tuple(other.key for other in candidates if other.key != candidate.key)
            return _asset(candidate, href, item["properties"], skipped)
    raise RejectedError(Reason.UNSUPPORTED_HREF, _unsupported(ranked, item, origin))


def _asset(candidate: _Candidate, href: str, properties: JsonObject, passed_over: tuple[str, ...]) -> Asset:
    band, asset = candidate.band, candidate.asset
    descriptions = first_object(asset.get("raster:bands")), first_object(asset.get("bands")), asset
    affine, shape = asset_grid(candidate.key, band, asset, properties)
    scale = first_number_of(descriptions, ("raster:scale", "scale"))
    offset = first_number_of(descriptions, ("raster:offset", "offset"))
    if band != SCL:
        scale = as_lenient_number(properties.get("raster:scale")) if scale is None else scale
        offset = as_lenient_number(properties.get("raster:offset")) if offset is None else offset
    return Asset(
        href=without_secrets(href),
        media_type=as_text(asset.get("type")),
        asset_key=candidate.key,
        gsd=float(BAND_GSD_M[band]),
        scale=scale,
        offset=offset,
        nodata=first_number_of((*descriptions, properties), ("nodata", "raster:nodata")),
        data_type=_data_type(descriptions, properties),
        transform=affine,
        shape=shape,
        passed_over=passed_over,
    )


def _data_type(descriptions: Sequence[JsonObject], properties: JsonObject) -> str | None:
    """Return the data type of the pixels, as `uint16`."""
    return next(
        (text.lower() for part in (*descriptions, properties) if (text := as_text(part.get("data_type")))), None
    )


def _unsupported(candidates: Sequence[_Candidate], item: JsonObject, origin: Origin) -> str:
    for candidate in candidates:
        href = candidate.asset.get("href")
        if is_refused_file(href, item, origin):
            return (
                f"asset {candidate.key}: {str(href)[:200]!r} is a local file outside the folder that was read; "
                "--allow-file-hrefs allows it"
            )
    first = candidates[0]
    return f"asset {first.key}: {str(first.asset.get('href'))[:200]!r}"


def _format_rank(asset: JsonObject) -> int:
    """Rank 0 is a COG, 1 another GeoTIFF, 2 an unknown format, 3 JPEG 2000, which decodes twenty times slower."""
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
