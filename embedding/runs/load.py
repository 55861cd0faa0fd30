"""Load: the answers of a run go into raw.clay_embeddings, each checked against its request.

A failed transform is loaded, too: chips without an answer are exported again by the next run.

A load needs no Spark: PyArrow writes data files, a row group at a time. In memory it has the keys of the run, some
hundred bytes a chip, and if embeddings replace errors, one of the data files that hold these errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from embedding.runs.answers import Key, checked_answers, keys_asked, keys_of, read_answer
from embedding.runs.files import LoadReport, Manifest, Run, answer_path
from embedding.runs.known_answers import KnownAnswers, read_known, rows_beside_errors
from lakehouse.catalog import ensure_sources
from lakehouse.commits import commit, without_blind_retry
from lakehouse.data_files import in_row_groups, one_ahead, remove_files, write_data_files
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS


def load_run(settings: Settings, run: Run) -> LoadReport:
    """Write the answers of a run into raw.clay_embeddings, in one commit, and mark the run as loaded.

    An embedding replaces an error; an error never replaces an embedding. Answers that the table has already are not
    written again: a load of only such answers makes no snapshot.

    Args:
        settings: of the catalog that holds the table.
        run: an exported run, transformed completely or in part.

    Raises:
        ChiplakeError: the manifest of the run is missing, or another writer holds the table's lock for too long.
        OSError: the data files cannot be written; then nothing is loaded.
    """
    manifest = run.manifest()
    run.gather_answers()
    requests = {
        entry.name: keys_asked(run.input_dir / entry.name, answer)
        for entry in manifest.objects
        if (answer := answer_path(run.output_dir, entry.name)).is_file()
    }
    news = _News()
    if requests:
        news = commit(ensure_sources(settings), CLAY_EMBEDDINGS, lambda table: _write(table, run, manifest, requests))
    report = LoadReport(
        run_id=run.run_id,
        embedded=news.embedded,
        errors=news.errors,
        unchanged=news.unchanged,
        unanswered_objects=tuple(entry.name for entry in manifest.objects if entry.name not in requests),
    )
    run.mark_loaded(report)
    return report


@dataclass
class _News:
    """Answers that the table does not have, and their numbers."""

    known: KnownAnswers = field(default_factory=lambda: KnownAnswers({}, []))
    seen: set[Key] = field(default_factory=set)
    replaced: set[Key] = field(default_factory=set)  # errors of the table that have another answer now
    embedded: int = 0
    errors: int = 0
    unchanged: int = 0

    def select(self, answers: pa.Table) -> pa.Table:
        """Select the answers to write: new keys, embeddings in place of errors, other errors in place of errors."""
        errors = answers.column("error").to_pylist()
        rows = [row for row, key in enumerate(keys_of(answers)) if self._is_new(key, errors[row])]
        return answers if len(rows) == answers.num_rows else answers.take(pa.array(rows, pa.int64()))

    def _is_new(self, key: Key, error: str | None) -> bool:
        is_known, known_error = key in self.known.errors, self.known.errors.get(key)
        has_embedding = is_known and known_error is None
        self.errors += error is not None and not has_embedding
        if has_embedding or (is_known and error == known_error) or key in self.seen:
            self.unchanged += 1
            return False
        self.seen.add(key)
        self.embedded += error is None
        if is_known:
            self.replaced.add(key)
        return True


def _write(table: Table, run: Run, manifest: Manifest, requests: dict[str, list[Key]]) -> _News:
    """Write the answers that the table does not have, and commit them if there are any."""
    news = _News(read_known(table, manifest.model_id, chain.from_iterable(requests.values())))

    def answers() -> Iterator[pa.Table]:
        for name, asked in requests.items():
            answer = read_answer(answer_path(run.output_dir, name))
            yield news.select(checked_answers(asked, answer, manifest.model_id, manifest.dimension))

    def rows() -> Iterator[pa.Table]:
        loaded_at = datetime.now(UTC)
        for piece in in_row_groups(answers()):
            yield _stamped(piece, run.run_id, loaded_at)
        for task in news.known.files_with(news.replaced):
            beside = rows_beside_errors(table, task, manifest.model_id, news.replaced)
            yield from in_row_groups(beside.slice(start, 1024) for start in range(0, beside.num_rows, 1024))

    written = write_data_files(table, one_ahead(rows()))
    if written:
        _commit(table, written, [task.file for task in news.known.files_with(news.replaced)])
    return news


def _stamped(answers: pa.Table, run_id: str, loaded_at: datetime) -> pa.Table:
    count = answers.num_rows
    return answers.append_column("run_id", pa.array([run_id] * count)).append_column(
        "embedded_at", pa.array([loaded_at] * count, pa.timestamp("us", "UTC"))
    )


def _commit(table: Table, written: Sequence[DataFile], replaced: Sequence[DataFile]) -> None:
    """Add data files to the table, and remove those whose other rows they hold, in one snapshot."""
    try:
        with without_blind_retry(table).transaction() as transaction:
            update = transaction.update_snapshot()
            with update.overwrite() if replaced else update.fast_append() as snapshot:
                for file in written:
                    snapshot.append_data_file(file)
                for file in replaced:
                    snapshot.delete_data_file(file)
    except CommitFailedException:
        remove_files(table.io, [file.file_path for file in written])
        raise
