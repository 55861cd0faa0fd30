"""A strip, the unit of work of cutting: one row of grid cells of one datatake, and the scenes that touch them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lakehouse.bands import PROBABILITIES
from python_udfs.chip_columns import CHIP_COLUMNS

_PRODUCT: Final = (
    "item_id: string, hrefs: map<string, string>, scale: double, is_scale_stated: boolean, boa_offset: int, "
    "boa_offset_reason: string, data_type: string, nodata: map<string, double>"
)
# The columns of macro `cut_plan`, Spark DDL.
STRIP: Final = (
    "task_id string, epsg int, cell_row int, bands array<string>, probabilities boolean, "
    "valid_scl_classes array<int>, "
    f"scenes array<struct<scene_id: string, mgrs_tile: string, products: array<struct<{_PRODUCT}>>>>, "
    f"cells array<struct<chip: struct<{CHIP_COLUMNS}, source_hash: string>, cell_col: int, "
    "scene_ids: array<string>, whole_scene_ids: array<string>>>"
)


@dataclass(frozen=True)
class Product:
    """The rasters of a scene as one STAC item gives them, and what the item says about their numbers."""

    item_id: str
    hrefs: dict[str, str]  # name of a layer to the address of its raster
    scale: float  # reflectance per number
    is_scale_stated: bool | None  # False: item and header say nothing; None: a row of an older release
    boa_offset: int  # number to add before scaling, -1000 or 0; of floats in units of 0.0001
    boa_offset_reason: str  # what decided it
    data_type: str | None  # of the bands, if the item states it: uint16
    nodata: dict[str, float] | None  # name of a layer to the nodata value that the item states


@dataclass(frozen=True)
class Scene:
    """A scene of the datatake, as int_scenes has it."""

    scene_id: str
    mgrs_tile: str
    products: list[Product]  # the scene's own, then its copies in other collections, which have the same pixels


@dataclass(frozen=True)
class Cell:
    """A chip to cut: a cell of the strip's row and the scenes that touch it."""

    chip_id: str
    chip: dict[str, Any]  # the columns that identify the chip, returned unchanged
    col: int
    scene_ids: list[str]  # in the order of item_ids and boa_offsets of the chip
    whole_scene_ids: list[str]  # the scenes in which the cell lies whole


@dataclass(frozen=True)
class Strip:
    """A row of grid cells of one datatake, all in one UTM zone."""

    epsg: int
    row: int
    bands: list[str]  # bands to cut; the columns of other bands are null
    has_probabilities: bool  # chips get the cloud and snow probabilities of scenes that have them
    valid_scl_classes: list[int]
    scenes: list[Scene]
    cells: list[Cell]

    @property
    def layers(self) -> list[str]:
        """The layers to cut besides SCL."""
        return [*self.bands, *PROBABILITIES] if self.has_probabilities else self.bands


def strip_of(row: Mapping[str, Any]) -> Strip:
    """Read a strip from a row of macro `cut_plan`, with structs and maps as dictionaries."""
    return Strip(
        epsg=row["epsg"],
        row=row["cell_row"],
        bands=row["bands"],
        has_probabilities=bool(row["probabilities"]),
        valid_scl_classes=row["valid_scl_classes"],
        scenes=[_scene_of(scene) for scene in row["scenes"]],
        cells=[_cell_of(cell) for cell in row["cells"]],
    )


def _scene_of(scene: Mapping[str, Any]) -> Scene:
    products = [Product(**product) for product in scene["products"]]
    return Scene(scene["scene_id"], scene["mgrs_tile"], products)


def _cell_of(cell: Mapping[str, Any]) -> Cell:
    chip = dict(cell["chip"])
    return Cell(chip["chip_id"], chip, cell["cell_col"], cell["scene_ids"], cell["whole_scene_ids"])
