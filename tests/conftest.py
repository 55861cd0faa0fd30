"""Fixtures for all tests: sample data, settings of their own lake, and one Spark session in each process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse.settings import PROJECT_DIR, Settings, get_settings

if TYPE_CHECKING:  # imports that most tests do not need
    from pyspark.sql import SparkSession
    from support.servers.aws import AwsServer

pytest_plugins = ["support.file_times", "support.last_start", "support.examples"]

# Tests run for seconds: a JVM that uses only its fast compiler needs half of the CPU time. Commands that tests start
# inherit this option. The code cache is too small by default, and a full one ends all compilation. Spark keeps the code
# of 100 queries by default; tests run the same models again and again, and would compile each of them again.
os.environ.setdefault(
    "PYSPARK_SUBMIT_ARGS",
    '--conf "spark.driver.defaultJavaOptions=-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m" '
    "--conf spark.sql.codegen.cache.maxEntries=5000 pyspark-shell",
)

# A developer's own .env must not change what tests see.
os.environ["CHIPLAKE_ENV_FILE"] = ""


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """Real scenes and items, which are not part of the project."""
    path = Path(os.environ.get("CHIPLAKE_SAMPLE_DATA", PROJECT_DIR.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no sample data: set CHIPLAKE_SAMPLE_DATA, or put it at {path}")
    return path


@pytest.fixture(scope="session", autouse=True)
def dbt_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Folders for dbt's files, separate for each process, because test processes run side by side."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_TARGET_PATH", str(tmp_path_factory.mktemp("dbt") / "target"))
        patch.setenv("DBT_LOG_PATH", str(tmp_path_factory.mktemp("dbt") / "logs"))
        yield


@pytest.fixture(scope="session")
def lake_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of the lake that all tests with Spark share, because a JVM reads its catalog's settings when it starts."""
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="session")
def settings(lake_home: Path) -> Iterator[Settings]:
    """Settings of the shared lake, also in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHIPLAKE_HOME", str(lake_home))
        patch.setenv("CHIPLAKE_SHUFFLE_PARTITIONS", "4")
        patch.setenv("CHIPLAKE_SPARK_MASTER", "local[2]")
        get_settings.cache_clear()
        yield get_settings()
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def spark(settings: Settings) -> Iterator[SparkSession]:
    """The one Spark session of the test process."""
    from python_udfs.session import get_spark

    session = get_spark(settings)
    yield session
    session.stop()


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    """AWS on loopback, with the environment pointed at it."""
    from support.servers.aws import aws_server, point_environment

    with aws_server(tmp_path / "aws") as server:
        point_environment(monkeypatch, server)
        yield server
