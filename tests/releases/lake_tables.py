"""Rows of a lake as plain JSON values, so that they can be kept in a file and compared later.

It needs PyIceberg alone, none of the project's modules: a later release can rename those.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

LONGEST_VALUE = 160  # characters of JSON; a longer one is kept as its SHA-256

# Key columns of each table. int_* are not contracts, but a later release must also continue with their rows.
KEYS = {
    "raw.stac_items": ["collection", "item_id", "content_hash"],
    "raw.stac_rejects": ["collection", "item_id", "reason"],
    "raw.stac_checkpoints": ["source", "collection", "search_id", "window_start", "window_end"],
    "raw.boa_offset_overrides": ["position"],
    "raw.clay_embeddings": ["chip_id", "model_id", "input_hash"],
    "chiplake.stg_stac__items": ["collection", "item_id"],
    "chiplake.int_scenes": ["scene_id"],
    "chiplake.int_datatakes": ["datatake_id", "epsg"],
    "chiplake.int_scene_cells": ["scene_id", "cell_id"],
    "chiplake.int_chip_inputs": ["chip_id"],
    "chiplake.int_fill_inputs": ["chip_id"],
    "chiplake.int_chip_pairs": ["chip_id", "model_id"],
    "chiplake.dim_grid_cells": ["cell_id"],
    "chiplake.fct_chips": ["chip_id"],
    "chiplake.fct_filled_chips": ["chip_id"],
    "chiplake.fct_chip_statistics": ["chip_id"],
    "chiplake.int_composite_inputs": ["composite_id"],
    "chiplake.fct_composites": ["composite_id"],
    "chiplake.fct_chip_embeddings": ["chip_id", "model_id"],
    "chiplake.fct_chip_changes": ["chip_id", "model_id"],
    "chiplake.fct_chip_patches": ["chip_id"],
    "chiplake.int_baseline_inputs": ["cell_id", "feature_kind", "month_start_at"],
    "chiplake.int_patch_baselines": ["cell_id", "feature_kind", "month_start_at"],
    "chiplake.int_anomaly_inputs": ["chip_id", "feature_kind"],
    "chiplake.fct_chip_anomalies": ["chip_id", "feature_kind"],
    "chiplake.int_event_inputs": ["cell_id", "feature_kind"],
    "chiplake.int_cell_events": ["cell_id", "feature_kind"],
    "chiplake.fct_change_events": ["event_id"],
}

Rows = dict[str, dict[str, Any]]  # by the values of the key, joined by " | "


def table_names(catalog: Catalog) -> list[str]:
    """Return the names of all tables of the lake."""
    return sorted(".".join(name) for space in catalog.list_namespaces() for name in catalog.list_tables(space))


def rows_of(table: Table, key: list[str]) -> Rows:
    """Return all rows of a table, sorted by key."""
    rows = {}
    for row in table.scan().to_arrow().to_pylist():
        values = {column: plain(value) for column, value in row.items()}
        name = " | ".join(str(values[column]) for column in key)
        assert name not in rows, f"two rows of {table.name()} have the key {name}"
        rows[name] = values
    return dict(sorted(rows.items()))


def plain(value: Any) -> Any:
    """Convert a value to JSON; bytes and long values become a SHA-256."""
    if isinstance(value, bytes):
        return _digest(value)
    value = _jsonable(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return value if len(text) <= LONGEST_VALUE else _digest(text.encode())


def _jsonable(value: Any) -> Any:
    match value:
        case bytes():
            return _digest(value)
        case datetime() | date():
            return value.isoformat()
        case dict():
            return {name: _jsonable(one) for name, one in sorted(value.items())}
        case list() if value and isinstance(value[0], tuple):  # a map, as PyArrow gives it
            return {name: _jsonable(one) for name, one in sorted(value)}
        case list():
            return [_jsonable(one) for one in value]
    return value


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()[:32]
