"""Digital numbers of any dtype, scale, offset and nodata value become reflectance x 10,000."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.shutil
from support.canvas_scenes import CanvasScene, MemoryReader, assert_cut, one_chip, random_scene

from python_udfs.extract.cutter import ChipCutter

Cases = list[tuple[float, int]]  # digital numbers of the first pixels, and their expected values

NUMBERS: dict[str, tuple[Cases, str, dict[str, Any]]] = {
    "unchanged": ([(0, 0), (1, 1), (10_000, 10_000), (65_535, 65_535)], "uint16", {}),
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
    "signed": ([(-9_999, 0), (-1_000, 1), (-1, 1), (0, 0), (1, 1), (32_767, 32_767)], "int16", {}),
    "signed, offset": ([(-1_001, 0), (-1, 1), (0, 0), (1, 1), (3_000, 2_000)], "int16", {"boa_offset": -1_000}),
    "signed, another nodata value": ([(-9_999, 0), (-12, 1), (0, 1), (1, 1)], "int16", {"nodata": -9_999}),
    "signed, nothing is nodata": ([(-32_768, 0), (-12, 1), (0, 0), (1, 1)], "int16", {"nodata": None}),
    "32 bits": ([(-12, 1), (0, 0), (70_000, 65_535), (5_000, 5_000)], "int32", {}),
    "unsigned, 32 bits": ([(0, 0), (4_294_967_295, 0), (70_000, 65_535)], "uint32", {"nodata": 4_294_967_295}),
    "the largest value is nodata": (
        [(65_535, 0), (65_534, 64_534), (0, 0), (1, 1)],
        "uint16",
        {"nodata": 65_535, "boa_offset": -1_000},
    ),
    "no nodata value": ([(0, 0), (1, 1)], "uint16", {"nodata": None}),
    "reflectance": (
        [(0.0, 0), (0.25, 2_500), (1.0, 10_000), (9.0, 65_535), (1e-9, 1), (-0.05, 1), (-0.5, 0)],
        "float32",
        {"scale": 1.0},
    ),
    "reflectance, NaN is nodata": (
        [(float("nan"), 0), (0.25, 2_500), (float("inf"), 0), (0.0, 1)],
        "float32",
        {"scale": 1.0, "nodata": float("nan")},
    ),
    "reflectance, -9999 is nodata": (
        [(-9_999.0, 0), (float("nan"), 0), (0.1234, 1_234), (0.0, 1), (-0.0012, 1)],
        "float32",
        {"scale": 1.0, "nodata": -9_999.0},
    ),
    "reflectance, an offset in steps of 0.0001": (
        [(0.2234, 1_234), (0.05, 1)],
        "float64",
        {"scale": 1.0, "boa_offset": -1_000, "data_type": "float64", "reason": "asset offset"},
    ),
    "reflectance in steps, as floats": (
        [(2_234.0, 1_234), (0.0, 0)],
        "float32",
        {"scale": 0.0001, "boa_offset": -1_000, "data_type": "float32", "reason": "asset offset"},
    ),
}


def scene_of_numbers(cases: Cases, dtype: str, **fields: Any) -> CanvasScene:
    """Make a scene of one cell; the first pixels of its only band have the digital numbers of the cases."""
    blue = np.full((256, 256), 0.5 / fields.get("scale", 0.0001), dtype)
    blue[0, : len(cases)] = [number for number, _ in cases]
    return CanvasScene("scene", {"blue": blue, "scl": np.full((128, 128), 4, np.uint8)}, **fields)


def assert_reflectance(extract: ChipCutter, scene: CanvasScene, cases: Cases) -> None:
    chip = one_chip(extract, scene)
    missing = sum(value == 0 for _, value in cases)
    assert chip["nodata_fraction"] == missing / 65_536
    assert chip["valid_fraction"] == 1 - missing / 65_536
    assert chip["blue"][0, : len(cases)].tolist() == [value for _, value in cases]


@pytest.mark.parametrize("kind", NUMBERS)
def test_digital_numbers_become_reflectance(extract: ChipCutter, memory: MemoryReader, kind: str) -> None:
    cases, dtype, fields = NUMBERS[kind]
    assert_reflectance(extract, memory.add(scene_of_numbers(cases, dtype, **fields)), cases)


@pytest.mark.parametrize("kind", NUMBERS)
def test_files_state_their_dtype_and_nodata(extract_files: ChipCutter, tmp_path: Path, kind: str) -> None:
    cases, dtype, fields = NUMBERS[kind]
    assert_reflectance(extract_files, scene_of_numbers(cases, dtype, **fields).write(tmp_path), cases)


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_the_byte_order_of_the_file_does_not_matter(extract_files: ChipCutter, tmp_path: Path, dtype: str) -> None:
    cases: Cases = [(0, 0), (1, 1), (258, 258), (12_345, 12_345)]
    assert_reflectance(extract_files, scene_of_numbers(cases, dtype).write(tmp_path, ENDIANNESS="BIG"), cases)
    assert (tmp_path / "scene_blue.tif").read_bytes()[:2] == b"MM"


def test_jpeg_2000_gives_the_same_pixels(extract_files: ChipCutter, tmp_path: Path) -> None:
    scene = random_scene(6, (128, 128), bands=("blue",)).write(tmp_path)
    path = tmp_path / "blue.jp2"
    rasterio.shutil.copy(scene.hrefs["blue"], path, driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")
    scene.hrefs["blue"] = str(path)
    assert_cut(one_chip(extract_files, scene), scene, (0, 0), ["blue"])
