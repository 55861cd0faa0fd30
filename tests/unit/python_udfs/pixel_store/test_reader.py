"""Rows of a data file by their positions."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io import load_file_io
from support.servers.aws import REGION, AwsServer

from python_udfs.pixel_store.reader import MissingFileError, read_rows

COLUMNS = pa.schema([pa.field("chip_id", pa.string()), pa.field("blue", pa.binary())])
IO = load_file_io()


def frame(number: int) -> bytes:
    return bytes([number]) * (100 + number)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of 25 rows in row groups of 10, 10 and 5, with a column that nobody asks for."""
    rows = {
        "other": [number / 2 for number in range(25)],
        "blue": [frame(number) for number in range(25)],
        "chip_id": [f"chip-{number}" for number in range(25)],
    }
    path = tmp_path / "day=2024-06-01%2F" / "a b.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table(rows), path, row_group_size=10, compression="none")
    return path


@pytest.mark.parametrize(
    ("positions", "of_groups"),
    [
        ([], []),
        ([0], [[0]]),
        ([3, 7, 24], [[3, 7], [24]]),
        (list(range(25)), [list(range(10)), list(range(10, 20)), list(range(20, 25))]),
        ([9, 10, 11, 12, 13, 14, 15, 16], [[9], [10, 11, 12, 13, 14, 15, 16]]),
    ],
)
@pytest.mark.parametrize("prefix", ["", "file:", "file://"])
def test_the_rows_at_the_positions_are_read(
    file: Path, prefix: str, positions: list[int], of_groups: list[list[int]]
) -> None:
    batches = list(read_rows(f"{prefix}{file}", positions, COLUMNS, IO))
    assert [batch.schema for batch in batches] == [COLUMNS] * len(of_groups)
    assert [batch.to_pydict() for batch in batches] == [
        {"chip_id": [f"chip-{row}" for row in rows], "blue": [frame(row) for row in rows]} for rows in of_groups
    ]


def test_few_rows_do_not_keep_their_row_group_in_memory(file: Path) -> None:
    (batch,) = read_rows(str(file), [4, 5], COLUMNS, IO)
    assert batch.get_total_buffer_size() < 4 * sum(len(frame(number)) for number in (4, 5))


def test_a_column_that_the_file_does_not_have_is_null(file: Path) -> None:
    columns = pa.schema([pa.field("missing", pa.list_(pa.float32())), *COLUMNS])
    (batch,) = read_rows(str(file), [2], columns, IO)
    assert batch.to_pylist() == [{"missing": None, "chip_id": "chip-2", "blue": frame(2)}]


def test_a_file_that_is_gone_is_named_with_the_remedy(file: Path) -> None:
    file.unlink()
    with pytest.raises(MissingFileError) as raised:
        list(read_rows(f"file:{file}", [0], COLUMNS, IO))
    assert str(raised.value) == (
        f"file:{file}: this file is gone, since the table was maintained after its rows were planned; run this again"
    )


@pytest.mark.parametrize("positions", [[-1], [3, 3], [4, 2], [25]])
def test_positions_that_are_wrong_are_refused(file: Path, positions: list[int]) -> None:
    with pytest.raises(ValueError, match="position"):
        list(read_rows(str(file), positions, COLUMNS, IO))


def test_executors_can_be_sent_the_file_io(file: Path) -> None:
    sent = pickle.loads(pickle.dumps(IO))
    assert sum(batch.num_rows for batch in read_rows(str(file), [1, 12], COLUMNS, sent)) == 2


@pytest.mark.aws
def test_a_file_in_s3_is_read_in_the_same_way(aws: AwsServer, file: Path) -> None:
    aws.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.client("s3").put_object(Bucket="lake", Key="data/a b.parquet", Body=file.read_bytes())
    io = load_file_io({"s3.endpoint": aws.url, "s3.region": REGION}, "s3://lake/data")
    batches = list(read_rows("s3://lake/data/a b.parquet", [3, 7, 24], COLUMNS, io))
    assert [batch["chip_id"].to_pylist() for batch in batches] == [["chip-3", "chip-7"], ["chip-24"]]
    with pytest.raises(MissingFileError, match="run this again"):
        list(read_rows("s3://lake/data/gone.parquet", [0], COLUMNS, io))
