"""Stages of a benchmark in their own processes, and a file server with a network's latency."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Result = dict[str, Any]

_ROOT = Path(__file__).resolve().parents[2]


def in_process(script: str, stage: str, folder: Path, cores: int, *more: str) -> Result:
    """Run a stage of a benchmark in its own process, because each JVM has one lake.

    Args:
        script: path of the benchmark, which takes --stage, --folder and --cores.
        stage: name of the stage.
        folder: where scenes and lakes are.
        cores: cores that Spark may use.
        *more: further arguments.

    Returns:
        The last line that the process prints, which is JSON.
    """
    command = [sys.executable, script, "--stage", stage, "--folder", str(folder), "--cores", str(cores), *more]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def range_server(folder: Path, latency_ms: float) -> Iterator[str]:
    """Serve a folder's files with a latency for each answer. Yields the address."""
    command = [sys.executable, str(Path(__file__).parent / "range_server.py"), str(folder)]
    command += ["--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        process.terminate()
