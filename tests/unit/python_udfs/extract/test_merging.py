"""Scenes of a datatake that overlap become one chip: each pixel comes from the first scene with data there."""

from __future__ import annotations

import numpy as np
import pytest
from support.canvas_scenes import (
    ALL_BANDS,
    BANDS_10M,
    VALID_CLASSES,
    Array,
    CanvasScene,
    Chip,
    MemoryReader,
    Place,
    assert_fractions,
    cell_of,
    chips_of,
    gsd_of,
    has_data,
    random_scene,
    repeated,
    strip_row,
    uniform_scene,
)

from python_udfs.extract.cutter import ChipCutter


def merged(scenes: list[CanvasScene], whole: list[str], place: Place) -> tuple[dict[str, Array], Array]:
    """Compute the expected bands and SCL of a cell that all `scenes` touch, pixel by pixel."""
    pieces = []
    for scene in scenes:
        bands = {name: cell_of(scene.on_canvas(name), place) for name in scene.layers if name != "scl"}
        scl = cell_of(scene.on_canvas("scl"), place)
        data = has_data(bands, scl)
        valid = np.count_nonzero(data & np.isin(repeated(scl), VALID_CLASSES))
        pieces.append(((scene.scene_id not in whole, -valid, scene.mgrs_tile), bands, scl, data))
    pieces.sort(key=lambda piece: piece[0])
    names = {name for _, bands, _, _ in pieces for name in bands}
    out = {name: np.zeros((2560 // gsd_of(name),) * 2, np.uint16) for name in names}
    out_scl = np.zeros((128, 128), np.uint8)
    for row in range(128):
        for col in range(128):
            four = [(row * 2 + i, col * 2 + j) for i in (0, 1) for j in (0, 1)]
            for pixel in four:
                _, bands, _, _ = next((piece for piece in pieces if piece[3][pixel]), pieces[0])
                for name in names & set(BANDS_10M) & set(bands):
                    out[name][pixel] = bands[name][pixel]
            _, bands, scl, _ = next((piece for piece in pieces if any(piece[3][pixel] for pixel in four)), pieces[0])
            for name in (names - set(BANDS_10M)) & set(bands):
                out[name][row, col] = bands[name][row, col]
            out_scl[row, col] = scl[row, col]
    return out, out_scl


def assert_merged(chip: Chip, scenes: list[CanvasScene], whole: list[str], place: Place) -> None:
    bands, scl = merged(scenes, whole, place)
    assert {name for name in ALL_BANDS if chip[name] is not None} == set(bands)
    for name, pixels in bands.items():
        assert np.array_equal(chip[name], pixels), name
    assert np.array_equal(chip["scl"], scl)
    assert_fractions(chip)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_pixel_comes_from_the_first_scene_with_data(extract: ChipCutter, memory: MemoryReader, seed: int) -> None:
    scenes = [
        memory.add(random_scene(seed * 10 + 0, (256, 160), missing=0.1, mgrs_tile="33AAA")),
        memory.add(random_scene(seed * 10 + 1, (200, 200), missing=0.2, mgrs_tile="33AAB", at=(40, 60))),
        memory.add(random_scene(seed * 10 + 2, (256, 256), missing=0.3, mgrs_tile="33AAC", at=(0, 20))),
    ]
    ids = [scene.scene_id for scene in scenes]
    # The first scene covers the whole western column, and the third the whole eastern one.
    strip = strip_row(scenes, {(0, 0): (ids, ids[:1]), (1, 0): (ids, ids[2:])})
    chips = chips_of(extract, strip)
    assert_merged(chips[0, 0], scenes, ids[:1], (0, 0))
    assert_merged(chips[1, 0], scenes, ids[2:], (1, 0))


@pytest.mark.parametrize("step", [1, -1])
def test_the_order_in_which_scenes_are_listed_does_not_matter(
    extract: ChipCutter, memory: MemoryReader, step: int
) -> None:
    scenes = [memory.add(random_scene(seed, (128, 128), missing=0.2, mgrs_tile=f"33AA{seed}")) for seed in (4, 5, 6)]
    ids = [scene.scene_id for scene in scenes]
    chip = chips_of(extract, strip_row(scenes[::step], {(0, 0): (ids[::step], ids[::step])}))[0, 0]
    assert_merged(chip, scenes, ids, (0, 0))


def test_a_scene_with_the_whole_cell_precedes_a_clearer_one(extract: ChipCutter, memory: MemoryReader) -> None:
    cloudy = memory.add(uniform_scene("cloudy", 1, scl=9, mgrs_tile="33ZZZ"))
    clear = memory.add(uniform_scene("clear", 2, mgrs_tile="33AAA"))
    chip = chips_of(extract, strip_row([clear, cloudy], {(0, 0): (["clear", "cloudy"], ["cloudy"])}))[0, 0]
    assert (chip["blue"] == 1).all()
    assert (chip["valid_fraction"], chip["cloud_fraction"]) == (0.0, 1.0)


@pytest.mark.parametrize("whole", [[], ["clear", "cloudy"]])
def test_the_clearer_of_two_scenes_with_the_whole_cell_is_first(
    extract: ChipCutter, memory: MemoryReader, whole: list[str]
) -> None:
    cloudy = memory.add(uniform_scene("cloudy", 1, scl=9, mgrs_tile="33AAA"))
    clear = memory.add(uniform_scene("clear", 2, mgrs_tile="33ZZZ"))
    chip = chips_of(extract, strip_row([cloudy, clear], {(0, 0): (["clear", "cloudy"], whole)}))[0, 0]
    assert (chip["blue"] == 2).all()


def test_the_tile_name_orders_scenes_that_are_equally_clear(extract: ChipCutter, memory: MemoryReader) -> None:
    later = memory.add(uniform_scene("a", 1, mgrs_tile="33ZZZ"))
    first = memory.add(uniform_scene("b", 2, mgrs_tile="33AAA"))
    chip = chips_of(extract, strip_row([later, first], {(0, 0): (["a", "b"], [])}))[0, 0]
    assert (chip["blue"] == 2).all()


def test_a_band_that_one_scene_lacks_is_missing_in_its_pixels(extract: ChipCutter, memory: MemoryReader) -> None:
    without = uniform_scene("without", 1, bands=("blue",), mgrs_tile="33AAA")
    without.layers["scl"][64:] = 0  # the scene has data in the northern half
    with_band = uniform_scene("with", 2, bands=("blue", "swir22"), mgrs_tile="33ZZZ")
    memory.add(without)
    memory.add(with_band)
    chip = chips_of(extract, strip_row([without, with_band], {(0, 0): (["without", "with"], ["without"])}))[0, 0]
    assert_merged(chip, [without, with_band], ["without"], (0, 0))
    assert [chip["swir22"][0, 0], chip["swir22"][127, 0]] == [0, 2]
    assert (chip["nodata_fraction"], chip["valid_fraction"]) == (0.5, 0.5)
