"""Refusal of rasters that cannot be those of a Sentinel-2 product."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from ingestion.item.footprints import Footprint
from ingestion.item.rejection import RejectedError
from ingestion.model import Asset, Reason
from lakehouse.bands import SCL

MAX_TILE_M: Final = 120_000  # a Sentinel-2 tile is 109,800 m wide
MAX_TILE_DEGREES: Final = 1.5  # and so about a degree high
MAX_SCALE: Final = 0.01  # reflectance per DN; Sentinel-2's is 0.0001
MAX_OFFSET: Final = 1.0  # reflectance, either way; Sentinel-2's is -0.1


def check_rasters(assets: Mapping[str, Asset], footprint: Footprint) -> None:
    """Refuse what would make endless rows of cells, or wrong reflectances without a word."""
    states_grid = False
    for band, asset in assets.items():
        if band != SCL:
            _check_values(asset)
        if asset.transform is not None and asset.shape is not None:
            states_grid = True
            side = max(abs(asset.transform[0]) * asset.shape[1], abs(asset.transform[4]) * asset.shape[0])
            if side > MAX_TILE_M:
                raise RejectedError(Reason.IMPLAUSIBLE_RASTER, f"asset {asset.asset_key} is {side:.0f} m wide or high")
    # A product has one offset and one scale; with two of them, one band or the other would come out wrong.
    _check_alike("offset", ((asset.asset_key, asset.offset) for band, asset in assets.items() if band != SCL))
    _check_alike("scale", ((asset.asset_key, asset.scale) for band, asset in assets.items() if band != SCL))
    if not states_grid:  # the footprint then says where the raster may lie
        size = footprint.square_degrees * math.cos(math.radians(footprint.centre[1]))
        if size > MAX_TILE_DEGREES**2:
            raise RejectedError(Reason.IMPLAUSIBLE_RASTER, f"the footprint covers {size:.1f} square degrees")


def _check_values(asset: Asset) -> None:
    if asset.scale is not None and not 0 < asset.scale <= MAX_SCALE:
        raise RejectedError(Reason.IMPLAUSIBLE_RASTER, f"asset {asset.asset_key} has the scale {asset.scale}")
    if asset.offset is not None and abs(asset.offset) > MAX_OFFSET:
        detail = f"asset {asset.asset_key} has the offset {asset.offset}, which is no reflectance"
        raise RejectedError(Reason.IMPLAUSIBLE_RASTER, detail)


def _check_alike(what: str, values: Iterable[tuple[str, float | None]]) -> None:
    stated = [(key, value) for key, value in values if value is not None]
    for key, value in stated:
        first_key, first = stated[0]
        if value != first and not math.isclose(value, first, rel_tol=1e-6):
            detail = f"assets differ in {what}: {first_key} has {first}, {key} has {value}"
            raise RejectedError(Reason.IMPLAUSIBLE_RASTER, detail)
