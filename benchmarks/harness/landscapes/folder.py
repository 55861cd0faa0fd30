"""A landscape as a folder that the product can ingest: `items.json`, rasters, and `truth.npz`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform_geom

from chiplake.synthetic.cog import write_cog
from chiplake.synthetic.items import COLLECTION, file_name
from harness.landscapes.landscape import Landscape, Truth, date_of, origin_of
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M, CHIP_SIZE_M, LAYER_GSD_M, SCL
from lakehouse.errors import ChiplakeError

ITEMS, TRUTH = "items.json", "truth.npz"
_TILE, _EPSG = "33TWL", 32633
_CELL: Final = (231, 1981)  # column and row of the grid; the landscape fills it exactly
_WEST, _NORTH = _CELL[0] * CHIP_SIZE_M, (_CELL[1] + 1) * CHIP_SIZE_M
_BLOCK: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def save(landscape: Landscape, folder: Path) -> None:
    """Write a landscape; existing files are replaced.

    Args:
        landscape: what to write.
        folder: is made if it does not exist. Hrefs are relative to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    items = [_write_night(landscape, number, folder) for number in range(len(landscape.days))]
    content = json.dumps({"type": "FeatureCollection", "features": items}, indent=2)
    (folder / ITEMS).write_text(content + "\n", encoding="utf-8")
    truth = landscape.truth
    np.savez_compressed(folder / TRUTH, mask=truth.mask, start=truth.start, end=truth.end, kind=truth.kind)


def load(folder: Path) -> Truth:
    """Read the truth of a folder of the form that `save` writes.

    Raises:
        ChiplakeError: a file is missing, or arrays do not fit each other.
    """
    items = _items(folder)
    path = folder / TRUTH
    if not path.is_file():
        raise ChiplakeError(f"{path} is missing: a landscape is a folder with {ITEMS}, rasters and {TRUTH}")
    with np.load(path) as arrays:
        if missing := {"mask", "start", "end", "kind"} - set(arrays.files):
            raise ChiplakeError(f"{path} has no {', '.join(sorted(missing))}")
        mask, start, end, kind = (arrays[name] for name in ("mask", "start", "end", "kind"))
    if mask.ndim != 3 or not len(mask) == len(start) == len(end) == len(kind):
        raise ChiplakeError(f"{path}: mask must be (events, rows, columns), and start, end and kind (events,)")
    first = min(_day(item) for item in items)
    return Truth(origin_of(first), mask.astype(np.bool_), start.astype(float), end.astype(float), kind.astype(str))


def read_landscape(folder: Path) -> Landscape:
    """Read all nights of a folder of one chip, for rules on arrays.

    Raises:
        ChiplakeError: a file is missing, or a scene has other pixels than one chip.
    """
    items = sorted(_items(folder), key=_day)
    nights = [_read_night(item, folder) for item in items]
    properties = [item["properties"] for item in items]
    return Landscape(
        name=folder.name,
        days=np.array([_day(item) for item in items]),
        platform=np.array([str(one.get("platform", ""))[-1:] for one in properties]),
        orbit=np.array([_orbit(one) for one in properties]),
        baseline=np.array([str(one.get("s2:processing_baseline", "")) for one in properties]),
        bands=np.stack([night[0] for night in nights]),
        scl=np.stack([night[1] for night in nights]),
        truth=load(folder),
    )


def _items(folder: Path) -> list[dict[str, Any]]:
    path = folder / ITEMS
    if not path.is_file():
        raise ChiplakeError(f"{path} is missing: a landscape is a folder with {ITEMS}, rasters and {TRUTH}")
    items: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["features"]
    if not items:
        raise ChiplakeError(f"{path} has no items")
    return items


def _day(item: Mapping[str, Any]) -> float:
    """Return days since 1970-01-01 UTC."""
    moment = datetime.fromisoformat(item["properties"]["datetime"].replace("Z", "+00:00"))
    return (moment - _EPOCH) / timedelta(days=1)


def _orbit(properties: Mapping[str, Any]) -> int:
    """Return the relative orbit; 0 if the item does not say it."""
    if "sat:relative_orbit" in properties:
        return int(properties["sat:relative_orbit"])
    parts = [part for part in str(properties.get("s2:product_uri", "")).split("_") if part[:1] == "R"]
    return int(parts[0][1:]) if parts and parts[0][1:].isdigit() else 0


def _read_night(item: Mapping[str, Any], folder: Path) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    layers = {}
    for layer in (*BAND_NAMES, SCL):
        names = (layer, SCL.upper()) if layer == SCL else (layer, BAND_BY_NAME[layer].code)
        asset = next((item["assets"][name] for name in names if name in item["assets"]), None)
        if asset is None:
            raise ChiplakeError(f"{folder / ITEMS}: item {item['id']} has no asset {layer}")
        with rasterio.open(folder / asset["href"]) as dataset:
            pixels = dataset.read(1)
        side = CHIP_SIZE_M // LAYER_GSD_M[layer]
        if pixels.shape != (side, side):
            raise ChiplakeError(f"{folder / asset['href']} has {pixels.shape} pixels; a chip has {(side, side)}")
        layers[layer] = pixels
    bands = [_fine(layers[name]) for name in BAND_NAMES]
    return np.stack(bands).astype(np.uint16), layers[SCL].astype(np.uint8)


def _fine(pixels: NDArray[Any]) -> NDArray[Any]:
    times = CHIP_PIXELS_10M // pixels.shape[0]
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _write_night(landscape: Landscape, number: int, folder: Path) -> dict[str, Any]:
    """Write the rasters of a night, and return its item."""
    satellite = landscape.platform[number].upper()
    item_id = f"S2{satellite}_{_TILE}_{date_of(landscape.days[number]):%Y%m%d}_0_L2A"
    (folder / item_id).mkdir(exist_ok=True)
    for layer in (*BAND_NAMES, SCL):
        step = LAYER_GSD_M[layer] // 10
        pixels = landscape.scl[number] if layer == SCL else _of_band(landscape, number, layer)[::step, ::step]
        path = folder / item_id / file_name(layer)
        write_cog(path, pixels, _EPSG, (_WEST, _NORTH), LAYER_GSD_M[layer], _BLOCK)
    return _item(landscape, number, item_id)


def _of_band(landscape: Landscape, number: int, name: str) -> NDArray[np.uint16]:
    return np.asarray(landscape.bands[number, BAND_NAMES.index(name)])


def _item(landscape: Landscape, number: int, item_id: str) -> dict[str, Any]:
    """Return the STAC item of a night, in the form of Earth Search."""
    seen = _EPOCH + timedelta(days=float(landscape.days[number]))
    platform, baseline = str(landscape.platform[number]), str(landscape.baseline[number])
    compact, processing = f"{seen:%Y%m%dT%H%M%S}", baseline.replace(".", "")
    west, south, east, north = _WEST, _NORTH - CHIP_SIZE_M, _WEST + CHIP_SIZE_M, _NORTH
    ring = [[[west, south], [east, south], [east, north], [west, north], [west, south]]]
    geometry = transform_geom(f"EPSG:{_EPSG}", "EPSG:4326", {"type": "Polygon", "coordinates": ring})
    longitudes, latitudes = zip(*geometry["coordinates"][0], strict=True)
    clouds = 100 * float(np.isin(landscape.scl[number], (8, 9, 10)).mean())
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": item_id,
        "collection": COLLECTION,
        "geometry": {"type": "Polygon", "coordinates": [[list(point) for point in geometry["coordinates"][0]]]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": {
            "datetime": seen.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "platform": f"sentinel-2{platform}",
            "constellation": "sentinel-2",
            "proj:epsg": _EPSG,
            "grid:code": f"MGRS-{_TILE}",
            "eo:cloud_cover": round(clouds, 6),
            "s2:processing_baseline": baseline,
            "s2:datatake_id": f"GS2{platform.upper()}_{compact}_{int(landscape.days[number]):06}_N{baseline}",
            "s2:product_uri": (
                f"S2{platform.upper()}_MSIL2A_{compact}_N{processing}_R{landscape.orbit[number]:03}"
                f"_T{_TILE}_{compact}.SAFE"
            ),
            "earthsearch:boa_offset_applied": True,
            "description": f"Synthetic landscape {landscape.name}: no satellite saw this.",
        },
        "links": [],
        "assets": {layer: _asset(layer, item_id) for layer in (*BAND_NAMES, SCL)},
    }


def _asset(layer: str, item_id: str) -> dict[str, Any]:
    gsd = LAYER_GSD_M[layer]
    return {
        "href": f"./{item_id}/{file_name(layer)}",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data"],
        "proj:shape": [CHIP_SIZE_M // gsd] * 2,
        "proj:transform": [gsd, 0, _WEST, 0, -gsd, _NORTH],
    }
