"""What tests of the DAG share: dbt's manifest, and Airflow in each version that the DAG is for."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow_home import BIN, Airflow, airflow_at, write_manifest

from chiplake.settings import PROJECT_DIR

OLDER_BIN = PROJECT_DIR / ".venv-airflow-3.0" / "bin"  # made by `make setup`


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="session", params=["newest", "3.0"])
def airflow(request: pytest.FixtureRequest, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow of the project, and the one of managed Airflow on AWS."""
    found = BIN if request.param == "newest" else OLDER_BIN
    if not found.is_dir():
        pytest.fail(f"no environment of Airflow 3.0 at {found.parent}: run `make setup`", pytrace=False)
    return airflow_at(tmp_path_factory.mktemp(f"airflow-{request.param}"), manifest, found)
