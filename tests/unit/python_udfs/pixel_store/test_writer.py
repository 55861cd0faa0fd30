"""Workers write data files that Iceberg reads as its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import MonthTransform, TruncateTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DoubleType,
    ListType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)

from lakehouse.publication import Run, publish
from python_udfs.pixel_store.writer import DataFileWriter

NAME = "lake.chips"
FRAME_BYTES = 1000
SOURCE = StructType(NestedField(10, "chip_id", StringType()), NestedField(11, "acquired_at", TimestamptzType()))
SCHEMA = Schema(
    NestedField(1, "chip_id", StringType()),
    NestedField(2, "geohash", StringType()),
    NestedField(3, "acquired_at", TimestamptzType()),
    NestedField(4, "red", BinaryType()),
    NestedField(5, "valid_fraction", DoubleType()),
    NestedField(6, "is_complete", BooleanType()),
    NestedField(7, "sources", ListType(8, SOURCE)),
    NestedField(9, "error", StringType()),
)
PARTITIONS = PartitionSpec(
    PartitionField(2, 1000, TruncateTransform(4), "geohash_trunc"),
    PartitionField(3, 1001, MonthTransform(), "acquired_at_month"),
)
PROPERTIES = {
    "write.parquet.compression-codec": "uncompressed",
    "write.parquet.row-group-size-bytes": str(4 * FRAME_BYTES),
    "write.metadata.metrics.column.red": "none",
}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    """A catalog with an empty table of chips."""
    catalog = SqlCatalog("lake", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=str(tmp_path / "warehouse"))
    catalog.create_namespace("lake")
    catalog.create_table(NAME, SCHEMA, partition_spec=PARTITIONS, properties=PROPERTIES)
    yield catalog
    catalog.close()


def chip(number: int, geohash: str = "u2j7xxxx", month: int = 8) -> dict[str, Any]:
    acquired_at = datetime(2023, month, 15, 23, 59, 59, 123456, tzinfo=UTC)
    return {
        "chip_id": f"chip-{number:03d}",
        "geohash": geohash,
        "acquired_at": acquired_at,
        "red": os.urandom(FRAME_BYTES),
        "valid_fraction": number / 8,
        "is_complete": number % 2 == 0,
        "sources": [{"chip_id": "earlier", "acquired_at": acquired_at}] if number % 3 else [],
    }


def write(table: Table, rows: list[dict[str, Any]], **options: int) -> list[DataFile]:
    with DataFileWriter(table.metadata, table.io, **options) as writer:
        for row in rows:
            writer.write(row)
        return writer.close()


def test_rows_come_back_as_they_were_from_one_file_a_partition(catalog: SqlCatalog) -> None:
    rows = [chip(0), chip(1, "u2j8xxxx"), chip(2, month=9), chip(3), chip(4, "u2j7yyyy")]
    failed = chip(5) | {"red": None, "valid_fraction": None, "error": "no such file"}
    files = write(catalog.load_table(NAME), [*rows, failed])
    months = {8: 12 * 53 + 7, 9: 12 * 53 + 8}  # since January 1970
    partitions = {(file.partition[0], file.partition[1]): file.record_count for file in files}
    assert partitions == {("u2j7", months[8]): 4, ("u2j8", months[8]): 1, ("u2j7", months[9]): 1}
    assert all(file.file_size_in_bytes == Path(file.file_path).stat().st_size for file in files)

    assert publish(catalog, NAME, files, Run("run", ""), None)
    table = catalog.load_table(NAME)
    found = table.scan().to_arrow().sort_by("chip_id").to_pylist()
    for row, expected in zip(found, [*rows, failed], strict=True):
        assert row == {"error": None, **expected}
    # Partitions and metrics lead a reader to one file.
    for condition in ("geohash = 'u2j8xxxx'", "acquired_at > '2023-09-01T00:00:00+00:00'", "chip_id > 'chip-004'"):
        assert len(list(table.scan(row_filter=condition).plan_files())) == 1


def test_pixels_have_row_groups_of_the_size_of_the_table_and_no_metrics(catalog: SqlCatalog) -> None:
    (file,) = write(catalog.load_table(NAME), [chip(number) for number in range(10)])
    metadata = pq.ParquetFile(file.file_path).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [4, 4, 2]
    assert file.split_offsets is not None
    assert len(file.split_offsets) == 3
    place = [metadata.schema.column(number).name for number in range(metadata.num_columns)].index("red")
    red = metadata.row_group(0).column(place)
    assert (red.compression, red.has_dictionary_page, red.is_stats_set) == ("UNCOMPRESSED", False, False)
    field_ids = {one.name: int(one.metadata[b"PARQUET:field_id"]) for one in pq.read_schema(file.file_path)}
    schema = catalog.load_table(NAME).schema()
    assert field_ids == {field.name: field.field_id for field in schema.fields}
    assert {schema.find_column_name(number) for number in file.null_value_counts} >= {"chip_id", "is_complete", "error"}
    bounded = {schema.find_column_name(number) for number in file.lower_bounds}
    assert bounded == {"chip_id", "geohash", "acquired_at", "valid_fraction", "is_complete"}
    assert (file.lower_bounds[1], file.upper_bounds[1]) == (b"chip-000", b"chip-009")


def test_rows_of_many_partitions_do_not_pile_up_in_memory(catalog: SqlCatalog) -> None:
    rows = [chip(number, f"u2{number % 10:02d}xxxx") for number in range(100)]
    files = write(catalog.load_table(NAME), rows, max_buffered_bytes=5 * FRAME_BYTES)
    assert len(files) == 10
    assert sum(file.record_count for file in files) == 100
    groups = [pq.ParquetFile(file.file_path).metadata.num_row_groups for file in files]
    assert min(groups) > 3  # 10 rows of 4 a group make 3 where nothing must leave memory earlier


def test_few_files_are_open_at_once(catalog: SqlCatalog) -> None:
    table = catalog.load_table(NAME)
    by_turns = [chip(number, f"u2{number % 3:02d}xxxx") for number in range(12)]
    assert len(write(table, by_turns, max_open_files=3)) == 3
    files = write(table, by_turns, max_open_files=2)
    assert publish(catalog, NAME, files, Run("run", ""), None)
    assert sorted(row["chip_id"] for row in catalog.load_table(NAME).scan().to_arrow().to_pylist()) == [
        row["chip_id"] for row in by_turns
    ]


def test_a_task_that_fails_leaves_no_file(catalog: SqlCatalog, tmp_path: Path) -> None:
    table = catalog.load_table(NAME)

    def fail() -> None:
        with DataFileWriter(table.metadata, table.io) as writer:
            for number in range(9):
                writer.write(chip(number, f"u2j{number}xxxx"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.rglob("*.parquet")) == []


def test_no_rows_make_no_file(catalog: SqlCatalog) -> None:
    assert write(catalog.load_table(NAME), []) == []
