"""Helpers of the tests that ingest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lakehouse.catalog import open_catalog
from lakehouse.settings import Settings
from lakehouse.source_schemas import STAC_ITEMS


def write_items(path: Path, items: Iterable[Any]) -> Path:
    """Write an ItemCollection."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    return path


def stored(settings: Settings, name: str = STAC_ITEMS) -> list[dict[str, Any]]:
    """Return all rows of a table, as PyIceberg reads them."""
    rows: list[dict[str, Any]] = open_catalog(settings).load_table(name).scan().to_arrow().to_pylist()
    return rows
