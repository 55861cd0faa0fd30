"""Small lakes of PyIceberg's for estimates of jobs, whose chips are counted by hand.

The raster of an item covers three columns and two rows of the grid, so it makes six chips.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import shapely
from pyiceberg.catalog import Catalog

from chiplake.estimate import Estimate, StageEstimate, estimate_job
from chiplake.jobs import Window
from lakehouse.settings import Settings

CELL = 2560  # metres
WEST, NORTH = 200 * CELL, 2000 * CELL  # of the first raster, in zone 33
DAY_5, DAY_10, DAY_20 = (datetime(2023, 8, day, 9, 50, tzinfo=UTC) for day in (5, 10, 20))
INGESTED = datetime(2023, 9, 1, tzinfo=UTC)
TAKE_5, TAKE_10 = "S2A_20230805T095031", "S2B_20230810T095031"
CUT_RULE = json.dumps(
    {
        "bands": ["blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22"],
        "valid_scl_classes": [2, 4, 5, 6, 7, 11],
    }
)
FILL_RULE = json.dumps(
    {"method": "newest-valid-v1", "max_age_days": 60, "valid_scl_classes": [2, 4, 5, 6, 7, 11]}
    | {"cloud_dilation_pixels": 0, "adjust": "peers", "suspects": "peers", "suspect_bright_ratio": 1.5}
    | {"suspect_bright_difference": 0.03, "suspect_dark_ratio": 0.6, "min_complete": 1.0}
)
ALL_DAYS = Window()
TEXT, TIME = pa.string(), pa.timestamp("us", tz="UTC")
TYPES: Mapping[str, pa.DataType] = {
    "acquired_at": TIME,
    "epsg": pa.int32(),
    "boa_offset": pa.int32(),
    "scene_ids": pa.list_(TEXT),
    **dict.fromkeys(("utm_xmin", "utm_ymin", "utm_xmax", "utm_ymax"), pa.float64()),
    **dict.fromkeys(("longitude", "latitude", "complete_fraction"), pa.float64()),
}
COLUMNS = {
    "stg_stac__items": "collection item_id content_hash datatake_id mgrs_tile acquired_at",
    "int_scenes": "scene_id collection item_id content_hash datatake_id mgrs_tile epsg acquired_at boa_offset "
    "boa_offset_reason utm_xmin utm_ymin utm_xmax utm_ymax",
    "int_datatakes": "datatake_id epsg datatake_hash",
    "int_chip_inputs": "chip_id cell_id acquired_at source_hash datatake_hash cut_rule scene_ids longitude latitude",
    "fct_chips": "chip_id cell_id acquired_at source_hash error",
    "int_fill_inputs": "chip_id cell_id acquired_at input_hash rule_version",
    "fct_filled_chips": "chip_id cell_id acquired_at input_hash complete_fraction",
    "fct_chip_embeddings": "chip_id model_id input_hash",
    "int_distance_inputs": "chip_id cell_id acquired_at model_id distances_hash",
    "int_chip_distances": "chip_id model_id distances_hash",
}


def add(catalog: Catalog, name: str, *rows: Mapping[str, Any]) -> None:
    """Add rows to a table of models."""
    schema = pa.schema([(column, TYPES.get(column, TEXT)) for column in COLUMNS[name].split()])
    table = catalog.create_table_if_not_exists(f"chiplake.{name}", schema)
    table.append(pa.Table.from_pylist([dict(row) for row in rows], schema=schema))


def add_source(catalog: Catalog, name: str, *rows: Mapping[str, Any]) -> None:
    table = catalog.load_table(name)
    table.append(pa.Table.from_pylist([dict(row) for row in rows], schema=table.schema().as_arrow()))


def item(name: str, content_hash: str = "1", at: datetime = DAY_5, west: int = WEST, **values: Any) -> dict[str, Any]:
    asset = {"href": f"/scenes/{name}.tif", "transform": [10, 0, west, 0, -10, NORTH], "shape": [512, 768]}
    row = {
        "collection": "sentinel-2-l2a",
        "item_id": name,
        "content_hash": content_hash,
        "ingested_at": INGESTED,
        "acquired_at": at,
        "platform": "sentinel-2a",
        "mgrs_tile": "33TWL",
        "product_id": f"product-{name}",
        "datatake_id": TAKE_5 if at == DAY_5 else TAKE_10,
        "processing_baseline": "05.09",
        "epsg": 32633,
        "geometry": shapely.box(15.0, 46.0, 15.5, 46.5).wkb,
        "assets": {"red": asset},
    }
    return row | values


def add_items(catalog: Catalog, *items: Mapping[str, Any]) -> None:
    add_source(catalog, "raw.stac_items", *items)


def add_three_scenes(catalog: Catalog) -> None:
    """Two tiles of one datatake that share one column of cells, and one of the tiles five days later: 10 + 6 chips."""
    add_items(
        catalog,
        item("a"),
        item("b", west=WEST + 2 * CELL, mgrs_tile="33TXL"),
        item("c", at=DAY_10),
    )


def plan_item(catalog: Catalog, row: Mapping[str, Any], offset: int = 0, reason: str = "none needed") -> None:
    """Make the tables that chip_extraction makes of an item, up to the planned chips."""
    scene = f"{row['datatake_id']}_{row['mgrs_tile']}_0"
    bounds = {"utm_xmin": WEST, "utm_ymin": NORTH - 2 * CELL, "utm_xmax": WEST + 3 * CELL, "utm_ymax": NORTH}
    add(catalog, "stg_stac__items", {name: row[name] for name in COLUMNS["stg_stac__items"].split()})
    of_scene = {"scene_id": scene, "boa_offset": offset, "boa_offset_reason": reason} | bounds
    add(catalog, "int_scenes", {name: row.get(name) for name in COLUMNS["int_scenes"].split()} | of_scene)
    add(catalog, "int_datatakes", {"datatake_id": row["datatake_id"], "epsg": 32633, "datatake_hash": scene})
    add(catalog, "int_chip_inputs", *(planned(cell, row, scene) for cell in cells()))


def planned(cell_id: str, row: Mapping[str, Any], scene: str) -> dict[str, Any]:
    """A row of int_chip_inputs; all chips lie in one place, which no test looks at."""
    chip = {"chip_id": f"{cell_id}_{row['datatake_id']}", "cell_id": cell_id, "acquired_at": row["acquired_at"]}
    place = {"longitude": 15.2, "latitude": 46.2}
    return chip | place | {"source_hash": "1", "datatake_hash": scene, "cut_rule": CUT_RULE, "scene_ids": [scene]}


def cells() -> list[str]:
    """The cells of the raster at WEST, NORTH, in their order."""
    return [f"32633_{column}_{row}" for row in (1998, 1999) for column in (200, 201, 202)]


def chip(cell_id: str, at: datetime, **values: Any) -> dict[str, Any]:
    return {"chip_id": f"{cell_id}_{at.day}", "cell_id": cell_id, "acquired_at": at} | values


def cut_all(catalog: Catalog, row: Mapping[str, Any], **errors: str) -> None:
    """Cut the planned chips of an item; chips whose cell's number is given have an error."""
    rows = [planned(cell, row, "") for cell in cells()]
    add(
        catalog,
        "fct_chips",
        *(
            {name: one[name] for name in ("chip_id", "cell_id", "acquired_at", "source_hash")}
            | {"error": errors.get(f"chip_{number}")}
            for number, one in enumerate(rows)
        ),
    )


def only(estimate: Estimate) -> StageEstimate:
    (stage,) = estimate.stages
    return stage


def to_cut(settings: Settings, window: Window = ALL_DAYS) -> tuple[int, str, int | None]:
    stage = only(estimate_job(settings, "chip_extraction", window))
    return stage.number, stage.certainty, stage.scenes


def number_of(settings: Settings, job: str, window: Window = ALL_DAYS) -> tuple[int, str]:
    stage = only(estimate_job(settings, job, window))
    return stage.number, stage.certainty


def add_stages(catalog: Catalog, *rows: tuple[str, str, str, int, dict[str, int]]) -> None:
    """Add ended stages: run, stage, state, seconds, numbers."""
    ended = [
        {"run_id": name, "stage": stage, "state": state, "schema_name": "chiplake", "started_at": DAY_5}
        | {"attempt_id": f"{name} {stage}", "ended_at": DAY_5 + timedelta(seconds=seconds)}
        | numbers
        for name, stage, state, seconds, numbers in rows
    ]
    add_source(catalog, "ops.stages", *ended)
