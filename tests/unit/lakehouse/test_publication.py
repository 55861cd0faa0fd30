"""What a run adds and removes becomes visible in one commit, or not at all, and once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.types import NestedField, StringType

from lakehouse.publication import (
    RUN_PROPERTY,
    VERSION_PROPERTY,
    Run,
    dead_branches,
    head_of,
    publish,
    publish_staged,
    stage,
    staged_files,
)

NAME = "lake.chips"
RUN, OTHER = Run("run-1", "0.1.0"), Run("run-2", "0.1.0")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """A catalog with an empty table of keys."""
    catalog = SqlCatalog("lake", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=str(tmp_path / "warehouse"))
    catalog.create_namespace("lake")
    catalog.create_table(NAME, Schema(NestedField(1, "key", StringType())))
    yield catalog
    catalog.close()


def files_of(catalog: Catalog, *keys: str) -> list[DataFile]:
    """Write a data file as a worker would."""
    table = catalog.load_table(NAME)
    rows = pa.table({"key": pa.array(keys, pa.large_string())})
    return list(_dataframe_to_data_files(table.metadata, rows, table.io))


def keys_of(catalog: Catalog) -> list[str]:
    return sorted(catalog.load_table(NAME).scan().to_arrow()["key"].to_pylist())


def head(catalog: Catalog, branch: str = "main") -> int | None:
    return head_of(catalog.load_table(NAME), branch)


def test_added_rows_are_visible_in_one_snapshot_that_names_the_run(catalog: Catalog) -> None:
    assert publish(catalog, NAME, files_of(catalog, "a", "b"), RUN, None)
    assert keys_of(catalog) == ["a", "b"]
    (snapshot,) = catalog.load_table(NAME).metadata.snapshots
    assert snapshot.summary is not None
    assert snapshot.summary[RUN_PROPERTY] == "run-1"
    assert snapshot.summary[VERSION_PROPERTY] == "0.1.0"


def test_rows_that_were_planned_on_another_snapshot_are_not_published(catalog: Catalog) -> None:
    assert publish(catalog, NAME, files_of(catalog, "a"), OTHER, None)
    assert not publish(catalog, NAME, files_of(catalog, "a"), RUN, None)
    assert keys_of(catalog) == ["a"]


def test_a_commit_that_is_repeated_adds_no_row(catalog: Catalog) -> None:
    files = files_of(catalog, "a")
    assert publish(catalog, NAME, files, RUN, None)
    assert publish(catalog, NAME, files, RUN, None)
    assert keys_of(catalog) == ["a"]


def test_removed_and_added_rows_become_visible_together(catalog: Catalog) -> None:
    publish(catalog, NAME, files_of(catalog, "a", "b"), OTHER, None)
    planned_at = head(catalog)
    assert planned_at is not None
    stage(catalog, NAME, files_of(catalog, "c"), RUN, "run_1")
    catalog.load_table(NAME).manage_snapshots().create_branch(planned_at, "run_1_0").commit()
    catalog.load_table(NAME).delete("key = 'a'", branch="run_1_0")
    assert keys_of(catalog) == ["a", "b"]

    seen = len(catalog.load_table(NAME).history())
    assert publish_staged(catalog, NAME, RUN, planned_at, "run_1", "run_1_0")
    assert keys_of(catalog) == ["b", "c"]
    assert len(catalog.load_table(NAME).history()) == seen + 1
    metadata = catalog.load_table(NAME).metadata
    assert list(metadata.refs) == ["main"]
    # Expiry removes the files of a snapshot outside of main, so that of the staging branch must be gone.
    parents = {snapshot.parent_snapshot_id for snapshot in metadata.snapshots}
    assert {snapshot.snapshot_id for snapshot in metadata.snapshots} - parents == {head(catalog)}


def test_staged_rows_wait_while_main_moves(catalog: Catalog) -> None:
    publish(catalog, NAME, files_of(catalog, "a"), Run("run-0", ""), None)
    planned_at = head(catalog)
    stage(catalog, NAME, files_of(catalog, "b"), RUN, "run_1")
    stage(catalog, NAME, files_of(catalog, "b"), RUN, "run_1")  # repeated after a lost answer
    publish(catalog, NAME, files_of(catalog, "c"), OTHER, planned_at)

    assert not publish_staged(catalog, NAME, RUN, planned_at, "run_1", None)
    assert keys_of(catalog) == ["a", "c"]
    assert len(staged_files(catalog.load_table(NAME), "run_1")) == 1
    assert publish_staged(catalog, NAME, RUN, head(catalog), "run_1", None)
    assert keys_of(catalog) == ["a", "b", "c"]


def test_branches_of_dead_runs_are_known_by_their_time_where_there_are_no_locks(catalog: Catalog) -> None:
    publish(catalog, NAME, files_of(catalog, "a"), OTHER, None)
    old, new = (datetime.now(UTC) - timedelta(hours=hours) for hours in (49, 47))
    names = [f"run_{started:%Y%m%d%H%M%S}_0123abcd" for started in (old, new)]
    snapshot = head(catalog)
    assert snapshot is not None
    with catalog.load_table(NAME).manage_snapshots() as snapshots:
        for name in (*names, "of_a_user"):
            snapshots.create_branch(snapshot, name)
    table = catalog.load_table(NAME)
    assert dead_branches(table, has_locks=False) == names[:1]
    assert dead_branches(table, has_locks=True) == names


@pytest.mark.parametrize("is_onto", [False, True])
def test_main_is_checked_again_by_the_commit_itself(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, is_onto: bool
) -> None:
    publish(catalog, NAME, files_of(catalog, "a"), Run("run-0", ""), None)
    planned_at, theirs = head(catalog), files_of(catalog, "b")
    assert planned_at is not None
    stage(catalog, NAME, files_of(catalog, "b"), RUN, "run_1")
    if is_onto:
        catalog.load_table(NAME).manage_snapshots().create_branch(planned_at, "run_1_0").commit()
    commit_table = catalog.commit_table

    def after_another(*arguments: Any) -> Any:
        monkeypatch.setattr(catalog, "commit_table", commit_table)
        assert publish(catalog, NAME, theirs, OTHER, planned_at)
        return commit_table(*arguments)

    monkeypatch.setattr(catalog, "commit_table", after_another)
    assert not publish_staged(catalog, NAME, RUN, planned_at, "run_1", "run_1_0" if is_onto else None)
    assert keys_of(catalog) == ["a", "b"]


@pytest.mark.parametrize("error", [CommitFailedException, ConnectionError])
def test_a_commit_whose_answer_was_lost_counts(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    commit_table = catalog.commit_table

    def commit_and_lose_the_answer(*arguments: Any) -> Any:
        commit_table(*arguments)
        raise error

    monkeypatch.setattr(catalog, "commit_table", commit_and_lose_the_answer)
    assert publish(catalog, NAME, files_of(catalog, "a"), RUN, None)
    assert keys_of(catalog) == ["a"]


def test_a_commit_that_failed_is_an_error(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ConnectionError("no route to the catalog")

    monkeypatch.setattr(catalog, "commit_table", fail)
    with pytest.raises(ConnectionError, match="no route"):
        publish(catalog, NAME, files_of(catalog, "a"), RUN, None)
    assert keys_of(catalog) == []
