"""The scenes whose chips are not planned yet.

The models decide this by hashes that SQL computes. Here an item counts as planned if `int_scenes` has its current
version, or a version that makes the same chips. One clock tells the parts of a split pass apart, where int_scene_parts
compares two. Changes of the models themselves are not seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from pyiceberg.expressions import In

from chiplake.estimate.grid import Bounds, cells_of_raster
from chiplake.estimate.rows import CHIP_SCHEMA, TIME, Lake
from chiplake.keys import TEXT
from ingestion.item.footprints import to_metres
from ingestion.store.items import Version, current_version
from lakehouse.bands import PROBABILITIES
from lakehouse.box import BBox
from lakehouse.days import Days
from lakehouse.source_schemas import BOA_OFFSET_OVERRIDES, STAC_ITEMS

_ITEM: Final = (("collection", TEXT), ("item_id", TEXT), ("content_hash", TEXT))
_TILE: Final = (("datatake_id", TEXT), ("mgrs_tile", TEXT))
_ITEMS: Final = pa.schema([*_ITEM, *_TILE, ("updated_at", TIME), ("ingested_at", TIME), ("is_deprecated", pa.bool_())])
_STAGED: Final = pa.schema([*_ITEM, *_TILE])
_BOUNDS: Final = ("utm_xmin", "utm_ymin", "utm_xmax", "utm_ymax")
_SCENES: Final = pa.schema(
    [("scene_id", TEXT), *_ITEM, *_TILE, ("epsg", pa.int32()), ("acquired_at", TIME)]
    + [("boa_offset", pa.int32()), ("boa_offset_reason", TEXT)]
    + [(name, pa.float64()) for name in _BOUNDS]
)
_OVERRIDES: Final = pa.schema(
    [
        *(("position", pa.int32()), ("collection", TEXT), ("item_id", TEXT), ("boa_offset", pa.int32())),
        *(("start_date", pa.date32()), ("end_date", pa.date32())),
    ]
)
_DATATAKES: Final = pa.schema([("datatake_id", TEXT), ("epsg", pa.int32()), ("datatake_hash", TEXT)])

# What macro scene_hash takes of an item, directly or by its offset.
_SHAPING: Final = ("platform", "processing_baseline", "acquired_at", "geometry", "epsg", "is_boa_offset_applied")
_SHAPING_OF_ASSETS: Final = ("href", "scale", "offset", "nodata", "transform", "shape", "data_type")
_DETAILS: Final = (
    *("collection", "item_id", "content_hash", "datatake_id", "mgrs_tile", "product_id", "datastrip_started_at"),
    *(*_SHAPING, "assets"),
)
_SAME_TIME: Final = timedelta(seconds=3)  # parts of a split pass are further apart

ItemKey = tuple[str, str, str]  # collection, item_id, content_hash
TileKey = tuple[str, str]  # datatake_id, mgrs_tile
Item = Mapping[str, Any]  # columns of raw.stac_items


@dataclass(frozen=True)
class Scene:
    """A scene whose chips are to be planned."""

    scene_id: str
    datatake_id: str
    epsg: int
    acquired_at: datetime
    bounds: Bounds


def pending_scenes(lake: Lake, days: Days, planned_datatakes: pa.ChunkedArray) -> list[Scene]:
    """Return the scenes of some days that the next chip_extraction plans.

    Args:
        lake: the lake.
        days: of acquisition.
        planned_datatakes: the datatake_hash of the planned chips.
    """
    conditions = days.conditions("acquired_at")
    scenes = lake.read("int_scenes", _SCENES, conditions).to_pylist()
    staged = _keys_by_tile(lake.read("stg_stac__items", _STAGED, conditions).to_pylist())
    current = _keys_by_tile(_current_items(lake.read(STAC_ITEMS, _ITEMS, conditions).to_pylist()))
    in_scenes = _keys_by_tile(scenes)
    unsettled = {
        tile: keys
        for tile, keys in current.items()
        if staged.get(tile) != keys or not in_scenes.get(tile, set()) or in_scenes[tile] - keys
    }
    changed = _changed_scenes(lake, unsettled, {_item_key(scene)[:2]: _item_key(scene) for scene in scenes})
    found = {scene.scene_id: scene for scene in changed}
    overrides = lake.read(BOA_OFFSET_OVERRIDES, _OVERRIDES).to_pylist()
    planned = _planned(lake, planned_datatakes)
    for scene in scenes:
        # A run that ended between int_scenes and int_chip_inputs leaves scenes that are not planned.
        if (scene["datatake_id"], scene["epsg"]) not in planned or _is_overridden_anew(scene, overrides):
            found.setdefault(scene["scene_id"], _as_it_is(scene))
    return list(found.values())


def chips_of_scenes(scenes: Iterable[Scene], box: BBox | None) -> pa.Table:
    """Return the chips that scenes make, CHIP_SCHEMA: one for each datatake and cell, whose centre lies in the box."""
    by_datatake: dict[tuple[str, int], list[Scene]] = defaultdict(list)
    for scene in sorted(scenes, key=lambda scene: scene.acquired_at):
        by_datatake[scene.datatake_id, scene.epsg].append(scene)
    tables = [_chips_of_datatake(datatake, epsg, of_it, box) for (datatake, epsg), of_it in by_datatake.items()]
    return pa.concat_tables([CHIP_SCHEMA.empty_table(), *tables])


def _chips_of_datatake(datatake_id: str, epsg: int, scenes: Sequence[Scene], box: BBox | None) -> pa.Table:
    of_scenes = [cells_of_raster(epsg, scene.bounds, box) for scene in scenes]
    cells = np.concatenate(of_scenes)
    # The first occurrence of a cell is that of the earliest scene: they are sorted by time.
    _, first = np.unique((cells[:, 0] << 32) + cells[:, 1], return_index=True)
    scene_of_cell = np.repeat(np.arange(len(scenes)), [len(of_scene) for of_scene in of_scenes])[first]
    columns, rows = (pa.array(part).cast(TEXT) for part in cells[first].T)
    cell_ids = pc.binary_join_element_wise(pa.scalar(str(epsg), TEXT), columns, rows, pa.scalar("_", TEXT))
    chip_ids = pc.binary_join_element_wise(cell_ids, pa.scalar(datatake_id, TEXT), pa.scalar("_", TEXT))
    times = pa.array([scene.acquired_at for scene in scenes], TIME).take(scene_of_cell)
    return pa.table([chip_ids, cell_ids, times], schema=CHIP_SCHEMA)


def _current_items(rows: Iterable[Item]) -> Iterator[Item]:
    """Yield the current version of each item, unless its provider has withdrawn it."""
    versions: dict[tuple[str, str], dict[Version, Item]] = defaultdict(dict)
    for row in rows:
        version = Version(row["content_hash"], row["updated_at"], row["ingested_at"])
        versions[row["collection"], row["item_id"]][version] = row
    for of_item in versions.values():
        current, _ = current_version(of_item)
        if current is not None and not of_item[current]["is_deprecated"]:
            yield of_item[current]


def _keys_by_tile(rows: Iterable[Item]) -> dict[TileKey, set[ItemKey]]:
    keys: dict[TileKey, set[ItemKey]] = defaultdict(set)
    for row in rows:
        keys[row["datatake_id"], row["mgrs_tile"]].add(_item_key(row))
    return keys


def _item_key(row: Item) -> ItemKey:
    return row["collection"], row["item_id"], row["content_hash"]


def _changed_scenes(
    lake: Lake, unsettled: Mapping[TileKey, set[ItemKey]], in_scenes: Mapping[tuple[str, str], ItemKey]
) -> Iterator[Scene]:
    """Yield the scenes of tiles whose item is new, or another one than in int_scenes, or has changed."""
    if not unsettled:
        return
    details = _details(lake, {key[1] for keys in unsettled.values() for key in keys})
    for tile, keys in unsettled.items():
        for part, items in enumerate(_parts([details[key] for key in keys])):
            item = _ranked(items, lake.settings.cutting.bands)[0]
            before = in_scenes.get(_item_key(item)[:2])
            if before is None or before not in details or _shape_of(details[before]) != _shape_of(item):
                yield Scene(
                    "_".join((*tile, str(part))), tile[0], item["epsg"], item["acquired_at"], bounds_of_item(item)
                )


def _details(lake: Lake, item_ids: set[str]) -> dict[ItemKey, Item]:
    """Return everything that matters of all versions of some items."""
    table = lake.catalog.load_table(STAC_ITEMS)
    rows = table.scan(In(term="item_id", literals=item_ids), selected_fields=_DETAILS).to_arrow().to_pylist()
    return {_item_key(row): row | {"assets": dict(row["assets"] or ())} for row in rows}


def _parts(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Yield the items of each part of a pass over a tile: a pass that was downlinked in two parts has two products."""
    clock = "datastrip_started_at" if all(item["datastrip_started_at"] for item in items) else "acquired_at"
    ordered = sorted(items, key=lambda item: (item[clock], _item_key(item)))
    part = [ordered[0]]
    for before, item in pairwise(ordered):
        if item[clock] - before[clock] > _SAME_TIME:
            yield part
            part = []
        part.append(item)
    yield part


def _ranked(items: Iterable[Item], bands: Sequence[str]) -> list[Item]:
    """Return the items of a scene in the order of int_scenes: most bands, newest baseline, not a user's own product."""
    ranked = sorted(items, key=_item_key)
    ranked.sort(key=lambda item: (item["processing_baseline"] or "", item["product_id"] or ""), reverse=True)
    ranked.sort(key=lambda item: len(set(bands) & set(item["assets"])), reverse=True)
    ranked.sort(key=lambda item: (item["processing_baseline"] or "").startswith("99."))
    return ranked


def _shape_of(item: Item) -> tuple[object, ...]:
    assets = {
        layer: [asset[name] for name in _SHAPING_OF_ASSETS]
        for layer, asset in item["assets"].items()
        if asset is not None and layer not in PROBABILITIES
    }
    return *(item[name] for name in _SHAPING), assets


def bounds_of_item(item: Item) -> Bounds:
    """Return the bounds of an item's raster, metres; those of its footprint if no asset states its grid."""
    for asset in item["assets"].values():
        if asset is not None and asset["transform"] is not None and asset["shape"] is not None:
            width, _, west, _, height, north = asset["transform"][:6]
            rows, columns = asset["shape"]
            return west, north + height * rows, west + width * columns, north
    footprint = shapely.from_wkb(item["geometry"])
    degrees = shapely.get_coordinates(footprint)
    eastings, northings = to_metres(item["epsg"]).transform(*degrees.T)
    return float(eastings.min()), float(northings.min()), float(eastings.max()), float(northings.max())


def _planned(lake: Lake, planned_datatakes: pa.ChunkedArray) -> set[tuple[str, int]]:
    """Return datatake_id and epsg of the datatakes whose chips are planned from their present scenes."""
    hashes = set(planned_datatakes.unique().to_pylist())
    return {
        (row["datatake_id"], row["epsg"])
        for row in lake.read("int_datatakes", _DATATAKES).to_pylist()
        if row["datatake_hash"] in hashes
    }


def _is_overridden_anew(scene: Item, overrides: Sequence[Item]) -> bool:
    """Return whether the user's lines give a scene another offset than it has, by the rule of int_item_radiometry."""
    day = scene["acquired_at"].date()
    lines = [
        line
        for line in overrides
        if line["item_id"] in (None, scene["item_id"])
        and line["collection"] in (None, scene["collection"])
        and (line["start_date"] is None or line["start_date"] <= day)
        and (line["end_date"] is None or line["end_date"] >= day)
    ]
    if not lines:
        return bool(scene["boa_offset_reason"] == "override")
    return bool(max(lines, key=_specificity)["boa_offset"] != scene["boa_offset"])


def _specificity(line: Item) -> tuple[bool, bool, bool, int]:
    has_days = line["start_date"] is not None or line["end_date"] is not None
    return line["item_id"] is not None, line["collection"] is not None, has_days, line["position"]


def _as_it_is(scene: Item) -> Scene:
    """Return a scene of int_scenes."""
    west, south, east, north = (scene[name] for name in _BOUNDS)
    bounds = (west, south, east, north)
    return Scene(scene["scene_id"], scene["datatake_id"], scene["epsg"], scene["acquired_at"], bounds)
