"""Chips have the pixels that numpy slicing gives, and fractions that count those pixels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.canvas_scenes import (
    ALL_BANDS,
    BANDS,
    PROBABILITIES,
    Array,
    CanvasScene,
    MemoryReader,
    assert_cut,
    assert_fractions,
    cell_of,
    chips_of,
    one_chip,
    random_scene,
    strip_row,
)

from lakehouse.settings import PROJECT_DIR
from python_udfs.chip_columns import CHIP_COLUMNS
from python_udfs.extract.cutter import ChipCutter


def test_rows_have_the_columns_of_fct_chips(extract: ChipCutter, memory: MemoryReader) -> None:
    scene = random_scene(1, (128, 128), ALL_BANDS)
    scene.layers |= dict.fromkeys(PROBABILITIES, np.zeros((128, 128), np.uint8))
    memory.add(scene)
    (cut,) = extract.cut(strip_row([scene], {(0, 0): ([scene.scene_id], [])}, ALL_BANDS, probabilities=True))
    row = cut.as_row()
    declared = yaml.safe_load((PROJECT_DIR / "models/chips/fct_chips.yml").read_text())["models"][0]["columns"]
    identity = {name.split(":")[0] for name in CHIP_COLUMNS.split(", ")} | {"source_hash"}
    assert {column["name"] for column in declared} == set(row) | identity
    assert row["is_complete"] is True
    assert row["error"] is None


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_cells_are_cut_as_numpy_slices_them(extract_files: ChipCutter, tmp_path: Path, driver: str) -> None:
    scene = random_scene(1, bands=ALL_BANDS).write(tmp_path, driver=driver)
    for south in (0, 1):
        places = [(0, south), (1, south)]
        strip = strip_row([scene], {place: ([scene.scene_id], [scene.scene_id]) for place in places}, ALL_BANDS)
        chips = chips_of(extract_files, strip)
        assert set(chips) == set(places)
        for place, chip in chips.items():
            assert_cut(chip, scene, place, ALL_BANDS)
            assert chip["nodata_fraction"] == 0
            assert_fractions(chip)


def test_cells_of_a_strip_may_have_gaps_and_any_order(extract: ChipCutter, memory: MemoryReader) -> None:
    scene = memory.add(random_scene(2, (128, 384)))
    chips = chips_of(extract, strip_row([scene], {(2, 0): ([scene.scene_id], []), (0, 0): ([scene.scene_id], [])}))
    assert list(chips) == [(2, 0), (0, 0)]
    for place, chip in chips.items():
        assert_cut(chip, scene, place)


@pytest.mark.parametrize("at", [(28, 0), (0, 100), (28, 100), (1, 127)])
def test_pixels_outside_of_the_scene_are_nodata(extract: ChipCutter, memory: MemoryReader, at: tuple[int, int]) -> None:
    scene = memory.add(random_scene(3, (128, 128), at=at))
    covered = 0.0
    for south in (0, 1):
        strip = strip_row([scene], {(east, south): ([scene.scene_id], []) for east in (0, 1, 2)})
        for place, chip in chips_of(extract, strip).items():
            assert_cut(chip, scene, place)
            assert_fractions(chip)
            covered += 1 - chip["nodata_fraction"]
    assert covered == 1.0  # each pixel of the scene once


def test_the_share_outside_of_the_scene_is_exact(extract: ChipCutter, memory: MemoryReader) -> None:
    chip = one_chip(extract, memory.add(random_scene(4, (128, 128), at=(0, 100))))
    assert chip["nodata_fraction"] == 100 / 128
    assert not chip["scl"][:, :100].any()
    assert not chip["nir"][:, :200].any()
    assert chip["nir"][:, 200:].all()


def test_a_scene_outside_of_the_cell_gives_nodata(extract: ChipCutter, memory: MemoryReader) -> None:
    scene = memory.add(random_scene(4, (128, 128), at=(256, 256)))
    chip = one_chip(extract, scene)
    assert chip["nodata_fraction"] == 1.0
    assert not chip["blue"].any()


def test_pixels_outside_of_the_scene_are_0_for_any_nodata_value(extract: ChipCutter, memory: MemoryReader) -> None:
    chip = one_chip(extract, memory.add(random_scene(5, (128, 128), at=(0, 64), nodata=65_535, boa_offset=-1_000)))
    assert not chip["blue"][:, :128].any()
    assert not chip["swir22"][:, :64].any()
    assert chip["nodata_fraction"] == 0.5


# --- Fractions ---


def test_fractions_are_counts_of_pixels(extract: ChipCutter, memory: MemoryReader) -> None:
    layers: dict[str, Array] = {name: np.full((256, 256), 9, np.uint16) for name in ("blue", "nir")}
    layers["swir22"] = np.full((128, 128), 9, np.uint16)
    layers["scl"] = np.full((128, 128), 4, np.uint8)
    layers["scl"][0, :6] = [8, 9, 10, 3, 0, 12]  # three clouds, a shadow, nodata, no class
    layers["blue"][100, 100] = 0  # one pixel, missing in two bands
    layers["nir"][100, 100] = 0
    layers["nir"][101, 101] = 0
    layers["swir22"][80, 80] = 0  # four pixels
    layers["swir22"][0, 4] = 0  # in the pixel in which SCL is nodata
    chip = one_chip(extract, memory.add(CanvasScene("scene", layers)))
    assert chip["cloud_fraction"] == 3 / 16_384
    assert chip["nodata_fraction"] == (4 + 4 + 2 + 4) / 65_536
    assert chip["valid_fraction"] == 1 - (6 * 4 + 2 + 4) / 65_536


def test_fractions_are_those_of_the_returned_pixels(extract: ChipCutter, memory: MemoryReader) -> None:
    assert_fractions(one_chip(extract, memory.add(random_scene(7, (128, 128), missing=0.2))))


def test_a_band_without_an_asset_is_null_and_not_nodata(extract: ChipCutter, memory: MemoryReader) -> None:
    chip = one_chip(extract, memory.add(random_scene(8, (128, 128), bands=("blue", "swir22"))))
    assert [name for name in ALL_BANDS if chip[name] is not None] == ["blue", "swir22"]
    assert chip["nodata_fraction"] == 0
    assert_fractions(chip)


def test_a_band_that_the_rule_leaves_out_is_null_and_not_opened(
    extract_files: ChipCutter, tmp_path: Path, opened: Counter[str]
) -> None:
    scene = random_scene(9, (128, 128)).write(tmp_path)
    chip = one_chip(extract_files, scene, bands=["nir"])
    assert [name for name in ALL_BANDS if chip[name] is not None] == ["nir"]
    assert set(opened) == {scene.hrefs["nir"], scene.hrefs["scl"]}


def test_cutting_does_not_change_the_digital_numbers(extract: ChipCutter, memory: MemoryReader) -> None:
    scene = random_scene(10, (128, 128), boa_offset=-1_000)
    before = {name: scene.on_canvas(name) for name in BANDS}
    one_chip(extract, memory.add(scene))
    assert all(np.array_equal(cell_of(before[name], (0, 0)), cell_of(scene.on_canvas(name), (0, 0))) for name in BANDS)
