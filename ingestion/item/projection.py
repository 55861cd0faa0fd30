"""Where an item lies: the UTM zone, the affine transform and shape of its rasters, and its footprint."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from ingestion.item.footprints import (
    Footprint,
    footprint_of_bbox,
    footprint_of_geojson,
    footprint_of_grid,
    footprint_of_projected_bbox,
    footprint_of_projected_geojson,
    is_on_grid,
)
from ingestion.item.providers import BAND_GSD_M, EPSG
from ingestion.item.rejection import RejectedError
from ingestion.item.values import as_integer
from ingestion.model import Asset, GeometrySource, JsonObject, Reason


def utm_epsg(item: JsonObject) -> int:
    """Return the EPSG code of the UTM zone in which the rasters lie.

    Raises:
        RejectedError: the item states no UTM zone.
    """
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
    raise RejectedError(Reason.NO_PROJECTION, found)


def _epsg_code(value: object) -> int | None:
    if isinstance(value, str):
        match = re.fullmatch(r"(?:EPSG:)?(\d{4,6})", value.strip(), re.IGNORECASE)
        return int(match[1]) if match else None
    return as_integer(value)


def item_footprint(item: JsonObject, epsg: int, assets: Mapping[str, Asset]) -> tuple[Footprint, GeometrySource]:
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
        raise RejectedError(Reason.NO_GEOMETRY, detail)
    return boxed, GeometrySource.BBOX


def asset_grid(
    key: str, band: str, asset: JsonObject, properties: JsonObject
) -> tuple[tuple[float, ...] | None, tuple[int, int] | None]:
    """Transform and shape of an asset, from itself or from the item, checked to lie on the chips' lattice."""
    gsd = BAND_GSD_M[band]
    transform, rows_columns = parse_affine(asset.get("proj:transform")), parse_shape(asset.get("proj:shape"))
    if transform is None:
        transform = parse_affine(properties.get("proj:transform"))
        if transform is not None:
            # An item states one grid for all its assets; those of another resolution share its corner and extent.
            rows_columns = rows_columns or _rescaled(parse_shape(properties.get("proj:shape")), transform[0] / gsd)
            transform = (float(gsd), transform[1], transform[2], transform[3], -float(gsd), transform[5])
    if transform is None:
        return None, rows_columns
    a, b, west, d, e, north = transform
    if (a, b, d, e) != (gsd, 0, 0, -gsd) or west % gsd != 0 or north % gsd != 0:
        detail = f"asset {key}: {list(transform)} is not a north-up grid of {gsd} m anchored at multiples of {gsd} m"
        raise RejectedError(Reason.OFF_LATTICE, detail)
    return transform, rows_columns


def parse_affine(value: object) -> tuple[float, ...] | None:
    """Return the six numbers of a `proj:transform`, metres, or None if it is not one."""
    if not isinstance(value, list) or len(value) < 6 or not {*map(type, value[:6])} <= {int, float}:
        return None
    try:
        numbers = tuple(map(float, value[:6]))
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def parse_shape(value: object) -> tuple[int, int] | None:
    """Return rows and columns of a `proj:shape`, or None if it is not one."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    rows, columns = (as_integer(entry) for entry in value)
    return (rows, columns) if rows and columns and rows > 0 and columns > 0 else None


def _rescaled(rows_columns: tuple[int, int] | None, factor: float) -> tuple[int, int] | None:
    if rows_columns is None:
        return None
    rows, columns = (size * factor for size in rows_columns)
    return (int(rows), int(columns)) if rows.is_integer() and columns.is_integer() and rows and columns else None
