"""The Spark session of this process, with every function of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pyspark.sql import SparkSession

from lakehouse.settings import Settings, get_settings
from lakehouse.spark.session import open_session
from python_udfs.registry import all_functions
from python_udfs.sql_function import register


def get_spark(settings: Settings | None = None, more_conf: Mapping[str, str] | None = None) -> SparkSession:
    """Return the Spark session of this process, with all functions registered; the first call makes it.

    Args:
        settings: the settings to use; None for those of the environment.
        more_conf: Spark properties in addition to those of `lakehouse.spark.conf`, for a session made by this call.

    Raises:
        ChiplakeError: Java, a jar or a function of CHIPLAKE_FUNCTIONS is missing.
    """
    settings = settings or get_settings()
    functions = all_functions(settings.runtime)
    return open_session(settings, partial(register, functions=functions), more_conf)
