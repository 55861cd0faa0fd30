"""Unusual rasters and scenes, from items to chips, all in one run of the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numcodecs import blosc
from numpy.typing import NDArray
from pyspark.sql import Row, SparkSession
from support.ingests import stored, write_items
from support.lakes import dbt, empty_lake_of, ingest_file, rows
from support.stac_items import make_item

from lakehouse.settings import Settings
from lakehouse.source_schemas import STAC_REJECTS

CELL = 2560
SIDE = {"red": 256, "swir16": 128, "scl": 128}  # pixels of a cell
GSD = {name: CELL // side for name, side in SIDE.items()}
CODES = {"red": "B04", "swir16": "B11", "scl": "SCL"}
NORTH_ROW = 1981  # the northernmost row of cells that scenes touch

Array = NDArray[Any]
Layers = dict[str, Array]


@dataclass
class Scene:
    """A product of the test's only datatake, and how it is stored."""

    tile: str
    layers: Layers  # digital numbers, SCL
    col: int  # column of the cell in whose north-western corner the scene starts
    epsg: int = 32633
    south_east: tuple[int, int] = (0, 0)  # distance of the start from that corner, metres
    part: str = "095630"  # start of the datastrip, HHMMSS
    boa_offset: int = 0  # offset that the item states
    scale: float = 0.0001
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)  # rasterio's options by layer
    swir_shift: float = 0.0  # how far east of the stated place the SWIR raster lies, metres
    off_lattice: bool = False  # the item states a transform off the lattice

    @property
    def item_id(self) -> str:
        return f"S2A_{self.tile}_{self.part}"

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the rasters and return the item."""
        compact = "20230815"
        product = f"S2A_MSIL2A_{compact}T095031_N0509_R079_T{self.tile}_{compact}T15{self.part[2:]}.SAFE"
        properties: dict[str, Any] = {
            "datetime": f"2023-08-15T10:{self.part[2:4]}:00Z",
            "proj:epsg": self.epsg,
            "grid:code": f"MGRS-{self.tile}",
            "s2:product_uri": product,
            "s2:datatake_id": f"GS2A_{compact}T095031_042547_N05.09",
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_2APS_{compact}T155057_S{compact}T{self.part}_N05.09",
        }
        item = make_item(**properties)
        item |= {"id": self.item_id, "geometry": None, "bbox": None, "assets": {}}
        for name, pixels in self.layers.items():
            item["assets"][name] = self._asset(name, pixels, folder)
        return item

    def _asset(self, name: str, pixels: Array, folder: Path) -> dict[str, Any]:
        gsd = GSD[name]
        south, east = self.south_east
        west, north = self.col * CELL + east, (NORTH_ROW + 1) * CELL - south
        profile = {"driver": "GTiff", "nodata": 0} | self.profiles.get(name, {})
        is_jpeg = profile["driver"] == "JP2OpenJPEG"
        path = folder / f"{self.item_id}_{name}.{'jp2' if is_jpeg else 'tif'}"
        shift = self.swir_shift if name == "swir16" else 0
        with rasterio.open(
            path,
            "w",
            height=pixels.shape[0],
            width=pixels.shape[1],
            count=1,
            dtype=pixels.dtype.newbyteorder("="),
            crs=f"EPSG:{self.epsg}",
            transform=Affine(gsd, 0, west + shift, 0, -gsd, north),
            **profile,
        ) as raster:
            raster.write(pixels, 1)
        stated = {"nodata": profile["nodata"], "scale": self.scale, "offset": self.boa_offset * self.scale}
        return {
            "href": str(path),
            "type": "image/jp2" if is_jpeg else "image/tiff; application=geotiff",
            "proj:transform": [gsd, 0, west + (5 if self.off_lattice else 0), 0, -gsd, north],
            "proj:shape": list(pixels.shape),
            "raster:bands": [{"nodata": 0} if name == "scl" else stated],
        }


def layers(seed: int, width: int = 1, height: int = 1, names: tuple[str, ...] = tuple(SIDE)) -> Layers:
    """Return random layers of width x height cells, all pixels valid."""
    rng = np.random.default_rng(seed)
    size = {name: (height * SIDE[name], width * SIDE[name]) for name in names}
    bands: Layers = {name: rng.integers(1, 9_000, size[name]).astype(np.uint16) for name in names if name != "scl"}
    return bands | {"scl": rng.choice(np.array([4, 5, 6], np.uint8), size["scl"])}


def with_gap(complete: Layers, part: Callable[[int], tuple[slice, slice]]) -> Layers:
    """Return the layers with a part set to nodata; `part` returns its slices for a cell of so many pixels a side."""
    cut = {name: pixels.copy() for name, pixels in complete.items()}
    for name, pixels in cut.items():
        pixels[part(SIDE[name])] = 0
    return cut


def northern(side: int) -> tuple[slice, slice]:
    return slice(0, side // 2), slice(None)


def southern(side: int) -> tuple[slice, slice]:
    return slice(side // 2, None), slice(None)


def all_but_the_western_quarter(side: int) -> tuple[slice, slice]:
    return slice(None), slice(side // 4, None)


WHOLE_SPLIT, OVERLAP = layers(6), layers(7)
SIGNED = layers(2)
SIGNED["red"] = (SIGNED["red"].astype(np.int16) * np.where(np.arange(256) < 9, -1, 1)).astype(np.int16)
SCALED = layers(3)
SCALED["red"][0, :5] = [1, 1_000, 1_001, 40_000, 0]

JPEG = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
BIG_ENDIAN = {"ENDIANNESS": "BIG"}
STRIPS = {"blockysize": 128, "compress": "deflate"}

SCENES = {
    "plain": Scene("33TAA", layers(0), col=100),
    "JPEG 2000": Scene("33TAB", layers(1), col=102, profiles=dict.fromkeys(SIDE, JPEG)),
    "signed, big-endian": Scene(
        "33TAC",
        SIGNED,
        col=104,
        profiles={"red": {"nodata": -9_999, "ENDIANNESS": "BIG"}, "swir16": {"ENDIANNESS": "BIG"}},
    ),
    "scaled": Scene("33TAD", SCALED, col=106, scale=0.0002, boa_offset=-1_000),
    "without a band": Scene("33TAE", layers(4, names=("red", "scl")), col=108),
    "of another zone": Scene("34TAF", layers(5), col=100, epsg=32634),
    "first part of a pass": Scene("33TAG", with_gap(WHOLE_SPLIT, southern), col=110),
    "second part of a pass": Scene("33TAG", with_gap(WHOLE_SPLIT, northern), col=110, part="095930"),
    # The second tile by name contains the whole cell but has data in a quarter of it; the first has the other pixels.
    "tile with a part of the cell": Scene("33TAH", OVERLAP, col=112, south_east=(20, 0)),
    "tile with the whole cell": Scene("33TAP", with_gap(layers(8), all_but_the_western_quarter), col=112),
    "across cells": Scene("33TAJ", layers(9), col=114, south_east=(1_300, 2_000)),
    "cut off": Scene("33TAK", layers(10, height=2), col=118, profiles=dict.fromkeys(SIDE, STRIPS)),
    "off the lattice": Scene("33TAL", layers(11), col=120, swir_shift=10),
    "off the lattice by its item": Scene("33TAM", layers(12), col=122, off_lattice=True),
}


@dataclass(frozen=True)
class Lake:
    """The chips and rejects of the run."""

    chips: dict[str, Row]  # by cell
    rejects: list[dict[str, Any]]

    def of(self, scene: Scene, south: int = 0, east: int = 0) -> Row:
        """Return the chip of the cell that lies so many cells south and east of the scene's first cell."""
        return self.chips[f"{scene.epsg}_{scene.col + east}_{NORTH_ROW - south}"]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("odd")
    items = [scene.write(folder) for scene in SCENES.values()]
    raster = folder / f"{SCENES['cut off'].item_id}_red.tif"
    raster.write_bytes(raster.read_bytes()[:-100])  # without the end of the last block, in the south
    with empty_lake_of(("red", "swir16"), spark, settings):
        ingest_file(write_items(folder / "items.json", items), settings)
        dbt("run", "--select", "+fct_chips")
        chips = rows(spark, "fct_chips").values()
        by_cell = {chip.cell_id: chip for chip in chips}
        assert len(by_cell) == len(chips)
        yield Lake(by_cell, stored(settings, STAC_REJECTS))


def decoded(chip: Row, name: str) -> Array:
    dtype = "u1" if name == "scl" else "<u2"
    return np.frombuffer(blosc.decompress(chip[name]), dtype).reshape(SIDE[name], SIDE[name])


def assert_pixels(chip: Row, expected: Layers) -> None:
    assert chip.error is None
    for name in SIDE:
        if name in expected:
            np.testing.assert_array_equal(decoded(chip, name), expected[name], name)
        else:
            assert chip[name] is None
    assert chip.valid_fraction == 1 - chip.nodata_fraction
    fine = [pixels if pixels.shape == (256, 256) else np.kron(pixels, np.ones((2, 2))) for pixels in expected.values()]
    assert chip.nodata_fraction == 1 - np.logical_and.reduce([pixels != 0 for pixels in fine]).mean()


@pytest.mark.parametrize("kind", ["plain", "JPEG 2000", "without a band", "of another zone"])
def test_a_chip_has_the_pixels_of_its_raster(lake: Lake, kind: str) -> None:
    scene = SCENES[kind]
    chip = lake.of(scene)
    assert_pixels(chip, scene.layers)
    assert (chip.item_ids, chip.boa_offsets, chip.is_complete) == ([scene.item_id], [0], True)


def test_a_negative_number_is_dark_ground_or_no_reflectance_in_any_byte_order(lake: Lake) -> None:
    red = SIGNED["red"].astype(int)
    assert ((red < 0) & (red >= -2000)).any()
    right = np.where(red > 0, red, np.where(red >= -2000, 1, 0))
    assert_pixels(lake.of(SCENES["signed, big-endian"]), SIGNED | {"red": right})


def test_another_scale_and_an_offset_are_applied_once(lake: Lake) -> None:
    chip = lake.of(SCENES["scaled"])
    expected = {name: np.clip((SCALED[name].astype(int) - 1_000) * 2, 1, 65_535) for name in ("red", "swir16")}
    expected["red"][0, 4] = 0
    assert_pixels(chip, expected | {"scl": SCALED["scl"]})
    assert decoded(chip, "red")[0, :5].tolist() == [1, 1, 2, 65_535, 0]
    assert chip.boa_offsets == [-1_000]


def test_the_parts_of_a_pass_are_one_chip(lake: Lake) -> None:
    parts = [SCENES["first part of a pass"], SCENES["second part of a pass"]]
    chip = lake.of(parts[0])
    assert_pixels(chip, WHOLE_SPLIT)
    assert sorted(chip.item_ids) == sorted(part.item_id for part in parts)


def test_the_tile_with_the_whole_cell_takes_precedence(lake: Lake) -> None:
    whole, part = SCENES["tile with the whole cell"], SCENES["tile with a part of the cell"]
    expected = {}
    for name, side in SIDE.items():
        shift = 20 // GSD[name]
        expected[name] = np.zeros((side, side), int)
        expected[name][shift:] = part.layers[name][:-shift]
        expected[name][:, : side // 4] = whole.layers[name][:, : side // 4]
    assert_pixels(lake.of(whole), expected)


def test_each_cell_that_a_scene_touches_has_its_pixels(lake: Lake) -> None:
    scene = SCENES["across cells"]
    for name, side in SIDE.items():
        laid = np.zeros((2 * side, 2 * side), int)
        south, east = (metres // GSD[name] for metres in scene.south_east)
        laid[south : south + side, east : east + side] = scene.layers[name]
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            cut = laid[i * side : (i + 1) * side, j * side : (j + 1) * side]
            np.testing.assert_array_equal(decoded(lake.of(scene, i, j), name), cut, name)
    nodata = [lake.of(scene, i, j).nodata_fraction for i in (0, 1) for j in (0, 1)]
    assert sum(nodata) == 3
    assert not any(lake.of(scene, i, j).is_complete for i in (0, 1) for j in (0, 1))


def test_a_truncated_raster_gives_the_chips_before_its_end(lake: Lake) -> None:
    scene = SCENES["cut off"]
    assert_pixels(lake.of(scene), {name: pixels[: SIDE[name]] for name, pixels in scene.layers.items()})
    lost = lake.of(scene, south=1)
    assert "33TAK_0 asset red cannot be read" in lost.error
    assert not any(lost[name] for name in SIDE)
    assert lost.nodata_fraction is None


def test_a_raster_off_the_lattice_is_an_error(lake: Lake) -> None:
    chip = lake.of(SCENES["off the lattice"])
    assert "33TAL_0 asset swir16 cannot be used" in chip.error
    assert "not on the 20 m lattice of EPSG:32633" in chip.error
    assert not any(chip[name] for name in SIDE)


def test_an_item_off_the_lattice_is_a_reject(lake: Lake) -> None:
    scene = SCENES["off the lattice by its item"]
    (reject,) = lake.rejects
    assert (reject["item_id"], reject["reason"]) == (scene.item_id, "off-lattice transform")
    assert "is not on the lattice: not a north-up grid of 10 m anchored at multiples of 10 m" in reject["detail"]


def test_the_lake_has_no_other_chips(lake: Lake) -> None:
    cells = {f"{scene.epsg}_{scene.col}_{NORTH_ROW}" for scene in SCENES.values() if not scene.off_lattice}
    cells |= {f"32633_{112}_{NORTH_ROW - 1}", f"32633_{118}_{NORTH_ROW - 1}"}
    cells |= {f"32633_{114 + east}_{NORTH_ROW - south}" for south in (0, 1) for east in (0, 1)}
    assert set(lake.chips) == cells
