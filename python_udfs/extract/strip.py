"""A strip, the unit of work of cutting: one row of grid cells of one datatake, and the scenes that touch them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scene:
    """A scene of the datatake, as int_scenes has it."""

    scene_id: str
    mgrs_tile: str
    scale: float  # reflectance per DN
    boa_offset: int  # DN to add before scaling, -1000 or 0
    hrefs: dict[str, str]  # band name, or scl, to the address of its raster


@dataclass(frozen=True)
class Cell:
    """A chip to cut: a cell of the strip's row and the scenes that touch it."""

    chip_id: str
    chip: dict[str, Any]  # the columns that identify the chip, returned unchanged
    col: int
    scene_ids: list[str]
    whole_scene_ids: list[str]  # the scenes in which the cell lies whole


@dataclass(frozen=True)
class Strip:
    """A row of grid cells of one datatake, all in one UTM zone."""

    epsg: int
    row: int
    bands: list[str]  # bands to cut; the columns of other bands are null
    valid_scl_classes: list[int]
    scenes: list[Scene]
    cells: list[Cell]


def strip_of(row: Any) -> Strip:
    """Read a strip from a row of macro `cut_plan`, a `pyspark.sql.Row` with rows inside."""
    return Strip(
        epsg=row["epsg"],
        row=row["cell_row"],
        bands=row["bands"],
        valid_scl_classes=row["valid_scl_classes"],
        scenes=[Scene(**scene.asDict()) for scene in row["scenes"]],
        cells=[_cell_of(cell) for cell in row["cells"]],
    )


def _cell_of(cell: Any) -> Cell:
    chip = cell["chip"].asDict()
    return Cell(chip["chip_id"], chip, cell["cell_col"], cell["scene_ids"], cell["whole_scene_ids"])
