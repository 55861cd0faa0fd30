"""Settings that differ from the defaults in all that shapes rows, and what a lake has that is built by them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

from pyproj import Transformer

from chiplake.synthetic import Archive, ArchiveSpec, write_archive

CELL: Final = "32633_233_1980"  # the one cell in the box
BANDS: Final = ("blue", "red", "nir", "swir16")
MAX_AGE_DAYS: Final = 7
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
        "CHIPLAKE_VALID_SCL_CLASSES": "[4, 5, 6, 7, 11]",
        "CHIPLAKE_FILL_MAX_AGE_DAYS": str(MAX_AGE_DAYS),
        "CHIPLAKE_FILL_CLOUD_DILATION_PIXELS": "3",
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
    """Write three dates of two small tiles with these bands."""
    return write_archive(replace(ArchiveSpec.tiny(), bands=BANDS), folder)


def _centre(cell_id: str) -> tuple[float, float]:
    """Return longitude and latitude of the centre of a cell, degrees."""
    epsg, column, row = map(int, cell_id.split("_"))
    to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
    x, y = to_degrees.transform((column + 0.5) * 2560, (row + 0.5) * 2560)
    return float(x), float(y)
