"""The position of grid cells in a raster. Pixels are never resampled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import CHIP_SIZE_M
from python_udfs.extract.reader import Raster, RasterError, RasterInfo


def require_lattice(info: RasterInfo, epsg: int, gsd: int) -> None:
    """Require that the pixels of a raster are those of the grid.

    Args:
        info: the raster.
        epsg: UTM zone of the cells.
        gsd: pixel size that the layer must have, metres.

    Raises:
        RasterError: the CRS, the pixel size or the origin is another one.
    """
    a, b, c, d, e, f = info.transform
    if info.crs is None:
        raise RasterError(f"the file has no CRS; EPSG:{epsg} is required")
    if info.epsg != epsg:
        raise RasterError(f"its CRS is {info.crs}, not EPSG:{epsg}")
    if (a, b, d, e) != (gsd, 0, 0, -gsd) or c % gsd or f % gsd:
        raise RasterError(f"its transform {info.transform} is not on the {gsd} m lattice of EPSG:{epsg}")


def read_row_of_cells(raster: Raster, row: int, cols: range, halo: int) -> NDArray[Any]:
    """Read neighbouring cells of one row and `halo` pixels around them.

    Args:
        raster: a raster on the lattice.
        row: row of the cells in the grid.
        cols: columns of the cells in the grid, step 1.
        halo: pixels beyond the outer edges of the cells, on all four sides.

    Returns:
        (side + 2 halo, side x number of cells + 2 halo) array in the raster's dtype, native byte order; 0 outside of
        the raster.

    Raises:
        RasterError: the pixels cannot be read.
    """
    info = raster.info
    gsd, west, north = (round(info.transform[place]) for place in (0, 2, 5))
    side = CHIP_SIZE_M // gsd
    left = (cols.start * CHIP_SIZE_M - west) // gsd - halo
    top = (north - (row + 1) * CHIP_SIZE_M) // gsd - halo
    height, width = side + 2 * halo, side * len(cols) + 2 * halo
    out = np.zeros((height, width), dtype=info.dtype.newbyteorder("="))
    x0, x1 = max(left, 0), min(left + width, info.width)
    y0, y1 = max(top, 0), min(top + height, info.height)
    if x0 < x1 and y0 < y1:
        raster.read_into(out[y0 - top : y1 - top, x0 - left : x1 - left], y0, x0)
    return out
