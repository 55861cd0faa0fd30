"""GeoTIFFs and pictures of chips, read back by other libraries."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import rasterio.warp
from PIL import Image
from pyproj import Transformer
from rasterio.io import MemoryFile

from python_udfs.codec import encode_array
from python_udfs.functions.rasters import chip_geotiff, chip_rgb_png, place_of_cell

CELL = "32633_233_1980"
RED = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)  # the first pixel is nodata
SWIR = (np.arange(128 * 128) % 9_999 + 1).astype(np.uint16).reshape(128, 128)
SCL = np.full((128, 128), 4, np.uint8)


def open_geotiff(cell_id: str, **layers: np.ndarray[Any, Any] | None) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    frames = {name: None if layer is None else encode_array(layer) for name, layer in layers.items()}
    geotiff = chip_geotiff(cell_id, frames)
    assert geotiff is not None
    with MemoryFile(geotiff) as file, file.open() as raster:
        place = {"bounds": tuple(raster.bounds), "gsd": raster.res, "epsg": raster.crs.to_epsg()}
        layout = raster.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
        names = {"descriptions": raster.descriptions, "nodata": raster.nodata, "dtype": raster.dtypes[0]}
        return place | names | {"layout": layout, "driver": raster.driver}, raster.read()


def test_a_geotiff_has_the_pixels_and_place_of_the_chip() -> None:
    about, pixels = open_geotiff(CELL, red=RED, nir=RED[::-1])
    assert about == {
        "bounds": (233 * 2560, 1980 * 2560, 234 * 2560, 1981 * 2560),
        "gsd": (10, 10),
        "epsg": 32633,
        "descriptions": ("red", "nir"),
        "nodata": 0,
        "dtype": "uint16",
        "layout": "COG",
        "driver": "GTiff",
    }
    np.testing.assert_array_equal(pixels, [RED, RED[::-1]])


def test_a_geotiff_of_20_m_bands_alone_stays_at_20_m() -> None:
    about, pixels = open_geotiff(CELL, swir16=SWIR, red=None)
    assert (about["gsd"], about["descriptions"]) == ((20, 20), ("swir16",))
    np.testing.assert_array_equal(pixels, [SWIR])


def test_20_m_pixels_are_repeated_beside_10_m_bands() -> None:
    about, pixels = open_geotiff(CELL, swir16=SWIR, red=RED, scl=SCL)
    assert (about["gsd"], about["dtype"]) == ((10, 10), "uint16")
    for row, col in ((0, 0), (1, 1), (2, 0), (255, 254)):
        assert pixels[:, row, col].tolist() == [SWIR[row // 2, col // 2], RED[row, col], 4]


def test_a_geotiff_of_scl_has_bytes() -> None:
    about, pixels = open_geotiff(CELL, scl=SCL)
    assert (about["dtype"], about["gsd"]) == ("uint8", (20, 20))
    np.testing.assert_array_equal(pixels, [SCL])


@pytest.mark.parametrize(
    ("cell_id", "epsg", "bounds"),
    [
        ("32701_78_3515", 32701, (199_680, 8_998_400, 202_240, 9_000_960)),  # south, beside the antimeridian
        ("32632_-1_0", 32632, (-2_560, 0, 0, 2_560)),
    ],
)
def test_the_place_of_a_cell_follows_from_its_id(cell_id: str, epsg: int, bounds: tuple[int, ...]) -> None:
    about, _ = open_geotiff(cell_id, scl=SCL)
    assert (about["epsg"], about["bounds"]) == (epsg, bounds)


def test_a_pixel_is_found_by_longitude_and_latitude() -> None:
    frame = chip_geotiff(CELL, {"red": encode_array(RED)})
    longitude, latitude = Transformer.from_crs(32633, 4326, always_xy=True).transform(233 * 2560 + 35, 1981 * 2560 - 25)
    assert frame is not None
    with MemoryFile(frame) as file, file.open() as raster:
        x, y = rasterio.warp.transform("EPSG:4326", raster.crs, [longitude], [latitude])
        assert next(raster.sample([(x[0], y[0])]))[0] == RED[2, 3]


@pytest.mark.parametrize("cell_id", ["", "32633_233", "32661_1_1", "32600_1_1", "4326_1_1", "32633_1_1_X", "32633_a_b"])
def test_anything_but_a_cell_id_is_refused(cell_id: str) -> None:
    with pytest.raises(ValueError, match="is not a cell_id"):
        place_of_cell(cell_id)


def test_source_index_has_no_nodata_and_is_refused() -> None:
    with pytest.raises(ValueError, match="not source_index"):
        chip_geotiff(CELL, {"source_index": encode_array(np.zeros((256, 256), np.uint8))})


def test_null_gives_null() -> None:
    red = encode_array(RED)
    assert chip_geotiff(None, {"red": red}) is None
    assert chip_geotiff(CELL, None) is None
    assert chip_geotiff(CELL, {"red": None}) is None
    assert chip_rgb_png(red, None, red) is None
    assert chip_rgb_png(red, red, red, None) is None


def picture(
    red: np.ndarray[Any, Any],
    green: np.ndarray[Any, Any],
    blue: np.ndarray[Any, Any],
    max_reflectance: float | None = None,
) -> np.ndarray[Any, Any]:
    frames = encode_array(red), encode_array(green), encode_array(blue)
    png = chip_rgb_png(*frames) if max_reflectance is None else chip_rgb_png(*frames, max_reflectance)
    assert png is not None
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGBA")
        return np.asarray(image)


def test_a_picture_is_linear_and_transparent_at_nodata() -> None:
    red = np.array([[1500, 3000], [60_000, 1]], np.uint16)
    green = np.array([[600, 0], [3000, 3000]], np.uint16)
    blue = np.array([[300, 300], [300, 300]], np.uint16)
    pixels = picture(red, green, blue)
    assert pixels[0, 0].tolist() == [128, 51, 26, 255]  # 127.5 and 25.5 are rounded to even
    assert pixels[0, 1, 3] == 0  # no green
    assert pixels[1, 0].tolist() == [255, 255, 26, 255]
    assert pixels[1, 1].tolist() == [0, 255, 26, 255]
    assert picture(red, green, blue, max_reflectance=0.6)[0, 0, 0] == 64


def test_a_picture_takes_bands_of_both_resolutions() -> None:
    pixels = picture(SWIR, RED, RED)
    assert pixels.shape == (256, 256, 4)
    assert (pixels[0::2, :, 0] == pixels[1::2, :, 0]).all()


@pytest.mark.parametrize("most", [0.0, -1.0, float("nan"), float("inf")])
def test_a_maximum_that_is_not_above_0_is_refused(most: float) -> None:
    frame = encode_array(RED)
    with pytest.raises(ValueError, match="max_reflectance"):
        chip_rgb_png(frame, frame, frame, most)
