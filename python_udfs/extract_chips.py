"""Table function `extract_chips`: the pixels of scenes, cut into the chips of the grid.

Its unit of work is a strip: one row of grid cells of one scene, its home. The strips of a task come from north to
south and end where the scene's blocks do, so every COG is opened once a task and its blocks are decoded once, in file
order; only where a chip lies across the end of a task, once more by the next.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import BaseModel
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lakehouse.bands import (
    BAND_BY_NAME,
    BAND_NAMES,
    CHIP_PIXELS_10M,
    CHIP_PIXELS_20M,
    CHIP_SIZE_M,
    CLOUD_REACH_PIXELS,
    SCL,
    VALUE_PER_REFLECTANCE,
)
from lakehouse.redaction import without_secrets
from lakehouse.settings import get_settings
from lakehouse.signing import load_signer, without_signature
from python_udfs.codec import encode_array
from python_udfs.masks import CLOUD_CLASSES, any_of_four, class_table, cloud_distance, data_mask, to_10m

_LOG = logging.getLogger(__name__)

# Only raster files: a VRT or a web service description from an item could name any other file or address.
_GEOTIFF: Final = "GTiff"
_JPEG2000: Final = "JP2OpenJPEG"
_READERS: Final = len(BAND_NAMES) + 1  # one a layer
_NO_ANSWER: Final = "got 0 bytes"  # GDAL, of a block of which a server sent nothing
_SCL_NODATA: Final = 0

EXTRACTED_CHIP: Final = (
    "chip string, "
    + ", ".join(f"{name} binary" for name in BAND_NAMES)
    + ", scl binary, cloud_distance binary, valid_fraction double, cloud_fraction double, nodata_fraction double, "
    + "error string"
)


class Scene(BaseModel):
    """A scene of the datatake, as int_scenes has it."""

    scene_id: str
    mgrs_tile: str
    scale: float  # reflectance per DN
    boa_offset: int  # DN to add before scaling, -1000 or 0
    hrefs: dict[str, str]  # band name, or scl, to the address of its raster


class Cell(BaseModel):
    """A chip to cut: a cell of the strip's row and the scenes that touch it."""

    chip_id: str
    chip: str  # the chip's other columns, handed through
    col: int
    scene_ids: list[str]
    whole_scene_ids: list[str]  # those in which the cell lies whole


class Strip(BaseModel):
    """A row of grid cells of one datatake, all in one UTM zone."""

    epsg: int
    row: int
    bands: list[str]  # bands to cut; the other columns are null
    valid_scl_classes: list[int]
    scenes: list[Scene]
    cells: list[Cell]


class UnreadableSceneError(Exception):
    """A raster of a scene cannot be read, or does not lie on the grid; the words say which and why."""


class UnreadableBlocksError(UnreadableSceneError):
    """Some pixels of a raster cannot be read."""

    def __init__(self, words: str, is_unanswered: bool) -> None:
        super().__init__(words)
        self.is_unanswered = is_unanswered  # a server did not send them: the next ones would be waited for in vain


@dataclass
class _OpenScene:
    """The open rasters of a scene, or why they could not be opened."""

    datasets: dict[str, rasterio.DatasetReader] = field(default_factory=dict)
    problem: str | None = None

    def close(self) -> None:
        for dataset in self.datasets.values():
            dataset.close()


@dataclass(frozen=True)
class Pixels:
    """What a chip is made of, before it is encoded."""

    bands: dict[str, NDArray[np.uint16]]  # (256, 256) or (128, 128), reflectance x 10,000, 0 = nodata
    scl: NDArray[np.uint8]  # (128, 128)
    cloud_distance: NDArray[np.uint8]  # (128, 128), 20 m pixels
    holds_data: NDArray[np.bool_]  # (256, 256)


def harmonise(dn: NDArray[Any], scale: float, boa_offset: int, nodata: float | None) -> NDArray[np.uint16]:
    """Turn digital numbers into reflectance x 10,000: (DN + offset) x scale x 10,000, at least 1 where valid.

    Source: Sentinel-2 products since processing baseline 04.00 (BOA_ADD_OFFSET = -1000, quantification 10,000).

    Returns:
        uint16 of the same shape; 0 where the DN is not above 0 or is `nodata`, and nowhere else.
    """
    gain = scale * VALUE_PER_REFLECTANCE
    is_unscaled = np.isclose(gain, 1.0, rtol=1e-9)
    if is_unscaled and dn.dtype == np.uint16 and -65_535 < boa_offset <= 0 and not nodata:
        # Nearly every raster: in its own type, many times as fast.
        return dn if boa_offset == 0 else (np.maximum(dn, 1 - boa_offset) - np.uint16(-boa_offset)) * (dn != 0)
    missing = ~(dn > 0)  # so that NaN is missing, too
    if nodata:
        missing |= dn == nodata
    if is_unscaled and dn.dtype.kind in "ui":
        values = np.clip(dn.astype(np.int32) + boa_offset, 1, 65_535)
    else:
        values = np.clip(np.rint((dn.astype(np.float64) + boa_offset) * gain), 1, 65_535)
    values[missing] = 0
    return values.astype(np.uint16)


def merge_pixels(candidates: list[Pixels]) -> Pixels:
    """One chip from several scenes of a datatake: each pixel from the first candidate that holds data there.

    Pixels that no candidate has stay as the first one has them. A 20 m pixel comes from the first candidate
    that holds data in any of its four 10 m pixels. The nearest cloud is that of all candidates.
    """
    first = candidates[0]
    if len(candidates) == 1:
        return first
    names = [name for name in BAND_NAMES if any(name in candidate.bands for candidate in candidates)]
    bands = {name: first.bands[name].copy() if name in first.bands else _no_pixels(name) for name in names}
    scl, holds = first.scl.copy(), first.holds_data.copy()
    holds_20m = any_of_four(holds)
    for candidate in candidates[1:]:
        take = candidate.holds_data & ~holds
        take_20m = any_of_four(candidate.holds_data) & ~holds_20m
        for name in names:
            if name in candidate.bands:
                where = take if BAND_BY_NAME[name].gsd == 10 else take_20m
                np.copyto(bands[name], candidate.bands[name], where=where)
        np.copyto(scl, candidate.scl, where=take_20m)
        holds |= take
        holds_20m |= take_20m
    # Judged by what came out: a candidate may lack a band that another has, or give a pixel its 20 m bands alone.
    distance = np.minimum.reduce([candidate.cloud_distance for candidate in candidates])
    return Pixels(bands, scl, distance, data_mask(bands, scl != _SCL_NODATA))


def _no_pixels(band: str) -> NDArray[np.uint16]:
    return np.zeros((BAND_BY_NAME[band].pixels,) * 2, np.uint16)


class ExtractChips:
    """Cut the chips of one strip of grid cells out of the scenes of one datatake.

    Takes rows with one column `strip`, the JSON of a `Strip`; partition by task, order from north to south.
    Gives one row a chip. A chip one of whose rasters cannot be read has an `error` and no pixels.
    """

    def __init__(self) -> None:
        self._scenes: dict[str, _OpenScene] = {}
        self._readers = ThreadPoolExecutor(_READERS)  # starts no thread before it is asked to

    def eval(self, row: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the chips of one strip."""
        strip = Strip.model_validate_json(row["strip"])
        problems: dict[str, list[str]] = {}
        pieces: dict[str, list[tuple[tuple[Any, ...], Pixels]]] = {}
        valid = class_table(strip.valid_scl_classes)
        for scene in strip.scenes:
            cells = [cell for cell in strip.cells if scene.scene_id in cell.scene_ids]
            for cell, pixels in self._read_cells(scene, strip, cells):
                if isinstance(pixels, UnreadableSceneError):
                    problems.setdefault(cell.chip_id, []).append(str(pixels))
                    continue
                is_partial = scene.scene_id not in cell.whole_scene_ids
                # Rule 3: the tile in which the cell lies whole, then the valid share, then the tile's name.
                valid_share = _valid_mask(pixels, valid).mean() if len(cell.scene_ids) > 1 else 0.0
                order = (is_partial, -valid_share, scene.mgrs_tile, scene.scene_id)
                pieces.setdefault(cell.chip_id, []).append((order, pixels))
        for cell in strip.cells:
            if cell.chip_id in problems:
                yield _error_row(cell.chip, "; ".join(problems[cell.chip_id]))
                continue
            candidates = sorted(pieces[cell.chip_id], key=lambda piece: piece[0])
            yield _chip_row(cell.chip, merge_pixels([pixels for _, pixels in candidates]), valid)

    def terminate(self) -> Iterator[tuple[Any, ...]]:
        """Close the rasters of the task."""
        for scene in self._scenes.values():
            scene.close()
        self._scenes.clear()
        self._readers.shutdown()
        return iter(())

    def _read_cells(
        self, scene: Scene, strip: Strip, cells: list[Cell]
    ) -> Iterator[tuple[Cell, Pixels | UnreadableSceneError]]:
        """Give each cell's pixels, or why they cannot be read."""
        if not cells:
            return
        try:
            opened = self._open(scene, strip)
            layers = self._read_layers(opened, scene, strip.row, cells)
        except UnreadableBlocksError as error:
            if len(cells) == 1 or error.is_unanswered:
                yield from ((cell, error) for cell in cells)
            else:
                # A damaged block is the trouble of the cells that lie in it, and of no others.
                for cell in cells:
                    yield from self._read_cells(scene, strip, [cell])
            return
        except UnreadableSceneError as error:
            yield from ((cell, error) for cell in cells)
            return
        wide_scl = layers.pop(SCL).astype(np.uint8)
        scl, distance = (_without_halo(layer) for layer in (wide_scl, cloud_distance(wide_scl)))
        bands = {
            name: harmonise(dn, scene.scale, scene.boa_offset, opened.datasets[name].nodata)
            for name, dn in layers.items()
        }
        holds_data = data_mask(bands, scl != _SCL_NODATA)
        first_col = min(cell.col for cell in cells)
        for cell in cells:
            index = cell.col - first_col
            yield (
                cell,
                Pixels(
                    {name: _cell_of(layer, index) for name, layer in bands.items()},
                    _cell_of(scl, index),
                    _cell_of(distance, index),
                    _cell_of(holds_data, index),
                ),
            )

    def _read_layers(self, opened: _OpenScene, scene: Scene, row: int, cells: list[Cell]) -> dict[str, NDArray[Any]]:
        """Read the pixels of all cells from the first column to the last, each layer in its own dtype."""
        first_col = min(cell.col for cell in cells)
        count = max(cell.col for cell in cells) - first_col + 1

        def read(name: str) -> NDArray[Any]:
            dataset = opened.datasets[name]
            try:
                # A cloud beyond the edge of the cells counts, too.
                halo = CLOUD_REACH_PIXELS if name == SCL else 0
                return _read_row_of_cells(dataset, row, first_col, count, halo)
            except (RasterioError, OSError, ValueError) as error:
                # Not kept for the strips to come: what a chip is must not hang on how tasks were cut.
                said = _first_cause(error)
                words = without_signature(said, dataset.name, scene.hrefs[name])
                is_unanswered = "://" in scene.hrefs[name] and _NO_ANSWER in said
                raise UnreadableBlocksError(
                    f"{scene.scene_id} asset {name} cannot be read: {words}", is_unanswered
                ) from None

        # A server's answers are waited for side by side; a disk gives no faster for being asked so.
        if not any("://" in href for href in scene.hrefs.values()):
            return {name: read(name) for name in opened.datasets}
        answers = {name: self._readers.submit(read, name) for name in opened.datasets}
        # All of them, if one fails, too: two threads must not read one dataset, and it may be read again at once.
        wait(answers.values())
        return {name: answer.result() for name, answer in answers.items()}

    def _open(self, scene: Scene, strip: Strip) -> _OpenScene:
        """Open the rasters of a scene once a task; a scene that fails is not tried again by the task.

        Raises:
            UnreadableSceneError: a raster cannot be opened, or does not lie on the grid.
        """
        if scene.scene_id not in self._scenes:
            self._open_anew(scene, strip)
        opened = self._scenes[scene.scene_id]
        if opened.problem is not None:
            raise UnreadableSceneError(opened.problem)
        return opened

    def _open_anew(self, scene: Scene, strip: Strip) -> None:
        opened = self._scenes[scene.scene_id] = _OpenScene()
        wanted = [name for name in (*strip.bands, SCL) if name in scene.hrefs]
        for name in wanted:
            href = scene.hrefs[name]
            gsd = 20 if name == SCL else BAND_BY_NAME[name].gsd
            try:
                dataset = _open_raster(href)
                opened.datasets[name] = dataset
                _require_lattice(dataset, strip.epsg, gsd)
            except (RasterioError, OSError, ValueError) as error:
                _LOG.warning("%s: %s", href, error)
                opened.problem = f"{scene.scene_id} asset {name} cannot be used: {error}"
                break
        if opened.problem is None and SCL not in opened.datasets:
            opened.problem = f"{scene.scene_id} has no asset scl"


def _first_cause(error: BaseException) -> str:
    """What went wrong first, in GDAL's words: rasterio's own only point there."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def _open_raster(href: str) -> rasterio.DatasetReader:
    """Open a raster at its address, signed if the provider asks for it.

    Raises:
        RasterioError, OSError: it cannot be signed or opened; the words do not hold the signature.
    """
    try:
        signed = load_signer(get_settings().href_signer)(href)
    except Exception as error:  # whatever a signer of the user's own raises
        words = without_secrets(f"{type(error).__name__}: {error}")
        raise OSError(f"its address cannot be signed: {words}") from None
    try:
        return rasterio.open(signed, driver=_JPEG2000 if _is_jpeg2000(href) else _GEOTIFF)
    except (RasterioError, OSError) as error:
        raise OSError(without_signature(str(error), signed, href)) from None


def _is_jpeg2000(href: str) -> bool:
    return href.split("?", 1)[0].lower().endswith(".jp2")


def _require_lattice(dataset: rasterio.DatasetReader, epsg: int, gsd: int) -> None:
    """Raise ValueError if the raster's pixels are not those of the grid: no resampling is ever done."""
    t = dataset.transform
    if dataset.crs is None or dataset.crs.to_epsg() != epsg:
        raise ValueError(f"its CRS is {dataset.crs}, not EPSG:{epsg}")
    if (t.a, t.b, t.d, t.e) != (gsd, 0, 0, -gsd) or t.c % gsd or t.f % gsd:
        raise ValueError(f"its transform {tuple(t)[:6]} is not on the {gsd} m lattice of EPSG:{epsg}")


def _read_row_of_cells(
    dataset: rasterio.DatasetReader, row: int, first_col: int, count: int, halo: int
) -> NDArray[Any]:
    """Read `count` cells side by side and `halo` pixels around them; what lies outside of the raster is 0.

    Returns:
        (side + 2 halo, side x count + 2 halo) in the raster's own dtype, native byte order.
    """
    gsd = round(dataset.transform.a)
    side = CHIP_SIZE_M // gsd
    left = (first_col * CHIP_SIZE_M - round(dataset.transform.c)) // gsd - halo
    top = (round(dataset.transform.f) - (row + 1) * CHIP_SIZE_M) // gsd - halo
    height, width = side + 2 * halo, side * count + 2 * halo
    out = np.zeros((height, width), dtype=np.dtype(dataset.dtypes[0]).newbyteorder("="))
    x0, x1 = max(left, 0), min(left + width, dataset.width)
    y0, y1 = max(top, 0), min(top + height, dataset.height)
    if x0 < x1 and y0 < y1:
        inside = out[y0 - top : y1 - top, x0 - left : x1 - left]
        dataset.read(1, window=Window(x0, y0, x1 - x0, y1 - y0), out=inside)
    return out


def _cell_of(layer: NDArray[Any], index: int) -> NDArray[Any]:
    side = layer.shape[0]
    return layer[:, index * side : (index + 1) * side]


def _without_halo(layer: NDArray[Any]) -> NDArray[Any]:
    return layer[CLOUD_REACH_PIXELS:-CLOUD_REACH_PIXELS, CLOUD_REACH_PIXELS:-CLOUD_REACH_PIXELS]


def _valid_mask(pixels: Pixels, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = pixels.holds_data & to_10m(valid[pixels.scl])
    return mask


def _chip_row(chip: str, pixels: Pixels, valid: NDArray[np.bool_]) -> tuple[Any, ...]:
    cloudy = class_table(CLOUD_CLASSES)[pixels.scl]
    return (
        chip,
        *(encode_array(pixels.bands[name]) if name in pixels.bands else None for name in BAND_NAMES),
        encode_array(pixels.scl),
        encode_array(pixels.cloud_distance),
        _share(_valid_mask(pixels, valid)),
        _share(cloudy),
        1.0 - _share(pixels.holds_data),
        None,
    )


def _share(mask: NDArray[np.bool_]) -> float:
    """Share of a mask's pixels that are true; exact, as the pixel counts are powers of two."""
    return int(np.count_nonzero(mask)) / mask.size


def _error_row(chip: str, error: str) -> tuple[Any, ...]:
    return (chip, *([None] * (len(BAND_NAMES) + 2)), None, None, None, error)


assert CHIP_PIXELS_10M == 2 * CHIP_PIXELS_20M  # what masks.to_10m relies on
