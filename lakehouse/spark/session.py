"""The Spark session of a process: dbt, jobs, the Thrift server and the tests get it here."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from lakehouse.catalog import ensure_sources
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.spark.cluster import is_cluster, send_package
from lakehouse.spark.conf import TIME_ZONE, spark_conf
from lakehouse.spark.jvm import start_jvm


def open_session(
    settings: Settings, register: Callable[[SparkSession], None], more_conf: Mapping[str, str] | None = None
) -> SparkSession:
    """Return the Spark session of this process; the first call starts it.

    Args:
        settings: all settings; an existing session keeps those it was started with.
        register: registers the SQL functions on a new session.
        more_conf: further Spark properties, for a session that this call starts.

    Raises:
        ChiplakeError: Java or a jar is missing.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    ensure_sources(settings)
    # PySpark returns timestamps in the local time of the process.
    os.environ["TZ"] = TIME_ZONE
    time.tzset()
    # PySpark logs the whole trace of every failed statement in addition to the exception.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # The JVM starts processes that plan the work of data sources, and Spark looks for these in all modules.
    python_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*filter(None, python_path), str(PROJECT_DIR)]))
    if not is_cluster(settings.runtime):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    conf = SparkConf().setAll(list((spark_conf(settings) | dict(more_conf or {})).items()))
    if SparkContext._gateway is None:  # no JVM runs in this process
        SparkContext(conf=conf, gateway=start_jvm(conf))
    spark = SparkSession.builder.config(conf=conf).getOrCreate()
    if is_cluster(settings.runtime):
        send_package(spark, settings.lake.home)
    register(spark)
    return spark
