"""Objects of an export, written from the data files that hold the pixels."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io import load_file_io
from support.embeddings import make_chip, make_request

from embedding.runs import object_writer
from embedding.runs.object_writer import objects_writer, opener_in, write_object
from embedding.wire import ARROW_STREAM, request_schema, write_table

BANDS = ("blue", "nir")
CHIPS = 23
PER_OBJECT = 4
IO = load_file_io()


@pytest.fixture(scope="module")
def chips() -> list[dict[str, Any]]:
    """Return chips in the order of chip_id; two of them have no band nir."""
    return [make_chip(number, BANDS) | ({"nir": None} if number in (5, 22) else {}) for number in range(CHIPS)]


@pytest.fixture(params=[1, 3], ids=["one file in order", "three files in disorder"])
def plan(chips: list[dict[str, Any]], tmp_path: Path, request: pytest.FixtureRequest) -> pa.Table:
    """Return a plan of some chips. Their data files have row groups of five rows, and other chips beside them."""
    files: int = request.param
    chance = random.Random(7)
    others = [make_chip(number, BANDS) for number in range(100, 110)]
    rows = [*chips, *others]
    chance.shuffle(rows)
    planned = []
    for number in range(files):
        of_file = rows[number::files] if files > 1 else sorted(rows, key=lambda row: str(row["chip_id"]))
        path = tmp_path / f"{number}.parquet"
        columns = {name: [row[name] for row in of_file] for name in ("source_index", "nir", "chip_id", "blue")}
        pq.write_table(pa.table(columns), path, row_group_size=5, compression="none")
        for position, row in enumerate(of_file):
            if row in chips:
                planned.append(row | {"file": f"file:{path}", "position": position})
    for place, row in enumerate(sorted(planned, key=lambda row: row["chip_id"])):
        row["object_index"] = place // PER_OBJECT
    chance.shuffle(planned)
    identity = ("chip_id", "input_hash", "acquired_at", "longitude", "latitude", "file", "position", "object_index")
    return pa.table({name: [row[name] for row in planned] for name in identity})


def written(plan: pa.Table, directory: Path) -> list[dict[str, Any]]:
    batches = objects_writer(directory, BANDS, IO)(plan.to_batches(max_chunksize=3))
    return [entry for batch in batches for entry in batch.to_pylist()]


@pytest.mark.parametrize("chips_in_memory", [1, 9, 1000])
def test_objects_hold_their_chips_in_order_byte_for_byte(
    plan: pa.Table,
    chips: list[dict[str, Any]],
    tmp_path: Path,
    chips_in_memory: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(object_writer, "CHIPS_IN_MEMORY", chips_in_memory)
    entries = written(plan, tmp_path / "objects")
    assert [entry["name"] for entry in entries] == [f"chips-{number:05d}.arrow" for number in range(6)]
    for number, entry in enumerate(entries):
        of_object = chips[number * PER_OBJECT : (number + 1) * PER_OBJECT]
        expected = write_table(make_request(of_object, BANDS), ARROW_STREAM)
        assert (tmp_path / "objects" / entry["name"]).read_bytes() == expected
        assert entry == {
            "name": entry["name"],
            "chips": len(of_object),
            "size": len(expected),
            "sha256": hashlib.sha256(expected).hexdigest(),
            "error": None,
        }


def test_a_partition_without_chips_writes_nothing(plan: pa.Table, tmp_path: Path) -> None:
    assert written(plan.slice(0, 0), tmp_path / "objects") == []
    assert not (tmp_path / "objects").exists()


def test_a_data_file_that_is_gone_is_an_entry_with_an_error(plan: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "0.parquet").unlink()
    (entry,) = written(plan, tmp_path / "objects")
    assert entry["name"] is None
    assert entry["error"].startswith(f"file:{tmp_path}/0.parquet: this file is gone, ")


def test_a_chip_that_is_planned_twice_is_written_twice(plan: pa.Table, tmp_path: Path) -> None:
    twice = pa.concat_tables([plan.slice(0, 1), plan.slice(0, 1)])
    (entry,) = written(twice, tmp_path / "objects")
    assert entry["chips"] == 2


def test_an_object_of_many_chunks_is_one_batch(chips: list[dict[str, Any]], tmp_path: Path) -> None:
    whole = make_request(chips[:4], BANDS)
    parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 3)])
    entry = write_object(opener_in(tmp_path), "chips.arrow", parts)
    content = (tmp_path / "chips.arrow").read_bytes()
    assert content == write_table(whole, ARROW_STREAM)
    assert (entry.size, entry.chips) == (len(content), 4)
    with pa.ipc.open_stream(content) as reader:
        assert reader.schema == request_schema(BANDS)
        assert [batch.num_rows for batch in reader] == [4]
