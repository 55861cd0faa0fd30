"""The stages of the DAG, whatever runs them."""

from __future__ import annotations

import os
from typing import Any, Protocol

from airflow.sdk import TaskGroup, task

from chiplake_airflow.layout import Layout

Stage = Any  # a task or a group of tasks, which `>>` takes

MAINTENANCE_WEEKDAY = 0  # Monday


class Runtime(Protocol):
    """Where the work runs. Each method adds a stage to the DAG that is being made."""

    def ingest(self) -> Stage:
        """STAC items to raw.stac_items."""

    def chip_extraction(self) -> Stage:
        """raw.stac_items to fct_chips."""

    def temporal_merge(self) -> Stage:
        """fct_chips to fct_filled_chips."""

    def export(self) -> Stage:
        """fct_filled_chips to objects of chips."""

    def batch_transform(self) -> Stage:
        """Objects of chips to answers of the encoder."""

    def load(self) -> Stage:
        """Answers to raw.clay_embeddings."""

    def change_detection(self) -> Stage:
        """raw.clay_embeddings to fct_chip_changes."""

    def tests_and_docs(self) -> Stage:
        """Every test on the whole lake, then the docs."""

    def maintain(self) -> Stage:
        """Small files merged, old snapshots expired."""


def runtime() -> Runtime:
    """The runtime that CHIPLAKE_AIRFLOW_RUNTIME names.

    Raises:
        ValueError: there is none of that name, or another of the environment variables of `layout.py` is wrong.
    """
    layout = Layout.of_environment(os.environ)
    if layout.runtime == "aws":
        from chiplake_airflow.aws import OnAws

        return OnAws(layout)
    from chiplake_airflow.local import OnThisMachine

    return OnThisMachine(layout, target=layout.runtime)


def weekly(maintain: Any) -> Stage:
    """A group that does its work in the run of one day of the week, and else skips it."""
    with TaskGroup("maintenance", tooltip="once a week, when the day's work is done") as group:

        @task.short_circuit
        def is_due(last_day: str) -> bool:
            """Whether the run's last day is a Monday."""
            from datetime import date

            return date.fromisoformat(last_day).weekday() == MAINTENANCE_WEEKDAY

        is_due("{{ last_day(dag_run, params) }}") >> maintain()
    return group
