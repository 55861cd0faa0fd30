"""A task opens each raster once, only if it needs it, and closes it at the end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import rasterio
from support.canvas_scenes import Array, MemoryReader, assert_cut, chips_of, one_chip, random_scene, strip_row

from python_udfs.extract.cutter import ChipCutter
from python_udfs.extract.reader import NoAnswerError


def test_a_raster_is_opened_once_for_all_strips(
    extract_files: ChipCutter, tmp_path: Path, opened: Counter[str]
) -> None:
    scenes = [random_scene(seed, (384, 128)).write(tmp_path) for seed in (17, 18)]
    ids = [scene.scene_id for scene in scenes]
    for south in range(3):
        chip = chips_of(extract_files, strip_row(scenes, {(0, south): (ids, ids)}))[0, south]
        assert chip["error"] is None
    assert opened == {href: 1 for scene in scenes for href in scene.hrefs.values()}


def test_a_scene_that_no_cell_of_the_strip_needs_is_not_opened(
    extract_files: ChipCutter, tmp_path: Path, opened: Counter[str]
) -> None:
    needed, other = (random_scene(seed, (128, 128)).write(tmp_path) for seed in (19, 20))
    chips_of(extract_files, strip_row([needed, other], {(0, 0): ([needed.scene_id], [])}))
    assert set(opened) == set(needed.hrefs.values())


def test_an_unusable_scene_is_not_opened_again(extract_files: ChipCutter, tmp_path: Path, opened: Counter[str]) -> None:
    scene = random_scene(21).write(tmp_path)
    Path(scene.hrefs["blue"]).unlink()
    errors = [one_chip(extract_files, scene, (0, south))["error"] for south in (0, 1)]
    assert errors[0] == errors[1]
    assert opened[scene.hrefs["blue"]] == 1


def test_rasters_are_closed_at_the_end_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, broken = random_scene(22, (128, 128)).write(tmp_path), random_scene(23, (128, 128)).write(tmp_path)
    Path(broken.hrefs["swir22"]).unlink()
    datasets = []
    rasterio_open = rasterio.open

    def recording_open(*arguments: Any, **options: Any) -> Any:
        datasets.append(rasterio_open(*arguments, **options))
        return datasets[-1]

    monkeypatch.setattr(rasterio, "open", recording_open)
    extract = ChipCutter()
    chips_of(extract, strip_row([scene, broken], {(0, 0): ([scene.scene_id, broken.scene_id], [])}))
    assert len(datasets) > len(scene.hrefs)
    assert not any(dataset.closed for dataset in datasets)
    extract.close()
    assert all(dataset.closed for dataset in datasets)


def test_rasters_on_a_server_give_the_same_pixels(extract_files: ChipCutter, tmp_path: Path, address: str) -> None:
    scene = random_scene(25).write(tmp_path)
    scene.hrefs = {name: f"{address}/{Path(href).name}" for name, href in scene.hrefs.items()}
    for south in (0, 1):
        assert_cut(one_chip(extract_files, scene, (1, south)), scene, (1, south))


def test_a_server_that_does_not_answer_gets_one_request_a_strip(
    extract: ChipCutter, memory: MemoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = memory.add(random_scene(26, (128, 384)))
    asked = []

    def no_answer(out: Array, row: int, col: int) -> None:
        asked.append((out.shape, row, col))
        raise NoAnswerError("the server sent nothing")

    monkeypatch.setattr(memory.rasters[scene.hrefs["nir"]], "read_into", no_answer)
    places = [(east, 0) for east in range(3)]
    chips = chips_of(extract, strip_row([scene], {place: ([scene.scene_id], []) for place in places}))
    file = Path(scene.hrefs["nir"]).name
    line = f"scene-26 asset nir cannot be read: the server sent nothing (file {file})"
    assert {chip["error"] for chip in chips.values()} == {line}
    assert len(asked) == 1
