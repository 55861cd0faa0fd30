"""The position of grid cells in a raster. Pixels are never resampled."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import CHIP_SIZE_M
from lakehouse.lattice import on_lattice
from python_udfs.extract.reader import Raster, RasterError, RasterInfo
from python_udfs.valid_pixels import Mask

_NO_TRANSFORM: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # of a file that states none


def require_lattice(info: RasterInfo, epsg: int, gsd: int) -> None:
    """Require that the pixels of a raster are those of the grid.

    A file without a CRS is in the zone that its item states. A file without a transform lies nowhere.

    Args:
        info: the raster.
        epsg: UTM zone of the cells.
        gsd: pixel size that the layer must have, metres.

    Raises:
        RasterError: the CRS, the pixel size or the origin is another one.
    """
    if info.transform == _NO_TRANSFORM:
        missing = "neither CRS nor transform" if info.crs is None else "no transform"
        raise RasterError(
            f"the file has {missing}, so nothing says where its pixels lie; write them into it: "
            f"gdal_edit.py -a_srs EPSG:{epsg} -a_ullr WEST NORTH EAST SOUTH FILE"
        )
    if info.crs is not None and info.epsg != epsg:
        raise RasterError(f"its CRS is {info.crs}, not EPSG:{epsg}")
    if on_lattice(info.transform, gsd, info.width, info.height) is None:
        raise RasterError(f"its transform {info.transform} is not on the {gsd} m lattice of EPSG:{epsg}")


def read_row_of_cells(raster: Raster, row: int, cols: range, halo: int) -> tuple[NDArray[Any], Mask | None]:
    """Read neighbouring cells of one row and `halo` pixels around them.

    Args:
        raster: a raster on the lattice.
        row: row of the cells in the grid.
        cols: columns of the cells in the grid, step 1.
        halo: pixels beyond the outer edges of the cells, on all four sides.

    Returns:
        (side + 2 halo, side x number of cells + 2 halo) array in the raster's dtype, native byte order, 0 outside of
        the raster; and a mask of that shape of pixels that are missing whatever their number is, or None.

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
    inside = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    is_touched = x0 < x1 and y0 < y1
    if is_touched:
        raster.read_into(out[inside], y0, x0)
    is_whole = (x1 - x0, y1 - y0) == (width, height)
    # Of unsigned numbers, the 0 outside of the raster says that nothing is there.
    if not info.has_mask and (is_whole or info.dtype.kind == "u"):
        return out, None
    is_there = np.zeros(out.shape, np.uint8)
    if is_touched and info.has_mask:
        raster.read_mask_into(is_there[inside], y0, x0)
    elif is_touched:
        is_there[inside] = 1
    return out, is_there == 0
