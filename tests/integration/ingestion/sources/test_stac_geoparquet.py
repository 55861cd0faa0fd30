"""stac-geoparquet of several writers, and files that are broken or something else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rustac
from support.ingests import stored
from support.item_forms import FORM_COLUMNS, parse_errors, received_ids, rows_of, write_json, write_stac_geoparquet
from support.stac_items import make_item

from ingestion import IngestRequest, IngestSummary, ingest
from ingestion.item.normalise import normalise
from ingestion.model import Received, Reject, StacItemRow
from ingestion.sources.local_files import read_items
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings


def replace_column(path: Path, name: str, column: Any) -> Path:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)
    return path


def test_parquet_of_planetary_computer_becomes_rows(sample_data: Path, ingest_settings: Settings) -> None:
    path = sample_data / "stac" / "pc-1000.parquet"
    assert ingest(IngestRequest(items=path), ingest_settings) == IngestSummary(received=1000, written=1000)
    table = pq.read_table(path).to_pylist()
    wanted = {row["id"]: row for row in table}
    rows = stored(ingest_settings)
    assert {row["item_id"] for row in rows} == set(wanted)
    for row in rows:
        source = wanted[row["item_id"]]
        assert row["processing_baseline"] == source["s2:processing_baseline"]
        assert row["mgrs_tile"] == source["s2:mgrs_tile"]
        assert (row["epsg"], row["cloud_cover"]) == (source["proj:epsg"], source["eo:cloud_cover"])
        assert (row["acquired_at"], row["relative_orbit"]) == (source["datetime"], source["sat:relative_orbit"])
        assert row["is_boa_offset_applied"] is None
        assets = dict(row["assets"])
        present = {key for key, asset in source["assets"].items() if asset is not None}
        assert {asset["asset_key"] for asset in assets.values()} == present & {
            *(f"B{number:02d}" for number in (2, 3, 4, 5, 6, 7, 8, 11, 12)), "B8A", "SCL"
        }  # fmt: skip
        for asset in assets.values():
            stated = source["assets"][asset["asset_key"]]
            assert (asset["href"], asset["offset"], asset["scale"]) == (stated["href"], None, None)
            assert (asset["transform"], asset["shape"]) == (stated["proj:transform"], stated["proj:shape"])
        assert "null" not in row["item"]
    # A second reader of the format gives the same values.
    features = rustac.from_arrow(pq.read_table(path))["features"]
    (origin,) = {one.origin for one in read_items(path)}
    others = [normalise(Received(item | {"bbox": list(item["bbox"])}, None, origin)) for item in features]
    by_id = {other.item_id: other for other in others if isinstance(other, StacItemRow)}
    for row in rows:
        other = by_id[row["item_id"]]
        for name in ("platform", "product_id", "datatake_id", "datastrip_started_at", "geometry", "xmin", "ymax"):
            assert row[name] == getattr(other, name)


@pytest.mark.parametrize("name", ["pc-35MNM-13.geojson", "c1-13TDE-10.json", "cdse-36NYH.json"])
def test_real_items_survive_the_round_trip_through_parquet(sample_data: Path, tmp_path: Path, name: str) -> None:
    from_json = list(read_items(sample_data / "stac" / name))
    path = write_stac_geoparquet(tmp_path, [one.content for one in from_json])
    from_parquet = list(read_items(path))
    assert len(from_parquet) == len(from_json) > 0
    for one, other in zip(from_json, from_parquet, strict=True):
        row, found = normalise(one), normalise(other)
        assert type(row) is type(found)
        if isinstance(row, Reject) and isinstance(found, Reject):
            assert (row.key, row.detail) == (found.key, found.detail)
        else:
            columns = [column for column in StacItemRow.__slots__ if column not in FORM_COLUMNS]
            assert {c: getattr(found, c) for c in columns} == {c: getattr(row, c) for c in columns}


def test_unusual_column_types_of_parquet_are_read(tmp_path: Path) -> None:
    path = write_stac_geoparquet(tmp_path, [make_item(number) for number in range(4)])
    expected = rows_of(list(read_items(path)))
    table = pq.read_table(path)
    shapes = table["geometry"].to_pylist()
    replace_column(path, "geometry", pa.array([*shapes[:2], None, b"none"], pa.large_binary()))
    replace_column(path, "datetime", table["datetime"].cast(pa.timestamp("ns")))  # without time zone
    replace_column(path, "eo:cloud_cover", pa.array([0, np.nan, None, 3.0]))  # NaN means absent, as in pandas
    replace_column(path, "proj:epsg", pa.array([32633.0] * 4))
    received = list(read_items(path))
    assert [one.content["geometry"] is None for one in received] == [False, False, True, True]
    assert "eo:cloud_cover" not in received[1].content["properties"]
    rows = rows_of(received)
    assert [row.acquired_at for row in rows] == [row.acquired_at for row in expected]
    assert [row.cloud_cover for row in rows] == [0, None, None, 3]
    assert {row.epsg for row in rows} == {32633}
    assert [row.geometry for row in rows[:2]] == [row.geometry for row in expected[:2]]


def test_a_null_asset_is_absent_in_both_forms_of_null(tmp_path: Path) -> None:
    items = [make_item(number) for number in range(2)]
    del items[1]["assets"]["red"]
    path = write_stac_geoparquet(tmp_path, items)
    table = pq.read_table(path)
    assets = table["assets"].to_pylist()
    assert assets[1]["red"] is None
    hollow = assets[1] | {"red": dict.fromkeys(assets[0]["red"])}  # a struct with a null in each member
    for column in (assets, [assets[0], hollow]):
        replace_column(path, "assets", pa.array(column, table.schema.field("assets").type))
        first, second = (one.content["assets"] for one in read_items(path))
        assert set(first) - set(second) == {"red"}
        assert all(None not in asset.values() for asset in second.values())


def write_truncated(path: Path) -> None:
    whole = write_stac_geoparquet(path.parent, [make_item()]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def write_damaged(path: Path) -> None:
    whole = bytearray(write_stac_geoparquet(path.parent, [make_item(number) for number in range(50)]).read_bytes())
    whole[4:2000] = bytes(1996)
    path.write_bytes(whole)


BROKEN_PARQUET: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("no parquet"), "not valid stac-geoparquet"),
    "empty": (lambda path: path.write_bytes(b""), "not valid stac-geoparquet"),
    "truncated": (write_truncated, "not valid stac-geoparquet"),
    "damaged": (write_damaged, "not valid stac-geoparquet"),
    "another table": (lambda path: pq.write_table(pa.table({"id": [1]}), path), "no column assets"),
    "no WKB": (
        lambda path: pq.write_table(pa.table({"id": ["a"], "assets": ["b"], "geometry": ["POINT (0 0)"]}), path),
        "not WKB but string",
    ),
}


@pytest.mark.parametrize("kind", BROKEN_PARQUET)
def test_the_error_names_a_file_that_is_not_stac_geoparquet(tmp_path: Path, kind: str) -> None:
    write, message = BROKEN_PARQUET[kind]
    path = tmp_path / "items.parquet"
    write(path)
    with pytest.raises(ChiplakeError, match=f"{re.escape(str(path))}.*{message}"):
        list(read_items(path))
    write_json(tmp_path / "item.json", make_item())
    received = list(read_items(tmp_path))
    assert received_ids(received) == [make_item()["id"]]
    ((place, error),) = parse_errors(received).items()
    assert place is not None
    assert place.startswith("items.parquet#")
    assert message in error
