"""Writes a synthetic archive: a folder of COGs and a STAC item for each scene."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiplake.synthetic.cog import write_cog
from chiplake.synthetic.ground import Ground, coarsen, make_ground, palette, site_centre
from chiplake.synthetic.items import TilePass, file_name, make_item, sun_of
from chiplake.synthetic.noise import Grid
from chiplake.synthetic.sky import Sky, make_sky
from chiplake.synthetic.spec import ArchiveSpec, Overpass, SwathEdge, TileWindow
from chiplake.synthetic.view import SCL_NODATA, classify, reflectance
from lakehouse.bands import BAND_BY_NAME, CHIP_SIZE_M, LAYER_GSD_M, SCL

BOA_OFFSET: Final = 1000  # added to reflectance x 10,000 where the product's offset is not applied yet
MIN_CHANGED_SHARE: Final = 0.25  # a cell counts as changed from this share of its area on


@dataclass(frozen=True)
class PlantedChange:
    """The one real change in an archive: a flood."""

    day: date  # of the first pass that sees it
    easting: float  # of its middle, metres
    northing: float  # of its middle, metres
    shares: Mapping[str, float]  # changed share of each cell it touches, by cell_id

    @property
    def cell_ids(self) -> tuple[str, ...]:
        """The cells that count as changed, sorted."""
        return tuple(sorted(cell for cell, share in self.shares.items() if share >= MIN_CHANGED_SHARE))


@dataclass(frozen=True)
class Scene:
    """One written scene."""

    item_id: str
    tile: str  # without T
    day: date
    item_path: Path  # item JSON with hrefs relative to itself
    rasters: Mapping[str, Path]  # COG by band name, and scl
    offset: int  # number that the pixels have added to reflectance x 10,000


@dataclass(frozen=True)
class Archive:
    """A written archive."""

    root: Path
    items_path: Path  # ItemCollection with absolute hrefs
    scenes: tuple[Scene, ...]  # by day, then tile
    cell_ids: tuple[str, ...]  # every grid cell that a scene touches
    change: PlantedChange | None


@dataclass(frozen=True)
class _View:
    """The view of one pass on the whole archive. Tiles are cut from it, so that they agree where they overlap."""

    ground: Mapping[int, Ground]  # by pixel side, 10 and 20 m
    sky: Sky
    scl: NDArray[np.uint8]  # 20 m, 0 outside the swath
    colours: NDArray[np.float32]
    flooded: bool


def write_archive(spec: ArchiveSpec, out_dir: Path, on_scene: Callable[[str], None] = lambda _item_id: None) -> Archive:
    """Write every scene of the archive into its own folder, and `items.json`; replace existing files.

    Args:
        spec: the contents.
        out_dir: the archive's folder; it is made if it does not exist.
        on_scene: called with the item id after each scene, for a progress bar.
    """
    root = out_dir.resolve()
    root.mkdir(parents=True, exist_ok=True)
    river = spec.middle_northing if spec.flooded_cell is None else site_centre(spec.flooded_cell)[1]
    fine = make_ground(spec.grid, spec.seed, river, spec.flooded_cell)
    ground = {10: fine, 20: coarsen(fine)}
    scenes = []
    items = []
    for overpass in spec.passes:
        view = _look(spec, overpass, ground)
        images = {band: _image(view, band) for band in spec.bands} | {SCL: view.scl}
        for number, window in enumerate(spec.windows):
            scene, item = _write_scene(TilePass(spec, overpass, window, number), images, root)
            scenes.append(scene)
            items.append(_with_absolute_hrefs(item, scene.item_path.parent))
            on_scene(scene.item_id)
    items_path = root / "items.json"
    _write_json(items_path, {"type": "FeatureCollection", "features": items})
    return Archive(root, items_path, tuple(scenes), spec.cell_ids(), _planted_change(spec, fine))


def _look(spec: ArchiveSpec, overpass: Overpass, ground: Mapping[int, Ground]) -> _View:
    number = spec.passes.index(overpass)
    grid = spec.grid.coarsened()
    has_clear_site = spec.flooded_cell is not None and overpass.clear_site
    sky = make_sky(
        grid,
        seed=spec.seed * 1000 + 100 * number + 500,
        cloud_share=overpass.cloud_share,
        cirrus_share=overpass.cirrus_share,
        sun=sun_of(overpass),
        clear_site=site_centre(spec.flooded_cell) if has_clear_site and spec.flooded_cell else None,
    )
    flooded = spec.is_flooded(overpass)
    scl = classify(ground[20], sky, flooded)
    if overpass.swath_edge is not None:
        scl[_beyond(overpass.swath_edge, spec.middle_northing, grid)] = SCL_NODATA
    gain = 1 + 0.008 * float(np.sin(1.7 * number))  # the error that an atmospheric correction leaves
    days = (overpass.day - spec.passes[0].day).days
    return _View(ground, sky, scl, palette(days, gain), flooded)


def _beyond(edge: SwathEdge, middle_northing: float, grid: Grid) -> NDArray[np.bool_]:
    """Return the pixels outside the swath, (rows, cols)."""
    line = edge.easting + np.tan(np.radians(edge.tilt)) * (grid.northings - middle_northing)
    return np.asarray(grid.eastings > line, dtype=np.bool_)


def _image(view: _View, band: str) -> NDArray[np.uint16]:
    """Reflectance x 10,000 of one band over the whole archive, 0 where SCL has no data."""
    gsd = BAND_BY_NAME[band].gsd
    image = reflectance(view.ground[gsd], view.sky, view.colours, band, view.flooded)
    has_data = view.scl != SCL_NODATA
    times = 20 // gsd
    image *= has_data.repeat(times, axis=0).repeat(times, axis=1)
    return image


def _write_scene(tile_pass: TilePass, images: Mapping[str, NDArray[Any]], root: Path) -> tuple[Scene, dict[str, Any]]:
    """Cut a tile's window out of a pass and write it; returns the item as written, with relative hrefs."""
    spec, window = tile_pass.spec, tile_pass.window
    folder = root / tile_pass.item_id
    folder.mkdir(exist_ok=True)
    offset = BOA_OFFSET if tile_pass.has_offset else 0
    rasters = {}
    for name, image in images.items():
        pixels = _cut(spec, window, image)
        if name != SCL and offset:
            pixels = np.where(pixels > 0, pixels + np.uint16(offset), pixels)
        rasters[name] = folder / file_name(name)
        write_cog(rasters[name], pixels, spec.epsg, (window.west, window.north), LAYER_GSD_M[name], spec.block_size)
    item_path = folder / f"{tile_pass.item_id}.json"
    item = make_item(tile_pass, _cut(spec, window, images[SCL]))
    _write_json(item_path, item)
    return Scene(tile_pass.item_id, window.tile, tile_pass.overpass.day, item_path, rasters, offset), item


def _cut(spec: ArchiveSpec, window: TileWindow, image: NDArray[Any]) -> NDArray[Any]:
    gsd = spec.grid.gsd * spec.grid.rows // image.shape[0]
    top, left = (spec.grid.north - window.north) // gsd, (window.west - spec.grid.west) // gsd
    return image[top : top + window.height // gsd, left : left + window.width // gsd]


def _with_absolute_hrefs(item: dict[str, Any], folder: Path) -> dict[str, Any]:
    assets = {name: asset | {"href": str(folder / asset["href"])} for name, asset in item["assets"].items()}
    return item | {"assets": assets}


def _planted_change(spec: ArchiveSpec, ground: Ground) -> PlantedChange | None:
    if spec.flooded_cell is None or spec.change_day is None:
        return None
    rows, cols = np.nonzero(ground.flood)
    col = (spec.grid.west + 10 * cols) // CHIP_SIZE_M
    row = (spec.grid.north - 10 * rows - 10) // CHIP_SIZE_M
    cells, counts = np.unique(np.stack([col, row]), axis=1, return_counts=True)
    shares = {
        f"{spec.epsg}_{cell[0]}_{cell[1]}": float(count) / (CHIP_SIZE_M // 10) ** 2
        for cell, count in zip(cells.T, counts, strict=True)
    }
    return PlantedChange(spec.change_day, *site_centre(spec.flooded_cell), shares=shares)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
