"""Cutting chips: the work of one task, strip after strip.

Its unit of work is a strip: one row of grid cells, cut from a home scene and the scenes that overlap it. The strips of
a task come from north to south, and a task ends at the edge of a row of blocks of the home scene. So a task opens each
COG once and decodes each block once, in file order. Only a chip that lies across the end of a task needs a block row
that the next task decodes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import CLOUD_DISTANCE, SCL
from python_udfs.codec import encode_layers
from python_udfs.extract.chips import ChipPixels, merge_pixels, split_row
from python_udfs.extract.rasterio_reader import RasterioReader
from python_udfs.extract.reader import RasterReader
from python_udfs.extract.scenes import OpenScenes, UnreadableBlocksError, UnreadableSceneError
from python_udfs.extract.strip import Cell, Product, Scene, Strip, strip_of
from python_udfs.valid_pixels import CLOUD_CLASSES, Mask, class_table


class CutChip(NamedTuple):
    """A chip that was cut, or the error that says why it was not."""

    chip: dict[str, Any]  # the columns that identify it
    layers: dict[str, bytes] | None  # name to frame; layers that were not cut are left out
    measures: dict[str, float] | None
    error: str | None

    def as_row(self) -> dict[str, Any]:
        """Return the row of fct_chips; columns that are left out are null."""
        measures = self.measures or {}
        # The satellite saw the whole cell; clouds may still hide the ground.
        is_complete = measures.get("nodata_fraction") == 0
        return {**self.chip, **(self.layers or {}), **measures, "is_complete": is_complete, "error": self.error}


class ChipCutter:
    """Cuts the chips of the strips of a task out of their scenes.

    If a raster of a scene cannot be read, the scene's next copy is read instead; `item_ids` and `boa_offsets` name the
    copy. If none can be read, the chip has an `error` and no pixels.
    """

    def __init__(self, *, reader: RasterReader | None = None) -> None:
        self._scenes = OpenScenes(reader or RasterioReader())

    def cut(self, row: Mapping[str, Any]) -> Iterator[CutChip]:
        """Yield the chips of one strip, a row of macro `cut_plan`."""
        strip = strip_of(row)
        is_valid_class = class_table(strip.valid_scl_classes)
        problems: dict[str, list[str]] = {}
        candidates: dict[str, list[tuple[tuple[Any, ...], ChipPixels]]] = {}
        for scene in strip.scenes:
            cells = [cell for cell in strip.cells if scene.scene_id in cell.scene_ids]
            for cell, pixels, product in self._read_cells(scene, strip, cells):
                if isinstance(pixels, UnreadableSceneError):
                    problems.setdefault(cell.chip_id, []).append(str(pixels))
                else:
                    if product is not scene.products[0]:
                        _name_product(cell, scene, product)
                    order = _merge_order(cell, scene, pixels, is_valid_class)
                    candidates.setdefault(cell.chip_id, []).append((order, pixels))
        for cell in strip.cells:
            if cell.chip_id in problems:
                yield CutChip(cell.chip, None, None, "; ".join(problems[cell.chip_id]))
                continue
            in_order = sorted(candidates[cell.chip_id], key=lambda candidate: candidate[0])
            yield _cut_chip(cell.chip, merge_pixels([pixels for _, pixels in in_order]), is_valid_class)

    def close(self) -> None:
        """Close the rasters of the task."""
        self._scenes.close()

    def _read_cells(
        self, scene: Scene, strip: Strip, cells: list[Cell], place: int = 0, problems: tuple[str, ...] = ()
    ) -> Iterator[tuple[Cell, ChipPixels | UnreadableSceneError, Product]]:
        """Yield the pixels of each cell, or why they cannot be read, and the product that they are from.

        Args:
            scene: the scene.
            strip: the strip.
            cells: the cells to read.
            place: the first product to try.
            problems: why the products before cannot be read.
        """
        if not cells:
            return
        product = scene.products[place]
        cols = range(min(cell.col for cell in cells), max(cell.col for cell in cells) + 1)
        try:
            layers = self._scenes.read(scene, place, strip.layers, strip.epsg, strip.row, cols)
        except UnreadableSceneError as error:
            if isinstance(error, UnreadableBlocksError) and not error.is_unanswered and len(cells) > 1:
                # A damaged block concerns only the cells that lie in it.
                for cell in cells:
                    yield from self._read_cells(scene, strip, [cell], place, problems)
                return
            problems = (*problems, str(error))
            if place + 1 < len(scene.products):
                yield from self._read_cells(scene, strip, cells, place + 1, problems)
            else:
                yield from ((cell, UnreadableSceneError("; ".join(problems)), product) for cell in cells)
            return
        pixels = split_row(layers)
        yield from ((cell, pixels[cell.col - cols.start], product) for cell in cells)


def _name_product(cell: Cell, scene: Scene, product: Product) -> None:
    """Write into the columns of a chip from which copy of a scene it is cut."""
    place = cell.scene_ids.index(scene.scene_id)
    for column, value in (("item_ids", product.item_id), ("boa_offsets", product.boa_offset)):
        cell.chip[column] = [value if index == place else old for index, old in enumerate(cell.chip[column])]


def _merge_order(cell: Cell, scene: Scene, pixels: ChipPixels, is_valid_class: Mask) -> tuple[Any, ...]:
    """Return the sort key of a cell's scene: scenes that contain the whole cell, then valid share, then tile name."""
    is_partial = scene.scene_id not in cell.whole_scene_ids
    valid_share = _share(pixels.valid(is_valid_class)) if len(cell.scene_ids) > 1 else 0.0
    return is_partial, -valid_share, scene.mgrs_tile, scene.scene_id


def _cut_chip(chip: dict[str, Any], pixels: ChipPixels, is_valid_class: Mask) -> CutChip:
    layers: dict[str, NDArray[Any]] = {
        **pixels.bands,
        SCL: pixels.scl,
        CLOUD_DISTANCE: pixels.cloud_distance,
        **pixels.probabilities,
    }
    is_cloud = class_table(CLOUD_CLASSES)[pixels.scl]
    measures = {
        "valid_fraction": _share(pixels.valid(is_valid_class)),
        "cloud_fraction": _share(is_cloud),
        "nodata_fraction": 1.0 - _share(pixels.has_data),
    }
    return CutChip(chip, encode_layers(layers), measures, None)


def _share(mask: Mask) -> float:
    """Share of the pixels of a mask that are true; exact, as the pixel counts are powers of two."""
    return int(np.count_nonzero(mask)) / mask.size
