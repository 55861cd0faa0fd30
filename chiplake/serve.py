"""A Spark Thrift server with all functions, for dbt's `thrift` target and for SQL clients."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, Final

from py4j.protocol import Py4JError  # type: ignore[import-untyped]

from chiplake.server_locks import ServerLocks
from chiplake.sessions import ClientSessions, share_functions, share_locks
from lakehouse.catalog import pyiceberg_properties
from lakehouse.causes import root_cause
from lakehouse.notices import notice
from lakehouse.ports import check_port
from lakehouse.settings import Settings
from python_udfs.registry import all_functions
from python_udfs.session import get_spark

_LOOK_EVERY_S: Final = 0.25  # how often the server looks for clients that are gone


def serve(settings: Settings, host: str, port: int, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM. Each client has a session of its own, with all functions.

    Args:
        settings: the settings of the sessions.
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
            "spark.sql.hive.thriftServer.singleSession": "false",
            "spark.hadoop.hive.server2.thrift.bind.host": host,
            "spark.hadoop.hive.server2.thrift.port": str(port),
            # Clients get the message of a failed task; the frames of our functions would hide what it says.
            "spark.sql.execution.pyspark.udf.hideTraceback.enabled": "true",
        },
    )
    locks = ServerLocks.of_catalog(pyiceberg_properties(settings.lake))
    share_functions(spark, all_functions(settings.runtime))
    sessions = ClientSessions()
    share_locks(spark, locks, sessions)
    jvm: Any = spark.sparkContext._jvm
    server = jvm.org.apache.spark.sql.hive.thriftserver.HiveThriftServer2.startWithContext(
        spark._jsparkSession.sqlContext()
    )
    sessions.watch(server)
    on_ready()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(_LOOK_EVERY_S):
        try:
            locks.free_all_of(sessions.ended())
        except Py4JError as error:  # clients work on; their files and locks are looked after at the next look
            notice(f"clients that are gone were not looked after: {root_cause(error)}")
    spark.stop()
