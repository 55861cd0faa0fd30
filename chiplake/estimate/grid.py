"""The cells of the grid that a raster touches, by the rule of int_scene_cells (docs/grid.md)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.item.footprints import to_degrees
from lakehouse.bands import CHIP_SIZE_M
from lakehouse.box import BBox, crosses_180

Bounds = tuple[float, float, float, float]  # west, south, east, north, metres in a UTM zone
_NOISE_M: Final = 1.0  # a raster reaches into a cell by a pixel of 10 m or not at all


@lru_cache(maxsize=10_000)  # the scenes of a tile have the same raster
def cells_of_raster(epsg: int, bounds: Bounds, box: BBox | None) -> NDArray[np.int64]:
    """Return column and row of the cells that a raster touches and whose centre lies in a box, shape (cells, 2).

    Args:
        epsg: the UTM zone.
        bounds: of the raster.
        box: None: all cells.
    """
    west, south, east, north = bounds
    columns = np.arange((west + _NOISE_M) // CHIP_SIZE_M, np.ceil((east - _NOISE_M) / CHIP_SIZE_M), dtype=np.int64)
    rows = np.arange((south + _NOISE_M) // CHIP_SIZE_M, np.ceil((north - _NOISE_M) / CHIP_SIZE_M), dtype=np.int64)
    cells = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    if box is None:
        return cells
    return cells[in_box(*_centres(epsg, cells), box)]


def in_box(longitudes: NDArray[np.float64], latitudes: NDArray[np.float64], box: BBox | None) -> NDArray[np.bool_]:
    """Return which places lie in a box; None: all.

    Args:
        longitudes: degrees, shape (places,).
        latitudes: degrees, shape (places,).
        box: its edges belong to it.
    """
    if box is None:
        return np.ones(len(longitudes), bool)
    west, south, east, north = box
    is_east, is_west = longitudes >= west, longitudes <= east
    between = is_east | is_west if crosses_180(box) else is_east & is_west
    inside: NDArray[np.bool_] = between & (latitudes >= south) & (latitudes <= north)
    return inside


def cells_in_box(cell_ids: pa.Array, box: BBox) -> NDArray[np.bool_]:
    """Return which cells have their centre in a box, shape (cells,).

    Args:
        cell_ids: `{epsg}_{col}_{row}`.
        box: its edges belong to it.
    """
    parts = pc.list_flatten(pc.split_pattern(cell_ids, "_")).cast(pa.int64()).to_numpy().reshape(-1, 3)
    inside = np.zeros(len(parts), bool)
    for epsg in np.unique(parts[:, 0]).tolist():
        of_zone = parts[:, 0] == epsg
        inside[of_zone] = in_box(*_centres(epsg, parts[of_zone, 1:]), box)
    return inside


def _centres(epsg: int, cells: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude of the centres of cells, degrees; cells are columns and rows, shape (cells, 2)."""
    longitudes, latitudes = to_degrees(epsg).transform(*((cells + 0.5) * CHIP_SIZE_M).T)
    return longitudes, latitudes
