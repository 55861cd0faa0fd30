"""Lakes of earlier releases: this release reads them, keeps their rows, and continues to write them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog
from releases.lake_tables import Rows, rows_of

from lakehouse.catalog import open_catalog
from lakehouse.settings import Settings

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
BIN = Path(sys.executable).parent
RELEASES = sorted(path.parent.name for path in HERE.glob("*/lake.tar.xz"))
MARKER = "is-a-chiplake-release-fixture"

CHIPS_WITH_ERRORS = "chiplake.fct_chips"  # each run retries rows with an error, which makes a snapshot
CHANGES = "chiplake.fct_chip_changes"
INCOMPLETE = 3  # exit code where a chip could not be read
NEW_ROWS = {  # of the items in items-next.json
    "raw.stac_items": 2,
    "raw.clay_embeddings": 3,
    "chiplake.stg_stac__items": 2,
    "chiplake.int_scenes": 2,
    "chiplake.int_datatakes": 1,
    "chiplake.int_scene_cells": 5,
    "chiplake.int_chip_inputs": 3,
    "chiplake.int_fill_inputs": 3,
    "chiplake.int_chip_pairs": 0,  # a model of 0.1.0 only: int_distance_inputs has replaced it
    "chiplake.dim_grid_cells": 0,
    "chiplake.fct_chips": 3,
    "chiplake.fct_filled_chips": 3,
    "chiplake.fct_chip_statistics": 3,
    "chiplake.fct_chip_embeddings": 3,
    "chiplake.fct_chip_changes": 3,
}


@dataclass(frozen=True)
class ReleaseLake:
    """A lake of an earlier release, unpacked."""

    root: Path
    expected: dict[str, Any]  # by table

    def catalog(self) -> Catalog:
        return open_catalog(Settings().replace(home=self.root / "lake"))

    def rows(self) -> dict[str, Rows]:
        with closing(self.catalog()) as catalog:
            return {name: rows_of(catalog.load_table(name), table["key"]) for name, table in self.expected.items()}

    def changes(self) -> dict[str, int]:
        """Return how often readers of each table have come to see other rows."""
        with closing(self.catalog()) as catalog:
            return {name: len(catalog.load_table(name).history()) for name in self.expected}

    def run(self, *command: str, exit_code: int = 0) -> None:
        """Run a command of this release on the lake, with the defaults of the settings that decide about rows."""
        kept = ("CHIPLAKE_JARS_DIR", "CHIPLAKE_SPARK_MASTER", "CHIPLAKE_SPARK_DRIVER_MEMORY")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHIPLAKE_")}
        environment |= {name: os.environ[name] for name in kept if name in os.environ}
        environment["CHIPLAKE_HOME"] = str(self.root / "lake")
        environment["CHIPLAKE_MAX_UNREADABLE_FRACTION"] = "1"  # one of its few scenes cannot be read
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]], cwd=PROJECT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == exit_code, f"{command}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}"


@pytest.fixture(params=RELEASES)
def lake(request: pytest.FixtureRequest) -> Iterator[ReleaseLake]:
    """A fresh copy at the only path at which it can be read; test processes wait for each other."""
    folder = HERE / request.param
    expected = json.loads((folder / "expected.json").read_text())
    root = Path(expected["root"])
    try:
        lock = root.with_name(f"{root.name}.lock").open("w")
    except OSError as error:
        pytest.skip(f"the lake of release {request.param} lies at {root} alone: {error}")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.exists() and not (root / MARKER).exists():
            pytest.skip(f"{root} is there and is no lake of a release; move it away")
        shutil.rmtree(root, ignore_errors=True)
        with tarfile.open(folder / "lake.tar.xz") as archive:
            archive.extractall(root.parent, filter="data")
        yield ReleaseLake(root, expected["tables"])
        shutil.rmtree(root)


def test_this_release_reads_the_rows_of_the_lake(lake: ReleaseLake) -> None:
    with closing(lake.catalog()) as catalog:
        for name, expected in lake.expected.items():
            table = catalog.load_table(name)
            assert rows_of(table, expected["key"]) == expected["rows"], name
            assert {field.name for field in table.schema().fields} == set(expected["columns"]), name
            assert len(table.snapshots()) == expected["snapshots"], name


@pytest.mark.java
@pytest.mark.slow
def test_this_release_continues_the_lake_and_keeps_its_rows(lake: ReleaseLake) -> None:
    before = lake.changes()
    lake.run("dbt", "build", "--exclude-resource-type", "unit_test", "--quiet")
    after = lake.changes()
    assert {name for name in before if before[name] != after[name]} <= {CHIPS_WITH_ERRORS, CHANGES}
    assert after[CHIPS_WITH_ERRORS] == before[CHIPS_WITH_ERRORS] + 1
    assert after[CHANGES] == before[CHANGES] + 1  # release 0.1.0 wrote -1 as the history_count of first pairs
    _check_old_rows(lake, new_rows=dict.fromkeys(lake.expected, 0))

    lake.run("chiplake", "ingest", "--items", str(lake.root / "scenes" / "items-next.json"))
    lake.run("chiplake", "run", "nightly", exit_code=INCOMPLETE)
    _check_old_rows(lake, new_rows=dict.fromkeys(lake.expected, 0) | NEW_ROWS)

    before = lake.changes()
    lake.run("dbt", "run", "--quiet")  # the nightly job has run the tests
    after = lake.changes()
    assert {name for name in before if before[name] != after[name]} <= {CHIPS_WITH_ERRORS}


def _check_old_rows(lake: ReleaseLake, new_rows: dict[str, int]) -> None:
    """Assert that each old row keeps its hashes and pixels, and that the tables have so many new rows."""
    for name, rows in lake.rows().items():
        old = lake.expected[name]["rows"]
        assert old.keys() <= rows.keys(), name
        assert len(rows) - len(old) == new_rows[name], name
        columns = [column for column in lake.expected[name]["columns"] if _decides(column)]
        for key, row in old.items():
            kept = {column: row[column] for column in columns}
            assert {column: rows[key][column] for column in columns} == kept, (name, key)


def _decides(column: str) -> bool:
    return column.endswith(("_hash", "_id", "fraction")) or column in ("red", "swir22", "scl", "embedding", "geohash")
