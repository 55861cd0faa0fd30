"""What a runtime offers: a method for each stage, which adds the stage to the DAG that is being defined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

from airflow.sdk import BaseOperator, TaskGroup

Stage: TypeAlias = BaseOperator | TaskGroup


class Runtime(ABC):
    """Where the jobs of the DAG run. Every stage can be repeated at any time."""

    @abstractmethod
    def ingest(self) -> Stage:
        """Add the stage that ingests STAC items into raw.stac_items."""

    @abstractmethod
    def chip_extraction(self) -> Stage:
        """Add the stage that builds fct_chips from raw.stac_items and reports chips that could not be read."""

    @abstractmethod
    def temporal_merge(self) -> Stage:
        """Add the stage that builds fct_filled_chips from fct_chips."""

    @abstractmethod
    def export(self) -> Stage:
        """Add the stage that exports chips of fct_filled_chips as objects for the encoder."""

    @abstractmethod
    def batch_transform(self) -> Stage:
        """Add the stage that embeds the exported objects; a retry sends the objects that have no answer yet."""

    @abstractmethod
    def load(self) -> Stage:
        """Add the stage that loads the encoder's answers into raw.clay_embeddings."""

    @abstractmethod
    def change_detection(self) -> Stage:
        """Add the stage that builds fct_chip_changes from raw.clay_embeddings."""

    @abstractmethod
    def tests_and_docs(self) -> Stage:
        """Add the stage that runs every test on the whole lake, then makes the dbt docs and the record of runs."""

    @abstractmethod
    def maintain(self) -> Stage:
        """Add the stage that merges small files and expires old snapshots."""
