"""The one place that makes the Spark session: dbt, jobs, the Thrift server and the tests all use it."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping

from pyspark.sql import SparkSession

from lakehouse.catalog import ensure_sources
from lakehouse.settings import Settings
from lakehouse.spark.cluster import is_cluster, send_package
from lakehouse.spark.conf import TIME_ZONE, spark_conf


def open_session(
    settings: Settings, register: Callable[[SparkSession], None], more_conf: Mapping[str, str] | None = None
) -> SparkSession:
    """Return the Spark session of this process; the first call makes it.

    Args:
        settings: the settings in force.
        register: registers the SQL functions on a new session.
        more_conf: Spark properties beside those of `spark_conf`, for a session made by this call.

    Raises:
        ChiplakeError: Java or a jar is missing.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    ensure_sources(settings)
    # PySpark hands timestamps out in the local time of the process.
    os.environ["TZ"] = TIME_ZONE
    time.tzset()
    # PySpark would log the whole trace of every failed statement, beside raising it.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if not is_cluster(settings):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder
    for name, value in (spark_conf(settings) | dict(more_conf or {})).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    if is_cluster(settings):
        send_package(spark, settings)
    register(spark)
    return spark
