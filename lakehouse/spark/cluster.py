"""What a job sends to a Spark cluster, whose machines have the third-party packages but not this project."""

from __future__ import annotations

import functools
import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pyspark.sql import SparkSession

from lakehouse.files import write_atomically
from lakehouse.settings import PROJECT_DIR
from lakehouse.settings.runtime import RuntimeSettings
from lakehouse.spark.jars import ensure_jars

EXECUTOR_PACKAGES: Final = ("lakehouse", "embedding", "python_udfs")  # ingestion runs on the driver

# How rasters on S3 are read. Credentials are left out: Spark's event log shows its properties.
_PASSED_ON: Final = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_NO_SIGN_REQUEST", "AWS_REQUEST_PAYER")

_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time in a zip


def is_cluster(runtime: RuntimeSettings) -> bool:
    """Return whether tasks run outside the driver's process."""
    return re.fullmatch(r"local(\[.*\])?", runtime.spark_master) is None


def cluster_conf(runtime: RuntimeSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the Spark properties that give executors the jars and a part of the driver's environment.

    Args:
        runtime: where the jars are.
        environment: the driver's environment.
    """
    passed_on = {name: environment[name] for name in _PASSED_ON if name in environment}
    return {
        "spark.jars": ",".join(str(path) for path in ensure_jars(runtime)),
        **{f"spark.executorEnv.{name}": value for name, value in passed_on.items()},
        # Spark puts the package on the path of functions, but not of data sources. It lies in the executor's folder.
        "spark.executorEnv.PYTHONPATH": package_name(),
    }


def send_package(spark: SparkSession, home: Path) -> None:
    """Send this project's Python code to the executors. Functions that were registered before do not get it."""
    path = list(sys.path)
    spark.sparkContext.addPyFile(str(write_package(home / "package")))
    sys.path[:] = path  # PySpark puts the zip first in the driver's path; the driver keeps its own files


def write_package(folder: Path) -> Path:
    """Write a zip of the project's Python code under the name `package_name`; return its path."""
    packed = _packed()
    target = folder / _name_of(packed)
    if not target.is_file():
        write_atomically(target, packed)
    return target


def package_name() -> str:
    """Return the name of the zip of the project's Python code, which follows from its content."""
    return _name_of(_packed())


def _name_of(packed: bytes) -> str:
    return f"chiplake-{hashlib.sha256(packed).hexdigest()[:16]}.zip"


@functools.cache  # the name and the file are needed at the same start
def _packed() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        for name in EXECUTOR_PACKAGES:
            for path in sorted((PROJECT_DIR / name).rglob("*.py")):
                member = zipfile.ZipInfo(path.relative_to(PROJECT_DIR).as_posix(), _TIME)
                package.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()
