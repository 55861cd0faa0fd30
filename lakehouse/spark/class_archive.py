"""The archive of classes that a JVM of the session loads, so that the next one starts in two thirds of the time.

Java calls this class-data sharing (https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html). The JVM
checks an archive against the jars of its class path and ignores one that does not fit. `chiplake setup` makes it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

from lakehouse.errors import ChiplakeError
from lakehouse.spark.jars import class_path, spark_jars_dir

_PREFIX: Final = "classes-"
_SUFFIX: Final = ".jsa"

# What most sessions do first: their classes go into the archive.
_STATEMENTS: Final = (
    "create namespace if not exists chiplake",
    "create table chiplake.cells (cell_id string, geohash string, acquired_at timestamp, xs array<double>, "
    "s struct<a: int, b: string>) using iceberg partitioned by (truncate(4, geohash), months(acquired_at)) "
    "tblproperties ('format-version' = '2', 'write.merge.mode' = 'merge-on-read')",
    "insert into chiplake.cells select cast(id as string), ST_GeoHash(ST_Point(16.4, 45.8), 8), "
    "timestamp '2023-08-01 10:00:00', array(1.0, id), struct(1, 'a') from range(20)",
    "merge into chiplake.cells t using (select *, row_number() over (partition by geohash order by cell_id) n, "
    "transform(xs, x -> x + 1) ys from chiplake.cells) s on t.cell_id = s.cell_id "
    "when matched and s.n > 3 then update set xs = s.ys when not matched then insert (cell_id) values (s.cell_id)",
    "delete from chiplake.cells where cell_id = '1'",
    "select geohash, count(distinct cell_id), sha2(concat_ws(',', collect_set(cell_id)), 256), max(plus_one(1L)), "
    "max(to_json(s)), max(from_json('{\"a\": 1}', 'a int').a), aggregate(array(1D, 2D), 0D, (x, y) -> x + y) "
    "from chiplake.cells left anti join (select cell_id from chiplake.cells where cell_id > '8') using (cell_id) "
    "group by geohash order by 1",
    "select ST_AsBinary(ST_Transform(ST_GeomFromText('POINT (16.4 45.8)'), 'EPSG:4326', 'EPSG:32633'))",
    "select * from chiplake.cells.snapshots",
    "describe extended chiplake.cells",
    "show tables in chiplake",
)


def archive_path(jars: Sequence[Path]) -> Path | None:
    """Return the path of the archive for this Java and these jars, beside the jars.

    Args:
        jars: the project's jars, in the order of the class path.

    Returns:
        The path; None where Java has no `release` file, by which its build is known.
    """
    release = _java_release()
    if release is None:
        return None
    digest = hashlib.sha256(release.read_bytes() + class_path(jars).encode())
    for jar in (*jars, *sorted(spark_jars_dir().glob("*.jar"))):
        state = jar.stat()
        digest.update(f"{jar} {state.st_size} {state.st_mtime_ns}\n".encode())
    return jars[0].parent / f"{_PREFIX}{digest.hexdigest()[:16]}{_SUFFIX}"


def archive_options(jars: Sequence[Path]) -> str:
    """Return the options of a JVM that uses the archive; empty if no archive exists."""
    archive = archive_path(jars)
    if archive is None or not archive.is_file():
        return ""
    return f"-XX:SharedArchiveFile={archive} -Xshare:auto -Xlog:cds=off -Xlog:cds+dynamic=off"


def ensure_class_archive(jars: Sequence[Path]) -> Path | None:
    """Make the archive if it is missing, in a session of its own process, and remove those of other jars.

    Raises:
        ChiplakeError: the session failed.
    """
    archive = archive_path(jars)
    if archive is None or archive.is_file():
        return archive
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        written = Path(scratch) / archive.name
        environment = os.environ | {
            "CHIPLAKE_HOME": scratch,
            "CHIPLAKE_CATALOG": "sql",
            "CHIPLAKE_SPARK_MASTER": "local[2]",
        }
        command = [sys.executable, "-m", __name__, str(written)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode or not written.is_file():
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise ChiplakeError(f"the class archive was not written: {reason[0]}")
        for other in archive.parent.glob(f"{_PREFIX}*{_SUFFIX}"):
            other.unlink()
        written.replace(archive)  # atomically: another process may be starting a JVM
    return archive


def _java_release() -> Path | None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else shutil.which("java")
    if java is None:
        return None
    release = Path(java).resolve().parent.parent / "release"
    return release if release.is_file() else None


def _dump(target: Path) -> None:
    """Run a session whose JVM writes the archive when it ends."""
    from lakehouse.settings import get_settings
    from lakehouse.spark.conf import spark_conf
    from lakehouse.spark.session import open_session

    settings = get_settings()
    options = "spark.driver.extraJavaOptions"
    more = {options: f"{spark_conf(settings)[options]} -XX:ArchiveClassesAtExit={target}"}
    spark = open_session(settings, _register_plus_one, more)
    for statement in _STATEMENTS:
        spark.sql(statement).collect()
    gateway = spark.sparkContext._gateway
    assert gateway is not None  # exists while the session lives
    spark.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def _register_plus_one(spark: SparkSession) -> None:
    spark.udf.register("plus_one", udf(lambda number: number + 1, "long", useArrow=True))


if __name__ == "__main__":
    _dump(Path(sys.argv[1]))
