"""Item, file and rule are weighed: what the numbers of a raster mean, and which contradictions are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from support.canvas_scenes import Array, CanvasScene, MemoryReader, chips_of, one_chip, strip_row

from python_udfs.extract.cutter import ChipCutter
from python_udfs.extract.header import raster_header

NAN = float("nan")


def scene_of(numbers: list[float], dtype: str = "uint16", scl: Array | None = None, **fields: Any) -> CanvasScene:
    """Make a scene of one cell; the first pixels of its only band have these numbers, the others have the last."""
    blue = np.full((256, 256), numbers[-1], dtype)
    blue[0, : len(numbers)] = numbers
    return CanvasScene(
        "scene", {"blue": blue, "scl": np.full((128, 128), 4, np.uint8) if scl is None else scl}, **fields
    )


def blue_of(chip: dict[str, Any], count: int) -> list[int]:
    assert chip["error"] is None
    pixels: list[int] = chip["blue"][0, :count].tolist()
    return pixels


# Numbers of a file, their dtype, what item and file say, and the right values.
WEIGHED: dict[str, tuple[list[float], str, dict[str, Any], list[int]]] = {
    "float without a scale is reflectance": (
        [0.1234, NAN, -0.0012, 0.5],
        "float32",
        {"scale": 0.0001, "is_scale_stated": False, "nodata": NAN},
        [1234, 0, 1, 5000],
    ),
    "float of an older release's row without a scale": (
        [0.1234],
        "float32",
        {"scale": 0.0001, "is_scale_stated": None},
        [1234],
    ),
    "integers without a scale": (
        [2234, 0],
        "uint16",
        {"scale": 0.0001, "is_scale_stated": False, "boa_offset": -1000, "reason": "processing baseline"},
        [1234, 0],
    ),
    "the item's nodata, unsigned": (
        [65535, 2234, 0, 3000],
        "uint16",
        {"stated_nodata": {"blue": 65535.0}, "nodata": None, "boa_offset": -1000},
        [0, 1234, 0, 2000],
    ),
    "the item's nodata, signed": (
        [-9999, -12, 0, 1234],
        "int16",
        {"stated_nodata": {"blue": -9999.0}, "nodata": None},
        [0, 1, 1, 1234],
    ),
    "the item's nodata beside another one of the file": (
        [-9999, -32768, 7, 0, 1234],
        "int16",
        {"stated_nodata": {"blue": 7.0}, "nodata": -32768},
        [0, 0, 0, 1, 1234],
    ),
    "the item's template says 0": (
        [-9999, 0, -12, 1234],
        "int16",
        {"stated_nodata": {"blue": 0.0}, "nodata": -9999},
        [0, 0, 1, 1234],
    ),
    "a nodata value that the dtype cannot hold": (
        [0, 1234],
        "uint16",
        {"stated_nodata": {"blue": -9999.0}},
        [0, 1234],
    ),
    "nodata of another layer": ([1234, 0], "uint16", {"stated_nodata": {"scl": 1234.0}}, [1234, 0]),
    "scale and offset of the header": (
        [2234, 0],
        "uint16",
        {"is_scale_stated": False, "header": (0.0001, -0.1), "boa_offset": -1000, "reason": "file header"},
        [1234, 0],
    ),
    "a scale of the header alone": (
        [1117, 0],
        "uint16",
        {"is_scale_stated": False, "header": (0.0002, 0.0), "reason": "none needed"},
        [2234, 0],
    ),
    "a scale of the header, an offset of the item": (
        [1117, 0],
        "uint16",
        {"is_scale_stated": False, "header": (0.0002, -0.1), "boa_offset": -1000, "reason": "asset offset"},
        [1234, 0],
    ),
    "the item says that it is applied, the header has it still": (
        [1234, 0],
        "uint16",
        {"header": (0.0001, -0.1), "reason": "already applied"},
        [1234, 0],
    ),
    "the user's own offset against the header": (
        [1234, 0],
        "uint16",
        {"header": (0.0001, -0.1), "reason": "override"},
        [1234, 0],
    ),
    "infinity is missing": ([float("inf"), float("-inf"), 0.5], "float32", {"scale": 1.0}, [0, 0, 5000]),
    "a fill value of floats that the item states": (
        [9.96921e36, 0.5],
        "float32",
        {"scale": 1.0, "stated_nodata": {"blue": 9.969209968386869e36}},
        [0, 5000],
    ),
    "digital numbers as floats, with their scale": ([1234.0, 12000.0], "float64", {"scale": 0.0001}, [1234, 12000]),
    "bright snow, and a saturated number": ([1.9, 6.6], "float32", {"scale": 1.0}, [19000, 65535]),
    "the user's own offset of floats": (
        [0.2234],
        "float32",
        {"scale": 0.0001, "is_scale_stated": False, "boa_offset": -1000, "reason": "override"},
        [1234],
    ),
}


@pytest.mark.parametrize("kind", WEIGHED)
def test_item_file_and_rule_say_together_what_numbers_mean(
    extract: ChipCutter, memory: MemoryReader, kind: str
) -> None:
    numbers, dtype, fields, values = WEIGHED[kind]
    assert blue_of(one_chip(extract, memory.add(scene_of(numbers, dtype, **fields))), len(values)) == values


CONTRADICTIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "dtype": ("uint16", {"data_type": "float32"}, "its numbers are uint16, but the item says float32"),
    "dtype of floats": ("float32", {"data_type": "int16"}, "its numbers are float32, but the item says int16"),
    "eight bits": ("uint8", {}, "its numbers are uint8, which cannot hold reflectance"),
    "scale": ("uint16", {"header": (0.0002, 0.0)}, "its header says scale 0.0002, but the item says 0.0001"),
    "a header's scale of another quantity": (
        "uint16",
        {"is_scale_stated": False, "header": (2.0, 0.0)},
        "its header says scale 2, which cannot be that of reflectance",
    ),
    "offset": (
        "uint16",
        {"header": (0.0001, -0.1), "reason": "asset offset"},
        "its header says offset -0.1, but the offset is 0 by asset offset; say which offset is right",
    ),
    "offset of the baseline": (
        "uint16",
        {"header": (0.0001, 0.0), "boa_offset": -1000, "reason": "processing baseline"},
        "its header says offset 0, but the offset is -0.1 by processing baseline",
    ),
    "a header without the offset of another band's": (
        "uint16",
        {"is_scale_stated": False, "boa_offset": -1000, "reason": "file header"},
        "its header says no offset, but that of another band does",
    ),
    "digital numbers as floats, without a scale": (
        "float32",
        {"numbers": [0.0, 1234.0], "scale": 0.0001, "is_scale_stated": False, "reason": "already applied"},
        "its number 1234 would be the reflectance 1234; item or file must state its scale, or that this is nodata",
    ),
    "a fill value that nothing states": (
        "int32",
        {"numbers": [2**31 - 1, 1234]},
        "its number 2.14748e+09 would be the reflectance 214748; item or file must state",
    ),
    "floats of a baseline with an offset": (
        "float32",
        {"scale": 0.0001, "is_scale_stated": False, "boa_offset": -1000, "reason": "processing baseline"},
        "its numbers are float32, and nothing says whether the offset of the processing baseline is applied to them",
    ),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_a_contradiction_that_would_change_pixels_is_an_error(
    extract: ChipCutter, memory: MemoryReader, kind: str
) -> None:
    dtype, fields, message = CONTRADICTIONS[kind]
    numbers = fields.get("numbers", [1])
    others = {name: value for name, value in fields.items() if name != "numbers"}
    chip = one_chip(extract, memory.add(scene_of(numbers, dtype, **others)))
    assert f"scene asset blue cannot be {'read' if 'numbers' in fields else 'used'}: {message}" in chip["error"]
    assert chip["blue"] is None


# Numbers of SCL, dtype, nodata of file and item, right classes.
CLASSES: dict[str, tuple[list[float], str, float | None, dict[str, float], list[int]]] = {
    "nodata of the file": ([255, 4, 0, 11], "uint8", 255, {}, [0, 4, 0, 11]),
    "nodata of the item": ([99, 4], "int16", None, {"scl": 99.0}, [0, 4]),
    "signed, nothing is nodata": ([-32764, 4, -1], "int16", None, {}, [0, 4, 0]),
    "sixteen bits": ([260, 4, 65535], "uint16", None, {}, [0, 4, 0]),
    "floats": ([4.0, NAN, 4.5, 12.0], "float32", None, {}, [4, 0, 0, 0]),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_only_the_classes_of_scl_are_classes(extract: ChipCutter, memory: MemoryReader, kind: str) -> None:
    numbers, dtype, nodata, stated, classes = CLASSES[kind]
    scl = np.full((128, 128), 4, dtype)
    scl[0, : len(numbers)] = numbers
    scene = memory.add(scene_of([1234], scl=scl, stated_nodata=stated))
    raster = memory.rasters[scene.hrefs["scl"]]
    raster.info = type(raster.info)(**vars(raster.info) | {"nodata": nodata})
    chip = one_chip(extract, scene)
    assert chip["error"] is None
    assert chip["scl"][0, : len(classes)].tolist() == classes
    assert chip["nodata_fraction"] == classes.count(0) * 4 / 65_536
    assert (chip["blue"] == 1234).all()


@pytest.mark.parametrize("stated", [None, {"scl": 4.0}])
def test_a_class_as_nodata_of_scl_is_an_error(
    extract: ChipCutter, memory: MemoryReader, stated: dict[str, float] | None
) -> None:
    scene = memory.add(scene_of([1234], stated_nodata=stated))
    if stated is None:
        raster = memory.rasters[scene.hrefs["scl"]]
        raster.info = type(raster.info)(**vars(raster.info) | {"nodata": 4.0})
    assert "its nodata value is 4, which is a class of SCL" in one_chip(extract, scene)["error"]


def test_what_lies_outside_of_a_signed_raster_is_missing(extract: ChipCutter, memory: MemoryReader) -> None:
    """There 0 is dark ground in the raster, and nothing beside it."""
    blue, scl = np.full((256, 256), 0, np.int16), np.full((128, 128), 4, np.uint8)
    scene = memory.add(CanvasScene("scene", {"blue": blue, "scl": scl}, nodata=-9999, at=(64, 0)))
    chip = one_chip(extract, scene)
    assert (chip["blue"][:128] == 0).all()
    assert (chip["blue"][128:] == 1).all()
    assert chip["nodata_fraction"] == 0.5


# --- Files ---


def write_masked(path: Path, numbers: Array, is_there: Array, **profile: Any) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as old:
        options = old.profile | profile
    path.unlink()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **options) as raster:
        raster.write(numbers, 1)
        if options["count"] == 2:
            raster.write(is_there.astype(numbers.dtype) * 65535, 2)
        else:
            raster.write_mask(is_there)


@pytest.mark.parametrize("profile", [{}, {"count": 2, "alpha": "yes"}], ids=["mask", "alpha band"])
def test_the_mask_inside_a_file_tells_which_pixels_are_missing(
    extract_files: ChipCutter, tmp_path: Path, profile: dict[str, Any]
) -> None:
    scene = scene_of([3777, 2234], nodata=None, boa_offset=-1000, reason="processing baseline").write(tmp_path)
    is_there = np.ones((256, 256), bool)
    is_there[0, 0] = is_there[9, 200] = False
    write_masked(Path(scene.hrefs["blue"]), scene.layers["blue"], is_there, **profile)
    chip = one_chip(extract_files, scene)
    assert blue_of(chip, 2) == [0, 1234]
    assert np.array_equal(chip["blue"] != 0, is_there)
    assert chip["nodata_fraction"] == 2 / 65_536


def test_a_header_says_scale_offset_and_dtype(tmp_path: Path) -> None:
    scene = scene_of([2234], header=(0.0001, -0.1)).write(tmp_path)
    stated = raster_header(scene.hrefs["blue"])
    assert stated == {"data_type": "uint16", "scale": 0.0001, "offset": -0.1, "error": None}
    silent = raster_header(scene.hrefs["scl"])
    assert silent == {"data_type": "uint8", "scale": 1, "offset": 0, "error": None}
    lost = raster_header(str(tmp_path / "lost.tif"))
    assert lost is not None
    assert "No such file" in str(lost["error"])
    assert raster_header(None) is None


@pytest.mark.parametrize(("crs", "noise"), [(None, 0.0), ("EPSG:32633", 1e-10)])
def test_a_raster_without_crs_and_noise_in_its_transform_have_their_pixels(
    extract_files: ChipCutter, tmp_path: Path, crs: str | None, noise: float
) -> None:
    scene = scene_of([1234, 4321]).write(tmp_path)
    for name, href in scene.hrefs.items():
        with rasterio.open(href) as old:
            a, _, west, _, e, north = tuple(old.transform)[:6]
            profile = old.profile | {"crs": crs}
        profile["transform"] = rasterio.Affine(a + noise, 0, west + noise, 0, e - noise, north)
        Path(href).unlink()
        with rasterio.open(href, "w", **profile) as raster:
            raster.write(scene.layers[name], 1)
    assert blue_of(one_chip(extract_files, scene), 2) == [1234, 4321]


@pytest.mark.parametrize("name", ["blue", "blue.tif", "blue.jp2"])
@pytest.mark.parametrize("driver", ["GTiff", "JP2OpenJPEG"])
def test_the_content_of_a_file_says_its_format(
    extract_files: ChipCutter, tmp_path: Path, driver: str, name: str
) -> None:
    scene = scene_of([1234, 4321]).write(tmp_path)
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    path = tmp_path / "other" / name
    path.parent.mkdir()
    rasterio.shutil.copy(scene.hrefs["blue"], path, driver=driver, **lossless)
    scene.hrefs["blue"] = str(path)
    assert blue_of(one_chip(extract_files, scene), 2) == [1234, 4321]


def test_a_raster_on_a_server_needs_no_suffix(extract_files: ChipCutter, tmp_path: Path, address: str) -> None:
    scene = scene_of([1234, 4321]).write(tmp_path)
    for name, href in list(scene.hrefs.items()):
        Path(href).rename(tmp_path / name)
        scene.hrefs[name] = f"{address}/{name}"
    assert blue_of(one_chip(extract_files, scene), 2) == [1234, 4321]


# --- Copies ---


def copies_of(memory: MemoryReader, second: list[float], lost: str = "blue") -> tuple[CanvasScene, CanvasScene]:
    """Make a scene of which a raster is lost, and its copy in another collection."""
    first = memory.add(scene_of([2234], item_id="first", boa_offset=-1000))
    copy = memory.add(scene_of(second, item_id="copy"))
    first.hrefs = {name: f"{href}-of-first" for name, href in first.hrefs.items()}
    for name, href in first.hrefs.items():
        if name != lost:
            memory.rasters[href] = memory.rasters[copy.hrefs[name]]
    first.copies = [copy]
    return first, copy


@pytest.mark.parametrize("lost", ["blue", "scl"])
def test_a_copy_is_cut_if_the_first_cannot_be_read(extract: ChipCutter, memory: MemoryReader, lost: str) -> None:
    scene, _ = copies_of(memory, [1234], lost)
    strip = strip_row([scene], {(0, 0): (["scene"], [])}, item_ids={"scene": "first"}, boa_offsets={"scene": -1000})
    ((chip, layers, _, error),) = extract.cut(strip)
    assert error is None
    assert (chip["item_ids"], chip["boa_offsets"]) == (["copy"], [0])
    assert layers is not None


def test_the_error_names_all_copies(extract: ChipCutter, memory: MemoryReader) -> None:
    scene, copy = copies_of(memory, [1234])
    lost = scene.hrefs["blue"], copy.hrefs["blue"]
    del memory.rasters[copy.hrefs["blue"]]
    error = chips_of(extract, strip_row([scene], {(0, 0): (["scene"], [])}))[0, 0]["error"]
    assert all(f"{href} does not exist" in error for href in lost)
