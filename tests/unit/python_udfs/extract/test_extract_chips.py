"""Chips cut out of real rasters: the same pixels as numpy cuts, merged and judged by the rules of the design."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray

from lakehouse.settings import PROJECT_DIR
from python_udfs.codec import decode_array
from python_udfs.extract.table_function import EXTRACTED_CHIP, ExtractChips

EPSG = 32633
# The canvas on which scenes lie: three by three cells, its north-western one being this.
COL, ROW = 156, 1562
WEST, NORTH = 156 * 2560, 1563 * 2560  # metres
CANVAS = 3

ALL_BANDS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
FINE_BANDS = ("blue", "green", "red", "nir")
BANDS = ("blue", "nir", "rededge1", "swir22")  # those cut in most tests
VALID_CLASSES = [2, 4, 5, 6, 7, 11]
LAYERS_20M = ("scl", "cloud_distance")
OUTPUT = ("chip", *ALL_BANDS, *LAYERS_20M, "valid_fraction", "cloud_fraction", "nodata_fraction", "error")

Array = NDArray[Any]
Place = tuple[int, int]  # a cell: how many columns east and rows south of the canvas's first


def gsd_of(name: str) -> int:
    return 10 if name in FINE_BANDS else 20


def fine(pixels: Array) -> Array:
    """A 20 m array on the 10 m grid."""
    return np.kron(pixels, np.ones((2, 2), pixels.dtype))


# --- Scenes, as files and as arrays ---


@dataclass
class Raster:
    """A scene of the canvas, its layers as arrays of digital numbers."""

    scene_id: str
    layers: dict[str, Array]  # by band name, or scl
    at: tuple[int, int] = (0, 0)  # its north-western corner: 20 m pixels south and east of the canvas's
    tile: str = "33ABC"
    scale: float = 0.0001
    boa_offset: int = 0
    nodata: float | None = 0
    hrefs: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path, **profile: Any) -> Raster:
        """Write its layers as GeoTIFFs."""
        for name in self.layers:
            path = folder / f"{self.scene_id}_{name}.tif"
            write_raster(
                path, self.layers[name], self.at, gsd_of(name), None if name == "scl" else self.nodata, **profile
            )
            self.hrefs[name] = str(path)
        return self

    def on_canvas(self, name: str) -> Array:
        """A layer laid on the canvas, 0 where the scene does not reach."""
        side, times = (256, 2) if name in FINE_BANDS else (128, 1)
        canvas = np.zeros((side * CANVAS, side * CANVAS), self.layers[name].dtype)
        south, east = self.at[0] * times, self.at[1] * times
        height, width = self.layers[name].shape
        canvas[south : south + height, east : east + width] = self.layers[name]
        return canvas

    def as_json(self) -> dict[str, Any]:
        names = ("scene_id", "scale", "boa_offset", "hrefs")
        return {name: getattr(self, name) for name in names} | {"mgrs_tile": self.tile}


def write_raster(
    path: Path, pixels: Array, at: tuple[int, int], gsd: int, nodata: float | None = 0, **profile: Any
) -> None:
    options = {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": 128,
        "blockysize": 128,
        "compress": "deflate",
        "crs": f"EPSG:{EPSG}",
        "transform": Affine(gsd, 0, WEST + at[1] * 20, 0, -gsd, NORTH - at[0] * 20),
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
    seed: int, size: tuple[int, int] = (256, 256), bands: Iterable[str] = BANDS, missing: float = 0.0, **rest: Any
) -> Raster:
    """A scene of random values, `size` in 20 m pixels, a share of each layer missing."""
    rng = np.random.default_rng(seed)

    def layer(times: int, low: int, high: int, dtype: str) -> Array:
        shape = (size[0] * times, size[1] * times)
        return (rng.integers(low, high, shape) * (rng.random(shape) >= missing)).astype(dtype)

    layers = {name: layer(2 if name in FINE_BANDS else 1, 1, 20_000, "uint16") for name in bands}
    layers["scl"] = layer(1, 1, 12, "uint8")
    return Raster(**{"scene_id": f"scene-{seed}", "layers": layers} | rest)


# --- The pipeline, driven as Spark drives it ---


@pytest.fixture
def extract() -> Iterator[ExtractChips]:
    function = ExtractChips()
    yield function
    assert list(function.terminate()) == []


def strip_of(
    scenes: list[Raster],
    cells: dict[Place, tuple[list[str], list[str]]],
    bands: Iterable[str] = BANDS,
) -> dict[str, str]:
    """A strip's row: cells by place, each with the scenes that touch it and those in which it lies whole."""
    (south,) = {place[1] for place in cells}
    return {
        "strip": json.dumps(
            {
                "epsg": EPSG,
                "row": ROW - south,
                "bands": list(bands),
                "valid_scl_classes": VALID_CLASSES,
                "scenes": [scene.as_json() for scene in scenes],
                "cells": [
                    {
                        "chip_id": f"chip-{place}",
                        "chip": json.dumps(list(place)),
                        "col": COL + place[0],
                        "scene_ids": touching,
                        "whole_scene_ids": whole,
                    }
                    for place, (touching, whole) in cells.items()
                ],
            }
        )
    }


def decoded(row: tuple[Any, ...]) -> dict[str, Any]:
    chip = dict(zip(OUTPUT, row, strict=True))
    for name in ALL_BANDS:
        if chip[name] is not None:
            chip[name] = decode_array(chip[name], "uint16", 2560 // gsd_of(name))
    for name in LAYERS_20M:
        if chip[name] is not None:
            chip[name] = decode_array(chip[name], "uint8", 128)
    return chip


def chips_of(function: ExtractChips, strip: dict[str, str]) -> dict[Place, dict[str, Any]]:
    chips = [decoded(row) for row in function.eval(strip)]
    by_place = {tuple(json.loads(chip["chip"])): chip for chip in chips}
    assert len(by_place) == len(chips)
    return by_place


def one_chip(function: ExtractChips, scene: Raster, place: Place = (0, 0), **rest: Any) -> dict[str, Any]:
    """The chip of one cell that one scene touches."""
    return chips_of(function, strip_of([scene], {place: ([scene.scene_id], [])}, **rest))[place]


def cut(canvas: Array, place: Place) -> Array:
    side = canvas.shape[0] // CANVAS
    return canvas[place[1] * side : (place[1] + 1) * side, place[0] * side : (place[0] + 1) * side]


def holds_data(bands: dict[str, Array], scl: Array) -> Array:
    """Rule 2 without the classes: no band nodata, SCL known."""
    layers = [pixels if name in FINE_BANDS else fine(pixels) for name, pixels in bands.items()]
    holds: Array = np.logical_and.reduce([layer != 0 for layer in (*layers, fine(scl))])
    return holds


def assert_fractions(chip: dict[str, Any]) -> None:
    """The fractions are those of the chip's own pixels, to the last bit."""
    bands = {name: chip[name] for name in ALL_BANDS if chip[name] is not None}
    holds = holds_data(bands, chip["scl"])
    assert chip["nodata_fraction"] == np.count_nonzero(~holds) / 65_536
    assert chip["valid_fraction"] == np.count_nonzero(holds & np.isin(fine(chip["scl"]), VALID_CLASSES)) / 65_536
    assert chip["cloud_fraction"] == np.count_nonzero(np.isin(chip["scl"], [8, 9, 10])) / 16_384
    assert chip["error"] is None


# --- Where pixels come from ---


def test_columns_are_those_that_sql_is_told(extract: ExtractChips, tmp_path: Path) -> None:
    scene = random_scene(1, (128, 128)).write(tmp_path)
    (row,) = extract.eval(strip_of([scene], {(0, 0): ([scene.scene_id], [])}))
    assert [column.split()[0] for column in EXTRACTED_CHIP.split(", ")] == list(OUTPUT)
    assert len(row) == len(OUTPUT)


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_cells_are_cut_as_numpy_cuts_them(extract: ExtractChips, tmp_path: Path, driver: str) -> None:
    scene = random_scene(1, bands=ALL_BANDS).write(tmp_path, driver=driver)
    for south in (0, 1):
        places = [(0, south), (1, south)]
        strip = strip_of([scene], {place: ([scene.scene_id], [scene.scene_id]) for place in places}, ALL_BANDS)
        chips = chips_of(extract, strip)
        assert set(chips) == set(places)
        for place, chip in chips.items():
            for name in (*ALL_BANDS, "scl"):
                assert np.array_equal(chip[name], cut(scene.on_canvas(name), place)), name
            assert chip["nodata_fraction"] == 0
            assert_fractions(chip)


def test_cells_of_a_strip_need_not_be_neighbours_nor_in_order(extract: ExtractChips, tmp_path: Path) -> None:
    scene = random_scene(2, (128, 384)).write(tmp_path)
    chips = chips_of(extract, strip_of([scene], {(2, 0): ([scene.scene_id], []), (0, 0): ([scene.scene_id], [])}))
    assert list(chips) == [(2, 0), (0, 0)]
    for place, chip in chips.items():
        assert np.array_equal(chip["nir"], cut(scene.on_canvas("nir"), place))


@pytest.mark.parametrize("at", [(28, 0), (0, 100), (28, 100), (1, 127)])
def test_what_lies_outside_the_scene_is_nodata(extract: ExtractChips, tmp_path: Path, at: tuple[int, int]) -> None:
    scene = random_scene(3, (128, 128), at=at).write(tmp_path)
    covered = 0.0
    for south in (0, 1):
        strip = strip_of([scene], {(east, south): ([scene.scene_id], []) for east in (0, 1, 2)})
        for place, chip in chips_of(extract, strip).items():
            for name in (*BANDS, "scl"):
                assert np.array_equal(chip[name], cut(scene.on_canvas(name), place)), (place, name)
            assert_fractions(chip)
            covered += 1 - chip["nodata_fraction"]
    assert covered == 1.0  # all of it, and each pixel once


def test_the_share_outside_the_scene_is_exact(extract: ExtractChips, tmp_path: Path) -> None:
    scene = random_scene(4, (128, 128), at=(0, 100)).write(tmp_path)
    chip = one_chip(extract, scene)
    assert chip["nodata_fraction"] == 100 / 128
    assert not chip["scl"][:, :100].any()
    assert not chip["nir"][:, :200].any()
    assert chip["nir"][:, 200:].all()


# --- What digital numbers become ---

# Digital numbers of the first pixels of the first row, and what each should become.
Cases = list[tuple[float, int]]


def chip_of_numbers(
    extract: ExtractChips, folder: Path, cases: Cases, dtype: str, profile: dict[str, Any] | None = None, **rest: Any
) -> list[int]:
    blue = np.full((256, 256), 5_000, dtype)
    blue[0, : len(cases)] = [number for number, _ in cases]
    layers = {"blue": blue, "scl": np.full((128, 128), 4, np.uint8)}
    scene = Raster("scene", layers, **rest).write(folder, **profile or {})
    chip = one_chip(extract, scene)
    missing = sum(value == 0 for _, value in cases)
    assert chip["nodata_fraction"] == missing / 65_536
    assert chip["valid_fraction"] == 1 - missing / 65_536
    pixels: list[int] = chip["blue"][0, : len(cases)].tolist()
    return pixels


NUMBERS: dict[str, tuple[Cases, str, dict[str, Any]]] = {
    "as they are": ([(0, 0), (1, 1), (10_000, 10_000), (65_535, 65_535)], "uint16", {}),
    "offset once, at least 1": (
        [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 1), (1_002, 2), (11_000, 10_000), (65_535, 64_535)],
        "uint16",
        {"boa_offset": -1_000},
    ),
    "another scale": (
        [(0, 0), (1, 2), (5_000, 10_000), (32_767, 65_534), (32_768, 65_535), (65_535, 65_535)],
        "uint16",
        {"scale": 2e-4},
    ),
    "a smaller scale": ([(0, 0), (1, 1), (14, 1), (26, 3), (65_535, 6_554)], "uint16", {"scale": 1e-5}),
    "another scale and offset": (
        [(0, 0), (1, 1), (1_000, 1), (1_500, 1_000), (40_000, 65_535)],
        "uint16",
        {"scale": 2e-4, "boa_offset": -1_000},
    ),
    "signed": ([(-9_999, 0), (-1, 0), (0, 0), (1, 1), (32_767, 32_767)], "int16", {}),
    "signed, offset": ([(-1, 0), (0, 0), (1, 1), (3_000, 2_000), (32_767, 31_767)], "int16", {"boa_offset": -1_000}),
    "signed, its own nodata": ([(-9_999, 0), (0, 0), (1, 1)], "int16", {"nodata": -9_999}),
    "largest is nodata": (
        [(65_535, 0), (65_534, 64_534), (0, 0), (1, 1)],
        "uint16",
        {"nodata": 65_535, "boa_offset": -1_000},
    ),
    "no nodata said": ([(0, 0), (1, 1)], "uint16", {"nodata": None}),
    "reflectance": (
        [(0.0, 0), (0.25, 2_500), (1.0, 10_000), (9.0, 65_535), (1e-9, 1), (-0.5, 0)],
        "float32",
        {"scale": 1.0},
    ),
    "reflectance, NaN is nodata": (
        [(float("nan"), 0), (0.25, 2_500), (float("inf"), 65_535)],
        "float32",
        {"scale": 1.0, "nodata": float("nan")},
    ),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_digital_numbers_become_reflectance(extract: ExtractChips, tmp_path: Path, kind: str) -> None:
    cases, dtype, rest = NUMBERS[kind]
    assert chip_of_numbers(extract, tmp_path, cases, dtype, **rest) == [value for _, value in cases]


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_the_byte_order_of_the_file_does_not_matter(extract: ExtractChips, tmp_path: Path, dtype: str) -> None:
    cases: Cases = [(0, 0), (1, 1), (258, 258), (12_345, 12_345)]
    profile = {"ENDIANNESS": "BIG"}
    assert chip_of_numbers(extract, tmp_path, cases, dtype, profile) == [0, 1, 258, 12_345]
    assert (tmp_path / "scene_blue.tif").read_bytes()[:2] == b"MM"


def test_nodata_outside_the_scene_is_0_whatever_its_file_calls_nodata(extract: ExtractChips, tmp_path: Path) -> None:
    scene = random_scene(5, (128, 128), at=(0, 64), nodata=65_535, boa_offset=-1_000).write(tmp_path)
    chip = one_chip(extract, scene)
    assert not chip["blue"][:, :128].any()
    assert not chip["swir22"][:, :64].any()
    assert chip["nodata_fraction"] == 0.5


def test_jpeg_2000_is_read_too(extract: ExtractChips, tmp_path: Path) -> None:
    scene = random_scene(6, (128, 128), bands=("blue",)).write(tmp_path)
    path = tmp_path / "blue.jp2"
    rasterio.shutil.copy(scene.hrefs["blue"], path, driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")
    scene.hrefs["blue"] = str(path)
    assert np.array_equal(one_chip(extract, scene)["blue"], cut(scene.on_canvas("blue"), (0, 0)))


# --- What counts ---


def test_fractions_are_counts_of_pixels(extract: ExtractChips, tmp_path: Path) -> None:
    layers: dict[str, Array] = {name: np.full((256, 256), 9, np.uint16) for name in ("blue", "nir")}
    layers["swir22"] = np.full((128, 128), 9, np.uint16)
    layers["scl"] = np.full((128, 128), 4, np.uint8)
    layers["scl"][0, :6] = [8, 9, 10, 3, 0, 12]  # three clouds, a shadow, nodata, a class that is not known
    layers["blue"][100, 100] = 0  # one pixel, missing in two bands
    layers["nir"][100, 100] = 0
    layers["nir"][101, 101] = 0
    layers["swir22"][80, 80] = 0  # four pixels
    layers["swir22"][0, 4] = 0  # in the pixel in which SCL is nodata
    chip = one_chip(extract, Raster("scene", layers).write(tmp_path))
    assert chip["cloud_fraction"] == 3 / 16_384
    assert chip["nodata_fraction"] == (4 + 2 + 4) / 65_536
    assert chip["valid_fraction"] == 1 - (6 * 4 + 2 + 4) / 65_536


def test_fractions_are_those_of_the_pixels_given_out(extract: ExtractChips, tmp_path: Path) -> None:
    assert_fractions(one_chip(extract, random_scene(7, (128, 128), missing=0.2).write(tmp_path)))


def test_a_band_without_an_asset_is_null_and_not_nodata(extract: ExtractChips, tmp_path: Path) -> None:
    scene = random_scene(8, (128, 128), bands=("blue", "swir22")).write(tmp_path)
    chip = one_chip(extract, scene)
    assert [name for name in ALL_BANDS if chip[name] is not None] == ["blue", "swir22"]
    assert chip["nodata_fraction"] == 0
    assert_fractions(chip)


def test_a_band_that_is_not_asked_for_is_null_and_not_opened(
    extract: ExtractChips, tmp_path: Path, opened: Counter[str]
) -> None:
    scene = random_scene(9, (128, 128)).write(tmp_path)
    chip = one_chip(extract, scene, bands=["nir"])
    assert [name for name in ALL_BANDS if chip[name] is not None] == ["nir"]
    assert set(opened) == {scene.hrefs["nir"], scene.hrefs["scl"]}


# --- Scenes that overlap ---


def merged(scenes: list[Raster], whole: list[str], place: Place) -> tuple[dict[str, Array], Array]:
    """Rule 3, pixel by pixel of the canvas: bands and SCL of a cell that all `scenes` touch."""
    pieces = []
    for scene in scenes:
        bands = {name: cut(scene.on_canvas(name), place) for name in scene.layers if name != "scl"}
        scl = cut(scene.on_canvas("scl"), place)
        holds = holds_data(bands, scl)
        valid = np.count_nonzero(holds & np.isin(fine(scl), VALID_CLASSES))
        pieces.append(((scene.scene_id not in whole, -valid, scene.tile), bands, scl, holds))
    pieces.sort(key=lambda piece: piece[0])
    names = {name for _, bands, _, _ in pieces for name in bands}
    out = {name: np.zeros((2560 // gsd_of(name),) * 2, np.uint16) for name in names}
    out_scl = np.zeros((128, 128), np.uint8)
    for row in range(128):
        for col in range(128):
            four = [(row * 2 + i, col * 2 + j) for i in (0, 1) for j in (0, 1)]
            for pixel in four:
                _, bands, _, _ = next((piece for piece in pieces if piece[3][pixel]), pieces[0])
                for name in names & set(FINE_BANDS) & set(bands):
                    out[name][pixel] = bands[name][pixel]
            _, bands, scl, _ = next((piece for piece in pieces if any(piece[3][pixel] for pixel in four)), pieces[0])
            for name in (names - set(FINE_BANDS)) & set(bands):
                out[name][row, col] = bands[name][row, col]
            out_scl[row, col] = scl[row, col]
    return out, out_scl


def assert_merged(chip: dict[str, Any], scenes: list[Raster], whole: list[str], place: Place) -> None:
    bands, scl = merged(scenes, whole, place)
    assert {name for name in ALL_BANDS if chip[name] is not None} == set(bands)
    for name, pixels in bands.items():
        assert np.array_equal(chip[name], pixels), name
    assert np.array_equal(chip["scl"], scl)
    assert_fractions(chip)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_pixel_is_of_the_first_scene_that_holds_data(extract: ExtractChips, tmp_path: Path, seed: int) -> None:
    scenes = [
        random_scene(seed * 10 + 0, (256, 160), missing=0.1, tile="33AAA").write(tmp_path),
        random_scene(seed * 10 + 1, (200, 200), missing=0.2, tile="33AAB", at=(40, 60)).write(tmp_path),
        random_scene(seed * 10 + 2, (256, 256), missing=0.3, tile="33AAC", at=(0, 20)).write(tmp_path),
    ]
    ids = [scene.scene_id for scene in scenes]
    # The first scene has the western column whole and the third the eastern one.
    strip = strip_of(scenes, {(0, 0): (ids, ids[:1]), (1, 0): (ids, ids[2:])})
    chips = chips_of(extract, strip)
    assert_merged(chips[0, 0], scenes, ids[:1], (0, 0))
    assert_merged(chips[1, 0], scenes, ids[2:], (1, 0))


@pytest.mark.parametrize("turn", [1, -1])
def test_the_order_in_which_scenes_are_named_does_not_matter(extract: ExtractChips, tmp_path: Path, turn: int) -> None:
    scenes = [random_scene(seed, (128, 128), missing=0.2, tile=f"33AA{seed}").write(tmp_path) for seed in (4, 5, 6)]
    ids = [scene.scene_id for scene in scenes]
    chip = chips_of(extract, strip_of(scenes[::turn], {(0, 0): (ids[::turn], ids[::turn])}))[0, 0]
    assert_merged(chip, scenes, ids, (0, 0))


def uniform(scene_id: str, value: int, scl: int = 4, bands: Iterable[str] = BANDS, **rest: Any) -> Raster:
    """A scene of one cell, one value and one class."""
    layers = {name: np.full((2560 // gsd_of(name),) * 2, value, np.uint16) for name in bands}
    return Raster(scene_id, {**layers, "scl": np.full((128, 128), scl, np.uint8)}, **rest)


def test_a_scene_in_which_the_cell_lies_whole_goes_before_a_clearer_one(extract: ExtractChips, tmp_path: Path) -> None:
    cloudy = uniform("cloudy", 1, scl=9, tile="33ZZZ").write(tmp_path)
    clear = uniform("clear", 2, tile="33AAA").write(tmp_path)
    chip = chips_of(extract, strip_of([clear, cloudy], {(0, 0): (["clear", "cloudy"], ["cloudy"])}))[0, 0]
    assert (chip["blue"] == 1).all()
    assert (chip["valid_fraction"], chip["cloud_fraction"]) == (0.0, 1.0)


@pytest.mark.parametrize("whole", [[], ["clear", "cloudy"]])
def test_of_scenes_alike_the_clearer_one_goes_first(extract: ExtractChips, tmp_path: Path, whole: list[str]) -> None:
    cloudy = uniform("cloudy", 1, scl=9, tile="33AAA").write(tmp_path)
    clear = uniform("clear", 2, tile="33ZZZ").write(tmp_path)
    chip = chips_of(extract, strip_of([cloudy, clear], {(0, 0): (["clear", "cloudy"], whole)}))[0, 0]
    assert (chip["blue"] == 2).all()


def test_of_scenes_as_clear_the_tile_first_by_name_goes_first(extract: ExtractChips, tmp_path: Path) -> None:
    later = uniform("a", 1, tile="33ZZZ").write(tmp_path)
    first = uniform("b", 2, tile="33AAA").write(tmp_path)
    chip = chips_of(extract, strip_of([later, first], {(0, 0): (["a", "b"], [])}))[0, 0]
    assert (chip["blue"] == 2).all()


def test_a_band_that_one_scene_lacks_is_missing_in_its_pixels(extract: ExtractChips, tmp_path: Path) -> None:
    without = uniform("without", 1, bands=("blue",), tile="33AAA")
    without.layers["scl"][64:] = 0  # it holds the northern half
    with_band = uniform("with", 2, bands=("blue", "swir22"), tile="33ZZZ")
    without.write(tmp_path)
    with_band.write(tmp_path)
    chip = chips_of(extract, strip_of([without, with_band], {(0, 0): (["without", "with"], ["without"])}))[0, 0]
    assert_merged(chip, [without, with_band], ["without"], (0, 0))
    assert [chip["swir22"][0, 0], chip["swir22"][127, 0]] == [0, 2]
    assert (chip["nodata_fraction"], chip["valid_fraction"]) == (0.5, 0.5)


# --- Rasters that cannot be used ---


def no_file(path: Path) -> None:
    path.unlink()


def no_raster(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    """The header and not one whole block."""
    path.write_bytes(path.read_bytes()[:1000])


def virtual(path: Path) -> None:
    """A VRT under the name of a GeoTIFF, which would read another file."""
    other = path.with_suffix(".other.tif")
    path.rename(other)
    rasterio.shutil.copy(other, path, driver="VRT")
    assert "<VRTDataset" in path.read_text()
    with rasterio.open(path) as dataset:  # whoever names no driver reads the other file
        assert dataset.read(1).any()


def rewritten(at: tuple[int, int] = (0, 0), gsd: int = 20, **profile: Any) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        write_raster(path, np.full((256, 256), 5, np.uint16), at, gsd, **profile)

    return damage


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": no_file,
    "no raster": no_raster,
    "empty": empty,
    "truncated": truncated,
    "VRT": virtual,
    "another CRS": rewritten(crs="EPSG:32632"),
    "no CRS": rewritten(crs=None),
    "degrees": rewritten(crs="EPSG:4326", transform=Affine(1e-4, 0, 15, 0, -1e-4, 45)),
    "off the lattice": rewritten(transform=Affine(20, 0, WEST + 10, 0, -20, NORTH)),
    "off the lattice by less than a metre": rewritten(transform=Affine(20, 0, WEST, 0, -20, NORTH + 0.5)),
    "another pixel size": rewritten(gsd=10),
    "south up": rewritten(transform=Affine(20, 0, WEST, 0, 20, NORTH - 5120)),
    "turned": rewritten(transform=Affine(20, 1, WEST, 1, -20, NORTH)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("layer", ["swir22", "scl"])
def test_chips_of_a_scene_that_cannot_be_used_are_errors_and_no_others(
    extract: ExtractChips, tmp_path: Path, damage: str, layer: str
) -> None:
    broken, sound = random_scene(11).write(tmp_path), random_scene(12, (256, 384)).write(tmp_path)
    DAMAGES[damage](Path(broken.hrefs[layer]))
    for south in (0, 1):
        cells = {
            (0, south): ([broken.scene_id], [broken.scene_id]),
            (1, south): ([broken.scene_id, sound.scene_id], [sound.scene_id]),
            (2, south): ([sound.scene_id], [sound.scene_id]),
        }
        chips = chips_of(extract, strip_of([broken, sound], cells))
        assert set(chips) == set(cells)
        for place in ((0, south), (1, south)):
            error = chips[place].pop("error")
            assert broken.scene_id in error
            assert sound.scene_id not in error
            assert json.loads(chips[place].pop("chip")) == list(place)
            assert set(chips[place].values()) == {None}
        assert np.array_equal(chips[2, south]["nir"], cut(sound.on_canvas("nir"), (2, south)))
        assert_fractions(chips[2, south])


def test_the_error_names_every_scene_that_cannot_be_used(extract: ExtractChips, tmp_path: Path) -> None:
    scenes = [random_scene(seed, (128, 128)).write(tmp_path) for seed in (13, 14)]
    for scene in scenes:
        Path(scene.hrefs["blue"]).unlink()
    ids = [scene.scene_id for scene in scenes]
    error = chips_of(extract, strip_of(scenes, {(0, 0): (ids, [])}))[0, 0]["error"]
    assert all(scene_id in error for scene_id in ids)


def test_a_scene_without_scl_is_an_error(extract: ExtractChips, tmp_path: Path) -> None:
    scene = random_scene(15, (128, 128)).write(tmp_path)
    del scene.hrefs["scl"]
    assert one_chip(extract, scene)["error"] == "scene-15 has no asset scl"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["sound strip first", "broken strip first"])
def test_a_strip_that_cannot_be_read_leaves_the_others_alone(
    extract: ExtractChips, tmp_path: Path, order: tuple[int, int]
) -> None:
    scene = random_scene(16).write(tmp_path)
    path = Path(scene.hrefs["swir22"])
    path.write_bytes(path.read_bytes()[:-100])  # its last block, in the south
    chips = {south: one_chip(extract, scene, (1, south)) for south in order}
    for name in (*BANDS, "scl"):
        assert np.array_equal(chips[0][name], cut(scene.on_canvas(name), (1, 0)))
    assert_fractions(chips[0])
    assert scene.scene_id in chips[1]["error"]
    assert chips[1]["blue"] is None


def damage_block(path: Path, col: int) -> None:
    """Make zeros of a block of the first row, which DEFLATE cannot decode."""
    with rasterio.open(path) as dataset:
        start, size = (
            int(dataset.get_tag_item(f"BLOCK_{what}_{col}_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
        )
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(size))


def assert_only_the_middle_is_an_error(extract: ExtractChips, scene: Raster, layer: str) -> None:
    places = [(east, 0) for east in range(3)]
    chips = chips_of(extract, strip_of([scene], {place: ([scene.scene_id], [scene.scene_id]) for place in places}))
    assert f"{scene.scene_id} asset {layer} cannot be read: ZIPDecode" in chips[1, 0]["error"]
    assert chips[1, 0][layer] is None
    for place in (places[0], places[2]):
        assert chips[place]["error"] is None
        for name in (*BANDS, "scl"):
            assert np.array_equal(chips[place][name], cut(scene.on_canvas(name), place))


@pytest.mark.parametrize("layer", ["nir", "swir22"])
def test_a_damaged_block_is_the_error_of_its_own_cells_alone(extract: ExtractChips, tmp_path: Path, layer: str) -> None:
    scene = random_scene(24, (128, 384)).write(tmp_path)
    damage_block(Path(scene.hrefs[layer]), gsd_of("swir22") // gsd_of(layer))
    assert_only_the_middle_is_an_error(extract, scene, layer)


# --- Rasters on a server ---


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Address of a server of the test's folder, a process of its own: GDAL waits with the interpreter locked."""
    server = PROJECT_DIR / "benchmarks" / "harness" / "range_server.py"
    command = [sys.executable, str(server), str(tmp_path), "--latency-ms", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        process.terminate()


def test_rasters_on_a_server_are_read_alike(extract: ExtractChips, tmp_path: Path, address: str) -> None:
    scene = random_scene(25).write(tmp_path)
    scene.hrefs = {name: f"{address}/{Path(href).name}" for name, href in scene.hrefs.items()}
    for south in (0, 1):
        chip = one_chip(extract, scene, (1, south))
        assert chip["error"] is None
        for name in (*BANDS, "scl"):
            assert np.array_equal(chip[name], cut(scene.on_canvas(name), (1, south)))


def test_a_cell_beside_scl_that_cannot_be_read_is_an_error(extract: ExtractChips, tmp_path: Path) -> None:
    scene = random_scene(16, (384, 128)).write(tmp_path)
    path = Path(scene.hrefs["scl"])
    path.write_bytes(path.read_bytes()[:-100])  # the southernmost of three blocks
    chips = [one_chip(extract, scene, (0, south)) for south in range(3)]
    assert chips[0]["error"] is None
    for chip in chips[1:]:  # clouds that may lie there count in the middle, too
        assert f"{scene.scene_id} asset scl cannot be read" in chip["error"]
        assert chip["scl"] is None
        assert chip["cloud_distance"] is None


# --- How far the nearest cloud is ---


def cloud_distances(scene: Raster) -> Array:
    """Of the whole canvas: the first square around a pixel in which a cloud or a shadow is; 16 beyond 15."""
    cloud = np.pad(np.isin(scene.on_canvas("scl"), [3, 8, 9, 10]), 15)
    side = 128 * CANVAS
    distance = np.full((side, side), 16, np.uint8)
    for reach in reversed(range(16)):
        for south in range(15 - reach, 16 + reach):
            for east in range(15 - reach, 16 + reach):
                distance[cloud[south : south + side, east : east + side]] = reach
    return distance


def some_clouds(seed: int, size: tuple[int, int], share: float, **rest: Any) -> Raster:
    """A scene with single pixels of every class of cloud and shadow, on and off the borders of cells."""
    scene = random_scene(seed, size, ("blue",), **rest)
    rng = np.random.default_rng(seed)
    clear, cloudy = rng.choice([0, 1, 2, 4, 5, 6, 7, 11], size), rng.choice([3, 8, 9, 10], size)
    scene.layers["scl"] = np.where(rng.random(size) < share, cloudy, clear).astype(np.uint8)
    return scene


@pytest.mark.parametrize("share", [1e-4, 1e-3, 0.05])
def test_the_nearest_cloud_may_lie_in_any_cell(extract: ExtractChips, tmp_path: Path, share: float) -> None:
    scene = some_clouds(24, (300, 310), share, at=(20, 30))
    for row, col in ((107, 97), (108, 98), (235, 226)):  # corners at which cells meet
        scene.layers["scl"][row, col] = 3
    expected = cloud_distances(scene.write(tmp_path))
    assert len(np.unique(expected)) == 17 or share > 1e-2
    # Whichever cells a strip has, and whichever strips a task.
    for function in (extract, ExtractChips()):
        for south in (0, 1, 2) if function is extract else (2, 0):
            places = [(0, south), (1, south), (2, south)] if function is extract else [(2, south), (0, south)]
            chips = chips_of(function, strip_of([scene], {place: ([scene.scene_id], []) for place in places}))
            for place in places:
                assert np.array_equal(chips[place]["cloud_distance"], cut(expected, place)), place


def test_of_several_scenes_the_nearest_cloud_counts(extract: ExtractChips, tmp_path: Path) -> None:
    scenes = [some_clouds(25, (128, 128), 0.001), some_clouds(26, (200, 300), 0.0005, at=(10, 60))]
    scenes[0].layers["scl"][:, 125] = 9  # its edge is that of the cell
    ids = [scene.write(tmp_path).scene_id for scene in scenes]
    chips = chips_of(extract, strip_of(scenes, {(0, 0): (ids, ids[:1]), (1, 0): (ids[1:], [])}))
    first, second = map(cloud_distances, scenes)
    assert np.array_equal(chips[0, 0]["cloud_distance"], cut(np.minimum(first, second), (0, 0)))
    # A scene that does not touch the cell does not count.
    assert np.array_equal(chips[1, 0]["cloud_distance"], cut(second, (1, 0)))
    assert (cut(first, (1, 0)) < cut(second, (1, 0))).any()


def test_without_a_cloud_none_is_near(extract: ExtractChips, tmp_path: Path) -> None:
    assert (one_chip(extract, uniform("clear", 1).write(tmp_path))["cloud_distance"] == 16).all()


def test_in_a_cloud_the_distance_is_none(extract: ExtractChips, tmp_path: Path) -> None:
    assert not one_chip(extract, uniform("cloudy", 1, scl=3).write(tmp_path))["cloud_distance"].any()


def test_a_damaged_block_on_a_server_is_the_error_of_its_own_cells_alone(
    extract: ExtractChips, tmp_path: Path, address: str
) -> None:
    scene = random_scene(27, (128, 384)).write(tmp_path)
    damage_block(Path(scene.hrefs["blue"]), 2)
    scene.hrefs = {name: f"{address}/{Path(href).name}" for name, href in scene.hrefs.items()}
    assert_only_the_middle_is_an_error(extract, scene, "blue")


# --- How often rasters are opened ---


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each raster was opened for reading."""
    count: Counter[str] = Counter()
    really_open = rasterio.open

    def counting_open(path: Any, mode: str = "r", **options: Any) -> Any:
        if mode == "r":
            count[str(path)] += 1
        return really_open(path, mode, **options)

    monkeypatch.setattr(rasterio, "open", counting_open)
    return count


def test_a_raster_is_opened_once_for_all_strips(extract: ExtractChips, tmp_path: Path, opened: Counter[str]) -> None:
    scenes = [random_scene(seed, (384, 128)).write(tmp_path) for seed in (17, 18)]
    ids = [scene.scene_id for scene in scenes]
    for south in range(3):
        chip = chips_of(extract, strip_of(scenes, {(0, south): (ids, ids)}))[0, south]
        assert chip["error"] is None
    assert opened == {href: 1 for scene in scenes for href in scene.hrefs.values()}


def test_a_scene_that_no_cell_of_the_strip_needs_is_not_opened(
    extract: ExtractChips, tmp_path: Path, opened: Counter[str]
) -> None:
    needed, other = (random_scene(seed, (128, 128)).write(tmp_path) for seed in (19, 20))
    chips_of(extract, strip_of([needed, other], {(0, 0): ([needed.scene_id], [])}))
    assert set(opened) == set(needed.hrefs.values())


def test_a_scene_that_cannot_be_used_is_not_tried_again(
    extract: ExtractChips, tmp_path: Path, opened: Counter[str]
) -> None:
    scene = random_scene(21).write(tmp_path)
    Path(scene.hrefs["blue"]).unlink()
    errors = [one_chip(extract, scene, (0, south))["error"] for south in (0, 1)]
    assert errors[0] == errors[1]
    assert opened[scene.hrefs["blue"]] == 1


def test_rasters_are_closed_at_the_end_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, broken = random_scene(22, (128, 128)).write(tmp_path), random_scene(23, (128, 128)).write(tmp_path)
    Path(broken.hrefs["swir22"]).unlink()
    datasets = []
    really_open = rasterio.open

    def recording_open(*arguments: Any, **options: Any) -> Any:
        datasets.append(really_open(*arguments, **options))
        return datasets[-1]

    monkeypatch.setattr(rasterio, "open", recording_open)
    extract = ExtractChips()
    chips_of(extract, strip_of([scene, broken], {(0, 0): ([scene.scene_id, broken.scene_id], [])}))
    assert len(datasets) > len(scene.hrefs)
    assert not any(dataset.closed for dataset in datasets)
    list(extract.terminate())
    assert all(dataset.closed for dataset in datasets)
