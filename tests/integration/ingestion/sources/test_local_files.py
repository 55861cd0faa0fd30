"""Local files in every form and folders of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from support.file_server import ServeFiles
from support.ingests import stored
from support.item_forms import (
    FORM_COLUMNS,
    FORMS,
    received_ids,
    write_catalog,
    write_collection,
    write_folder,
    write_json,
    write_stac_geoparquet,
)
from support.stac_items import make_item

from ingestion import Filters, IngestRequest, IngestSummary, Reason, ingest
from ingestion.item.values import parse_time
from ingestion.sources.local_files import read_items
from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.source_schemas import STAC_REJECTS


def varied_items() -> list[dict[str, Any]]:
    items = [make_item(number) for number in range(6)]
    items[1]["properties"].pop("eo:cloud_cover")
    items[2]["assets"].pop("red")
    items[3]["properties"] |= {"proj:code": "EPSG:32633", "s2:processing_baseline": "02.14"}
    items[3]["properties"].pop("proj:epsg")
    items[4]["properties"] |= {"datetime": None, "start_datetime": "2023-08-05T09:58:11Z"}
    items[4]["properties"] |= {"end_datetime": "2023-08-05T09:58:12Z", "earthsearch:boa_offset_applied": True}
    items[5]["assets"].pop("scl")  # rejected
    return items


def comparable_json(value: Any) -> Any:
    """Return an item without what stac-geoparquet does not keep: the format of a time, and nulls."""
    if isinstance(value, dict):
        members = {name: comparable_json(member) for name, member in value.items() if member is not None}
        return {name: member for name, member in members.items() if name != "stac_version"}  # rustac writes its own
    if isinstance(value, list):
        return [comparable_json(entry) for entry in value]
    return parse_time(value) or value


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(
    form: str, tmp_path: Path, ingest_settings: Settings, serve_files: ServeFiles
) -> None:
    items = varied_items()
    expected = Settings().replace(home=tmp_path / "expected")
    (tmp_path / "expected_items").mkdir()
    ingest(IngestRequest(items=write_collection(tmp_path / "expected_items", items)), expected)
    folder = tmp_path / "input"
    folder.mkdir()
    path = FORMS[form](folder, items)
    request = IngestRequest(items=path)
    if form == "catalogue on a server":
        request = IngestRequest(catalog=f"{serve_files(folder).url}/catalog.json")
    summary = ingest(request, ingest_settings)
    assert summary == IngestSummary(received=6, written=5, rejected={Reason.NO_SCL.value: 1})

    rows, wanted = ({row["item_id"]: row for row in stored(settings)} for settings in (ingest_settings, expected))
    assert set(rows) == set(wanted)
    for name, row in rows.items():
        assert {c: v for c, v in row.items() if c not in FORM_COLUMNS} == {
            c: v for c, v in wanted[name].items() if c not in FORM_COLUMNS
        }
        if path.suffix in (".parquet", ".geoparquet"):
            assert comparable_json(json.loads(row["item"])) == comparable_json(json.loads(wanted[name]["item"]))
        else:
            assert (row["item"], row["content_hash"]) == (wanted[name]["item"], wanted[name]["content_hash"])
    (reject,), (wanted_reject,) = stored(ingest_settings, STAC_REJECTS), stored(expected, STAC_REJECTS)
    assert [reject[c] for c in ("collection", "item_id", "reason")] == [
        wanted_reject[c] for c in ("collection", "item_id", "reason")
    ]
    assert ingest(request, ingest_settings) == IngestSummary(received=6, unchanged=5, rejected=summary.rejected)


def test_a_file_larger_than_the_buffer_is_read_completely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [make_item(number) for number in range(20)]
    path = write_collection(tmp_path, items)
    for size in (1, 7, 1000):
        monkeypatch.setattr("ingestion.sources.json_items.CHUNK_CHARACTERS", size)
        assert [received.content for received in read_items(path)] == items


@pytest.mark.parametrize(
    "text", ["", "{", "[1,", '{"features": [', "[] []", '{"a" 1}', "nonsense", "\x00", "[" * 99999]
)
def test_the_error_names_a_file_that_is_not_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "items.json"
    path.write_text(text)
    with pytest.raises(ChiplakeError, match=re.escape(str(path))):
        list(read_items(path))


def test_a_broken_file_or_line_does_not_end_the_reading(tmp_path: Path, ingest_settings: Settings) -> None:
    folder = tmp_path / "items"
    write_json(folder / "good.json", make_item(0))
    (folder / "broken.json").write_text('{"type": "Feature",')
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "lines.ndjson").write_text(f"{json.dumps(make_item(1))}\n{{broken\n{json.dumps(make_item(2))}\n")
    (folder / "catalog.json").write_text('{"type": "Catalog"}')
    summary = ingest(IngestRequest(items=folder), ingest_settings)
    assert summary == IngestSummary(received=6, written=3, rejected={Reason.INVALID_JSON.value: 3})
    rejects = stored(ingest_settings, STAC_REJECTS)
    assert {row["item_id"] for row in rejects} == {"broken.json#0", "binary.json#0", "lines.ndjson#2"}


def test_filters_apply_to_files(tmp_path: Path, ingest_settings: Settings) -> None:
    items = [make_item(number) for number in range(28)]
    far = [[[16.0, 45.9], [16.1, 45.9], [16.1, 46.0], [16.0, 45.9]]]  # in the tile
    items[5]["geometry"] = {"type": "Polygon", "coordinates": far}
    items[6]["properties"].pop("eo:cloud_cover")
    filters = Filters(
        area=shapely.box(15.5, 45.5, 15.6, 45.6),
        start=datetime(2023, 8, 5, tzinfo=UTC),
        end=datetime(2023, 8, 11, tzinfo=UTC),
        max_cloud=8,
    )
    path = write_collection(tmp_path, items)
    summary = ingest(IngestRequest(items=path, filters=filters), ingest_settings)
    assert {row["item_id"] for row in stored(ingest_settings)} == {items[n]["id"] for n in (4, 7, 8)}
    assert summary == IngestSummary(received=28, written=3, skipped=25)


def test_each_of_two_broken_files_of_one_name_is_recorded(tmp_path: Path, ingest_settings: Settings) -> None:
    folder = write_folder(tmp_path, [make_item(0)])
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "item.json").write_text("{")
    summary = ingest(IngestRequest(items=folder), ingest_settings)
    assert summary == IngestSummary(received=3, written=1, rejected={Reason.INVALID_JSON.value: 2})
    assert {row["item_id"] for row in stored(ingest_settings, STAC_REJECTS)} == {"a/item.json#0", "b/item.json#0"}


def test_a_folder_with_a_catalogue_is_read_completely(tmp_path: Path) -> None:
    items = [make_item(number) for number in range(6)]
    folder = write_catalog(tmp_path / "folder", items[:3]).parent
    write_json(folder / "unlinked.json", items[3])
    write_stac_geoparquet(folder, items[4:])
    write_json(folder / "old" / "catalog.json", {"stac_version": "0.8.1", "id": "old", "links": []})
    assert sorted(received_ids(list(read_items(folder)))) == sorted(item["id"] for item in items)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    few = [make_item(number) for number in range(500)]
    few_rows = pq.read_table(write_stac_geoparquet(tmp_path, few))
    few_texts = [json.dumps(item) for item in few]
    for name, factor in (("few", 1), ("many", 16)):
        texts, rows = few_texts * factor, pa.concat_tables([few_rows] * factor)
        (tmp_path / f"{name}.ndjson").write_text("\n".join(texts))
        (tmp_path / f"{name}.json").write_text('{"features": [' + ",".join(texts) + "]}")
        pq.write_table(rows, tmp_path / f"{name}.parquet", row_group_size=1 << 20)
    command = [sys.executable, "-c", GROWTH_OF_READING, str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True, check=True)
    counts_and_growths = json.loads(done.stdout)
    assert {kind: count for kind, (count, _) in counts_and_growths.items()} == dict.fromkeys(counts_and_growths, 8000)
    # All 8,000 items in memory would take 30 MB as text and five times as much as objects.
    assert {kind: mib for kind, (_, mib) in counts_and_growths.items() if mib > 16} == {}


# Runs in a process of its own, without freed memory that reading could use.
GROWTH_OF_READING = """
import json, pathlib, sys
import psutil
from ingestion.sources.local_files import read_items

folder, process, found = pathlib.Path(sys.argv[1]), psutil.Process(), {}
for kind in ("ndjson", "json", "parquet"):
    for _ in read_items(folder / f"few.{kind}"):
        pass
    count, before, peak = 0, process.memory_info().rss, 0
    for _ in read_items(folder / f"many.{kind}"):
        count += 1
        peak = peak if count % 50 else max(peak, process.memory_info().rss)
    found[kind] = count, (peak - before) / 2**20
print(json.dumps(found))
"""
