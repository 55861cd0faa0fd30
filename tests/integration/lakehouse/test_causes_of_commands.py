"""The line that a command ends with names what went wrong outside of this project: a full disk, a denied call of S3."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.refusing_s3 import DENIED, refusing_s3
from support.servers.aws import ENVIRONMENT

from lakehouse.settings import PROJECT_DIR

BIN = Path(sys.executable).parent
SHUFFLE = (
    "select max(position) as last from (select row_number() over (order by noise) as position"
    " from (select repeat(uuid(), 200) as noise from range(20000)))"
)  # 144 MB
MB = 1_000_000


def run(
    home: Path, *command: str, largest_file: int | None = None, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the project. A file that grows beyond the limit is the system's error, as on a full disk."""
    environment = os.environ | {
        "CHIPLAKE_HOME": str(home),
        "CHIPLAKE_SPARK_MASTER": "local[1]",
        "CHIPLAKE_SPARK_DRIVER_MEMORY": "600m",
        **(variables or {}),
    }
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=PROJECT_DIR,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=None if largest_file is None else limit(largest_file),
    )


def limit(largest_file: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))


def last_line(text: str) -> str:
    return text.rstrip().splitlines()[-1]


def test_a_denied_call_of_s3_is_the_line_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    with refusing_s3(DENIED) as url:
        done = run(
            tmp_path / "lake",
            *("chiplake", "ingest", "--items", str(tmp_path / "items.json")),
            variables=ENVIRONMENT
            | {"CHIPLAKE_WAREHOUSE": "s3://lake/warehouse", "PYICEBERG_CATALOG__LAKE__S3__ENDPOINT": url},
        )
    assert done.returncode == 1
    line = last_line(done.stderr)
    assert line.startswith("chiplake: AccessDenied on s3:")
    assert "Object of s3://lake/warehouse/raw/" in line
    assert line.endswith(" (chiplake --debug … shows where)")


@pytest.mark.java
def test_a_disk_that_is_full_for_spark_is_the_last_line_of_dbt(tmp_path: Path) -> None:
    done = run(
        tmp_path / "lake", "dbt", "show", "--profiles-dir", "profiles", "--inline", SHUFFLE, largest_file=12 * MB
    )
    line = "File too large, while Spark spilled to its local folder (SPARK_LOCAL_DIRS)"
    assert done.returncode == 2
    assert last_line(done.stdout).strip() == line
    assert last_line(done.stderr) == f"chiplake: {line}"
    assert "\tat " not in done.stdout
