"""A lake of its own for a benchmark: ingest, dbt, and what a run took in time and memory."""

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
    """Let this process, and what it starts, use a lake; to be called before settings are read."""
    os.environ["CHIPLAKE_HOME"] = str(home)
    os.environ["CHIPLAKE_SPARK_MASTER"] = f"local[{cores}]"


def ingest_items(path: Path) -> None:
    """Ingest a file of items into the lake in use."""
    from ingestion import IngestRequest, ingest
    from lakehouse.settings import get_settings

    ingest(IngestRequest(items=path), get_settings())


def run_models(*select: str) -> dict[str, float]:
    """`dbt run` some models in this process. Returns seconds by model: of its statements alone, not of dbt's start."""
    return {one.node.name: one.execution_time for one in _dbt("run", "--select", *select)}


def compiled(statement: str) -> str:
    """The SQL that dbt makes of a statement with macros."""
    (only,) = _dbt("compile", "--inline", statement)
    code: str = only.node.compiled_code
    return code


def _dbt(*arguments: str) -> Any:
    """Results of a dbt command, which is run in this process."""
    from dbt.cli.main import dbtRunner

    from lakehouse.settings import PROJECT_DIR

    project = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")]
    done = dbtRunner().invoke(["--quiet", *arguments, *project])
    if not done.success:
        raise SystemExit(f"dbt {' '.join(arguments)} failed: {done.exception}; see logs/dbt.log")
    return done.result


@dataclass
class Peaks:
    """The most memory that single processes below this one have had, MiB."""

    mib: dict[str, float] = field(default_factory=dict)  # by kind: jvm, python worker

    def look(self) -> None:
        """Take the resident memory of every process below this one."""
        for process in psutil.Process().children(recursive=True):
            try:
                kind = {"java": "jvm", "python": "python_worker"}.get(process.name().rstrip("0123456789."))
                if kind is None:  # a program that the JVM is about to start still has the JVM's memory
                    continue
                self.mib[kind] = max(self.mib.get(kind, 0), process.memory_info().rss / MIB)
            except psutil.NoSuchProcess:
                continue


@contextmanager
def watched(every_s: float = 0.2) -> Iterator[Peaks]:
    """Watch the memory of the processes below this one."""
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
