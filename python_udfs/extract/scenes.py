"""The open rasters of a task: each raster is opened once, and a scene that cannot be opened is not tried again."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CLOUD_REACH_PIXELS, SCL
from python_udfs.extract.chips import Layer
from python_udfs.extract.lattice import read_row_of_cells, require_lattice
from python_udfs.extract.reader import NoAnswerError, Raster, RasterError, RasterReader, is_remote
from python_udfs.extract.strip import Scene

_LOG = logging.getLogger(__name__)
_THREADS: Final = len(BAND_NAMES) + 1  # one a layer


class UnreadableSceneError(Exception):
    """A raster of a scene cannot be read, or does not lie on the grid. The message names scene, asset and reason."""


class UnreadableBlocksError(UnreadableSceneError):
    """Some pixels of a raster cannot be read; others may be readable, unless a server gives no answer."""

    def __init__(self, message: str, is_unanswered: bool) -> None:
        super().__init__(message)
        self.is_unanswered = is_unanswered


@dataclass
class _OpenScene:
    """The open rasters of a scene by layer, or why they could not be opened."""

    rasters: dict[str, Raster] = field(default_factory=dict)
    problem: str | None = None


class OpenScenes:
    """The scenes that a task has opened so far."""

    def __init__(self, reader: RasterReader) -> None:
        self._reader = reader
        self._scenes: dict[str, _OpenScene] = {}
        self._threads = ThreadPoolExecutor(_THREADS)  # starts threads when they are first used

    def close(self) -> None:
        """Close all rasters."""
        for scene in self._scenes.values():
            for raster in scene.rasters.values():
                raster.close()
        self._scenes.clear()
        self._threads.shutdown()

    def read(self, scene: Scene, bands: list[str], epsg: int, row: int, cols: range) -> dict[str, Layer]:
        """Read a row of cells from every layer of a scene.

        Args:
            scene: the scene; it is opened if the task has not opened it yet.
            bands: bands to read; those without an asset are left out.
            epsg: UTM zone of the cells.
            row: row of the cells in the grid.
            cols: columns of the cells in the grid, step 1.

        Returns:
            Band name, and scl, to its layer.

        Raises:
            UnreadableBlocksError: some pixels cannot be read.
            UnreadableSceneError: a raster cannot be opened, or does not lie on the grid.
        """
        rasters = self._open(scene, bands, epsg)

        def read_layer(name: str) -> Layer:
            raster = rasters[name]
            # Clouds beyond the edge of the cells count for cloud_distance.
            halo = CLOUD_REACH_PIXELS if name == SCL else 0
            try:
                return Layer(read_row_of_cells(raster, row, cols, halo), raster.info.nodata)
            except RasterError as error:
                # The next strip tries again: the content of a chip must not depend on how strips are put into tasks.
                message = f"{scene.scene_id} asset {name} cannot be read: {error}"
                raise UnreadableBlocksError(message, isinstance(error, NoAnswerError)) from None

        # Requests to a server overlap. A disk is not faster with several threads.
        if not any(map(is_remote, scene.hrefs.values())):
            return {name: read_layer(name) for name in rasters}
        futures = {name: self._threads.submit(read_layer, name) for name in rasters}
        # Wait for all of them even if one fails: the caller may read again at once, and two threads must not read
        # one raster at the same time.
        wait(futures.values())
        return {name: future.result() for name, future in futures.items()}

    def _open(self, scene: Scene, bands: list[str], epsg: int) -> dict[str, Raster]:
        if scene.scene_id not in self._scenes:
            self._scenes[scene.scene_id] = self._open_rasters(scene, bands, epsg)
        opened = self._scenes[scene.scene_id]
        if opened.problem is not None:
            raise UnreadableSceneError(opened.problem)
        return opened.rasters

    def _open_rasters(self, scene: Scene, bands: list[str], epsg: int) -> _OpenScene:
        opened = _OpenScene()
        for name in (*bands, SCL):
            if name not in scene.hrefs:
                continue
            href = scene.hrefs[name]
            try:
                raster = opened.rasters[name] = self._reader.open(href)
                require_lattice(raster.info, epsg, 20 if name == SCL else BAND_BY_NAME[name].gsd)
            except RasterError as error:
                _LOG.warning("%s: %s", href, error)
                opened.problem = f"{scene.scene_id} asset {name} cannot be used: {error}"
                return opened
        if SCL not in opened.rasters:
            opened.problem = f"{scene.scene_id} has no asset scl"
        return opened
