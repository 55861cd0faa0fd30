"""Runs of the DAG on this machine, with real scenes: `airflow dags test` starts the project's commands as processes."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyiceberg.table import Table
from support.airflow_home import BIN, OLDEST_BIN, airflow_at

from lakehouse.catalog import open_catalog
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.source_schemas import STAGES

pytestmark = pytest.mark.airflow

DAG = "sentinel_chip_processing"
# Two cells of 2,560 m, EPSG:32633; all clouds on 10 August, clear on 13 and 15 August.
BOUNDS = WEST, SOUTH, EAST, NORTH = 524_800, 4_997_120, 529_920, 4_999_680
CELLS = 2
DAY, NEXT_DAY = "2023-08-13", "2023-08-15"
RECORDED_STAGES = (
    "ingest", "chip_extraction", "temporal_merge", "export", "batch_transform", "load", "change_detection",
)  # fmt: skip
WITHOUT_TESTS = ("--mark-success-pattern", r"tests_and_docs\..*")  # tests and docs write no table


@pytest.fixture(scope="module")
def scenes(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COGs of the cells on three days."""
    folder = tmp_path_factory.mktemp("scenes")
    tool = sample_data.parent / "tools" / "build_scenes.py"
    bounds = [str(value) for value in BOUNDS]
    subprocess.run([sys.executable, tool, "--out", folder, "--bounds", *bounds], check=True, capture_output=True)
    return folder


class Lake:
    """A lake, and an Airflow whose DAG writes it."""

    def __init__(self, home: Path, scenes: Path, manifest: Path, bin: Path = BIN) -> None:
        self.home = home
        self.airflow = airflow_at(home.with_name(f"airflow-of-{bin.parent.name}"), manifest, bin)
        self.environment = {
            "CHIPLAKE_HOME": str(self.home),
            "CHIPLAKE_BANDS": '["blue", "nir"]',
            "CHIPLAKE_MAX_UNREADABLE_FRACTION": "0.5",
            "CHIPLAKE_SHUFFLE_PARTITIONS": "2",
            "CHIPLAKE_SPARK_MASTER": "local[2]",
            "CHIPLAKE_AIRFLOW_RETRIES": "0",
            "CHIPLAKE_AIRFLOW_POLL_S": "2",
            "AIRFLOW_VAR_CHIPLAKE_STAC_ITEMS": str(scenes / "items.json"),
        }
        self.airflow.set_up()

    def run(self, day: str, *arguments: str, **environment: str) -> tuple[bool, str]:
        """Run the DAG for a day, replacing an earlier run of that day; return whether it succeeded, and the log."""
        done = self.airflow("dags", "test", DAG, day, *arguments, **self.environment, **environment)
        return done.returncode == 0, done.stdout

    def run_and_kill(self, day: str, *arguments: str) -> bool:
        """Run the DAG, kill the first command with these arguments once it has a JVM; return whether it succeeded."""
        # Read the output meanwhile, because it is larger than the buffer of a pipe.
        with (
            self.airflow.start("dags", "test", DAG, day, **self.environment) as process,
            ThreadPoolExecutor(1) as reader,
        ):
            output = reader.submit(process.communicate)
            _kill_child(psutil.Process(process.pid), arguments)
            output.result()
        return process.returncode == 0

    def table(self, name: str) -> Table:
        return open_catalog(Settings().replace(home=self.home)).load_table(name)

    def rows(self, name: str) -> dict[str, dict[str, Any]]:
        """Return the rows of a table of chips, by chip_id."""
        return {row["chip_id"]: row for row in self.table(f"chiplake.{name}").scan().to_arrow().to_pylist()}

    def snapshots(self) -> dict[str, int]:
        """Return the newest snapshot of every table but the record of stages."""
        catalog = open_catalog(Settings().replace(home=self.home))
        tables = [name for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)]
        snapshots = {".".join(name): catalog.load_table(name).metadata.current_snapshot_id or 0 for name in tables}
        return {name: snapshot for name, snapshot in snapshots.items() if name != STAGES}

    def stages(self) -> list[tuple[str, str]]:
        """Return stage and state of each end of the newest run in ops.stages, in order."""
        rows = sorted(self.table(STAGES).scan().to_arrow().to_pylist(), key=lambda row: row["started_at"])
        return [(row["stage"], row["state"]) for row in rows if row["run_id"] == rows[-1]["run_id"] and row["ended_at"]]


def _kill_child(parent: psutil.Process, arguments: tuple[str, ...]) -> None:
    while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
        for child in parent.children(recursive=True):
            try:
                is_command = all(argument in child.cmdline() for argument in arguments)
                if is_command and any(grandchild.name() == "java" for grandchild in child.children(recursive=True)):
                    child.kill()
                    return
            except psutil.NoSuchProcess:  # the process has ended meanwhile
                continue
        time.sleep(0.1)
    raise AssertionError(f"no process of {' '.join(arguments)}")


@pytest.fixture(scope="module")
def lake(scenes: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(tmp_path_factory.mktemp("dag") / "lake", scenes, manifest)


@pytest.fixture(scope="module")
def lake_of_oldest(lake: Lake, scenes: Path, manifest: Path) -> Lake:
    """The same lake, and the oldest version of managed Airflow."""
    return Lake(lake.home, scenes, manifest, OLDEST_BIN)


@pytest.mark.java
@pytest.mark.slow
def test_a_killed_run_that_is_cleared_completes(lake: Lake) -> None:
    assert not lake.run_and_kill(DAY, "embed", "export")
    assert "chiplake.fct_filled_chips" in lake.snapshots()
    assert lake.table("raw.clay_embeddings").current_snapshot() is None

    succeeded, log = lake.run(DAY, *WITHOUT_TESTS)

    assert succeeded, log
    chips, filled, embeddings = (lake.rows(name) for name in ("fct_chips", "fct_filled_chips", "fct_chip_embeddings"))
    # The run's day, 13 August, and the ten days before it, with 10 August; not the 15th.
    assert {row["acquired_at"].day for row in chips.values()} == {10, 13}
    assert len(chips) == 2 * CELLS
    assert not any(row["error"] for row in chips.values())
    assert filled.keys() == chips.keys()
    complete = {chip_id for chip_id, row in filled.items() if row["complete_fraction"] >= 0.95}
    assert len(complete) == CELLS
    assert embeddings.keys() == complete
    assert list(dict.fromkeys(lake.stages())) == [(stage, "done") for stage in RECORDED_STAGES]


@pytest.mark.java
@pytest.mark.slow
def test_the_same_run_again_writes_nothing(lake: Lake) -> None:
    before = lake.snapshots()
    succeeded, log = lake.run(DAY, *WITHOUT_TESTS)
    assert succeeded, log
    assert "nothing to export" in log
    assert lake.snapshots() == before
    # The events are those of the run before: this one has none.
    assert lake.airflow.asset_events("chips_cut")["chiplake.fct_chips"] == [{"chips_cut": 2 * CELLS}]


@pytest.mark.java
@pytest.mark.slow
def test_a_scene_that_cannot_be_read_gives_a_warning_in_a_run_that_succeeds(lake: Lake, scenes: Path) -> None:
    (broken,) = scenes.glob("*20230815*/B08.tif")
    content = broken.read_bytes()
    broken.write_bytes(b"no raster")
    try:
        succeeded, log = lake.run(NEXT_DAY, *WITHOUT_TESTS)
    finally:
        broken.write_bytes(content)
    assert succeeded, log
    assert f"Incomplete: chiplake: {CELLS} chips could not be read" in log
    (extraction,) = (
        row
        for row in lake.table(STAGES).scan("stage = 'chip_extraction'").to_arrow().to_pylist()
        if row["chips_unreadable"]
    )
    assert (extraction["chips_unreadable"], extraction["chips_cut"]) == (CELLS, 2 * CELLS)
    errors = {row["acquired_at"].day: bool(row["error"]) for row in lake.rows("fct_chips").values()}
    assert errors == {10: False, 13: False, 15: True}
    assert len(lake.rows("fct_chip_embeddings")) == CELLS  # the complete chips, of the 13th


@pytest.mark.java
@pytest.mark.slow
def test_the_oldest_version_of_managed_airflow_runs_the_next_day(lake_of_oldest: Lake) -> None:
    lake = lake_of_oldest
    earlier = lake.rows("fct_chip_embeddings")
    docs = PROJECT_DIR / "target" / "docs" / "index.html"
    docs.unlink(missing_ok=True)

    succeeded, log = lake.run(NEXT_DAY)

    assert succeeded, log
    chips, filled, embeddings, changes = (
        lake.rows(name) for name in ("fct_chips", "fct_filled_chips", "fct_chip_embeddings", "fct_chip_changes")
    )
    assert len(chips) == 3 * CELLS
    assert not any(row["error"] for row in chips.values())  # the scene of the 15th can be read now
    complete = {chip_id for chip_id, row in filled.items() if row["complete_fraction"] >= 0.95}
    assert embeddings.keys() == complete > earlier.keys()
    assert {row["acquired_at"].day for row in changes.values()} == {15}
    assert docs.is_file()
    assert lake.stages() == [(stage, "done") for stage in (*RECORDED_STAGES, "tests")]
    # `dags test` makes a run for each try: a killed one, two more of that day, one with an unreadable scene, and this.
    runs = lake.table("chiplake.fct_pipeline_runs").scan().to_arrow().to_pylist()
    *_, run = sorted(runs, key=lambda run: run["started_at"])
    assert {row["state"] for row in runs} == {"running", "done", "incomplete"}
    assert (run["state"], run["end_date"].isoformat(), run["chips_cut"]) == ("done", NEXT_DAY, 3 * CELLS)
    assert run["tests_failed"] == 0 < run["tests_passed"]
    quality = lake.table("chiplake.fct_lake_quality").scan().to_arrow().to_pylist()
    assert {(row["acquired_on"].day, row["chips"], row["chips_unreadable"]) for row in quality} == {
        (day, CELLS, 0) for day in (10, 13, 15)
    }


def test_a_broken_catalog_fails_the_run(scenes: Path, manifest: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", scenes, manifest)
    lake.home.mkdir()
    (lake.home / "catalog.db").write_bytes(b"no catalog" * 1000)
    succeeded, log = lake.run(DAY)
    assert not succeeded
    assert "file is not a database" in log
