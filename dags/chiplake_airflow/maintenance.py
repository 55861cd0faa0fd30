"""Maintenance of the lake once a week, after the work of the day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

from airflow.sdk import TaskGroup, task

from chiplake_airflow.runtimes.base import Stage

WEEKDAY: Final = 0  # Monday


def weekly(maintain: Callable[[], Stage]) -> TaskGroup:
    """Add a group that runs a stage when the last day of the run is a Monday, and skips it otherwise.

    Args:
        maintain: adds the stage to the DAG.
    """
    with TaskGroup("maintenance", tooltip="once a week, after the work of the day") as group:

        @task.short_circuit(trigger_rule="none_failed")  # runs also when the tests before it were not due
        def is_due(last_day: str) -> bool:
            """Return whether the last day of the run is a Monday."""
            return date.fromisoformat(last_day).weekday() == WEEKDAY

        is_due("{{ last_day(dag_run, params) }}") >> maintain()
    return group
