"""What the JVM of a session prints, and what it writes to its log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT_DIR, Settings

pytestmark = pytest.mark.java

STATEMENTS = """
from python_udfs.session import get_spark

spark = get_spark()
spark.sql("select ST_AsText(ST_Transform(ST_Point(16.4D, 45.8D), 'EPSG:4326', 'EPSG:32633'))").collect()
print("ready", flush=True)
spark.udf.register("divide_by_zero", lambda number: number / 0)
for failing in ("raise_error('no such raster')", "divide_by_zero(id)"):
    try:
        spark.sql(f"select {failing} from range(1)").collect()
    except Exception:
        print("failed", flush=True)
"""


def test_only_an_error_of_a_task_is_printed_and_its_trace_is_in_the_log(settings: Settings, tmp_path: Path) -> None:
    home = tmp_path / "a home"
    environment = {"CHIPLAKE_HOME": str(home), "CHIPLAKE_JARS_DIR": str(settings.runtime.jars_dir)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        done = subprocess.run(
            [sys.executable, "-c", STATEMENTS], cwd=PROJECT_DIR, capture_output=True, text=True, timeout=300
        )
    assert done.stdout == "ready\nfailed\nfailed\n", done.stderr
    lines = done.stderr.splitlines()
    assert lines
    assert [line for line in lines if " ERROR " not in line] == []
    assert "ERROR Executor: Exception in task " in lines[0]
    assert lines[0].endswith("[USER_RAISED_EXCEPTION] no such raster SQLSTATE: P0001")
    assert [line for line in lines if line.endswith("ZeroDivisionError: division by zero")]
    assert "QueryExecutionErrors.raiseError" in (home / "logs" / "spark.log").read_text()
