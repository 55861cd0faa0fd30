"""Checks that reject rasters which cannot be those of a Sentinel-2 product."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from ingestion.item.footprints import Footprint
from ingestion.item.rejection import RejectedError
from ingestion.model import Asset, Reason
from lakehouse.bands import BAND_BY_NAME

MAX_TILE_M: Final = 120_000  # a Sentinel-2 tile is 109,800 m wide
MAX_TILE_DEGREES: Final = 1.5  # a tile is about a degree high
MAX_SCALE: Final = 0.01  # reflectance per DN; Sentinel-2's is 0.0001
MAX_SCALE_OF_FLOATS: Final = 1.0
MAX_OFFSET: Final = 1.0  # reflectance, absolute; Sentinel-2's is -0.1


def check_rasters(assets: Mapping[str, Asset], footprint: Footprint) -> None:
    """Check extents, scales and offsets. Wrong ones would make endless rows of cells, or wrong reflectances.

    Raises:
        RejectedError: a raster or the footprint is larger than a tile, a scale or an offset is implausible, or bands
            differ in scale or offset.
    """
    for band, asset in assets.items():
        if band in BAND_BY_NAME:
            _check_values(asset)
        _check_extent(asset)
    bands = [asset for band, asset in assets.items() if band in BAND_BY_NAME]
    # A product has one offset and one scale. If two were stated, some band would come out wrong.
    bands = [asset for asset in bands if not _is_default(asset)]
    _check_equal("offset", ((asset.asset_key, asset.offset) for asset in bands))
    _check_equal("scale", ((asset.asset_key, asset.scale) for asset in bands))
    if all(asset.transform is None or asset.shape is None for asset in assets.values()):
        _check_footprint(footprint)  # no raster states its extent, so the footprint determines the cells


def _is_default(asset: Asset) -> bool:
    """Return whether scale and offset are those of reflectance itself.

    They are also GDAL's defaults for a file that states none, which some catalogues copy.
    """
    return asset.scale == 1 and asset.offset in (None, 0)


def _check_values(asset: Asset) -> None:
    max_scale = MAX_SCALE_OF_FLOATS if (asset.data_type or "").startswith("float") else MAX_SCALE
    if asset.scale is not None and not _is_default(asset) and not 0 < asset.scale <= max_scale:
        raise RejectedError(Reason.IMPLAUSIBLE_RASTER, f"asset {asset.asset_key} has the scale {asset.scale}")
    if asset.offset is not None and abs(asset.offset) > MAX_OFFSET:
        detail = f"asset {asset.asset_key} has the offset {asset.offset}, which cannot be a reflectance"
        raise RejectedError(Reason.IMPLAUSIBLE_RASTER, detail)


def _check_extent(asset: Asset) -> None:
    if asset.transform is None or asset.shape is None:
        return
    side = max(abs(asset.transform[0]) * asset.shape[1], abs(asset.transform[4]) * asset.shape[0])
    if side > MAX_TILE_M:
        raise RejectedError(Reason.IMPLAUSIBLE_RASTER, f"asset {asset.asset_key} is {side:.0f} m wide or high")


def _check_equal(name: str, values: Iterable[tuple[str, float | None]]) -> None:
    known = [(key, value) for key, value in values if value is not None]
    for key, value in known:
        first_key, first = known[0]
        if value != first and not math.isclose(value, first, rel_tol=1e-6):
            detail = f"assets differ in {name}: {first_key} has {first}, {key} has {value}"
            raise RejectedError(Reason.IMPLAUSIBLE_RASTER, detail)


def _check_footprint(footprint: Footprint) -> None:
    size = footprint.square_degrees * math.cos(math.radians(footprint.centre[1]))
    if size > MAX_TILE_DEGREES**2:
        raise RejectedError(Reason.IMPLAUSIBLE_RASTER, f"the footprint covers {size:.1f} square degrees")
