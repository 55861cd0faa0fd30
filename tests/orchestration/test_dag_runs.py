"""The DAG run for real, on real scenes: `airflow dags test`, on a lake of its own. Every command is a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow_home import Airflow, airflow_at
from pyiceberg.table import Table

from chiplake.lake import open_catalog
from chiplake.settings import PROJECT_DIR, Settings

DAG = "sentinel_chip_processing"
# Four cells of 2,560 m, EPSG:32633; clouds on 10 August, clear on 13 August.
BOUNDS = WEST, SOUTH, EAST, NORTH = 593_920, 5_017_600, 599_040, 5_022_720
CELLS = 4
NO_TRANSFORM = r"export|batch_transform|load|change_detection\..*|tests_and_docs\..*"


@pytest.fixture(scope="module")
def scenes(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COGs of the region, three dates."""
    folder = tmp_path_factory.mktemp("scenes")
    tool = sample_data.parent / "tools" / "build_scenes.py"
    bounds = [str(value) for value in BOUNDS]
    subprocess.run([sys.executable, tool, "--out", folder, "--bounds", *bounds], check=True, capture_output=True)
    return folder


class Lake:
    """A lake, and an Airflow that works on it."""

    def __init__(self, folder: Path, scenes: Path, manifest: Path) -> None:
        self.home = folder / "lake"
        self.airflow = airflow_at(folder / "airflow", manifest)
        self.environment = {
            "CHIPLAKE_HOME": str(self.home),
            "CHIPLAKE_BANDS": '["blue", "green", "red", "nir"]',
            "CHIPLAKE_SHUFFLE_PARTITIONS": "2",
            "CHIPLAKE_SPARK_MASTER": "local[2]",
            "CHIPLAKE_AIRFLOW_RETRIES": "0",
            "AIRFLOW_VAR_CHIPLAKE_STAC_ITEMS": str(scenes / "items.json"),
        }
        migrated = self.airflow("db", "migrate")
        assert migrated.returncode == 0, migrated.stdout

    def run(self, day: str, *arguments: str, **environment: str) -> tuple[bool, str]:
        """Run the DAG for a day; a run of that day that is there is cleared. Returns whether it is green, and the log."""
        done = self.airflow("dags", "test", DAG, day, *arguments, **self.environment, **environment)
        return done.returncode == 0, done.stdout

    def table(self, name: str) -> Table:
        return open_catalog(Settings(home=self.home)).load_table(name)

    def rows(self, name: str) -> dict[str, dict[str, Any]]:
        """Rows of a table of chips, by chip."""
        return {row["chip_id"]: row for row in self.table(f"chiplake.{name}").scan().to_arrow().to_pylist()}

    def snapshots(self) -> dict[str, int]:
        """The newest snapshot of every table."""
        catalog = open_catalog(Settings(home=self.home))
        tables = [name for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)]
        return {".".join(name): catalog.load_table(name).metadata.current_snapshot_id or 0 for name in tables}


@pytest.fixture(scope="module")
def lake(scenes: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(tmp_path_factory.mktemp("dag"), scenes, manifest)
