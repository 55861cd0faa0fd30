"""What a job takes along to a Spark cluster: machines there have the third-party packages, but not this project."""

from __future__ import annotations

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
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.spark.jars import ensure_jars

EXECUTOR_PACKAGES: Final = ("lakehouse", "embedding", "python_udfs")  # ingestion is work of the driver

# How rasters on S3 are read. Credentials are not among them: what is in Spark's properties, its event log shows.
_PASSED_ON: Final = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_NO_SIGN_REQUEST", "AWS_REQUEST_PAYER")

_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that zip can say


def is_cluster(settings: Settings) -> bool:
    """Whether tasks run elsewhere than in the process of the driver."""
    return re.fullmatch(r"local(\[.*\])?", settings.runtime.spark_master) is None


def cluster_conf(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Spark properties by which executors get the jars and what they need of the driver's environment.

    Args:
        settings: the settings in force.
        environment: of the driver.
    """
    passed_on = {name: environment[name] for name in _PASSED_ON if name in environment}
    return {
        "spark.jars": ",".join(str(path) for path in ensure_jars(settings)),
        **{f"spark.executorEnv.{name}": value for name, value in passed_on.items()},
    }


def send_package(spark: SparkSession, settings: Settings) -> None:
    """Give the executors this project's Python code. Functions registered before would not have it."""
    path = list(sys.path)
    spark.sparkContext.addPyFile(str(write_package(settings.lake.home / "package")))
    sys.path[:] = path  # the driver goes on with the files it has: PySpark would have put the zip before them


def write_package(folder: Path) -> Path:
    """Write the zip of the project's Python code, named by its content; equal code gives an equal file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        for name in EXECUTOR_PACKAGES:
            for path in sorted((PROJECT_DIR / name).rglob("*.py")):
                member = zipfile.ZipInfo(path.relative_to(PROJECT_DIR).as_posix(), _TIME)
                package.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
    packed = content.getvalue()
    target = folder / f"chiplake-{hashlib.sha256(packed).hexdigest()[:16]}.zip"
    if not target.is_file():
        write_atomically(target, packed)
    return target
