"""A raster that cannot be used makes errors of the chips that need it, and of no others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from support.canvas_scenes import (
    ALL_BANDS,
    LAYERS_20M,
    MEASURES,
    NORTH,
    WEST,
    CanvasScene,
    MemoryReader,
    assert_cut,
    assert_fractions,
    chips_of,
    gsd_of,
    one_chip,
    random_scene,
    strip_row,
    write_raster,
)

from python_udfs.extract.cutter import ChipCutter


def missing(path: Path) -> None:
    path.unlink()


def html(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    """Keep the header and less than one block."""
    path.write_bytes(path.read_bytes()[:1000])


def vrt(path: Path) -> None:
    """Write a VRT under the name of a GeoTIFF, which refers to another file."""
    other = path.with_suffix(".other.tif")
    path.rename(other)
    rasterio.shutil.copy(other, path, driver="VRT")
    assert "<VRTDataset" in path.read_text()
    with rasterio.open(path) as dataset:  # without a driver's name, GDAL reads the other file
        assert dataset.read(1).any()


def two_bands(path: Path) -> None:
    with rasterio.open(path) as dataset:
        profile, pixels = dataset.profile, dataset.read(1)
    path.unlink()
    with rasterio.open(path, "w", **profile | {"count": 2}) as dataset:
        dataset.write(np.stack([pixels, pixels]))


def rewritten(at: tuple[int, int] = (0, 0), gsd: int = 20, **profile: Any) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            write_raster(path, np.full((256, 256), 5, np.uint16), at, gsd, **profile)

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {  # each with a part of its message
    "missing": (missing, "No such file"),
    "HTML": (html, "not recognized"),
    "empty": (empty, "not recognized"),
    "truncated": (truncated, ""),
    "VRT": (vrt, "not recognized"),
    "another CRS": (rewritten(crs="EPSG:32632"), "its CRS is EPSG:32632, not EPSG:32633"),
    "no CRS, no place": (rewritten(crs=None, transform=Affine(1, 0, 0, 0, -1, 1)), "20 m lattice"),
    "no georeferencing": (
        rewritten(crs=None, transform=Affine.identity()),
        "the file has neither CRS nor transform, so nothing says where its pixels lie; write them into it: "
        "gdal_edit.py -a_srs EPSG:32633 -a_ullr WEST NORTH EAST SOUTH FILE (file ",
    ),
    "a CRS, but no transform": (rewritten(transform=Affine.identity()), "the file has no transform, so nothing says"),
    "two bands": (two_bands, "the file has 2 bands"),
    "degrees": (rewritten(crs="EPSG:4326", transform=Affine(1e-4, 0, 15, 0, -1e-4, 45)), "its CRS is EPSG:4326"),
    "off the lattice": (rewritten(transform=Affine(20, 0, WEST + 10, 0, -20, NORTH)), "20 m lattice"),
    "off the lattice by half a metre": (rewritten(transform=Affine(20, 0, WEST, 0, -20, NORTH + 0.5)), "20 m lattice"),
    "another pixel size": (rewritten(gsd=10), "20 m lattice"),
    "south up": (rewritten(transform=Affine(20, 0, WEST, 0, 20, NORTH - 5120)), "20 m lattice"),
    "rotated": (rewritten(transform=Affine(20, 1, WEST, 1, -20, NORTH)), "20 m lattice"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("layer", ["swir22", "scl"])
def test_only_chips_of_the_unusable_scene_are_errors(
    extract_files: ChipCutter, tmp_path: Path, damage: str, layer: str
) -> None:
    broken, sound = random_scene(11).write(tmp_path), random_scene(12, (256, 384)).write(tmp_path)
    make, message = DAMAGES[damage]
    make(Path(broken.hrefs[layer]))
    for south in (0, 1):
        cells = {
            (0, south): ([broken.scene_id], [broken.scene_id]),
            (1, south): ([broken.scene_id, sound.scene_id], [sound.scene_id]),
            (2, south): ([sound.scene_id], [sound.scene_id]),
        }
        chips = chips_of(extract_files, strip_row([broken, sound], cells))
        assert set(chips) == set(cells)
        for place in ((0, south), (1, south)):
            error = chips[place]["error"]
            assert f"{broken.scene_id} asset {layer} cannot be " in error
            assert message in error
            assert sound.scene_id not in error
            names = (*ALL_BANDS, *LAYERS_20M, *MEASURES)
            assert [chips[place][name] for name in names] == [None] * len(names)
        assert_cut(chips[2, south], sound, (2, south))
        assert_fractions(chips[2, south])


def test_the_error_names_every_unusable_scene(extract_files: ChipCutter, tmp_path: Path) -> None:
    scenes = [random_scene(seed, (128, 128)).write(tmp_path) for seed in (13, 14)]
    for scene in scenes:
        Path(scene.hrefs["blue"]).unlink()
    ids = [scene.scene_id for scene in scenes]
    error = chips_of(extract_files, strip_row(scenes, {(0, 0): (ids, [])}))[0, 0]["error"]
    assert all(scene_id in error for scene_id in ids)


def test_a_scene_without_scl_is_an_error(extract: ChipCutter, memory: MemoryReader) -> None:
    scene = memory.add(random_scene(15, (128, 128)))
    del scene.hrefs["scl"]
    assert one_chip(extract, scene)["error"] == "scene-15 has no asset scl"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["sound strip first", "broken strip first"])
def test_an_unreadable_strip_does_not_affect_other_strips(
    extract_files: ChipCutter, tmp_path: Path, order: tuple[int, int]
) -> None:
    scene = random_scene(16).write(tmp_path)
    path = Path(scene.hrefs["swir22"])
    path.write_bytes(path.read_bytes()[:-100])  # cut off the last block, in the south
    chips = {south: one_chip(extract_files, scene, (1, south)) for south in order}
    assert_cut(chips[0], scene, (1, 0))
    assert_fractions(chips[0])
    assert scene.scene_id in chips[1]["error"]
    assert chips[1]["blue"] is None


def test_a_cell_beside_unreadable_scl_is_an_error(extract_files: ChipCutter, tmp_path: Path) -> None:
    scene = random_scene(16, (384, 128)).write(tmp_path)
    path = Path(scene.hrefs["scl"])
    path.write_bytes(path.read_bytes()[:-100])  # the southernmost of three blocks
    chips = [one_chip(extract_files, scene, (0, south)) for south in range(3)]
    assert chips[0]["error"] is None
    for chip in chips[1:]:  # clouds of the unreadable block could be near pixels of the cell in the middle
        assert f"{scene.scene_id} asset scl cannot be read" in chip["error"]
        assert chip["scl"] is None
        assert chip["cloud_distance"] is None


# --- Damaged blocks ---


def damage_block(path: Path, col: int) -> None:
    """Overwrite a block of the first row with zeros, which DEFLATE cannot decode."""
    with rasterio.open(path) as dataset:
        start, size = (
            int(dataset.get_tag_item(f"BLOCK_{what}_{col}_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
        )
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(size))


def assert_only_the_middle_is_an_error(extract: ChipCutter, scene: CanvasScene, layer: str) -> None:
    places = [(east, 0) for east in range(3)]
    chips = chips_of(extract, strip_row([scene], {place: ([scene.scene_id], [scene.scene_id]) for place in places}))
    assert f"{scene.scene_id} asset {layer} cannot be read: ZIPDecode" in chips[1, 0]["error"]
    assert chips[1, 0][layer] is None
    for place in (places[0], places[2]):
        assert_cut(chips[place], scene, place)


@pytest.mark.parametrize("layer", ["nir", "swir22"])
def test_a_damaged_block_is_an_error_of_its_own_cells(extract_files: ChipCutter, tmp_path: Path, layer: str) -> None:
    scene = random_scene(24, (128, 384)).write(tmp_path)
    damage_block(Path(scene.hrefs[layer]), gsd_of("swir22") // gsd_of(layer))
    assert_only_the_middle_is_an_error(extract_files, scene, layer)


def test_a_damaged_block_on_a_server_is_an_error_of_its_own_cells(
    extract_files: ChipCutter, tmp_path: Path, address: str
) -> None:
    scene = random_scene(27, (128, 384)).write(tmp_path)
    damage_block(Path(scene.hrefs["blue"]), 2)
    scene.hrefs = {name: f"{address}/{Path(href).name}" for name, href in scene.hrefs.items()}
    assert_only_the_middle_is_an_error(extract_files, scene, "blue")
