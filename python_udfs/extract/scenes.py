"""The open rasters of a task: each raster is opened once, and a product that cannot be opened is not tried again."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from lakehouse.bands import CLOUD_REACH_PIXELS, LAYER_GSD_M, PROBABILITIES, SCL
from python_udfs.extract.chips import Layer
from python_udfs.extract.lattice import read_row_of_cells, require_lattice
from python_udfs.extract.radiometry import Radiometry, require_percentages, require_reflectance, weigh
from python_udfs.extract.reader import NoAnswerError, Raster, RasterError, RasterReader, is_remote
from python_udfs.extract.strip import Product, Scene

_LOG = logging.getLogger(__name__)
_THREADS: Final = len(LAYER_GSD_M)  # one a layer


class UnreadableSceneError(Exception):
    """A raster of a scene cannot be used. The message names scene, asset and reason."""


class UnreadableBlocksError(UnreadableSceneError):
    """Some pixels of a raster cannot be read; others may be readable, unless a server gives no answer."""

    def __init__(self, message: str, is_unanswered: bool) -> None:
        super().__init__(message)
        self.is_unanswered = is_unanswered


@dataclass
class _OpenProduct:
    """The open rasters of a product by layer, with the meaning of their numbers, or why they cannot be used."""

    rasters: dict[str, Raster] = field(default_factory=dict)
    meanings: dict[str, Radiometry] = field(default_factory=dict)
    problem: str | None = None


class OpenScenes:
    """The products of scenes that a task has opened so far."""

    def __init__(self, reader: RasterReader) -> None:
        self._reader = reader
        self._products: dict[tuple[str, int], _OpenProduct] = {}  # by scene, and place among its products
        self._threads = ThreadPoolExecutor(_THREADS)  # starts threads when they are first used

    def close(self) -> None:
        """Close all rasters."""
        for product in self._products.values():
            for raster in product.rasters.values():
                raster.close()
        self._products.clear()
        self._threads.shutdown()

    def read(self, scene: Scene, place: int, names: list[str], epsg: int, row: int, cols: range) -> dict[str, Layer]:
        """Read a row of cells from every layer of a product of a scene.

        Args:
            scene: the scene.
            place: which of its products; it is opened if the task has not opened it yet.
            names: layers to read besides SCL; those without an asset are left out.
            epsg: UTM zone of the cells.
            row: row of the cells in the grid.
            cols: columns of the cells in the grid, step 1.

        Returns:
            Name of a layer to its numbers, scl among them.

        Raises:
            UnreadableBlocksError: some pixels cannot be read.
            UnreadableSceneError: a raster cannot be opened, does not lie on the grid, or contradicts its item.
        """
        product = self._open(scene, place, names, epsg)
        rasters, hrefs = product.rasters, scene.products[place].hrefs

        def read_layer(name: str) -> Layer:
            raster = rasters[name]
            # Clouds beyond the edge of the cells count for cloud_distance.
            halo = CLOUD_REACH_PIXELS if name == SCL else 0
            try:
                layer = Layer(*read_row_of_cells(raster, row, cols, halo), product.meanings[name])
                if name in PROBABILITIES:
                    require_percentages(layer.numbers, layer.meaning, layer.missing)
                elif name != SCL:
                    require_reflectance(layer.numbers, layer.meaning, layer.missing)
                return layer
            except RasterError as error:
                # The next strip tries again: the content of a chip must not depend on how strips are put into tasks.
                message = f"{scene.scene_id} asset {name} cannot be read: {error} {_file(hrefs[name])}"
                raise UnreadableBlocksError(message, isinstance(error, NoAnswerError)) from None

        # Requests to a server overlap. A disk is not faster with several threads.
        if not any(map(is_remote, hrefs.values())):
            return {name: read_layer(name) for name in rasters}
        futures = {name: self._threads.submit(read_layer, name) for name in rasters}
        # Wait for all of them even if one fails: the caller may read again at once, and two threads must not read
        # one raster at the same time.
        wait(futures.values())
        return {name: future.result() for name, future in futures.items()}

    def _open(self, scene: Scene, place: int, names: list[str], epsg: int) -> _OpenProduct:
        key = scene.scene_id, place
        if key not in self._products:
            self._products[key] = self._open_rasters(scene.scene_id, scene.products[place], names, epsg)
        opened = self._products[key]
        if opened.problem is not None:
            raise UnreadableSceneError(opened.problem)
        return opened

    def _open_rasters(self, scene_id: str, product: Product, names: list[str], epsg: int) -> _OpenProduct:
        opened = _OpenProduct()
        for name in (*names, SCL):
            if name not in product.hrefs:
                continue
            href = product.hrefs[name]
            try:
                raster = opened.rasters[name] = self._reader.open(href)
                require_lattice(raster.info, epsg, LAYER_GSD_M[name])
                opened.meanings[name] = weigh(product, name, raster.info)
            except RasterError as error:
                _LOG.warning("%s: %s", href, error)
                opened.problem = f"{scene_id} asset {name} cannot be used: {error} {_file(href)}"
                return opened
        if SCL not in opened.rasters:
            opened.problem = f"{scene_id} has no asset scl"
        return opened


def _file(href: str) -> str:
    """Return the name of a raster's file for an error: the last part of its address, without signature."""
    return f"(file {href.partition('?')[0].rstrip('/').rpartition('/')[2]})"
