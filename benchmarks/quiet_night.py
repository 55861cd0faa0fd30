"""A night with nothing new, as its user sees it: whole commands, each in a new process, on the lake of the demo.

    python benchmarks/quiet_night.py [--home FOLDER]

The last line is JSON. `noop_night_s`: `chiplake run nightly` after a complete night. `noop_run_s`: `dbt run`, whose
tables say that they are unchanged. `noop_build_s`: `dbt build`, with all tests. `compared_night_s`: the night that
compares every table with its inputs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from harness.processes import Result
from harness.timing import median_s, wall_s
from rich.console import Console
from rich.table import Table

from lakehouse.settings import PROJECT_DIR

BIN: Final = Path(sys.executable).parent


def run(home: Path, command: str, *arguments: str, **environment: str) -> None:
    """Run a command of the project on a lake.

    Raises:
        CalledProcessError: it fails.
    """
    of_lake = {"CHIPLAKE_HOME": str(home), "DBT_TARGET_PATH": str(home / "target"), "DBT_LOG_PATH": str(home / "logs")}
    subprocess.run(
        [BIN / command, *arguments],
        cwd=PROJECT_DIR,
        env=os.environ | of_lake | environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def measure(home: Path) -> dict[str, float]:
    """Return the seconds of each command. A lake that does not exist is made by `chiplake demo`."""
    if not (home / "catalog.db").exists():
        run(home, "chiplake", "demo", "--home", str(home))
    run(home, "chiplake", "run", "nightly")  # leaves the note of a complete night
    compared = wall_s(lambda: run(home, "chiplake", "run", "nightly", CHIPLAKE_COMPARE_ALWAYS="true"))

    return {
        "noop_night_s": median_s(lambda: run(home, "chiplake", "run", "nightly")),
        "noop_run_s": median_s(lambda: run(home, "dbt", "--quiet", "run")),
        "noop_build_s": wall_s(lambda: run(home, "dbt", "--quiet", "build", "--exclude-resource-type", "unit_test")),
        "compared_night_s": compared,
    }


def main(home: Path) -> Result:
    """Measure everything and print it."""
    console = Console()
    seconds = measure(home)
    table = Table("command, with nothing new", "s", title=f"{len(os.sched_getaffinity(0))} cores")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.1f}")
    console.print(table)
    return {"benchmark": "quiet_night"} | {name: round(value, 1) for name, value in seconds.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure a night with nothing new.")
    parser.add_argument("--home", type=Path, help="lake to measure; by default the demo makes one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as temporary:
        print(json.dumps(main((given.home or Path(temporary) / "lake").resolve())))
