"""The versions of managed Airflow (MWAA) that the DAG runs on; AWS offers them all on Python 3.12.

The CDK app imports this module, so it uses only the standard library. The Makefile has the same list.
"""

from __future__ import annotations

from typing import Final

MANAGED_VERSIONS: Final = ("3.0.6", "3.2.1", "3.3.1")  # the oldest first
