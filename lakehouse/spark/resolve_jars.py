"""Fetch Maven artifacts by Spark's resolver: `python -m lakehouse.spark.resolve_jars FOLDER COORDINATES`.

The resolver runs when a JVM starts. This is its own process, because its caller may need another JVM later.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession


def resolve(folder: str, coordinates: str) -> None:
    """Fetch artifacts and their dependencies into `jars` of a folder.

    Args:
        folder: where Ivy keeps its files.
        coordinates: Maven coordinates with commas between them.
    """
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder.config("spark.jars.ivy", folder).config("spark.jars.packages", coordinates).getOrCreate()


if __name__ == "__main__":
    resolve(*sys.argv[1:])
