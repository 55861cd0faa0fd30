"""Writes rows into data files as Iceberg wants them: field ids, partition values, metrics, row groups of pixels.

PyIceberg's own writer takes all rows of a file at once, and has no row groups by bytes; the rest is PyIceberg's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    StatisticsCollector,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionFieldValue, PartitionKey, partition_record_value
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record

from lakehouse.data_files import remove_files

_MIB: Final = 1024 * 1024
MAX_BUFFERED_BYTES: Final = 192 * _MIB  # of the rows of all files that a task writes at once
MAX_OPEN_FILES: Final = 64  # on S3 each has a part of some megabytes in memory

# Spark's values, where a table has none of its own.
_CODEC: Final = ("write.parquet.compression-codec", "zstd")
_ROW_GROUP_BYTES: Final = ("write.parquet.row-group-size-bytes", 128 * _MIB)
_PAGE_BYTES: Final = ("write.parquet.page-size-bytes", _MIB)
# Parquet looks at the size of a page after so many values, and a frame of pixels may have 100 kB.
_VALUES_PER_LOOK: Final = 16


@dataclass
class _OpenFile:
    """A file that is being written, one a partition, and its rows that are not yet in a row group."""

    location: str
    partition: Record
    writer: pq.ParquetWriter
    stream: Any
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    buffered: int = 0  # bytes of the pixels of `rows`


class DataFileWriter:
    """Writes rows of a table, in any order, into one file a partition.

    Rows stay in memory until a row group is full, or until all files together have too many. Where rows of very many
    partitions alternate, a partition gets several files.
    """

    def __init__(
        self,
        metadata: TableMetadata,
        io: FileIO,
        max_buffered_bytes: int = MAX_BUFFERED_BYTES,
        max_open_files: int = MAX_OPEN_FILES,
    ) -> None:
        """Prepare the files of one task.

        Args:
            metadata: that of the table; its default partition spec is used.
            io: that of the table.
            max_buffered_bytes: bytes of pixels that may wait in memory.
            max_open_files: files that may be open at once.
        """
        self._metadata, self._io = metadata, io
        self._max_buffered, self._max_open = max_buffered_bytes, max_open_files
        self._schema = metadata.schema()
        self._columns: pa.Schema = schema_to_pyarrow(self._schema)
        self._spec = metadata.spec()
        self._statistics = compute_statistics_plan(self._schema, metadata.properties)
        self._paths = parquet_path_to_id_mapping(self._schema)
        has_metrics = [path for path, number in self._paths.items() if _has_metrics(self._statistics[number])]
        self._options = _parquet_options(metadata.properties, has_metrics)
        self._row_group_bytes = int(metadata.properties.get(*_ROW_GROUP_BYTES))
        self._locations = load_location_provider(metadata.location, metadata.properties)
        self._pixel_columns = [one.name for one in self._columns if pa.types.is_large_binary(one.type)]
        self._open: dict[Record, _OpenFile] = {}  # the one that got a row last is the last
        self._finished: list[DataFile] = []
        self._started: list[str] = []  # locations of all files
        self._task = uuid.uuid4()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.abort()

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row.

        Args:
            row: value by column; a column that is left out is null. Times have a time zone.
        """
        partition = Record(*(self._partition_value(one, row) for one in self._spec.fields))
        file = self._open.pop(partition, None) or self._new_file(partition)
        self._open[partition] = file
        file.rows.append(row)
        file.buffered += sum(len(row.get(name) or b"") for name in self._pixel_columns)
        if file.buffered >= self._row_group_bytes:
            self._flush(file)
        while sum(one.buffered for one in self._open.values()) > self._max_buffered:
            self._flush(max(self._open.values(), key=lambda one: one.buffered))

    def close(self) -> list[DataFile]:
        """Finish the files, and return what a commit needs to know of them."""
        while self._open:
            self._finish_first()
        return self._finished

    def abort(self) -> None:
        """Remove all files, finished or not."""
        for file in self._open.values():
            with suppress(OSError, ValueError):  # a file that cannot be finished can still be removed
                file.writer.close()
            with suppress(OSError, ValueError):
                file.stream.close()
        remove_files(self._io, self._started)

    def _partition_value(self, one: PartitionField, row: Mapping[str, Any]) -> Any:
        source = self._schema.find_field(one.source_id)
        value = partition_record_value(one, row.get(source.name), self._schema)  # a time as microseconds
        return one.transform.transform(source.field_type)(value)

    def _new_file(self, partition: Record) -> _OpenFile:
        if len(self._open) >= self._max_open:
            self._finish_first()
        name = f"{self._task}-{len(self._started):05d}.parquet"
        values = [PartitionFieldValue(one, partition[place]) for place, one in enumerate(self._spec.fields)]
        key = PartitionKey(values, self._spec, self._schema) if values else None
        location = self._locations.new_data_location(name, key)
        self._started.append(location)
        stream = self._io.new_output(location).create(overwrite=True)
        writer = pq.ParquetWriter(stream, self._columns, **self._options)
        return _OpenFile(location, partition, writer, stream)

    def _flush(self, file: _OpenFile) -> None:
        arrays = [pa.array([row.get(one.name) for row in file.rows], one.type) for one in self._columns]
        file.rows, file.buffered = [], 0
        table = pa.Table.from_arrays(arrays, schema=self._columns)
        file.writer.write_table(table, row_group_size=table.num_rows)

    def _finish_first(self) -> None:
        partition = next(iter(self._open))
        self._finished.append(self._finish(self._open[partition]))
        del self._open[partition]

    def _finish(self, file: _OpenFile) -> DataFile:
        if file.rows:
            self._flush(file)
        file.writer.close()
        size = file.stream.tell()
        file.stream.close()
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=file.writer.writer.metadata,
            stats_columns=self._statistics,
            parquet_column_mapping=self._paths,
        )
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=file.location,
            file_format=FileFormat.PARQUET,
            partition=file.partition,
            file_size_in_bytes=size,
            sort_order_id=None,
            spec_id=self._metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )


def _has_metrics(column: StatisticsCollector) -> bool:
    return column.mode.type != MetricModeTypes.NONE


def _parquet_options(properties: Mapping[str, str], has_metrics: list[str]) -> dict[str, Any]:
    """Return options of Parquet's writer. Columns without metrics, the pixels, have no dictionary and no statistics."""
    codec = properties.get(*_CODEC).lower()
    return {
        "compression": "none" if codec == "uncompressed" else codec,
        "data_page_size": int(properties.get(*_PAGE_BYTES)),
        "write_batch_size": _VALUES_PER_LOOK,
        "use_dictionary": has_metrics,
        "write_statistics": has_metrics,
        "store_schema": False,
    }
