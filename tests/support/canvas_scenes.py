"""Scenes on a canvas of three by three cells, as arrays and as files, and the chips that `ChipCutter` cuts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from python_udfs.codec import decode_array
from python_udfs.extract.cutter import ChipCutter
from python_udfs.extract.reader import RasterError, RasterInfo

EPSG = 32633
COL, ROW = 156, 1562  # the north-western cell of the canvas
WEST, NORTH = 156 * 2560, 1563 * 2560  # metres
CANVAS = 3  # cells a side

ALL_BANDS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
BANDS_10M = ("blue", "green", "red", "nir")
BANDS = ("blue", "nir", "rededge1", "swir22")  # the bands that most tests cut
VALID_CLASSES = [2, 4, 5, 6, 7, 11]
PROBABILITIES = ("cloud_probability", "snow_probability")
LAYERS_20M = ("scl", "cloud_distance", *PROBABILITIES)
MEASURES = ("valid_fraction", "cloud_fraction", "nodata_fraction")

Array = NDArray[Any]
Place = tuple[int, int]  # place of a cell: columns east and rows south of the first cell of the canvas
Chip = dict[str, Any]  # layers as arrays, measures, error


def gsd_of(name: str) -> int:
    """Return the pixel size of a band or of scl, metres."""
    return 10 if name in BANDS_10M else 20


def repeated(pixels: Array) -> Array:
    """Repeat a 20 m array on the 10 m grid."""
    return np.kron(pixels, np.ones((2, 2), pixels.dtype))


# --- Scenes ---


@dataclass
class CanvasScene:
    """A scene of the canvas, its layers as arrays of digital numbers."""

    scene_id: str
    layers: dict[str, Array]  # by band name, or scl
    at: tuple[int, int] = (0, 0)  # north-western corner, in 20 m pixels south and east of the canvas's corner
    mgrs_tile: str = "33ABC"
    scale: float = 0.0001
    boa_offset: int = 0
    nodata: float | None = 0
    hrefs: dict[str, str] = field(default_factory=dict)
    header: tuple[float, float] = (1.0, 0.0)  # scale and offset that the files of bands state
    item_id: str = ""
    is_scale_stated: bool | None = True
    reason: str = "already applied"  # what decided the offset
    data_type: str | None = None  # that the item states
    stated_nodata: dict[str, float] | None = None  # by layer, that the item states
    copies: list[CanvasScene] = field(default_factory=list)

    def write(self, folder: Path, **profile: Any) -> CanvasScene:
        """Write the layers as GeoTIFFs."""
        for name, pixels in self.layers.items():
            path = folder / f"{self.scene_id}_{name}.tif"
            write_raster(path, pixels, self.at, gsd_of(name), None if name == "scl" else self.nodata, **profile)
            if name != "scl" and self.header != (1, 0):
                with rasterio.open(path, "r+") as raster:
                    raster.scales, raster.offsets = ((number,) for number in self.header)
            self.hrefs[name] = str(path)
        return self

    def on_canvas(self, name: str) -> Array:
        """Lay a layer on the canvas, 0 outside of the scene."""
        side, times = (256, 2) if name in BANDS_10M else (128, 1)
        canvas = np.zeros((side * CANVAS, side * CANVAS), self.layers[name].dtype)
        south, east = self.at[0] * times, self.at[1] * times
        height, width = self.layers[name].shape
        canvas[south : south + height, east : east + width] = self.layers[name]
        return canvas

    def as_row(self) -> dict[str, Any]:
        """Return the scene as a plan has it."""
        products = [scene.product_row() for scene in (self, *self.copies)]
        return {"scene_id": self.scene_id, "mgrs_tile": self.mgrs_tile, "products": products}

    def product_row(self) -> dict[str, Any]:
        """Return the scene's own product, or one that is a copy of another scene's."""
        return {
            "item_id": self.item_id or f"item-of-{self.scene_id}",
            "hrefs": self.hrefs,
            "scale": self.scale,
            "is_scale_stated": self.is_scale_stated,
            "boa_offset": self.boa_offset,
            "boa_offset_reason": self.reason,
            "data_type": self.data_type,
            "nodata": self.stated_nodata,
        }


def transform_at(at: tuple[int, int], gsd: int) -> Affine:
    """Return the transform of a raster whose corner lies `at` 20 m pixels south and east of the canvas's corner."""
    return Affine(gsd, 0, WEST + at[1] * 20, 0, -gsd, NORTH - at[0] * 20)


def write_raster(
    path: Path, pixels: Array, at: tuple[int, int], gsd: int, nodata: float | None = 0, **profile: Any
) -> None:
    """Write a raster with one band; `profile` replaces options of rasterio."""
    options = {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": 128,
        "blockysize": 128,
        "compress": "deflate",
        "crs": f"EPSG:{EPSG}",
        "transform": transform_at(at, gsd),
        "nodata": nodata,
        "dtype": pixels.dtype.name,
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "count": 1,
    } | profile
    if options["driver"] != "GTiff":
        options = {key: value for key, value in options.items() if key not in ("tiled", "blockxsize", "blockysize")}
    with rasterio.open(path, "w", **options) as dataset:
        dataset.write(pixels, 1)


def random_scene(
    seed: int, size: tuple[int, int] = (256, 256), bands: Iterable[str] = BANDS, missing: float = 0.0, **fields: Any
) -> CanvasScene:
    """Make a scene of random values, `size` in 20 m pixels, with a share of each layer missing."""
    rng = np.random.default_rng(seed)

    def layer(times: int, low: int, high: int, dtype: str) -> Array:
        shape = (size[0] * times, size[1] * times)
        return (rng.integers(low, high, shape) * (rng.random(shape) >= missing)).astype(dtype)

    layers = {name: layer(2 if name in BANDS_10M else 1, 1, 20_000, "uint16") for name in bands}
    layers["scl"] = layer(1, 1, 12, "uint8")
    return CanvasScene(**{"scene_id": f"scene-{seed}", "layers": layers} | fields)


def uniform_scene(scene_id: str, value: int, scl: int = 4, bands: Iterable[str] = BANDS, **fields: Any) -> CanvasScene:
    """Make a scene of one cell with one value and one class."""
    layers = {name: np.full((2560 // gsd_of(name),) * 2, value, np.uint16) for name in bands}
    return CanvasScene(scene_id, {**layers, "scl": np.full((128, 128), scl, np.uint8)}, **fields)


# --- A reader of arrays ---


@dataclass
class MemoryRaster:
    """An array as an open raster."""

    pixels: Array
    info: RasterInfo
    is_opened: bool = False
    is_closed: bool = False

    def read_into(self, out: Array, row: int, col: int) -> None:
        """Copy the window that has the shape of `out` and starts at pixel (row, col)."""
        assert not self.is_closed
        height, width = out.shape
        assert 0 <= row <= self.pixels.shape[0] - height
        assert 0 <= col <= self.pixels.shape[1] - width
        out[...] = self.pixels[row : row + height, col : col + width]

    def read_mask_into(self, out: NDArray[np.uint8], row: int, col: int) -> None:
        """Fail, because the raster has no mask."""
        raise AssertionError("the raster has no mask")

    def close(self) -> None:
        """Note that the raster is closed."""
        self.is_closed = True


@dataclass
class MemoryReader:
    """A `RasterReader` of the layers of scenes in memory."""

    rasters: dict[str, MemoryRaster] = field(default_factory=dict)

    def add(self, scene: CanvasScene) -> CanvasScene:
        """Give the layers of a scene addresses at which `open` finds them."""
        for name, pixels in scene.layers.items():
            href = scene.hrefs[name] = f"memory:{scene.scene_id}/{name}"
            info = RasterInfo(
                width=pixels.shape[1],
                height=pixels.shape[0],
                dtype=pixels.dtype,
                nodata=None if name == "scl" else scene.nodata,
                crs=f"EPSG:{EPSG}",
                epsg=EPSG,
                transform=tuple(transform_at(scene.at, gsd_of(name)))[:6],
                scale=1.0 if name == "scl" else scene.header[0],
                offset=0.0 if name == "scl" else scene.header[1],
            )
            self.rasters[href] = MemoryRaster(pixels, info)
        return scene

    def open(self, href: str) -> MemoryRaster:
        """Return the raster at an address.

        Raises:
            RasterError: the address is not known.
        """
        if href not in self.rasters:
            raise RasterError(f"{href} does not exist")
        self.rasters[href].is_opened = True
        return self.rasters[href]


# --- Strips, and the chips that are cut from them ---


def strip_row(
    scenes: list[CanvasScene],
    cells: dict[Place, tuple[list[str], list[str]]],
    bands: Iterable[str] = BANDS,
    probabilities: bool | None = None,
    **facts: dict[str, Any],
) -> dict[str, Any]:
    """Make a row of macro `cut_plan`: each cell has the scenes that touch it and the scenes that contain it whole.

    `facts` are further columns of chips, arrays of one value a scene.
    """
    (south,) = {place[1] for place in cells}
    return {
        "epsg": EPSG,
        "cell_row": ROW - south,
        "bands": list(bands),
        "probabilities": probabilities,
        "valid_scl_classes": VALID_CLASSES,
        "scenes": [scene.as_row() for scene in scenes],
        "cells": [
            {
                "chip": {
                    "chip_id": f"chip-{place}",
                    "acquired_at": datetime(2023, 8, 15, 10, 0, 1, 234567),
                    **{name: [of_scene[scene] for scene in touching] for name, of_scene in facts.items()},
                },
                "cell_col": COL + place[0],
                "scene_ids": touching,
                "whole_scene_ids": whole,
            }
            for place, (touching, whole) in cells.items()
        ],
    }


def chips_of(function: ChipCutter, strip: dict[str, Any]) -> dict[Place, Chip]:
    """Return the chips of a strip by place, with decoded layers, in the order of the rows."""
    place_of = {cell["chip"]["chip_id"]: (cell["cell_col"] - COL, ROW - strip["cell_row"]) for cell in strip["cells"]}
    chips = {}
    for chip, layers, measures, error in function.cut(strip):
        (given,) = [cell["chip"] for cell in strip["cells"] if cell["chip"]["chip_id"] == chip["chip_id"]]
        assert chip == given
        assert place_of[chip["chip_id"]] not in chips
        chips[place_of[chip["chip_id"]]] = {
            **dict.fromkeys((*ALL_BANDS, *LAYERS_20M)),
            **{name: _decoded(name, frame) for name, frame in (layers or {}).items()},
            **(measures or dict.fromkeys(MEASURES)),
            "error": error,
        }
    assert len(chips) == len(place_of)
    return chips


def _decoded(name: str, frame: bytes) -> Array:
    dtype = "uint8" if name in LAYERS_20M else "uint16"
    return decode_array(frame, dtype, 2560 // gsd_of(name))


def one_chip(function: ChipCutter, scene: CanvasScene, place: Place = (0, 0), **fields: Any) -> Chip:
    """Return the chip of one cell that one scene touches."""
    return chips_of(function, strip_row([scene], {place: ([scene.scene_id], [])}, **fields))[place]


# --- The expected chip ---


def cell_of(canvas: Array, place: Place) -> Array:
    """Return the part of a canvas that is a cell."""
    side = canvas.shape[0] // CANVAS
    return canvas[place[1] * side : (place[1] + 1) * side, place[0] * side : (place[0] + 1) * side]


def has_data(bands: dict[str, Array], scl: Array) -> Array:
    """Return the 10 m mask of pixels where no band is nodata and SCL is known."""
    layers = [pixels if name in BANDS_10M else repeated(pixels) for name, pixels in bands.items()]
    holds: Array = np.logical_and.reduce([layer != 0 for layer in (*layers, repeated(scl))])
    return holds


def assert_fractions(chip: Chip) -> None:
    """Assert that the fractions are exactly those of the chip's own pixels."""
    bands = {name: chip[name] for name in ALL_BANDS if chip[name] is not None}
    data = has_data(bands, chip["scl"])
    assert chip["nodata_fraction"] == np.count_nonzero(~data) / 65_536
    assert chip["valid_fraction"] == np.count_nonzero(data & np.isin(repeated(chip["scl"]), VALID_CLASSES)) / 65_536
    assert chip["cloud_fraction"] == np.count_nonzero(np.isin(chip["scl"], [8, 9, 10])) / 16_384
    assert chip["error"] is None


def assert_cut(chip: Chip, scene: CanvasScene, place: Place, bands: Iterable[str] = BANDS) -> None:
    """Assert that the pixels are those of the scene."""
    assert chip["error"] is None
    for name in (*bands, "scl"):
        assert np.array_equal(chip[name], cell_of(scene.on_canvas(name), place)), (place, name)
