"""Fixtures for the tests of the DAG: dbt's manifest, and Airflow in each version that the DAG supports."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.airflow_home import BIN, MANAGED_BINS, Airflow, airflow_at, write_manifest


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="session", params=["of the project", *MANAGED_BINS])
def airflow(request: pytest.FixtureRequest, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """The Airflow version of the project, and each version of managed Airflow."""
    return airflow_at(tmp_path_factory.mktemp("airflow"), manifest, MANAGED_BINS.get(request.param, BIN))
