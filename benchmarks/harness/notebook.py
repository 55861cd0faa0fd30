"""What a notebook does with odc-stac and xarray: load the dates of an area, mask clouds by SCL, fill forwards in time.

And the same chips by Chiplake, from the same files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import odc.stac
import pystac
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio.warp import transform_geom

from chiplake.synthetic import write_cog
from harness.fills import NONE, RULES, Bands, of_band, rule_of
from harness.floors import VALID
from harness.holes import SIDE, TILE_CODES, TILE_DAYS, Case, read_scene
from harness.scenes import BLOCK_PIXELS, EPSG, TILE, TILE_NORTH, TILE_WEST
from harness.timing import cpu_s
from lakehouse.bands import BAND_NAMES, CHIP_SIZE_M, SCL
from python_udfs.codec import decode_array
from python_udfs.extract.cutter import ChipCutter
from python_udfs.fill.cell_fold import CellFold
from python_udfs.valid_pixels import Mask

BANDS: Final = tuple(TILE_CODES)
LOAD, FORWARDS, MEDIAN, CUT = "odc.stac.load", "xarray, mask and ffill", "xarray, mask and median", "Chiplake, cut"

COPIES: Final = 3  # of a date beside and below each other, for an area that is worth measuring
_EVEN_PX: Final = 914  # of the 915 of a date; a pixel of SCL is as wide as two
_HIGH_CLOUD: Final = 9  # class of SCL
_REPEATS: Final = 2

Row = dict[str, Any]


@dataclass(frozen=True)
class Area:
    """A square of whole chips: columns and rows of cells."""

    cols: range
    rows: range  # from south to north

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.cols) * len(self.rows)

    @property
    def geobox(self) -> GeoBox:
        """The grid of 10 m pixels."""
        west, south, east, north = (
            edge * CHIP_SIZE_M for edge in (self.cols.start, self.rows.start, self.cols.stop, self.rows.stop)
        )
        return GeoBox.from_bbox((west, south, east, north), f"EPSG:{EPSG}", resolution=10)


def whole_cells(copies: int = COPIES) -> Area:
    """Return the cells that lie whole in the scenes that `write_items` writes."""
    size = _EVEN_PX * copies * 10
    return Area(
        range(-(-TILE_WEST // CHIP_SIZE_M), (TILE_WEST + size) // CHIP_SIZE_M),
        range(-(-(TILE_NORTH - size) // CHIP_SIZE_M), TILE_NORTH // CHIP_SIZE_M),
    )


def write_items(sample: Path, folder: Path, copies: int = COPIES) -> list[Path]:
    """Write the dates of the tile as COGs with STAC items, oldest first.

    Pixels of 120 m are taken for pixels of 10 m; SCL has every second one. Each date is repeated to the east and south.

    Args:
        sample: with a folder of GeoTIFFs and an item a date.
        folder: to write to.
        copies: of a date in a row, and number of such rows.

    Returns:
        The files of the items.
    """
    return [_write_item(sample / name, folder / name, copies) for name in TILE_DAYS]


def load(items: Sequence[Path], geobox: GeoBox) -> xr.Dataset:
    """Load the bands and SCL of STAC items with odc-stac; SCL is brought to the grid of 10 m."""
    return odc.stac.load(
        [pystac.Item.from_file(str(path)) for path in items],
        bands=[*BANDS, SCL],
        geobox=geobox,
        groupby="solar_day",
    )


def corner_geobox() -> GeoBox:
    """Return the grid of a single copy of the dates, at the north-west corner."""
    side = _EVEN_PX * 10
    return GeoBox.from_bbox((TILE_WEST, TILE_NORTH - side, TILE_WEST + side, TILE_NORTH), f"EPSG:{EPSG}", resolution=10)


def masked(scenes: xr.Dataset) -> xr.Dataset:
    """Return the bands, NaN where the class of SCL is not valid or a band has no data."""
    bands = scenes[list(BANDS)]
    return bands.where(scenes[SCL].isin(VALID) & (bands != 0).to_dataarray().all("variable"))


def filled_forwards(scenes: xr.Dataset) -> xr.Dataset:
    """Return the bands of every date, each pixel that is not valid as it was when it was valid last."""
    return masked(scenes).ffill("time")


def median(scenes: xr.Dataset) -> xr.Dataset:
    """Return the median of the valid values of each pixel."""
    return masked(scenes).median("time")


def scenes_of(case: Case, scenes: xr.Dataset) -> xr.Dataset:
    """Return the chip of a hole from the dates of the tile, with a cloud in SCL in place of the hole.

    Args:
        case: a hole of the tile.
        scenes: its three dates, at the north-west corner.
    """
    top, left = case.place
    days = [*(night.day for night in case.earlier), case.night.day]
    chip = scenes.isel(y=slice(top, top + SIDE), x=slice(left, left + SIDE))
    chip = chip.sel(time=chip.time.dt.day.isin(days))
    clouded = chip[SCL].values.copy()
    clouded[-1][case.hole] = _HIGH_CLOUD
    return chip.assign({SCL: (chip[SCL].dims, clouded)})


def bands_of(pixels: xr.Dataset) -> Bands:
    """Return the pixels of one date in the form of a chip, NaN as 0."""
    return {name: np.nan_to_num(pixels[name].values).astype(np.uint16) for name in BANDS}


@dataclass
class Agreement:
    """Pixels of all bands, filled in two ways.

    Attributes:
        compared: pixels that have a value in both ways.
        different: those of them whose values differ.
        by_one: pixels that have a value in only one of them.
    """

    compared: int = 0
    different: int = 0
    by_one: int = 0

    def add(self, one: Bands, other: Bands, where: Mask) -> None:
        """Compare the pixels of a (256, 256) mask; 0 is no value."""
        for name, pixels in one.items():
            mask = of_band(where, name)
            a, b = pixels[mask], other[name][mask]
            both = (a > 0) & (b > 0)
            self.compared += int(np.count_nonzero(both))
            self.different += int(np.count_nonzero(a[both] != b[both]))
            self.by_one += int(np.count_nonzero((a > 0) != (b > 0)))


def seconds_of_files(items: Sequence[Path]) -> tuple[dict[str, float], Agreement]:
    """Measure the seconds of CPU time of each step, for all whole cells, and compare `none` with filling forwards.

    Args:
        items: files of STAC items, oldest first.

    Raises:
        SystemExit: a chip cannot be cut.
    """
    area = whole_cells()
    scenes, cells = load(items, area.geobox), cut(items, area)
    seconds = {
        LOAD: cpu_s(lambda: load(items, area.geobox), _REPEATS),
        FORWARDS: cpu_s(lambda: filled_forwards(scenes), _REPEATS),
        MEDIAN: cpu_s(lambda: median(scenes), _REPEATS),
        CUT: cpu_s(lambda: cut(items, area), _REPEATS),
    }
    for method in RULES:
        seconds[f"Chiplake, fill, {method}"] = cpu_s(partial(fold, cells, method), _REPEATS)
    return seconds, agreement_of_files(fold(cells, NONE), filled_forwards(scenes), area)


def cut(items: Sequence[Path], area: Area) -> list[list[Row]]:
    """Cut the chips of an area as a task of fct_chips does, and return the rows of each cell, oldest first."""
    cells: dict[str, list[Row]] = {}
    absent = dict.fromkeys(BAND_NAMES)
    for path in items:
        cutter = ChipCutter()
        for strip in _strips(path, area):
            for chip in cutter.cut(strip):
                if chip.error:
                    raise SystemExit(f"{path}: {chip.error}")
                cells.setdefault(chip.chip["cell_id"], []).append(absent | chip.as_row())
        cutter.close()
    return list(cells.values())


def fold(cells: Sequence[Sequence[Row]], method: str) -> list[list[Row]]:
    """Fill the chips of each cell as a task of fct_filled_chips does, and return their rows.

    Args:
        cells: as `cut` returns them.
        method: one that fills.
    """
    return [list(_fold_cell(chips, method)) for chips in cells]


def agreement_of_files(filled: Sequence[Sequence[Row]], forwards: xr.Dataset, area: Area) -> Agreement:
    """Compare all pixels of filled chips with those that xarray has filled forwards.

    Args:
        filled: rows of each cell, as `fold` returns them.
        forwards: the same dates and area.
        area: of both.
    """
    found, everywhere = Agreement(), np.ones((SIDE, SIDE), np.bool_)
    for chips in filled:
        for number, chip in enumerate(chips):
            top = (area.rows.stop - 1 - chip["cell_row"]) * SIDE
            left = (chip["cell_col"] - area.cols.start) * SIDE
            pixels = forwards.isel(time=number, y=slice(top, top + SIDE), x=slice(left, left + SIDE))
            found.add({name: decode_array(chip[name], "uint16", SIDE) for name in BANDS}, bands_of(pixels), everywhere)
    return found


def _fold_cell(chips: Sequence[Row], method: str) -> Iterator[Row]:
    cell = CellFold(rule_of(method))
    for chip in chips:
        cell.add(chip)
        yield cell.filled({name: chip[name] for name in ("chip_id", "cell_row", "cell_col")})


def _write_item(sample: Path, folder: Path, copies: int) -> Path:
    item = json.loads((sample / f"{sample.name}.json").read_text())
    folder.mkdir(parents=True)
    assets, size = {}, _EVEN_PX * copies * 10
    for name, pixels in read_scene(sample).items():
        step = 2 if name == SCL else 1
        copied = np.tile(pixels[:_EVEN_PX:step, :_EVEN_PX:step], (copies, copies))
        path = folder / f"{name}.tif"
        write_cog(path, copied, EPSG, (TILE_WEST, TILE_NORTH), 10 * step, BLOCK_PIXELS)
        grid = {
            "proj:shape": list(copied.shape),
            "proj:transform": [10 * step, 0, TILE_WEST, 0, -10 * step, TILE_NORTH],
        }
        assets[name] = {**item["assets"][name], "href": str(path), **grid}
    west, south, east, north = TILE_WEST, TILE_NORTH - size, TILE_WEST + size, TILE_NORTH
    ring = [[[west, south], [east, south], [east, north], [west, north], [west, south]]]
    geometry: Any = transform_geom(f"EPSG:{EPSG}", "EPSG:4326", {"type": "Polygon", "coordinates": ring})
    longitudes, latitudes = zip(*geometry["coordinates"][0], strict=True)
    bbox = [min(longitudes), min(latitudes), max(longitudes), max(latitudes)]
    path = folder / f"{sample.name}.json"
    path.write_text(json.dumps({**item, "geometry": geometry, "bbox": bbox, "assets": assets, "links": []}))
    return path


def _strips(path: Path, area: Area) -> Iterator[Row]:
    """Yield the rows of macro `cut_plan` for an item, from north to south."""
    item = json.loads(path.read_text())
    name, acquired_at = item["id"], datetime.fromisoformat(item["properties"]["datetime"])
    product = {
        "item_id": name,
        "hrefs": {layer: asset["href"] for layer, asset in item["assets"].items()},
        "scale": 0.0001,
        "is_scale_stated": True,
        "boa_offset": 0,  # applied already
        "boa_offset_reason": "earthsearch:boa_offset_applied",
        "data_type": "uint16",
        "nodata": dict.fromkeys(item["assets"], 0.0),
    }
    for row in reversed(area.rows):
        cells = [
            {
                "chip": {
                    **{"chip_id": f"{name} {col} {row}", "cell_id": f"{col} {row}", "cell_col": col, "cell_row": row},
                    "acquired_at": acquired_at,
                },
                "cell_col": col,
                "scene_ids": [name],
                "whole_scene_ids": [name],
            }
            for col in area.cols
        ]
        yield {
            "epsg": EPSG,
            "cell_row": row,
            "bands": list(BANDS),
            "probabilities": False,
            "valid_scl_classes": list(VALID),
            "scenes": [{"scene_id": name, "mgrs_tile": TILE, "products": [product]}],
            "cells": cells,
        }
