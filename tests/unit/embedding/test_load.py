"""Answers go into raw.clay_embeddings without Spark, each key once, in one commit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table, Transaction

from embedding.model.card import Preprocessing
from embedding.model.weights import describe_model
from embedding.runs.files import ExportedObject, LoadReport, new_run
from embedding.runs.load import load_run
from embedding.wire import ANSWER_SCHEMA, ARROW_STREAM, write_table
from lakehouse import data_files
from lakehouse.catalog import ensure_sources, open_catalog
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS

CARD = describe_model(None, Preprocessing())
MODEL = CARD.model_id
Answer = dict[str, Any]


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """Return settings of a lake without embeddings."""
    settings = Settings().replace(home=tmp_path)
    ensure_sources(settings)
    return settings


def embedded(chip: str, value: float = 0.5, **columns: Any) -> Answer:
    return {
        "chip_id": chip,
        "input_hash": "hash",
        "model_id": MODEL,
        "embedding": [value] * CARD.dimension,
        "error": None,
    } | columns


def failed(chip: str, error: str = "unlucky", **columns: Any) -> Answer:
    return embedded(chip, **{"embedding": None, "error": error} | columns)


def load(lake: Settings, *objects: list[Answer], gone: bool = False) -> LoadReport:
    """Load a run with an answer to each object that holds these chips."""
    run = new_run(lake.lake.transform_dir)
    entries = []
    run.input_dir.mkdir(parents=True)
    run.output_dir.mkdir()
    for number, answers in enumerate(objects):
        name = f"chips-{number:05d}.arrow"
        table = pa.Table.from_pylist(answers, schema=ANSWER_SCHEMA)
        if not gone:
            asked = table.select(["chip_id", "input_hash"])
            (run.input_dir / name).write_bytes(write_table(asked, ARROW_STREAM))
        (run.output_dir / f"{name}.out").write_bytes(write_table(table, ARROW_STREAM))
        entries.append(ExportedObject(name=name, chips=len(answers), size=0, sha256=""))
    run.write_manifest(CARD, ("blue",), entries)
    return load_run(lake, run)


def table(lake: Settings) -> Table:
    return open_catalog(lake).load_table(CLAY_EMBEDDINGS)


def rows(lake: Settings) -> list[tuple[str, str, str, float | None, str | None]]:
    found = table(lake).scan().to_arrow().to_pylist()
    return sorted(
        (row["chip_id"], row["input_hash"], row["model_id"], row["embedding"] and row["embedding"][0], row["error"])
        for row in found
    )


def counts(report: LoadReport) -> tuple[int, int, int]:
    return report.embedded, report.errors, report.unchanged


def data_files_of(lake: Settings) -> list[Path]:
    return sorted((lake.lake.home / "warehouse").rglob("*.parquet"))


def test_an_embedding_replaces_only_the_error_of_its_own_chip_content_and_model(lake: Settings) -> None:
    others = [
        failed("a", "of other content", input_hash="older"),
        failed("b", "other chip"),
        embedded("c"),
        failed("a", "to be replaced"),
    ]
    assert counts(load(lake, others)) == (1, 3, 0)
    # A file of another model, and one that the load need not touch.
    card_of_other = [embedded("a") | {"model_id": "other"}]
    of_other = pa.Table.from_pylist(card_of_other, schema=ANSWER_SCHEMA)
    table(lake).append(of_other)
    assert counts(load(lake, [embedded("d")])) == (1, 0, 0)

    assert counts(load(lake, [embedded("a", 0.25), failed("b", "other chip", input_hash="older")])) == (1, 1, 0)

    assert rows(lake) == [
        ("a", "hash", MODEL, 0.25, None),
        ("a", "hash", "other", 0.5, None),
        ("a", "older", MODEL, None, "of other content"),
        ("b", "hash", MODEL, None, "other chip"),
        ("b", "older", MODEL, None, "other chip"),
        ("c", "hash", MODEL, 0.5, None),
        ("d", "hash", MODEL, 0.5, None),
    ]
    assert [snapshot.summary and snapshot.summary.operation.value for snapshot in table(lake).snapshots()] == [
        "append",
        "append",
        "append",
        "overwrite",
    ]


def test_what_the_table_has_is_not_written_again(lake: Settings) -> None:
    load(lake, [embedded("a"), failed("b", "same")])
    before = table(lake).snapshots()

    assert counts(load(lake, [embedded("a", 0.25), failed("b", "same")])) == (0, 1, 2)
    assert counts(load(lake, [failed("a", "too late")])) == (0, 0, 1)
    assert table(lake).snapshots() == before

    assert counts(load(lake, [failed("b", "another")])) == (0, 1, 0)
    assert rows(lake) == [("a", "hash", MODEL, 0.5, None), ("b", "hash", MODEL, None, "another")]


def test_a_chip_that_a_run_has_twice_is_written_once(lake: Settings) -> None:
    assert counts(load(lake, [embedded("a"), embedded("b")], [embedded("b", 0.25), embedded("c")])) == (3, 0, 1)
    assert rows(lake) == [(chip, "hash", MODEL, 0.5, None) for chip in "abc"]


def test_an_object_that_is_gone_is_loaded_by_the_keys_of_its_answer(lake: Settings) -> None:
    assert counts(load(lake, [embedded("a"), failed("b")], gone=True)) == (1, 1, 0)
    assert [row[0] for row in rows(lake)] == ["a", "b"]


def test_answers_of_any_number_stay_whole_in_row_groups_and_files(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_files, "ROW_GROUP_BYTES", 20_000)
    with table(lake).transaction() as change:
        change.set_properties({"write.target-file-size-bytes": "60000"})
    objects = [[embedded(f"{number:03d}", number) for number in range(start, start + 7)] for start in range(0, 210, 7)]

    assert counts(load(lake, *objects)) == (210, 0, 0)

    assert rows(lake) == [(f"{number:03d}", "hash", MODEL, float(number), None) for number in range(210)]
    files = table(lake).inspect.files().to_pylist()
    assert len(files) > 1
    assert Counter(file["record_count"] > 7 for file in files) == {True: len(files)}
    assert sum(file["record_count"] for file in files) == 210
    assert {file["file_path"].removeprefix("file://") for file in files} == set(map(str, data_files_of(lake)))
    assert len(table(lake).snapshots()) == 1


def test_a_load_that_fails_while_it_writes_leaves_nothing_and_the_next_one_does_all(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [embedded("a"), failed("b")]
    with monkeypatch.context() as patch:
        patch.setattr(
            "lakehouse.data_files.DataFile.from_args", lambda **_: (_ for _ in ()).throw(OSError("disk full"))
        )
        with pytest.raises(OSError, match="disk full"):
            load(lake, answers)
    assert (rows(lake), table(lake).snapshots(), data_files_of(lake)) == ([], [], [])
    assert counts(load(lake, answers)) == (1, 1, 0)


def test_a_load_looks_again_when_another_writer_commits_first(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_transaction = Transaction.commit_transaction
    others = [pa.Table.from_pylist([embedded("a", 0.25)], schema=ANSWER_SCHEMA)]

    def after_another(self: Transaction) -> Table:
        if others:
            table(lake).append(others.pop())
            raise CommitFailedException("another writer was first")
        return commit_transaction(self)

    monkeypatch.setattr(Transaction, "commit_transaction", after_another)
    assert counts(load(lake, [embedded("a"), embedded("b")])) == (1, 0, 1)
    assert rows(lake) == [("a", "hash", MODEL, 0.25, None), ("b", "hash", MODEL, 0.5, None)]
    assert len(data_files_of(lake)) == 2, "the files of the failed commit are removed"
