"""The position of a scene: UTM zone, affine transform and shape of its rasters, and its footprint."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from pyproj import CRS
from pyproj.exceptions import CRSError

from ingestion.item.footprints import (
    Footprint,
    footprint_of_bbox,
    footprint_of_geojson,
    footprint_of_grid,
    footprint_of_projected_bbox,
    footprint_of_projected_geojson,
    is_on_grid,
)
from ingestion.item.providers import CRS_DEFINITIONS, EPSG
from ingestion.item.rejection import RejectedError
from ingestion.item.stated import unreadable
from ingestion.item.values import as_integer, as_lenient_number
from ingestion.model import Asset, GeometrySource, JsonObject, Reason
from lakehouse.bands import LAYER_GSD_M
from lakehouse.lattice import on_lattice

Affine = tuple[float, ...]  # six numbers, metres: x = a * column + b * row + c, y = d * column + e * row + f
Shape = tuple[int, int]  # rows, columns

TILE_M: Final = 109_800  # side of a Sentinel-2 tile


def utm_epsg(item: JsonObject) -> int:
    """Return the EPSG code of the UTM zone of the rasters, from codes, WKT 2 and PROJJSON.

    Raises:
        RejectedError: nothing in the item or its assets names a UTM zone, or it names several.
    """
    stated = [*_stated(item, EPSG)]
    codes = [code for _, value in stated if (code := _epsg_code(value)) is not None]
    definitions = [*_stated(item, CRS_DEFINITIONS)]
    stated += definitions
    codes += [code for _, value in definitions if (code := _defined_code(value)) is not None]
    zones = [*dict.fromkeys(filter(_is_utm, codes))]
    if len(zones) == 1:
        return zones[0]
    if zones:
        detail = f"it states several UTM zones: {', '.join(f'EPSG:{code}' for code in zones)}"
    elif codes:
        detail = f"EPSG:{codes[0]} is not a UTM zone"
    elif stated:
        detail = f"{stated[0][0]} is {repr(stated[0][1])[:200]}, which names no UTM zone"
    else:
        detail = f"it has none of {', '.join((*EPSG[:2], *CRS_DEFINITIONS))}"
    raise RejectedError(Reason.NO_PROJECTION, detail)


def _is_utm(code: int) -> bool:
    return 32601 <= code <= 32660 or 32701 <= code <= 32760


def _stated(item: JsonObject, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield what the item and its assets state under these names."""
    for entries in (item["properties"], *item["assets"].values()):
        if isinstance(entries, dict):
            yield from ((name, entries[name]) for name in names if entries.get(name) is not None)


def _epsg_code(value: object) -> int | None:
    """Return the number of a code: `EPSG:32633`, a URN, an address of OGC, or the number alone."""
    if isinstance(value, str):
        match = re.fullmatch(r"(?:.*\bEPSG\b.*?[:/])?(\d{4,6})", value.strip(), re.IGNORECASE)
        return int(match[1]) if match else None
    return as_integer(value)


def _defined_code(definition: object) -> int | None:
    """Return the EPSG code of a coordinate reference system in WKT 2 or PROJJSON, or None if it has none."""
    if isinstance(definition, dict):
        return _code_of_text(json.dumps(definition))
    return _code_of_text(definition) if isinstance(definition, str) else None


@lru_cache(maxsize=256)
def _code_of_text(definition: str) -> int | None:
    try:
        return CRS.from_string(definition).to_epsg()
    except (CRSError, UnicodeError):
        return None


def item_footprint(item: JsonObject, epsg: int, assets: Mapping[str, Asset]) -> tuple[Footprint, GeometrySource]:
    """Return the footprint and its source: the item's geometry if it lies on the raster grid, else the next source.

    Raises:
        RejectedError: the item has no usable geometry.
    """
    return next(_footprints(item, epsg, assets))


def _footprints(item: JsonObject, epsg: int, assets: Mapping[str, Asset]) -> Iterator[tuple[Footprint, GeometrySource]]:
    """Yield usable footprints, the best source first."""
    grid = next(((a.transform, a.shape) for a in assets.values() if a.transform and a.shape), None)
    footprint = footprint_of_geojson(item.get("geometry"))
    if footprint is not None and (grid is None or is_on_grid(footprint, epsg, *grid)):
        yield footprint, GeometrySource.GEOMETRY
    described = (item["properties"], *(item["assets"][asset.asset_key] for asset in assets.values()))
    for entries in described:
        footprint = footprint_of_projected_geojson(epsg, entries.get("proj:geometry"))
        if footprint is not None and (grid is None or is_on_grid(footprint, epsg, *grid)):
            yield footprint, GeometrySource.PROJ_GEOMETRY
    footprint = None if grid is None else footprint_of_grid(epsg, *grid)
    if footprint is not None:
        yield footprint, GeometrySource.GRID
    for entries in described:
        footprint = footprint_of_projected_bbox(epsg, entries.get("proj:bbox"))
        if footprint is not None:
            yield footprint, GeometrySource.PROJ_BBOX
    footprint = footprint_of_bbox(item.get("bbox"))
    if footprint is not None:
        yield footprint, GeometrySource.BBOX
    detail = "neither geometry nor proj:geometry, proj:transform with proj:shape, proj:bbox or bbox give an area"
    raise RejectedError(Reason.NO_GEOMETRY, detail)


def asset_grid(key: str, band: str, asset: JsonObject, properties: JsonObject) -> tuple[Affine | None, Shape | None]:
    """Return affine transform and shape of an asset, from the asset or from the item's properties.

    Raises:
        RejectedError: the grid is not north-up, has another pixel size than the band, does not lie on the lattice of
            the chips, or cannot be understood.
    """
    gsd = LAYER_GSD_M[band]
    whole_tile = (TILE_M // gsd,) * 2
    place = f"asset {key}"
    affine, shape = _stated_affine(asset, place), _stated_shape(asset, place)
    if affine is None:
        affine = _stated_affine(properties, "the item")
        if affine is not None:
            # An item states one grid for all its assets; those of another resolution share its corner and extent.
            shape = shape or _rescaled(_stated_shape(properties, "the item"), affine[0] / gsd)
            affine = (float(gsd), affine[1], affine[2], affine[3], -float(gsd), affine[5])
    if affine is None:
        return None, shape
    rows, columns = shape or whole_tile
    exact = on_lattice(affine, gsd, columns, rows)
    if exact is None:
        detail = (
            f"asset {key}: {list(affine)} is not on the lattice: not a north-up grid of {gsd} m anchored at multiples "
            f"of {gsd} m"
        )
        raise RejectedError(Reason.OFF_LATTICE, detail)
    return exact, shape


def _stated_affine(entries: Mapping[str, Any], place: str) -> Affine | None:
    value = entries.get("proj:transform")
    affine = parse_affine(value)
    if affine is None and value not in (None, []):
        raise unreadable(f"proj:transform of {place}", value, "six or nine numbers")
    return affine


def _stated_shape(entries: Mapping[str, Any], place: str) -> Shape | None:
    value = entries.get("proj:shape")
    shape = parse_shape(value)
    if shape is None and value not in (None, []):
        raise unreadable(f"proj:shape of {place}", value, "two numbers of pixels")
    return shape


def parse_affine(value: object) -> Affine | None:
    """Return the first six numbers of a `proj:transform`, or None if it is not valid."""
    if not isinstance(value, list) or len(value) < 6:
        return None
    if not {*map(type, value[:6])} <= {int, float}:
        return _affine_of_texts(value[:6])
    try:
        numbers = tuple(map(float, value[:6]))
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _affine_of_texts(values: list[Any]) -> Affine | None:
    numbers = [number for value in values if (number := as_lenient_number(value)) is not None]
    return tuple(numbers) if len(numbers) == len(values) else None


def parse_shape(value: object) -> Shape | None:
    """Return rows and columns of a `proj:shape`, or None if it is not valid."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    rows, columns = (as_integer(entry) for entry in value)
    return (rows, columns) if rows and columns and rows > 0 and columns > 0 else None


def _rescaled(shape: Shape | None, factor: float) -> Shape | None:
    if shape is None:
        return None
    sizes = [size * factor for size in shape]
    rows, columns = map(round, sizes)
    is_whole = all(math.isclose(size, round(size), abs_tol=1e-3) for size in sizes)
    return (rows, columns) if is_whole and rows and columns else None
