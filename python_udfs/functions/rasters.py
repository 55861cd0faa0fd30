"""Scalar functions that write a chip's pixels as a file: `chip_geotiff` and `chip_rgb_png`."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
from PIL import Image
from rasterio import Affine
from rasterio.io import MemoryFile

from lakehouse.bands import CHIP_SIZE_M, SCL, VALUE_PER_REFLECTANCE
from python_udfs.functions.frames import decode_band, decode_layer, fields_of, on_one_grid

_CELL_ID: Final = re.compile(r"(32[67](?:0[1-9]|[1-5]\d|60))_(-?\d{1,6})_(-?\d{1,6})")
_NODATA: Final = 0
# A stretch for viewing, not a physical limit: vegetation and soil are darker, clouds and snow saturate.
DEFAULT_MAX_REFLECTANCE: Final = 0.3


@dataclass(frozen=True)
class CellPlace:
    """Place of a grid cell in its UTM zone."""

    epsg: int
    west: int  # metres
    north: int  # metres

    def transform(self, side: int) -> Affine:
        """Return the affine transform of a raster of `side` x `side` pixels that fills the cell, north up."""
        gsd = CHIP_SIZE_M / side
        return Affine(gsd, 0, self.west, 0, -gsd, self.north)


def place_of_cell(cell_id: str) -> CellPlace:
    """Read a cell_id, '{epsg}_{col}_{row}' with col = floor(E / 2560) and row = floor(N / 2560).

    Raises:
        ValueError: the text is not a cell_id.
    """
    parts = _CELL_ID.fullmatch(cell_id)
    if parts is None:
        raise ValueError(f"'{cell_id}' is not a cell_id, which is '{{epsg}}_{{col}}_{{row}}', such as 32633_233_1980")
    epsg, col, row = map(int, parts.groups())
    return CellPlace(epsg, col * CHIP_SIZE_M, (row + 1) * CHIP_SIZE_M)


def chip_geotiff(cell_id: str | None, bands: Mapping[str, bytes | None] | None) -> bytes | None:
    """GeoTIFF of a chip: `chip_geotiff(cell_id, struct(red, green, blue))`, one band a field, with its name.

    The file is cloud-optimised, DEFLATE, in the UTM zone of the cell, nodata 0. Its values are those of the columns:
    reflectance x 10,000, or SCL classes. If 10 m and 20 m columns are given together, each 20 m pixel is repeated into
    four. Sedona (RS_FromGeoTiff), GDAL and QGIS open it.

    Args:
        cell_id: column cell_id, the place of the chip.
        bands: struct of band columns and scl; null ones are left out.

    Returns:
        Bytes of the file; null if all columns are null.

    Raises:
        ValueError: cell_id is not the id of a cell, or a column is neither a band nor scl.
    """
    if cell_id is None or bands is None:
        return None
    place = place_of_cell(cell_id)
    layers = {name: decode_layer(frame) for name, frame in fields_of(bands).items() if frame is not None}
    if not layers:
        return None
    if odd := [name for name, layer in layers.items() if layer.dtype == np.uint8 and name != SCL]:
        raise ValueError(f"chip_geotiff takes bands and scl, in which 0 is nodata, not {', '.join(odd)}")
    pixels = np.stack(on_one_grid(list(layers.values())))
    count, side, _ = pixels.shape
    profile: dict[str, Any] = {
        "driver": "COG",
        "dtype": pixels.dtype.name,
        "count": count,
        "width": side,
        "height": side,
        "crs": f"EPSG:{place.epsg}",
        "transform": place.transform(side),
        "nodata": _NODATA,
        "compress": "DEFLATE",
        "predictor": "YES",
        "blocksize": side,
    }
    with MemoryFile() as file:
        with file.open(**profile) as raster:
            raster.write(pixels)
            raster.descriptions = tuple(layers)
        return bytes(file.read())


def chip_rgb_png(
    red: bytes | None,
    green: bytes | None,
    blue: bytes | None,
    max_reflectance: float | Decimal | None = DEFAULT_MAX_REFLECTANCE,
) -> bytes | None:
    """PNG of three bands for viewing, transparent where one of them is nodata.

    Linear from reflectance 0 (black) to `max_reflectance` (white), 0.3 by default. Any three bands will do:
    `chip_rgb_png(nir, red, green)` shows vegetation red.

    Raises:
        ValueError: max_reflectance is not a finite number above 0.
    """
    if red is None or green is None or blue is None or max_reflectance is None:
        return None
    if not 0 < max_reflectance < math.inf:
        raise ValueError(f"max_reflectance is {max_reflectance}, not above 0; 0.3 shows most land well")
    bands = np.stack(on_one_grid([decode_band(frame) for frame in (red, green, blue)]), axis=-1)
    light = np.clip(bands / (VALUE_PER_REFLECTANCE * float(max_reflectance)), 0, 1)
    opaque = (bands != _NODATA).all(axis=-1, keepdims=True)
    rgba = np.rint(np.concatenate([light, opaque], axis=-1) * 255).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(rgba).save(png, "PNG")
    return png.getvalue()
