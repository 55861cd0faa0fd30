"""Floors and ceiling of cutting and filling: the time of GDAL and numpy for the same pixels, one process a core."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numcodecs import blosc
from rasterio.windows import Window

from harness.scenes import TILE_NORTH, TILE_WEST
from lakehouse.bands import CHIP_SIZE_M, LAYER_GSD_M
from python_udfs.codec import encode_array

VALID: Final = (2, 4, 5, 6, 7, 11)


def read_whole(path: str) -> int:
    """Decode a raster and drop its pixels."""
    with rasterio.open(path) as dataset:
        return int(dataset.read(1).size)


def decode_pack_and_write(files: tuple[str, str]) -> None:
    """Decode a raster, pack each part of it that is as large as a chip's layer, and write the frames to one file.

    Args:
        files: path of the raster, and of the file to write.
    """
    source, target = files
    with rasterio.open(source) as dataset, Path(target).open("wb") as file:
        side = round(CHIP_SIZE_M / dataset.res[0])
        pixels = dataset.read(1)
        for top in range(0, pixels.shape[0] - side + 1, side):
            for left in range(0, pixels.shape[1] - side + 1, side):
                file.write(encode_array(np.ascontiguousarray(pixels[top : top + side, left : left + side])))


def open_for_chip(chip: tuple[dict[str, str], int, int]) -> None:
    """Open every layer for one chip and read its window."""
    rasters, col, row = chip
    for layer, path in rasters.items():
        gsd = LAYER_GSD_M[layer]
        side = CHIP_SIZE_M // gsd
        with rasterio.open(path) as dataset:
            left, top = (col * CHIP_SIZE_M - TILE_WEST) // gsd, (TILE_NORTH - (row + 1) * CHIP_SIZE_M) // gsd
            dataset.read(1, window=Window(left, top, side, side))


def fold_cell(chips: list[dict[str, bytes]]) -> None:
    """Fill a cell's chips, oldest first, each missing pixel from the newest earlier chip, without Spark."""
    seen: dict[str, np.ndarray[Any, Any]] = {}
    source = np.full((256, 256), -1, np.int32)
    for number, frames in enumerate(chips):
        now = {
            name: np.frombuffer(blosc.decompress(frame), np.uint8 if name == "scl" else "<u2")
            for name, frame in frames.items()
        }
        now = {name: pixels.reshape(2 * (round(pixels.size**0.5),)) for name, pixels in now.items()}
        valid = np.isin(now["scl"], VALID)
        for name, pixels in now.items():
            if name != "scl" and pixels.shape == valid.shape:
                valid &= pixels != 0
        fine = valid.repeat(2, 0).repeat(2, 1)
        for pixels in now.values():
            if pixels.shape == fine.shape:
                fine &= pixels != 0
        coarse = fine.reshape(128, 2, 128, 2).any(axis=(1, 3))
        for name, pixels in now.items():
            seen[name] = np.where(fine if pixels.shape == fine.shape else coarse, pixels, seen.get(name, 0))
        source[fine] = number
        packed = [seen[name].astype(now[name].dtype) for name in now] + [(number - source).astype(np.uint8)]
        for pixels in packed:
            encode_array(pixels)


def timed(work: Callable[[Any], Any], tasks: list[Any], cores: int) -> float:
    """Return the seconds that tasks take, one process a core, without the start of the processes.

    Args:
        work: a function of a module, which is called with each task.
        tasks: arguments of `work`.
        cores: number of processes.
    """
    with multiprocessing.get_context("forkserver").Pool(cores) as pool:
        pool.map(abs, range(4 * cores), chunksize=1)
        start = time.perf_counter()
        for _ in pool.imap_unordered(work, tasks, chunksize=1):
            pass
        return time.perf_counter() - start
