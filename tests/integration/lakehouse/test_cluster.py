"""The nightly job on a standalone Spark cluster, whose workers lack the project, gives the same rows as one machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyspark
import pytest
from support.cluster_runs import PLAIN_EVENT_LOG, QUICK_JAVA, SCENES, assert_same_rows, rows_of, tasks_by

from chiplake.synthetic import write_archive
from ingestion import IngestRequest, ingest
from lakehouse.settings import PROJECT_DIR, Settings

pytestmark = [pytest.mark.java, pytest.mark.slow]

SPARK_HOME = Path(pyspark.__file__).parent
TABLES = ("fct_chips", "fct_filled_chips", "fct_chip_embeddings", "fct_chip_changes")
START_S = 60


@dataclass(frozen=True)
class Cluster:
    """A master and its workers; each is a process."""

    master: str
    python: Path  # interpreter of the workers
    work_dirs: tuple[Path, ...]  # of each worker


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    python = _python_without_the_project(folder / "python")
    with _spark_process("master", folder, "Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0") as log:
        master = _wait_for(log, r"Starting Spark master at (spark://\S+)")
        work_dirs = (folder / "worker-0", folder / "worker-1")
        limits = ["--host", "127.0.0.1", "--webui-port", "0", "--cores", "1", "--memory", "1g"]
        with (
            _spark_process("worker-0", folder, "Worker", *limits, "--work-dir", str(work_dirs[0]), master) as first,
            _spark_process("worker-1", folder, "Worker", *limits, "--work-dir", str(work_dirs[1]), master) as second,
        ):
            for worker in (first, second):
                _wait_for(worker, "(Successfully registered) with master")
            yield Cluster(master, python, work_dirs)


def test_the_nightly_job_on_a_cluster_gives_the_same_rows_as_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    for package in ("chiplake", "dbt_chiplake", "embedding", "ingestion", "python_udfs"):
        done = subprocess.run(
            [cluster.python, "-c", f"import numcodecs, rasterio, {package}"],
            cwd=cluster.python.parent,
            env=_bare_environment(),
            capture_output=True,
            text=True,
        )
        assert f"No module named '{package}'" in done.stderr

    items = write_archive(SCENES, tmp_path / "archive").items_path
    here, there = tmp_path / "here", tmp_path / "there"
    events = tmp_path / "events"
    events.mkdir()
    for home in (here, there):
        ingest(IngestRequest(items=items), Settings().replace(home=home))

    local = {"CHIPLAKE_SPARK_MASTER": "local[2]"}
    logging = PLAIN_EVENT_LOG | {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri()}
    remote = {
        "CHIPLAKE_SPARK_MASTER": cluster.master,
        "PYSPARK_PYTHON": str(cluster.python),
        "PYSPARK_SUBMIT_ARGS": " ".join(
            [*(f"--conf {name}={value}" for name, value in logging.items()), "pyspark-shell"]
        ),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    with _nightly(here, local) as one, _nightly(there, remote) as other:  # at once, because both mostly wait
        for process in (one, other):
            output, _ = process.communicate()
            assert process.returncode == 0, output

    for table in TABLES:
        assert_same_rows(here, there, table)
    filled = rows_of(here, "fct_filled_chips").values()
    assert any(row["complete_fraction"] > row["base_valid_fraction"] for row in filled)

    # Each worker has one executor and a fair share of the tasks.
    executors = [path.name for work_dir in cluster.work_dirs for path in work_dir.glob("app-*/*")]
    (log,) = events.iterdir()
    tasks = tasks_by("Executor ID", log)
    assert sorted(executors) == sorted(tasks) == ["0", "1"]
    assert min(tasks.values()) > 0.2 * tasks.total()


def _python_without_the_project(folder: Path) -> Path:
    """Make an interpreter that finds the third-party packages of this one.

    The editable install of the project is a .pth file beside them, which Python reads only in its own folder.
    """
    venv.create(folder, with_pip=False)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "third_party.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


def _bare_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "JAVA_HOME", "PATH") if name in os.environ}
    return kept | QUICK_JAVA | {"TZ": "Asia/Tokyo"}  # a cluster may be in another time zone


@contextmanager
def _spark_process(name: str, folder: Path, kind: str, *arguments: str) -> Iterator[Path]:
    """Run a daemon of Spark in the foreground; yield its log."""
    log = folder / f"{name}.log"
    environment = _bare_environment() | {
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_LOCAL_DIRS": str(folder / f"{name}-scratch"),
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            [SPARK_HOME / "bin" / "spark-class", f"org.apache.spark.deploy.{kind.lower()}.{kind}", *arguments],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(START_S)


def _wait_for(log: Path, pattern: str) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if match := re.search(pattern, log.read_text()):
            return match[1]
        time.sleep(0.1)
    raise AssertionError(f"no '{pattern}' in {START_S} s:\n{log.read_text()}")


def _nightly(home: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    settings = {
        "CHIPLAKE_HOME": str(home),
        "CHIPLAKE_SHUFFLE_PARTITIONS": "2",
        "CHIPLAKE_SPARK_DRIVER_MEMORY": "1g",
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
        "DBT_RESOURCE_TYPES": "model",  # rows are compared here: dbt's own tests of them would take half of the time
    }
    return subprocess.Popen(
        [sys.executable, PROJECT_DIR / "scripts" / "run_job.py", "nightly"],
        cwd=PROJECT_DIR,
        env=os.environ | QUICK_JAVA | settings | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
