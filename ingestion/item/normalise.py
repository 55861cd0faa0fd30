"""From the JSON of one STAC item to one row of `raw.stac_items`, or to a reject with its reason.

Nothing here does I/O, and no JSON makes it raise: an item that cannot be used becomes a `Reject`. It uses no pystac
objects, which take longer than the rest of ingestion together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import shapely

from ingestion.item.assets import best_assets
from ingestion.item.canonical_json import canonical_json, lenient_json
from ingestion.item.extra_columns import extra_columns
from ingestion.item.identity import (
    check_level,
    check_mission,
    datastrip_start,
    datatake_id,
    mgrs_tile,
    processing_baseline,
    product_name,
    relative_orbit,
    satellite_platform,
)
from ingestion.item.plausibility import check_rasters
from ingestion.item.projection import item_footprint, utm_epsg
from ingestion.item.providers import BOA_OFFSET_APPLIED, CLOUD_COVER, DATASTRIP, DEPRECATED, NODATA_PERCENT
from ingestion.item.rejection import RejectedError
from ingestion.item.stated import stated_flag, unreadable, with_parsed_members
from ingestion.item.values import as_number, as_object, as_text, first_lenient_number, first_text, parse_time
from ingestion.model import NO_COLLECTION, Asset, JsonObject, Origin, Reason, Received, Reject, StacItemRow
from lakehouse.bands import BAND_BY_NAME
from lakehouse.redaction import without_secrets

# Part of every content hash. Raise it when the rules change: items get the new rules when they are received again.
RULES_VERSION: Final = 4
MAX_DETAIL: Final = 500  # characters


def normalise(
    received: Received,
    default_collection: str | None = None,
    extra_types: Mapping[str, str] | None = None,
    href_order: Sequence[str] = (),
) -> StacItemRow | Reject:
    """Turn one entry of a source into a row or a reject. Raise nothing.

    Args:
        received: the entry.
        default_collection: collection of an item that names none.
        extra_types: type of each further property that becomes a column, as in the setting `stac_properties`.
        href_order: which of several places of a raster counts, as in the setting `stac_href_order`.
    """
    content, origin = received.content, received.origin
    try:
        if received.parse_error is not None:
            raise RejectedError(Reason.INVALID_JSON, received.parse_error)
        try:
            text = canonical_json(content)
        except ValueError as error:
            raise RejectedError(Reason.INVALID_JSON, str(error)) from error
        item = _checked_item(content)
        return _row(item, without_secrets(text), origin, default_collection, extra_types or {}, href_order)
    except RejectedError as rejected:
        return _reject(received, rejected.reason, rejected.detail, default_collection)
    except shapely.errors.ShapelyError as error:
        return _reject(received, Reason.NO_GEOMETRY, f"its geometry cannot be used: {error}", default_collection)
    except RecursionError:
        return _reject(received, Reason.INVALID_JSON, "it is nested too deep", default_collection)


def _reject(received: Received, reason: Reason, detail: str, default_collection: str | None) -> Reject:
    content = received.content
    text = without_secrets(content if isinstance(content, str) else lenient_json(content))
    item = as_object(content)
    content_hash = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return Reject(
        collection=as_text(item.get("collection")) or default_collection or NO_COLLECTION,
        item_id=as_text(item.get("id")) or received.place or f"sha256:{content_hash[:16]}",
        reason=reason,
        detail=without_secrets(detail)[:MAX_DETAIL].encode(errors="replace").decode(),
        source=without_secrets(received.origin.source),
        content_hash=content_hash,
        item=text.encode(errors="replace").decode(),
    )


def _checked_item(content: Any) -> JsonObject:
    if not isinstance(content, dict):
        raise RejectedError(Reason.NOT_AN_ITEM, f"expected a JSON object, found {type(content).__name__}")
    if content.get("type") != "Feature":
        raise RejectedError(Reason.NOT_AN_ITEM, f"type is {content.get('type')!r}, not 'Feature'")
    item = with_parsed_members(content)
    for name in ("properties", "assets"):
        if not isinstance(item.get(name), dict):
            raise RejectedError(Reason.NOT_AN_ITEM, f"{name} is not an object")
    if as_text(item.get("id")) is None:
        raise RejectedError(Reason.NO_ID, f"id is {item.get('id')!r}")
    return item


def _row(
    item: JsonObject,
    text: str,
    origin: Origin,
    default_collection: str | None,
    extra_types: Mapping[str, str],
    href_order: Sequence[str],
) -> StacItemRow:
    # The order of the checks determines which reason an item with several faults gets.
    properties: JsonObject = item["properties"]
    item_id = str(item["id"])
    collection = as_text(item.get("collection"))
    product = product_name(properties, item_id)
    platform = satellite_platform(properties, product, item_id)
    check_mission(properties, platform, item_id)
    check_level(properties, product, item_id, collection)
    acquired_at = _acquisition_time(properties)
    epsg = utm_epsg(item)
    assets = best_assets(item, origin, href_order)
    footprint, geometry_source = item_footprint(item, epsg, assets)
    datastrip = first_text(properties, DATASTRIP)
    tile = mgrs_tile(properties, product, item_id)
    if tile is None:
        raise RejectedError(Reason.NO_TILE, f"no property, product name or id names the tile of {item_id}")
    datatake = datatake_id(properties, product, platform, acquired_at)
    if datatake is None:
        raise RejectedError(Reason.NO_DATATAKE, f"{item_id} states no datatake, product name or satellite")
    check_rasters(assets, footprint)
    chosen = [item["assets"][asset.asset_key] for band, asset in assets.items() if band in BAND_BY_NAME]
    return StacItemRow(
        collection=collection or default_collection or NO_COLLECTION,
        item_id=item_id,
        content_hash=_content_hash(text, assets, extra_types),
        source=without_secrets(origin.source),
        acquired_at=acquired_at,
        updated_at=_update_time(properties),
        platform=platform,
        mgrs_tile=tile,
        product_id=product,
        datatake_id=datatake,
        datastrip_id=datastrip,
        datastrip_started_at=datastrip_start(datastrip, item_id),
        processing_baseline=processing_baseline(properties, product),
        relative_orbit=relative_orbit(properties, product),
        epsg=epsg,
        cloud_cover=first_lenient_number(properties, CLOUD_COVER),
        nodata_percent=_nodata_percent(properties),
        is_boa_offset_applied=stated_flag([properties, *chosen], BOA_OFFSET_APPLIED),
        is_deprecated=stated_flag([properties], DEPRECATED),
        geometry=shapely.to_wkb(footprint.outline),
        geometry_source=geometry_source.value,
        xmin=footprint.xmin,
        ymin=footprint.ymin,
        xmax=footprint.xmax,
        ymax=footprint.ymax,
        assets=assets,
        item=text,
        extra=extra_columns(properties, extra_types),
    )


def _content_hash(text: str, assets: Mapping[str, Asset], extra_types: Mapping[str, str]) -> str:
    """Hash the item, the version of the rules, and the asset and href that the rules chose for each band."""
    digest = hashlib.sha256(text.encode())
    digest.update(b"\0rules %d" % RULES_VERSION)
    for asset in assets.values():
        digest.update(f"\0{asset.asset_key} {asset.href}".encode())
    if extra_types:
        digest.update(b"\0" + canonical_json(dict(extra_types)).encode())
    return digest.hexdigest()


def _acquisition_time(properties: Mapping[str, Any]) -> datetime:
    name = "start_datetime" if properties.get("datetime") is None else "datetime"
    acquired_at = parse_time(properties.get(name))
    if acquired_at is None:
        raise RejectedError(Reason.NO_DATETIME, f"{name} is {properties.get(name)!r}")
    return acquired_at


def _update_time(properties: Mapping[str, Any]) -> datetime | None:
    """Return when the item was updated, which decides which of its versions is current."""
    stated = properties.get("updated")
    updated_at = parse_time(stated)
    if updated_at is None and stated is not None:
        raise unreadable("updated", stated, "a time")
    return updated_at


def _nodata_percent(properties: Mapping[str, Any]) -> float | None:
    percent = first_lenient_number(properties, NODATA_PERCENT)
    if percent is not None:
        return percent
    return as_number(as_object(properties.get("statistics")).get("nodata"))  # Copernicus Data Space
