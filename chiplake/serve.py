"""A Spark Thrift server with all functions, for dbt's `thrift` target and for SQL clients."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from lakehouse.ports import check_port
from lakehouse.settings import Settings
from python_udfs.session import get_spark


def serve(settings: Settings, host: str, port: int, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM. All clients share one session, so that they have the registered functions.

    Args:
        settings: the settings of the session.
        host: address to listen on.
        port: port to listen on.
        on_ready: called when clients can connect.

    Raises:
        ChiplakeError: the port is taken, or the session cannot be started.
    """
    check_port(host, port)
    spark = get_spark(
        settings,
        {
            "spark.sql.hive.thriftServer.singleSession": "true",
            "spark.hadoop.hive.server2.thrift.bind.host": host,
            "spark.hadoop.hive.server2.thrift.port": str(port),
            # Clients get the message of a failed task; the frames of our functions would hide what it says.
            "spark.sql.execution.pyspark.udf.hideTraceback.enabled": "true",
        },
    )
    jvm: Any = spark.sparkContext._jvm
    server = jvm.org.apache.spark.sql.hive.thriftserver.HiveThriftServer2
    server.startWithContext(spark._jsparkSession.sqlContext())
    on_ready()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    spark.stop()
