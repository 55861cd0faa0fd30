"""Cloud and snow probabilities are cut like SCL, if the strip wants them and the scenes have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.canvas_scenes import (
    CanvasScene,
    Chip,
    MemoryReader,
    assert_cut,
    cell_of,
    chips_of,
    one_chip,
    random_scene,
    strip_row,
    uniform_scene,
)

from python_udfs.extract.cutter import ChipCutter

CLOUD, SNOW = "cloud_probability", "snow_probability"


def with_percent(scene: CanvasScene, **percent: Any) -> CanvasScene:
    """Give a scene layers of probabilities, from arrays or one number."""
    for name, values in percent.items():
        scene.layers[name] = np.broadcast_to(np.asarray(values, np.uint8), scene.layers["scl"].shape).copy()
    return scene


def cut(scene: CanvasScene, probabilities: bool | None = True) -> Chip:
    """Cut the north-western cell of a scene."""
    memory = MemoryReader()
    return one_chip(ChipCutter(reader=memory), memory.add(scene), probabilities=probabilities)


def test_a_chip_has_the_percentages_of_its_cell() -> None:
    percent = np.random.default_rng(1).integers(0, 101, (384, 384))
    scene = with_percent(random_scene(1, (384, 384)), cloud_probability=percent, snow_probability=percent[::-1])
    memory = MemoryReader()
    row = strip_row([memory.add(scene)], {(place, 1): ([scene.scene_id], []) for place in range(3)}, probabilities=True)
    for place, chip in chips_of(ChipCutter(reader=memory), row).items():
        assert_cut(chip, scene, place)
        for name in (CLOUD, SNOW):
            assert np.array_equal(chip[name], cell_of(scene.on_canvas(name), place))


@pytest.mark.parametrize("wanted", [None, False])
def test_a_strip_of_a_rule_without_probabilities_reads_none(wanted: bool | None) -> None:
    memory = MemoryReader()
    scene = memory.add(with_percent(uniform_scene("one", 5), cloud_probability=200))
    chip = one_chip(ChipCutter(reader=memory), scene, probabilities=wanted)
    assert chip["error"] is None
    assert chip[CLOUD] is None
    assert not memory.rasters[scene.hrefs[CLOUD]].is_opened


def test_a_scene_without_probabilities_makes_a_chip_without_them() -> None:
    chip = cut(with_percent(uniform_scene("one", 5), cloud_probability=7))
    assert (chip[CLOUD] == 7).all()
    assert chip[SNOW] is None
    assert cut(uniform_scene("two", 5))[CLOUD] is None


def test_a_merged_pixel_has_the_probability_of_its_scene_and_0_if_that_has_none() -> None:
    first, second = uniform_scene("first", 5), with_percent(uniform_scene("second", 9), cloud_probability=60)
    for layer in first.layers.values():  # the first scene has no data in the east
        layer[:, layer.shape[1] // 2 :] = 0
    memory = MemoryReader()
    row = strip_row([memory.add(first), memory.add(second)], {(0, 0): (["first", "second"], ["first"])})
    (chip,) = chips_of(ChipCutter(reader=memory), row | {"probabilities": True}).values()
    assert (chip["blue"][:, :128] == 5).all()
    assert (chip["blue"][:, 128:] == 9).all()
    assert (chip[CLOUD][:, :64] == 0).all()
    assert (chip[CLOUD][:, 64:] == 60).all()


def test_nodata_of_a_probability_says_nothing() -> None:
    scene = with_percent(uniform_scene("one", 5), cloud_probability=255)
    scene.layers[CLOUD][0, 0] = 100
    scene.stated_nodata = {CLOUD: 255.0}
    percent = cut(scene)[CLOUD]
    assert percent[0, 0] == 100
    assert (percent.ravel()[1:] == 0).all()


def test_numbers_that_are_no_percentages_are_an_error_of_the_chip() -> None:
    error = cut(with_percent(uniform_scene("one", 5), cloud_probability=101))["error"]
    assert error == (
        "one asset cloud_probability cannot be read: its number 101 is no percentage from 0 to 100 "
        "(file cloud_probability)"
    )
