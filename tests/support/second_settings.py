"""Settings that differ from the defaults in all that shapes rows, and what a lake has that is built by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer

from chiplake.synthetic import Archive, ArchiveSpec, write_archive
from support.scene_oracle import decode

CELL: Final = "32633_233_1980"  # the one cell in the box
BANDS: Final = ("blue", "red", "nir", "swir16")
MAX_AGE_DAYS: Final = 7
MAX_CLOUD_PROBABILITY: Final = 40
# dbt fails if a test warns.
BUILD: Final = ("build", "--warn-error-options", json.dumps({"error": ["LogTestResult"]}))


def second_settings(schema: str) -> dict[str, str]:
    """Return environment variables: box, four bands, SCL classes, rules, and a schema."""
    longitude, latitude = _centre(CELL)
    box = [longitude - 0.01, latitude - 0.01, longitude + 0.01, latitude + 0.01]
    return {
        "CHIPLAKE_TARGET_SCHEMA": schema,
        "CHIPLAKE_BBOX": json.dumps(box),
        "CHIPLAKE_BANDS": json.dumps(BANDS),
        "CHIPLAKE_PROBABILITIES": "true",
        "CHIPLAKE_VALID_SCL_CLASSES": "[4, 5, 6, 7, 11]",
        "CHIPLAKE_FILL_MAX_AGE_DAYS": str(MAX_AGE_DAYS),
        "CHIPLAKE_FILL_CLOUD_DILATION_PIXELS": "3",
        "CHIPLAKE_FILL_MAX_CLOUD_PROBABILITY": str(MAX_CLOUD_PROBABILITY),
        "CHIPLAKE_FILL_ADJUST": "none",
        "CHIPLAKE_FILL_SUSPECTS": "none",
        "CHIPLAKE_FILL_MIN_COMPLETE": "0.5",
        "CHIPLAKE_COMPOSITE_PERIODS": '["season"]',
        "CHIPLAKE_COMPOSITE_METHOD": "medoid",
        "CHIPLAKE_EMBED_MIN_COMPLETE": "0.25",
        "CHIPLAKE_EMBED_INT8": "true",
        "CHIPLAKE_CHANGE_HISTORY": "2",
        "CHIPLAKE_CHANGE_MIN_HISTORY": "1",
        "CHIPLAKE_CHANGE_MIN_DISTANCE": "0.3",
        "CHIPLAKE_CHANGE_MIN_SCORE": "2",
    }


def write_small_archive(folder: Path) -> Archive:
    """Write three dates of two small tiles with these bands, and random cloud probabilities."""
    archive = write_archive(replace(ArchiveSpec.tiny(), bands=BANDS), folder)
    items = json.loads(archive.items_path.read_text())
    for number, (item, scene) in enumerate(zip(items["features"], archive.scenes, strict=True)):
        path = scene.rasters["scl"].with_name("CLD_20m.tif")
        with rasterio.open(scene.rasters["scl"]) as scl:
            percent = np.random.default_rng(number).integers(0, 101, scl.shape, np.uint8)
            with rasterio.open(path, "w", **scl.profile) as raster:
                raster.write(percent, 1)
        item["assets"]["cloud"] = item["assets"]["scl"] | {"href": str(path), "roles": ["data", "cloud"]}
    archive.items_path.write_text(json.dumps(items))
    return archive


def valid_pixels(chip: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return the valid pixels of a row of fct_chips by these settings, (256, 256), by numpy alone."""
    coarse = np.isin(decode(chip["scl"], "u1", 128), [4, 5, 6, 7, 11])
    coarse &= decode(chip["cloud_distance"], "u1", 128) > 3
    coarse &= decode(chip["cloud_probability"], "u1", 128) <= MAX_CLOUD_PROBABILITY
    coarse &= decode(chip["swir16"], "<u2", 128) > 0
    bands = [decode(chip[band], "<u2", 256) > 0 for band in ("blue", "red", "nir")]
    valid: NDArray[np.bool_] = np.logical_and.reduce([np.kron(coarse, np.ones((2, 2), bool)), *bands])
    return valid


def _centre(cell_id: str) -> tuple[float, float]:
    """Return longitude and latitude of the centre of a cell, degrees."""
    epsg, column, row = map(int, cell_id.split("_"))
    to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
    x, y = to_degrees.transform((column + 0.5) * 2560, (row + 0.5) * 2560)
    return float(x), float(y)
