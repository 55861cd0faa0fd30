"""Compressed JSON, and parquet in the forms of other tools than stac-geoparquet."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from support.item_forms import parse_errors, received_ids, rows_of
from support.stac_items import make_item

from ingestion.sources.local_files import read_items
from lakehouse.errors import ChiplakeError

ITEMS = [make_item(0), make_item(1)]
COLLECTION = json.dumps({"type": "FeatureCollection", "features": ITEMS}).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("items.json.gz", gzip.compress(COLLECTION)),
        ("items.GEOJSON.GZ", gzip.compress(COLLECTION)),
        ("items.v1.ndjson.gz", gzip.compress("\n".join(map(json.dumps, ITEMS)).encode())),
        ("items.json", gzip.compress(COLLECTION)),
        ("items.json.gz", COLLECTION),
    ],
)
def test_compressed_files_are_read_alone_and_in_folders(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "B04.tif.gz").write_bytes(b"no items")
    for path in (tmp_path / name, tmp_path):
        assert received_ids(list(read_items(path))) == [item["id"] for item in ITEMS]


@pytest.mark.parametrize("content", [gzip.compress(COLLECTION)[:-20], gzip.compress(COLLECTION)[:40] + b"x" * 99])
def test_a_broken_compressed_file_is_recorded_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "items.json.gz").write_bytes(content)
    (error,) = parse_errors(list(read_items(tmp_path))).values()
    assert "items.json.gz is not valid JSON" in error
    with pytest.raises(ChiplakeError, match="not valid JSON"):
        list(read_items(tmp_path / "items.json.gz"))


def parquet(path: Path, **columns: Any) -> Path:
    geometry = shapely.to_wkb(shapely.geometry.shape(ITEMS[0]["geometry"]))
    row = {"id": ITEMS[0]["id"], "collection": ITEMS[0]["collection"], "geometry": geometry} | columns
    pq.write_table(pa.table({name: pa.array([value]) for name, value in row.items()}), path)
    return path


def as_map(assets: dict[str, Any]) -> pa.Array:
    members = pa.struct({"href": pa.string(), "type": pa.string(), "proj:transform": pa.list_(pa.float64())})
    return pa.array([list(assets.items())], pa.map_(pa.string(), members))


def test_properties_and_assets_of_parquet_may_be_structs_texts_and_maps(tmp_path: Path) -> None:
    item = ITEMS[0]
    properties, assets = item["properties"], item["assets"]
    paths = [
        parquet(tmp_path / "1.parquet", properties=properties, assets=assets),
        parquet(tmp_path / "2.parquet", properties=json.dumps(properties), assets=json.dumps(assets)),
        parquet(tmp_path / "3.parquet", assets={key: json.dumps(asset) for key, asset in assets.items()}, **properties),
    ]
    expected = rows_of(list(read_items(paths[0])))
    assert expected[0].processing_baseline == "05.09"
    assert expected[0].assets["red"].offset == -0.1
    for path in paths[1:]:
        (row,) = rows_of(list(read_items(path)))
        assert (row.assets, row.acquired_at, row.updated_at) == (
            expected[0].assets,
            expected[0].acquired_at,
            expected[0].updated_at,
        )
    table = pq.read_table(paths[0])
    pq.write_table(
        table.set_column(table.schema.get_field_index("assets"), "assets", as_map(assets)), tmp_path / "4.parquet"
    )
    (row,) = rows_of(list(read_items(tmp_path / "4.parquet")))
    assert row.assets["red"].transform == (10, 0, 499980, 0, -10, 5100000)
