"""Scalar function `raster_header`: what the header of a raster says about its numbers."""

from __future__ import annotations

from typing import Final

from python_udfs.extract.rasterio_reader import RasterioReader
from python_udfs.extract.reader import RasterError

RASTER_HEADER: Final = "struct<data_type: string, scale: double, offset: double, error: string>"


def raster_header(href: str | None) -> dict[str, float | str | None] | None:
    """Data type, scale and offset of a raster at a path or URL, or why it cannot be opened.

    Scale 1 and offset 0 are GDAL's defaults for a file that states none.
    """
    if href is None:
        return None
    try:
        raster = RasterioReader().open(href)
    except RasterError as error:
        return {"data_type": None, "scale": None, "offset": None, "error": str(error)}
    info = raster.info
    raster.close()
    return {"data_type": info.dtype.name, "scale": info.scale, "offset": info.offset, "error": None}
