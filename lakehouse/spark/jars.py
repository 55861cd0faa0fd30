"""The Java side of the runtime: which Java, which jars, and how they are fetched.

Jars are fetched once by Spark's resolver, checked against the SHA-256 sums below, kept in `jars_dir` and put on the
class path. `spark.jars.packages` would ask the network at every start, and the threads of a Thrift server would not see
its classes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyspark

from lakehouse.errors import ChiplakeError
from lakehouse.settings.runtime import RuntimeSettings

JAVA_VERSIONS: Final = (17, 21)  # supported by Spark 4.0


@dataclass(frozen=True)
class Jar:
    """A Maven artifact and the SHA-256 sum of its jar."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """Maven coordinate for `spark.jars.packages`."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        """File name in `jars_dir`."""
        return f"{self.artifact}-{self.version}.jar"


JARS: Final = (
    Jar(
        "org.apache.iceberg",
        "iceberg-spark-runtime-4.0_2.13",
        "1.10.1",
        "2192a0881ed0f5773b5a83a8820d2b0b2069beec203028643a1c338551007f09",
    ),
    Jar(
        "org.apache.iceberg",
        "iceberg-aws-bundle",
        "1.10.1",
        "86bf20892ea5b4c17688f19b075399885f6aa5303f6b2dc9f491e76ceef9633b",
    ),
    Jar(
        "org.apache.sedona",
        "sedona-spark-shaded-4.0_2.13",
        "1.8.0",
        "c847cec67cd06b43c7a2f67086fa56fd6044564a539128e598cf68262fe53a2f",
    ),
    Jar(
        "org.datasyslab",
        "geotools-wrapper",
        "1.8.0-33.1",
        "64d7b8296ded315e97fe90af1d40be6c24203603d952d06a093ef3470fa4cfca",
    ),
    Jar(
        "org.xerial",
        "sqlite-jdbc",
        "3.50.3.0",
        "a3f53a2aa15ae9425a9e793bbe9c8e5288febeb4b65ef5c1a4e80d4c2045cf08",
    ),
)


def spark_home() -> Path:
    """Return the folder of Spark itself: SPARK_HOME, or the package pyspark."""
    return Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)


def spark_jars_dir() -> Path:
    """Return the folder of the jars of Spark itself."""
    return spark_home() / "jars"


def class_path(jars: Sequence[Path]) -> str:
    """Return the class path of a JVM of this machine: Spark's jars come before these.

    Some of these jars contain old versions of classes that Spark needs. GeoTools' jar has the API of SLF4J 1.7, which
    does not find Spark's binding and then logs nothing.
    """
    return os.pathsep.join((f"{spark_jars_dir()}/*", *map(str, jars)))


def check_java() -> str:
    """Return the version of the Java that Spark will start.

    Raises:
        ChiplakeError: Java is missing, or Spark 4.0 does not support its version.
    """
    wanted = " or ".join(map(str, JAVA_VERSIONS))
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ChiplakeError(
            f"Java {wanted} is needed and '{java}' does not run: install it or set JAVA_HOME"
        ) from error
    match = re.search(r'version "(\d+)[^"]*"', answer.stderr + answer.stdout)
    if match is None or int(match[1]) not in JAVA_VERSIONS:
        found = match[0] if match else "an unknown version"
        raise ChiplakeError(f"Java {wanted} is needed and '{java}' is {found}: install one or set JAVA_HOME")
    return match[0].removeprefix('version "').rstrip('"')


def sha256_of(path: Path) -> str:
    """Return the SHA-256 sum of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ensure_jars(runtime: RuntimeSettings) -> list[Path]:
    """Return the paths of the jars; missing jars are fetched.

    Raises:
        ChiplakeError: a jar cannot be fetched, or has another SHA-256 sum than the recorded one.
    """
    paths = [runtime.jars_dir / jar.file_name for jar in JARS]
    if not all(path.exists() for path in paths):
        check_java()
        _fetch(runtime.jars_dir)
    return paths


def _fetch(jars_dir: Path) -> None:
    jars_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars_dir) as scratch:
        packages = ",".join(jar.coordinate for jar in JARS)
        print(f"fetching {len(JARS)} jars into {jars_dir} (once)", file=sys.stderr)
        command = [sys.executable, "-m", "lakehouse.spark.resolve_jars", scratch, packages]
        done = subprocess.run(command, capture_output=True, text=True)
        for jar in JARS:
            fetched = Path(scratch) / "jars" / f"{jar.group}_{jar.file_name}"
            if not fetched.exists():
                reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
                raise ChiplakeError(f"cannot fetch {jar.coordinate}: {reason[0]}; is a Maven repository reachable?")
            if sha256_of(fetched) != jar.sha256:
                raise ChiplakeError(
                    f"{jar.coordinate} is not the jar recorded in lakehouse.spark.jars: wrong SHA-256 sum"
                )
            shutil.move(fetched, jars_dir / jar.file_name)
