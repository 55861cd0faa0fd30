"""cloud_distance counts clouds and shadows of the whole scene, beyond the edges of cells and strips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.canvas_scenes import (
    CANVAS,
    Array,
    CanvasScene,
    MemoryReader,
    cell_of,
    chips_of,
    one_chip,
    random_scene,
    strip_row,
    uniform_scene,
)

from python_udfs.extract.cutter import ChipCutter


def cloud_distances(scene: CanvasScene) -> Array:
    """Compute distances on the whole canvas: to the nearest cloud or shadow, as a chessboard distance of at most 16."""
    cloud = np.pad(np.isin(scene.on_canvas("scl"), [3, 8, 9, 10]), 15)
    side = 128 * CANVAS
    distance = np.full((side, side), 16, np.uint8)
    for reach in reversed(range(16)):
        for south in range(15 - reach, 16 + reach):
            for east in range(15 - reach, 16 + reach):
                distance[cloud[south : south + side, east : east + side]] = reach
    return distance


def scene_with_clouds(seed: int, size: tuple[int, int], share: float, **fields: Any) -> CanvasScene:
    """Make a scene with single pixels of every class of cloud and shadow, on and off the borders of cells."""
    scene = random_scene(seed, size, ("blue",), **fields)
    rng = np.random.default_rng(seed)
    clear, cloudy = rng.choice([0, 1, 2, 4, 5, 6, 7, 11], size), rng.choice([3, 8, 9, 10], size)
    scene.layers["scl"] = np.where(rng.random(size) < share, cloudy, clear).astype(np.uint8)
    return scene


@pytest.mark.parametrize("share", [1e-4, 1e-3, 0.05])
def test_the_nearest_cloud_may_lie_in_any_cell(memory: MemoryReader, share: float) -> None:
    scene = scene_with_clouds(24, (300, 310), share, at=(20, 30))
    for row, col in ((107, 97), (108, 98), (235, 226)):  # corners at which cells meet
        scene.layers["scl"][row, col] = 3
    expected = cloud_distances(memory.add(scene))
    assert len(np.unique(expected)) == 17 or share > 1e-2
    # The result does not depend on the cells of a strip or on the strips of a task.
    for souths, easts in (((0, 1, 2), (0, 1, 2)), ((2, 0), (2, 0))):
        task = ChipCutter(reader=memory)
        for south in souths:
            places = [(east, south) for east in easts]
            chips = chips_of(task, strip_row([scene], {place: ([scene.scene_id], []) for place in places}))
            for place in places:
                assert np.array_equal(chips[place]["cloud_distance"], cell_of(expected, place)), place


def test_the_nearest_cloud_of_all_scenes_counts(extract: ChipCutter, memory: MemoryReader) -> None:
    scenes = [scene_with_clouds(25, (128, 128), 0.001), scene_with_clouds(26, (200, 300), 0.0005, at=(10, 60))]
    scenes[0].layers["scl"][:, 125] = 9  # near the edge of the scene and of the cell
    ids = [memory.add(scene).scene_id for scene in scenes]
    chips = chips_of(extract, strip_row(scenes, {(0, 0): (ids, ids[:1]), (1, 0): (ids[1:], [])}))
    first, second = map(cloud_distances, scenes)
    assert np.array_equal(chips[0, 0]["cloud_distance"], cell_of(np.minimum(first, second), (0, 0)))
    # A scene that does not touch the cell does not count.
    assert np.array_equal(chips[1, 0]["cloud_distance"], cell_of(second, (1, 0)))
    assert (cell_of(first, (1, 0)) < cell_of(second, (1, 0))).any()


def test_without_clouds_the_distance_is_16(extract: ChipCutter, memory: MemoryReader) -> None:
    assert (one_chip(extract, memory.add(uniform_scene("clear", 1)))["cloud_distance"] == 16).all()


def test_in_a_cloud_the_distance_is_0(extract: ChipCutter, memory: MemoryReader) -> None:
    assert not one_chip(extract, memory.add(uniform_scene("cloudy", 1, scl=3)))["cloud_distance"].any()
