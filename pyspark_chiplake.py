"""The data source `chiplake`, into which SQL inserts what workers shall do (python_udfs/sinks).

Spark imports every top-level module named `pyspark_*`, and every session finds its `DefaultSource`.
"""

from __future__ import annotations

from python_udfs.sinks.source import ChiplakeSource as DefaultSource

__all__ = ["DefaultSource"]
