"""Two runs that start together write every row once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support.ingests import write_items
from support.lakes import dbt, empty_lake_of, ingest_file

from chiplake.synthetic import Archive, ArchiveSpec, write_archive
from lakehouse.catalog import MODEL_NAMESPACE, pyiceberg_properties
from lakehouse.locks import table_lock, table_lock_path
from lakehouse.settings import PROJECT_DIR, Settings

pytestmark = pytest.mark.slow

CHIPS = f"{MODEL_NAMESPACE}.fct_chips"
TIME_LIMIT_S = 180


@pytest.fixture(scope="module")
def archive(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive whose first day is cut."""
    folder = tmp_path_factory.mktemp("two-writers")
    spec = ArchiveSpec.tiny()
    with empty_lake_of(spec.bands, spark, settings):
        archive = write_archive(spec, folder / "archive")
        _ingest_day(archive, 0, settings)
        dbt("run", "--select", "+fct_chips")
        yield archive


def _ingest_day(archive: Archive, day: int, settings: Settings) -> None:
    days = sorted({scene.day for scene in archive.scenes})
    wanted = {scene.item_id for scene in archive.scenes if scene.day == days[day]}
    items = [item for item in json.loads(archive.items_path.read_text())["features"] if item["id"] in wanted]
    ingest_file(write_items(archive.root.parent / "items.json", items), settings)


def _counts(spark: SparkSession) -> tuple[int, int]:
    """Return the numbers of rows and of chips."""
    found = spark.sql(f"select count(*) as rows, count(distinct chip_id) as chips from {CHIPS}").collect()[0]
    return found.rows, found.chips


def _planned(spark: SparkSession) -> int:
    return spark.table(f"{MODEL_NAMESPACE}.int_chip_inputs").count()


@dataclass(frozen=True)
class Run:
    """`dbt run -s fct_chips` in a process of its own, which writes its output to a file."""

    process: subprocess.Popen[bytes]
    output: Path

    @classmethod
    def start(cls, folder: Path) -> Run:
        environment = {"DBT_TARGET_PATH": str(folder), "DBT_LOG_PATH": str(folder), "PYTHONPATH": str(PROJECT_DIR)}
        command = [str(Path(sys.executable).with_name("dbt")), "run", "--select", "fct_chips"]
        command += ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
        folder.mkdir()
        output = folder / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(command, env=os.environ | environment, cwd=PROJECT_DIR, stdout=file, stderr=file)
        return cls(process, output)

    @property
    def lines(self) -> list[str]:
        """What it has printed so far."""
        return self.output.read_text().splitlines()

    def waits_for(self, process: int) -> bool:
        """Return whether it has said that it waits for a process."""
        return any(f"{CHIPS} is being written by process {process} on" in line for line in self.lines)


def _until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + TIME_LIMIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def _holder(settings: Settings) -> int:
    """Return the process that holds the lock of fct_chips, 0 for none."""
    text = table_lock_path(settings.lake.locks_dir, CHIPS).read_text()
    return int(json.loads(text)["process"]) if text else 0


@pytest.mark.parametrize(("day", "is_killed"), [(1, False), (2, True)])
def test_two_runs_at_once_write_every_new_chip_once(
    archive: Archive, spark: SparkSession, settings: Settings, tmp_path: Path, day: int, is_killed: bool
) -> None:
    before = _counts(spark)
    _ingest_day(archive, day, settings)
    dbt("run", "--select", "+int_chip_inputs")
    assert _planned(spark) > before[0]

    with table_lock(pyiceberg_properties(settings.lake), CHIPS):
        runs = [Run.start(tmp_path / str(number)) for number in range(2)]
        _until(lambda: all(run.waits_for(os.getpid()) for run in runs), "a run did not wait for this test")
    by_process = {run.process.pid: run for run in runs}
    _until(lambda: _holder(settings) in by_process, "no run took the lock")
    first = by_process.pop(_holder(settings))
    second = next(iter(by_process.values()))
    if is_killed:
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(TIME_LIMIT_S)
    else:
        _until(lambda: second.waits_for(first.process.pid), "the second run did not wait for the first")
        assert first.process.wait(TIME_LIMIT_S) == 0, first.lines
    assert second.process.wait(TIME_LIMIT_S) == 0, second.lines
    assert any("unchanged" in line for line in second.lines) != is_killed

    spark.sql(f"refresh table {CHIPS}")
    assert _counts(spark) == (_planned(spark), _planned(spark))
