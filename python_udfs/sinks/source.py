"""The data source `chiplake`: an insert of a plan into it writes rows with pixels into a table of the lake.

    create temporary view sink using chiplake options (work 'cut', table 'chiplake.fct_chips', run_id '…')
    insert into sink by name select … from the_plan

Workers make the rows and write the data files; the driver adds all files in one commit (lakehouse/publication.py). The
materialization `exact_incremental` sends these statements (macro `sink_view`). Modules that take long to import are
imported where they are used, because Spark imports this one in each of its planning processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.types import StructType

from python_udfs.composite.plan import MEMBER
from python_udfs.extract.strip import STRIP
from python_udfs.fill.plan import STEP

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata

    from lakehouse.publication import Run

PUBLISH: Final = "publish"

# The columns that an insert needs, by the option `work`.
PLANS: Final = {"cut": STRIP, "fill": STEP, "composite": MEMBER, PUBLISH: "nothing int"}


@dataclass(frozen=True)
class Target:
    """The options of a view: what an insert into it does, and to which table.

    Attributes:
        work: what workers do with the rows that are inserted: `cut`, `fill` or `composite`; `publish` only commits.
        table: name with schema.
        run_id: of the run, in the summary of its snapshot.
        code_version: of the project, in the summary of the snapshot.
        planned_at: id of main's snapshot when the rows were planned; None if there was none.
        staged: name of the branch that keeps the files until they are published.
        is_staged: whether the files only go to that branch, because rows must be removed in the same commit.
        onto: with `publish`, the branch on which these rows are removed; None if none are.
    """

    work: str
    table: str
    run_id: str
    code_version: str
    planned_at: int | None
    staged: str
    is_staged: bool
    onto: str | None

    @classmethod
    def of_options(cls, options: Mapping[str, str]) -> Target:
        """Read the options of a view; an empty one is left out."""
        given = {name: value for name, value in options.items() if value}
        return cls(
            work=given["work"],
            table=given["table"],
            run_id=given["run_id"],
            code_version=given.get("code_version", ""),
            planned_at=int(given["planned_at"]) if "planned_at" in given else None,
            staged=given["staged"],
            is_staged=given.get("is_staged", "").lower() == "true",
            onto=given.get("onto"),
        )

    @property
    def run(self) -> Run:
        """Who writes."""
        from lakehouse.publication import Run

        return Run(self.run_id, self.code_version)


class ChiplakeSource(DataSource):
    """Data source `chiplake`."""

    @classmethod
    def name(cls) -> str:
        """Return what SQL says after `using`."""
        return "chiplake"

    def schema(self) -> str | StructType:
        """Return the columns that an insert needs."""
        return PLANS[Target.of_options(self.options).work]

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceArrowWriter:  # noqa: ARG002
        """Return what the workers and the driver do with an insert."""
        target = Target.of_options(self.options)
        if target.work == PUBLISH:
            return Publisher(target)
        from lakehouse.catalog import open_catalog
        from lakehouse.settings import get_settings
        from lakehouse.spark.conf import worker_environment

        settings = get_settings()
        table = open_catalog(settings).load_table(target.table)
        return Sink(target, _without_history(table.metadata), table.io, worker_environment(settings))


@dataclass
class WrittenFiles(WriterCommitMessage):
    """The data files of one task."""

    files: list[DataFile]


class Sink(DataSourceArrowWriter):
    """Makes rows of a plan in the workers, and commits their files in the driver."""

    def __init__(self, target: Target, metadata: TableMetadata, io: FileIO, environment: Mapping[str, str]) -> None:
        """Prepare an insert.

        Args:
            target: the options of the view.
            metadata: that of the table.
            io: that of the table.
            environment: variables of the workers.
        """
        self._target, self._metadata, self._io, self._environment = target, metadata, io, dict(environment)

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WrittenFiles:
        """Make the rows of one task's part of the plan, and write them."""
        os.environ.update(self._environment)
        from python_udfs.pixel_store.writer import DataFileWriter
        from python_udfs.sinks.works import WORKS

        with DataFileWriter(self._metadata, self._io) as files:
            for row in WORKS[self._target.work](iterator, self._io):
                files.write(row)
            return WrittenFiles(files.close())

    def commit(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        """Publish the files of all tasks, or stage them if main has moved or rows must be removed."""
        from lakehouse.catalog import open_catalog
        from lakehouse.publication import publish, stage
        from lakehouse.settings import get_settings

        target, catalog = self._target, open_catalog(get_settings())
        files = _files_of(messages)
        if target.is_staged or not publish(catalog, target.table, files, target.run, target.planned_at):
            stage(catalog, target.table, files, target.run, target.staged)

    def abort(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        """Remove the files of an insert that has failed.

        Spark also aborts after a commit that failed. Then no task has failed, and the files stay, because they may be
        committed although the answer was lost; `chiplake maintain` removes those to which nothing refers.
        """
        from lakehouse.data_files import remove_files

        if any(message is None for message in messages):
            remove_files(self._io, [file.file_path for file in _files_of(messages)])


class Publisher(DataSourceArrowWriter):
    """Publishes staged files; an insert into it has no rows. Whether it is done, the snapshots of the table say."""

    def __init__(self, target: Target) -> None:
        """Prepare the commit.

        Args:
            target: the options of the view.
        """
        self._target = target

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WrittenFiles:
        """Take no rows."""
        for _ in iterator:
            pass
        return WrittenFiles([])

    def commit(self, messages: Sequence[WriterCommitMessage | None]) -> None:  # noqa: ARG002
        """Publish, unless main has moved again."""
        from lakehouse.catalog import open_catalog
        from lakehouse.publication import publish_staged
        from lakehouse.settings import get_settings

        target = self._target
        catalog = open_catalog(get_settings())
        publish_staged(catalog, target.table, target.run, target.planned_at, target.staged, target.onto)

    def abort(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        """Leave the staged files: the next run removes them."""


def _files_of(messages: Sequence[WriterCommitMessage | None]) -> list[DataFile]:
    return [file for message in messages if isinstance(message, WrittenFiles) for file in message.files]


def _without_history(metadata: TableMetadata) -> Any:
    """Return what a writer needs of a table; the snapshots of years would go to each task."""
    nothing: dict[str, Any] = {"snapshots": [], "snapshot_log": [], "metadata_log": [], "statistics": []}
    return metadata.model_copy(update=nothing | {"refs": {}, "current_snapshot_id": None})
