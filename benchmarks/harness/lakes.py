"""A lake for a benchmark: ingest, dbt, and the time and memory of a run."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

MIB = 1024 * 1024


def use_lake(home: Path, cores: int) -> None:
    """Let this process and its children use a lake. Call it before the settings are read.

    Args:
        home: the lake's folder.
        cores: cores that Spark may use.
    """
    os.environ["CHIPLAKE_HOME"] = str(home)
    os.environ["CHIPLAKE_SPARK_MASTER"] = f"local[{cores}]"


def ingest_items(path: Path) -> None:
    """Ingest a file of items into the lake in use."""
    from ingestion import IngestRequest, ingest
    from lakehouse.settings import get_settings

    ingest(IngestRequest(items=path), get_settings())


def run_models(*select: str) -> dict[str, float]:
    """Run models with dbt in this process; return the seconds of each model's statements, without dbt's start."""
    return {one.node.name: one.execution_time for one in _dbt("run", "--select", *select)}


def compiled(statement: str) -> str:
    """Return the SQL that dbt makes of a statement with macros."""
    (only,) = _dbt("compile", "--inline", statement)
    code: str = only.node.compiled_code
    return code


def _dbt(*arguments: str) -> Any:
    """Run a dbt command in this process and return its results."""
    from dbt.cli.main import dbtRunner

    from lakehouse.settings import PROJECT_DIR

    project = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
    done = dbtRunner().invoke(["--quiet", *arguments, *project])
    if not done.success:
        raise SystemExit(f"dbt {' '.join(arguments)} failed: {done.exception}; see logs/dbt.log")
    return done.result


@dataclass
class Peaks:
    """The peak memory of single processes among the descendants of this one."""

    mib: dict[str, float] = field(default_factory=dict)  # by kind: jvm, python_worker

    def look(self) -> None:
        """Read the resident memory of every descendant."""
        for process in psutil.Process().children(recursive=True):
            try:
                kind = {"java": "jvm", "python": "python_worker"}.get(process.name().rstrip("0123456789."))
                if kind is None:  # a child of the JVM before its exec still has the JVM's memory
                    continue
                self.mib[kind] = max(self.mib.get(kind, 0), process.memory_info().rss / MIB)
            except psutil.NoSuchProcess:
                continue


@contextmanager
def watched(every_s: float = 0.2) -> Iterator[Peaks]:
    """Watch the memory of this process's descendants while the block runs."""
    peaks, stop = Peaks(), threading.Event()

    def watch() -> None:
        while not stop.wait(every_s):
            peaks.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()
