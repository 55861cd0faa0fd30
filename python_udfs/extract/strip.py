"""A strip, the unit of work of cutting: one row of grid cells of one datatake, and the scenes that touch them."""

from __future__ import annotations

from pydantic import BaseModel


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
    chip: str  # the other columns of the chip, handed through
    col: int
    scene_ids: list[str]
    whole_scene_ids: list[str]  # the scenes in which the cell lies whole


class Strip(BaseModel):
    """A row of grid cells of one datatake, all in one UTM zone."""

    epsg: int
    row: int
    bands: list[str]  # bands to cut; the columns of other bands are null
    valid_scl_classes: list[int]
    scenes: list[Scene]
    cells: list[Cell]
