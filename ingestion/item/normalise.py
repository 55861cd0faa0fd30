"""From the JSON of one STAC item to one row of `raw.stac_items`, or to a reject that says why not.

Nothing here does I/O and nothing raises on any JSON: what cannot be used becomes a `Reject`. No pystac objects:
they are slower than all the rest of ingestion together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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
    nodata_percent,
    processing_baseline,
    product_name,
    relative_orbit,
    satellite_platform,
)
from ingestion.item.plausibility import check_rasters
from ingestion.item.projection import item_footprint, utm_epsg
from ingestion.item.providers import BOA_OFFSET_APPLIED, CLOUD_COVER, DATASTRIP
from ingestion.item.rejection import RejectedError
from ingestion.item.values import as_text, first_number, first_text, parse_time
from ingestion.model import NO_COLLECTION, Asset, JsonObject, Origin, Reason, Received, Reject, StacItemRow
from lakehouse.redaction import without_secrets

# Part of every content hash: raise it when the rules change, so that stored items get them when they come again.
RULES_VERSION: Final = 3
MAX_DETAIL: Final = 500  # characters


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
            raise RejectedError(Reason.INVALID_JSON, received.parse_error)
        try:
            text = canonical_json(content)
        except ValueError as error:
            raise RejectedError(Reason.INVALID_JSON, str(error)) from error
        return _row(_checked_item(content), without_secrets(text), origin, default_collection, drawn or {})
    except RejectedError as rejected:
        return _reject(received, rejected.reason, rejected.detail, default_collection)
    except shapely.errors.ShapelyError as error:
        return _reject(received, Reason.NO_GEOMETRY, f"its geometry cannot be used: {error}", default_collection)
    except RecursionError:
        return _reject(received, Reason.INVALID_JSON, "it is nested too deep", default_collection)


def _reject(received: Received, reason: Reason, detail: str, default_collection: str | None) -> Reject:
    content = received.content
    text = without_secrets(content if isinstance(content, str) else lenient_json(content))
    item = content if isinstance(content, dict) else {}
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
    for name in ("properties", "assets"):
        if not isinstance(content.get(name), dict):
            raise RejectedError(Reason.NOT_AN_ITEM, f"{name} is not an object")
    if as_text(content.get("id")) is None:
        raise RejectedError(Reason.NO_ID, f"id is {content.get('id')!r}")
    return content


def _row(
    item: JsonObject, text: str, origin: Origin, default_collection: str | None, drawn: Mapping[str, str]
) -> StacItemRow:
    properties: JsonObject = item["properties"]
    item_id = str(item["id"])
    collection = as_text(item.get("collection"))
    product = product_name(properties, item_id)
    platform = satellite_platform(properties, product, item_id)
    check_mission(properties, platform, item_id)
    check_level(properties, product, item_id, collection)
    acquired_at = parse_time(properties.get("datetime")) or parse_time(properties.get("start_datetime"))
    if acquired_at is None:
        raise RejectedError(Reason.NO_DATETIME, f"datetime is {properties.get('datetime')!r}")
    epsg = utm_epsg(item)
    assets = best_assets(item, origin)
    footprint, geometry_source = item_footprint(item, epsg, assets)
    datastrip = first_text(properties, DATASTRIP)
    tile = mgrs_tile(properties, product, item_id)
    if tile is None:
        raise RejectedError(Reason.NO_TILE, f"neither properties nor product nor id name the tile of {item_id}")
    datatake = datatake_id(properties, product, platform, acquired_at)
    if datatake is None:
        raise RejectedError(Reason.NO_DATATAKE, f"neither datatake nor product nor satellite of {item_id} are stated")
    check_rasters(assets, footprint)
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
        cloud_cover=first_number(properties, CLOUD_COVER),
        nodata_percent=nodata_percent(properties),
        is_boa_offset_applied=next((v for n in BOA_OFFSET_APPLIED if isinstance(v := properties.get(n), bool)), None),
        geometry=shapely.to_wkb(footprint.outline),
        geometry_source=geometry_source.value,
        xmin=footprint.xmin,
        ymin=footprint.ymin,
        xmax=footprint.xmax,
        ymax=footprint.ymax,
        assets=assets,
        item=text,
        drawn=extra_columns(properties, drawn),
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
