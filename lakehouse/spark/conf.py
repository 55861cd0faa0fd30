"""Every Spark property that Chiplake sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from lakehouse.catalog import spark_catalog_conf
from lakehouse.settings import CATALOG_NAME, PROJECT_DIR, Settings
from lakehouse.spark.class_archive import archive_options
from lakehouse.spark.cluster import cluster_conf, is_cluster
from lakehouse.spark.jars import class_path, ensure_jars

# GDAL reads these when a process first uses it: they belong in the environment of the Python workers.
# The cache must hold a row of blocks of every band of a scene (175 MB); a smaller one decodes blocks repeatedly.
GDAL_ENVIRONMENT: Final = {
    "GDAL_CACHEMAX": "512",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "VSI_CACHE": "TRUE",
}

# Pages and batches of pixels take megabytes; in small regions each would be a "humongous" object of the collector.
# A larger young generation touches more memory and is slower.
_JVM_OPTIONS: Final = (
    "-XX:G1HeapRegionSize=16m -XX:+UnlockExperimentalVMOptions -XX:G1MaxNewSizePercent=15 -XX:+UseTransparentHugePages"
)

TIME_ZONE: Final = "UTC"


def spark_conf(settings: Settings) -> dict[str, str]:
    """Return every Spark property that Chiplake sets."""
    paths = ensure_jars(settings.runtime)
    log_options = (
        f'"-Dlog4j2.configurationFile={Path(__file__).with_name("log4j2.properties")}" '
        f'"-Dchiplake.logs={settings.lake.home / "logs"}"'
    )
    conf = {
        "spark.app.name": "chiplake",
        "spark.master": settings.runtime.spark_master,
        "spark.driver.memory": settings.runtime.spark_driver_memory,
        "spark.driver.extraClassPath": class_path(paths),
        "spark.driver.extraJavaOptions": f"{log_options} {_JVM_OPTIONS} {archive_options(paths)}".rstrip(),
        "spark.executor.extraJavaOptions": _JVM_OPTIONS,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Nobody reads what Spark keeps for its pages: the texts of a thousand plans take a gigabyte, and 7 % of the CPU
        # time of short statements.
        "spark.sql.ui.explainMode": "simple",
        "spark.sql.ui.retainedExecutions": "10",
        "spark.ui.retainedJobs": "50",
        "spark.ui.retainedStages": "50",
        "spark.ui.retainedTasks": "500",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions,"
        "org.apache.sedona.sql.SedonaSqlExtensions",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.kryo.registrator": "org.apache.sedona.core.serde.SedonaKryoRegistrator",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.defaultCatalog": CATALOG_NAME,
        "spark.sql.session.timeZone": TIME_ZONE,
        "spark.sql.ansi.enabled": "false",  # as in the sessions of dbt-spark
        "spark.sql.shuffle.partitions": str(settings.runtime.shuffle_partitions),
        # A plan of rasters is a few kB but hours of work: its partitions must not be merged because they are small.
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
        # A row with pixels has half a megabyte; 16 rows keep batches between the JVM and Python at some 10 MB.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "16",
        "spark.sql.parquet.columnarReaderBatchSize": "64",
        # Most shuffled bytes are Blosc frames, which are compressed already.
        "spark.shuffle.compress": "false",
        "spark.shuffle.spill.compress": "false",
        # One sorted file is written, not a file for each partition that is then copied into one.
        "spark.shuffle.sort.bypassMergeThreshold": "1",
        # A checksum every 512 bytes would make writes of 4 kB on a local disk.
        "spark.hadoop.file.bytes-per-checksum": str(64 * 1024),
        # A join with metadata of chips must not shuffle their pixels.
        "spark.sql.autoBroadcastJoinThreshold": "64m",
        # A MERGE must shuffle pixels, but need not sort them.
        "spark.sql.join.preferSortMergeJoin": "false",
    }
    conf |= {f"spark.executorEnv.{name}": value for name, value in worker_environment(settings).items()}
    conf |= cluster_conf(settings.runtime, os.environ) if is_cluster(settings.runtime) else _local_conf()
    return conf | spark_catalog_conf(settings.lake)


def worker_environment(settings: Settings) -> dict[str, str]:
    """Return the variables of the Python workers. Spark gives them to functions, but not to data sources."""
    return GDAL_ENVIRONMENT | {
        "CHIPLAKE_HREF_SIGNER": settings.cutting.href_signer,
        "CHIPLAKE_FUNCTIONS": settings.runtime.functions,  # the user's own mask is one of them
        "TZ": TIME_ZONE,  # PySpark passes timestamps to functions in the local time of their process
    }


def _local_conf() -> dict[str, str]:
    """Return the Spark properties for tasks on this machine, which use the files of this project."""
    python_path = filter(None, [str(PROJECT_DIR), os.environ.get("PYTHONPATH")])
    return {"spark.executorEnv.PYTHONPATH": os.pathsep.join(python_path)}
