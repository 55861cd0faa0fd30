"""Fixtures for the tests of the DAG: dbt's manifest, and Airflow in each version that the DAG supports."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.airflow_home import BIN, OLDER_BIN, Airflow, airflow_at, write_manifest


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="session", params=["newest", "3.0"])
def airflow(request: pytest.FixtureRequest, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """The Airflow version of the project, and the version of managed Airflow on AWS."""
    bin = BIN if request.param == "newest" else OLDER_BIN
    return airflow_at(tmp_path_factory.mktemp(f"airflow-{request.param}"), manifest, bin)
