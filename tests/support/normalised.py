"""Rows and rejects of items, for tests of normalising."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingestion.item.normalise import normalise
from ingestion.model import Origin, Received, Reject, StacItemRow
from ingestion.sources.local_files import read_items
from lakehouse.bands import BAND_NAMES
from support.stac_items import make_item

API = Origin("https://example.com/stac")
OWN_FILE = Origin("/data/a/item.json", "/data/a", is_own_file=True)
ALL_BANDS = {*BAND_NAMES, "scl"}


def row_of(item: Any, origin: Origin = API) -> StacItemRow:
    """Normalise an item that must become a row."""
    outcome = normalise(Received(item, None, origin))
    assert isinstance(outcome, StacItemRow), outcome
    return outcome


def reject_of(item: Any, origin: Origin = API) -> Reject:
    """Normalise an item that must be rejected."""
    outcome = normalise(Received(item, "items.json#0", origin))
    assert isinstance(outcome, Reject), outcome
    return outcome


def outcomes(path: Path) -> dict[str, StacItemRow | Reject]:
    """Return the row or the reject of each item of a file or folder, by id."""
    found = [normalise(received) for received in read_items(path)]
    return {outcome.item_id: outcome for outcome in found}


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Make a usable item, and replace the value at a path of member names."""
    item = make_item()
    parent = item
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    return item


def without_grid(**properties: Any) -> dict[str, Any]:
    """Make an item without geometry, bbox and raster grids."""
    item = make_item(**properties) | {"geometry": None, "bbox": None}
    for asset in item["assets"].values():
        del asset["proj:transform"], asset["proj:shape"]
    return item
