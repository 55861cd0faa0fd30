"""Reports on the progress and the end of a transform, for local and SageMaker runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

Progress = Callable[[str, int, int], None]  # stage, done, total


class ObjectFailure(BaseModel):
    """An object without an answer."""

    model_config = ConfigDict(frozen=True)

    name: str
    reason: str


class TransformReport(BaseModel):
    """The result of a transform."""

    model_config = ConfigDict(frozen=True)

    status: Literal["Completed", "Failed"]
    transformed: int  # objects answered by this call
    skipped: int  # objects that had an answer before
    failures: tuple[ObjectFailure, ...]


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Ignore progress: the default of `on_progress`."""
