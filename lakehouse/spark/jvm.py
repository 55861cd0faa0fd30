"""Starts the JVM of a session, without the warning that every JVM of Spark prints first."""

from __future__ import annotations

import os
import subprocess
from typing import Any, Final

from pyspark import SparkConf
from pyspark.java_gateway import launch_gateway

# Spark 4 always adds this module, and Java has no option to suppress the warning.
_WARNING: Final = "WARNING: Using incubator modules: jdk.incubator.vector"


def start_jvm(conf: SparkConf) -> Any:
    """Start a JVM and return PySpark's gateway to it.

    A process of its own copies the JVM's standard error to ours, so that no line is lost when this process ends.

    Args:
        conf: properties of the session.
    """
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit has started the JVM
        return launch_gateway(conf)  # type: ignore[no-untyped-call]
    command = ["grep", "--line-buffered", "--invert-match", "--line-regexp", "--fixed-strings", _WARNING]
    # In a session of its own, as Ctrl-C must not end it before the JVM has ended.
    copying = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, start_new_session=True)
    assert copying.stdin is not None
    with copying.stdin as pipe:
        gateway = launch_gateway(conf, {"stderr": pipe})  # type: ignore[no-untyped-call]
    gateway.copying_stderr = copying  # it lives as long as the JVM
    return gateway
