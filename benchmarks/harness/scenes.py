"""Scenes for benchmarks: a tile on its real grid, all bands, texture that compresses like that of a real scene."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform_geom

from chiplake.synthetic import write_cog
from embedding.model.clay_bands import STATISTICS
from lakehouse.bands import BAND_BY_NAME, BANDS, LAYER_GSD_M, SCL

TILE: Final = "33TWL"
EPSG: Final = 32633
TILE_WEST, TILE_NORTH = 499_980, 5_100_000
TILE_SIZE_M: Final = 109_800
BLOCK_PIXELS: Final = 1024  # as Earth Search's COGs have it
FIRST_DAY: Final = datetime(2023, 6, 1, 9, 58, 11, tzinfo=UTC)
REVISIT: Final = timedelta(days=5)
LAYERS: Final = (*(band.name for band in BANDS), SCL)

_RELIEF_M: Final = 640  # from one node of the landscape's coarse lattice to the next
_RELIEF_DN: Final = 450
# Standard deviation of a pixel. A DEFLATE COG then has two thirds of the bytes of its pixels, as real 10 m bands do.
_GRAIN_DN: Final = 65
_CLOUD_LATTICE_M: Final = 9_000
_VEGETATION, _CLOUD, _SHADOW = 4, 9, 3


@dataclass(frozen=True)
class Extent:
    """The part of the tile that scenes cover: a square at its north-west corner."""

    size_m: int = TILE_SIZE_M

    def pixels(self, gsd: int) -> int:
        """Return the side in pixels."""
        return self.size_m // gsd


def write_looks(folder: Path, extent: Extent, looks: int, threads: int) -> list[dict[str, Path]]:
    """Write the bands of `looks` scenes as COGs, and return their paths; dates share them, each with its own SCL."""
    jobs = [
        (look, layer, folder / f"look{look}" / f"{BAND_BY_NAME[layer].code}.tif")
        for look in range(looks)
        for layer in LAYERS
        if layer != SCL
    ]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda job: _write_layer(job[2], _texture(extent, job[1], job[0]), LAYER_GSD_M[job[1]]), jobs))
    return [{layer: path for number, layer, path in jobs if number == look} for look in range(looks)]


def write_dates(
    folder: Path, extent: Extent, looks: list[dict[str, Path]], numbers: Iterable[int], cloud_share: float = 0.35
) -> list[dict[str, Any]]:
    """Write the SCL of dates and return their STAC items, in the form of Earth Search v1."""
    items = []
    for number in numbers:
        scl = folder / f"date{number}" / "SCL.tif"
        _write_layer(scl, _classes(extent, number, cloud_share), 20)
        items.append(_item(extent, number, looks[number % len(looks)] | {SCL: scl}))
    return items


def write_items(path: Path, items: list[dict[str, Any]]) -> Path:
    """Write an ItemCollection."""
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def _smooth(size_m: int, gsd: int, lattice_m: int, chance: np.random.Generator) -> NDArray[np.float32]:
    """Bilinear noise between random nodes, (pixels, pixels), standard deviation near 1/2."""
    nodes = chance.standard_normal((size_m // lattice_m + 2,) * 2, dtype=np.float32)
    at = np.arange(size_m // gsd, dtype=np.float32) * gsd / lattice_m
    low = at.astype(np.intp)
    share = at - low
    rows = nodes[low] * (1 - share)[:, None] + nodes[low + 1] * share[:, None]
    return np.asarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share, dtype=np.float32)


def _texture(extent: Extent, layer: str, look: int) -> NDArray[np.uint16]:
    gsd = LAYER_GSD_M[layer]
    chance = np.random.default_rng([look, LAYERS.index(layer)])
    image = _smooth(extent.size_m, gsd, _RELIEF_M, chance)
    image *= _RELIEF_DN
    image += STATISTICS[layer].mean
    image += _GRAIN_DN * chance.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 1, 10_000, out=image).astype(np.uint16)


def _classes(extent: Extent, number: int, cloud_share: float) -> NDArray[np.uint8]:
    chance = np.random.default_rng([number, 1000])
    sky = _smooth(extent.size_m, 20, _CLOUD_LATTICE_M, chance)
    cloud, shadow = np.quantile(sky[::16, ::16], [1 - cloud_share, 1 - 1.15 * cloud_share])
    return np.where(sky > cloud, _CLOUD, np.where(sky > shadow, _SHADOW, _VEGETATION)).astype(np.uint8)


def _write_layer(path: Path, pixels: NDArray[Any], gsd: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_cog(path, pixels, EPSG, (TILE_WEST, TILE_NORTH), gsd, BLOCK_PIXELS)


def _item(extent: Extent, number: int, rasters: Mapping[str, Path]) -> dict[str, Any]:
    seen = FIRST_DAY + number * REVISIT
    compact = f"{seen:%Y%m%dT%H%M%S}"
    west, south = TILE_WEST, TILE_NORTH - extent.size_m
    east, north = west + extent.size_m, TILE_NORTH
    ring = [[[west, south], [east, south], [east, north], [west, north], [west, south]]]
    geometry = transform_geom(f"EPSG:{EPSG}", "EPSG:4326", {"type": "Polygon", "coordinates": ring})
    longitudes, latitudes = zip(*geometry["coordinates"][0], strict=True)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": f"S2A_{TILE}_{seen:%Y%m%d}_0_L2A",
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Polygon", "coordinates": [[list(point) for point in geometry["coordinates"][0]]]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": {
            "datetime": seen.isoformat().replace("+00:00", "Z"),
            "platform": "sentinel-2a",
            "constellation": "sentinel-2",
            "proj:epsg": EPSG,
            "grid:code": f"MGRS-{TILE}",
            "eo:cloud_cover": 35,
            "s2:processing_baseline": "05.09",
            "s2:datatake_id": f"GS2A_{compact}_{42_000 + number:06}_N05.09",
            "s2:product_uri": f"S2A_MSIL2A_{compact}_N0509_R079_T{TILE}_{compact}.SAFE",
            "earthsearch:boa_offset_applied": True,
        },
        "links": [],
        "assets": {layer: _asset(extent, layer, path) for layer, path in rasters.items()},
    }


def _asset(extent: Extent, layer: str, path: Path) -> dict[str, Any]:
    gsd = LAYER_GSD_M[layer]
    return {
        "href": str(path),
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
        "proj:shape": [extent.pixels(gsd)] * 2,
        "proj:transform": [gsd, 0, TILE_WEST, 0, -gsd, TILE_NORTH],
    }
