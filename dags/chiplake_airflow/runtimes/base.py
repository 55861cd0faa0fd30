"""What a runtime offers: a method for each part of a run, which adds its stages to the DAG that is being defined.

Before the encoder: ingest, chip_extraction, temporal_merge, export. After it: load, change_detection, all tests with
the docs (when they are due), freshness of the sources, operations.

A task that nothing waits for shows what a person should look at, and stops nothing: Airflow takes the state of a run
from the tasks that nothing waits for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

from airflow.sdk import BaseOperator, TaskGroup

Stage: TypeAlias = BaseOperator | TaskGroup


class Runtime(ABC):
    """Where the jobs of the DAG run. Every stage can be repeated at any time."""

    @abstractmethod
    def before_encoder(self) -> Stage:
        """Add the stages from STAC items to exported objects of chips; return what the encoder waits for."""

    @abstractmethod
    def batch_transform(self) -> Stage:
        """Add the stage that embeds the exported objects; a retry sends the objects that have no answer yet."""

    @abstractmethod
    def after_encoder(self) -> Stage:
        """Add the stages from the encoder's answers to the record of runs; return what the next stage waits for."""

    @abstractmethod
    def maintain(self) -> Stage:
        """Add the stage that merges small files and expires old snapshots."""
