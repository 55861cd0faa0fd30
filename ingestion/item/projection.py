"""The position of a scene: UTM zone, affine transform and shape of its rasters, and its footprint."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

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
from lakehouse.lattice import on_lattice

Affine = tuple[float, ...]  # six numbers, metres: x = a * column + b * row + c, y = d * column + e * row + f
Shape = tuple[int, int]  # rows, columns

TILE_M: Final = 109_800  # side of a Sentinel-2 tile


def utm_epsg(item: JsonObject) -> int:
    """Return the EPSG code of the UTM zone of the rasters.

    Raises:
        RejectedError: no code of the item or its assets is that of a UTM zone.
    """
    codes = []
    for code in _epsg_codes(item):
        if 32601 <= code <= 32660 or 32701 <= code <= 32760:
            return code
        codes.append(code)
    detail = f"EPSG:{codes[0]} is not a UTM zone" if codes else "neither proj:epsg nor proj:code"
    raise RejectedError(Reason.NO_PROJECTION, detail)


def _epsg_codes(item: JsonObject) -> Iterator[int]:
    for entries in (item["properties"], *item["assets"].values()):
        if not isinstance(entries, dict):
            continue
        for name in EPSG:
            code = _epsg_code(entries.get(name))
            if code is not None:
                yield code


def _epsg_code(value: object) -> int | None:
    if isinstance(value, str):
        match = re.fullmatch(r"(?:EPSG:)?(\d{4,6})", value.strip(), re.IGNORECASE)
        return int(match[1]) if match else None
    return as_integer(value)


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
        RejectedError: the grid is not north-up, has another pixel size than the band, or does not lie on the lattice of
            the chips.
    """
    gsd = BAND_GSD_M[band]
    whole_tile = (TILE_M // gsd,) * 2
    affine, shape = parse_affine(asset.get("proj:transform")), parse_shape(asset.get("proj:shape"))
    if affine is None:
        affine = parse_affine(properties.get("proj:transform"))
        if affine is not None:
            # An item states one grid for all its assets; those of another resolution share its corner and extent.
            shape = shape or _rescaled(parse_shape(properties.get("proj:shape")), affine[0] / gsd)
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


def parse_affine(value: object) -> Affine | None:
    """Return the first six numbers of a `proj:transform`, or None if it is not valid."""
    if not isinstance(value, list) or len(value) < 6 or not {*map(type, value[:6])} <= {int, float}:
        return None
    try:
        numbers = tuple(map(float, value[:6]))
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


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
