"""The choice of one asset for each layer, and of one of its places, and the values that it states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from ingestion.item.hrefs import is_refused_file, place_of_href, resolve_href
from ingestion.item.projection import asset_grid, parse_affine
from ingestion.item.providers import (
    COG,
    GEOTIFF,
    OTHER_ROLES,
    RESAMPLED_ROLES,
    UNKNOWN_FORMAT,
    RasterFormat,
    band_of_description,
    format_of,
    gsd_of_roles,
    is_other_asset,
    layer_of_asset,
    roles_of,
)
from ingestion.item.rejection import RejectedError
from ingestion.item.stated import stated_band, stated_bands, stated_data_type, stated_nodata, stated_number
from ingestion.item.values import as_lenient_number, as_text
from ingestion.model import Asset, JsonObject, Origin, Reason
from lakehouse.bands import BAND_BY_NAME, LAYER_GSD_M, PROBABILITIES, SCL
from lakehouse.redaction import without_secrets

_DIGITS: Final = 3  # of a pixel size in metres; what floating point adds is no other size


class _Place(NamedTuple):
    """One of the places of an asset's raster: its `href`, or one of `alternate`."""

    href: object  # as stated
    media_type: str | None
    format: RasterFormat


class _Candidate(NamedTuple):  # cheaper than a frozen dataclass; one is made for each asset
    """An asset that holds a band."""

    band: str
    key: str
    asset: JsonObject
    is_named: bool  # the key names the band; otherwise only the asset's description does
    key_gsd: int | None  # metres, if the key states it
    gsd: float | None  # metres, of the key or the asset
    is_secondary: bool  # its roles say that it is a picture, or resampled
    places: list[_Place]  # those of formats that are read

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """The lowest rank is the best."""
        best = min((place.format.rank for place in self.places if place.format.rank is not None), default=99)
        return not self.is_named, self.is_secondary, best


def best_assets(item: JsonObject, origin: Origin, href_order: Sequence[str]) -> dict[str, Asset]:
    """Return the best asset of each layer, by its name: native resolution only, COG before JPEG 2000.

    Probabilities that cannot be used are left out: chips can be cut without them.

    Args:
        item: the item.
        origin: where it was read.
        href_order: which of several places of an asset counts, as in the setting `stac_href_order`.

    Raises:
        RejectedError: the item has no SCL or no band, no format or no href of a band is supported, a grid is off the
            lattice, or a value cannot be understood.
    """
    native: dict[str, list[_Candidate]] = {}
    off_grid: dict[str, list[_Candidate]] = {}
    other_gsd: list[str] = []
    for candidate in _candidates(item):
        if candidate.gsd in (None, LAYER_GSD_M[candidate.band]):
            native.setdefault(candidate.band, []).append(candidate)
            continue
        other_gsd.append(candidate.key)
        if candidate.is_named and candidate.key_gsd is None:
            off_grid.setdefault(candidate.band, []).append(candidate)
    # A key that names a band without a resolution means that band: an item without another asset for it is rejected
    # for the grid that this one states, instead of losing the band without notice.
    by_band = off_grid | native
    probabilities = {layer: by_band.pop(layer) for layer in PROBABILITIES if layer in by_band}
    if SCL not in by_band or len(by_band) == 1:
        note = f"; not at native resolution: {', '.join(other_gsd)}" if other_gsd else ""
        note += _unread_formats(item)
        reason = Reason.NO_BAND if SCL in by_band else Reason.NO_SCL
        raise RejectedError(reason, f"assets are {', '.join(item['assets'])}{note}")
    best = {band: _best_asset(by_band[band], item, origin, href_order) for band in LAYER_GSD_M if band in by_band}
    for layer, candidates in probabilities.items():
        with suppress(RejectedError):
            best[layer] = _best_asset(candidates, item, origin, href_order)
    return best


def _candidates(item: JsonObject) -> Iterator[_Candidate]:
    properties = item["properties"]
    for key, asset in item["assets"].items():
        if not isinstance(asset, dict):
            continue
        named = layer_of_asset(key)
        if named is not None:
            band, key_gsd = named
            roles = roles_of(asset)
            gsd = key_gsd or _pixel_size(asset) or gsd_of_roles(roles)
            is_secondary = bool(roles & (OTHER_ROLES | RESAMPLED_ROLES))
            yield _Candidate(band, key, asset, True, key_gsd, gsd, is_secondary, _places(asset))
        elif not is_other_asset(key):
            described = band_of_description(asset, properties)
            places = [place for place in _places(asset) if place.format is not UNKNOWN_FORMAT] if described else []
            if described is not None and places:
                gsd = _pixel_size(asset) if _has_affine(asset) else _stated_gsd(asset)
                is_secondary = bool(roles_of(asset) & RESAMPLED_ROLES)
                yield _Candidate(described, key, asset, False, None, gsd, is_secondary, places)


def _places(asset: JsonObject) -> list[_Place]:
    """Return the places of an asset's raster in a format that is read, its `href` first."""
    return [place for place in _all_places(asset) if place.format.rank is not None]


def _all_places(asset: JsonObject) -> Iterator[_Place]:
    media_type, href = as_text(asset.get("type")), asset.get("href")
    stated = format_of(media_type, href)
    yield _Place(href, media_type, stated)
    alternates = asset.get("alternate")
    if isinstance(alternates, dict):
        alternates = [*alternates.values()]
    for alternate in alternates if isinstance(alternates, list) else ():
        entries = alternate if isinstance(alternate, dict) else {"href": alternate}
        href, own_type = entries.get("href"), as_text(entries.get("type"))
        named = format_of(own_type, href)
        # Without a type of its own it has that of the asset, unless its name says otherwise.
        is_same = named in (UNKNOWN_FORMAT, stated) or (named is GEOTIFF and stated is COG)
        yield _Place(href, media_type, stated) if own_type is None and is_same else _Place(href, own_type, named)


def _unread_formats(item: JsonObject) -> str:
    assets = {
        key: asset for key, asset in item["assets"].items() if isinstance(asset, dict) and not is_other_asset(key)
    }
    unread = [f"{key} ({place.format.name})" for key, asset in assets.items() for place in _all_places(asset)][:20]
    return f"; formats: {', '.join(unread)}" if unread else ""


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
    bands = asset.get("raster:bands")
    raster_band = bands[0] if isinstance(bands, list) and bands and isinstance(bands[0], dict) else {}
    values = (raster_band.get("spatial_resolution"), asset.get("raster:spatial_resolution"), asset.get("gsd"))
    stated = next((round(size, _DIGITS) for value in values if (size := as_lenient_number(value)) is not None), None)
    return gsd_of_roles(roles_of(asset)) if stated is None else stated


def _best_asset(candidates: Sequence[_Candidate], item: JsonObject, origin: Origin, href_order: Sequence[str]) -> Asset:
    ranked = sorted(candidates, key=lambda candidate: candidate.rank) if len(candidates) > 1 else candidates
    for candidate in ranked:
        place = _best_place(candidate, item, origin, href_order)
        if place is not None:
            skipped = tuple(other.key for other in candidates if other.key != candidate.key)
            return _asset(candidate, *place, item["properties"], skipped)
    if not any(candidate.places for candidate in ranked):
        first = ranked[0]
        names = " and ".join(dict.fromkeys(place.format.name for place in _all_places(first.asset)))
        detail = f"asset {first.key} is {names}, which is not read; {GEOTIFF.name} and JPEG 2000 are"
        raise RejectedError(Reason.UNSUPPORTED_FORMAT, detail)
    raise RejectedError(Reason.UNSUPPORTED_HREF, _unsupported(ranked, item, origin))


def _best_place(
    candidate: _Candidate, item: JsonObject, origin: Origin, href_order: Sequence[str]
) -> tuple[str, str | None] | None:
    """Return location and media type of the raster, at the place that comes first in the order, else in the asset."""
    resolved = [
        (href, place.media_type)
        for place in candidate.places
        if (href := resolve_href(place.href, item, origin)) is not None
    ]
    ranks = {place: rank for rank, place in enumerate(href_order)}
    return min(resolved, key=lambda place: ranks.get(place_of_href(place[0]), len(ranks)), default=None)


def _asset(
    candidate: _Candidate, href: str, media_type: str | None, properties: JsonObject, passed_over: tuple[str, ...]
) -> Asset:
    key, band, asset = candidate.key, candidate.band, candidate.asset
    descriptions = stated_band(key, asset, "raster:bands"), stated_band(key, asset, "bands"), asset
    affine, shape = asset_grid(candidate.key, band, asset, properties)
    numbers = {
        name: stated_number(f"asset {key}", descriptions, (f"raster:{name}", name)) for name in ("scale", "offset")
    }
    if band in BAND_BY_NAME:  # what the item states is true of its bands alone
        numbers = {name: _of_item(properties, name) if own is None else own for name, own in numbers.items()}
    described = (*descriptions, properties)
    return Asset(
        href=without_secrets(href),
        media_type=media_type,
        asset_key=candidate.key,
        gsd=float(LAYER_GSD_M[band]),
        scale=numbers["scale"],
        offset=numbers["offset"],
        nodata=stated_nodata(f"asset {key}", described, ("nodata", "raster:nodata")),
        data_type=stated_data_type(f"asset {key}", described),
        transform=affine,
        shape=shape,
        passed_over=passed_over,
    )


def _of_item(properties: JsonObject, name: str) -> float | None:
    """Return the scale or the offset that an item states for all its bands."""
    bands = [*stated_bands(properties, "raster:bands"), *stated_bands(properties, "bands")]
    number = stated_number("the item", [properties, *bands], (f"raster:{name}",))
    return stated_number("the item", bands, (name,)) if number is None else number


def _unsupported(candidates: Sequence[_Candidate], item: JsonObject, origin: Origin) -> str:
    hrefs = [(candidate.key, place.href) for candidate in candidates for place in candidate.places]
    for key, href in hrefs:
        if is_refused_file(href, item, origin):
            return (
                f"asset {key}: {str(href)[:200]!r} is a local file outside the folder that was read; "
                "--allow-file-hrefs allows it"
            )
    key, href = hrefs[0]
    return f"asset {key}: {str(href)[:200]!r}"
