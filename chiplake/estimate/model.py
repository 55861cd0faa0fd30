"""The result of an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Certainty(StrEnum):
    """How a number relates to what the job will do."""

    EXACTLY = "exactly"
    ABOUT = "about"
    AT_MOST = "at most"


@dataclass(frozen=True)
class StageEstimate:
    """What one job would do. Bytes, time and cost are always estimates.

    Attributes:
        job: name of the job.
        rows: what its number counts, such as "chips to cut".
        number: how many.
        certainty: how exact the number is.
        scenes: scenes whose rasters are read; None for a job that reads no raster.
        retried: chips among them that have an error and are tried again.
        bytes_read: bytes of pixels or embeddings that are read.
        bytes_written: bytes of data files that are written.
        seconds: how long it takes; None: not known.
        speed: where the time comes from, in words.
        cost: price in the currency of the setting; None: not known, or not on AWS.
    """

    job: str
    rows: str
    number: int
    certainty: Certainty
    scenes: int | None
    retried: int
    bytes_read: int
    bytes_written: int
    seconds: float | None
    speed: str
    cost: float | None


@dataclass(frozen=True)
class Estimate:
    """What a job would do, a part for each of its stages.

    Attributes:
        job: name of the job.
        stages: its parts; empty if there is nothing to estimate.
        message: why there is nothing to do or to estimate, or what is to be known about the numbers; empty: nothing.
    """

    job: str
    stages: tuple[StageEstimate, ...] = ()
    message: str = ""

    @property
    def bytes_read(self) -> int:
        """Bytes that all stages read."""
        return sum(stage.bytes_read for stage in self.stages)

    @property
    def bytes_written(self) -> int:
        """Bytes that all stages write."""
        return sum(stage.bytes_written for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Time of the stages whose time is known."""
        return sum(stage.seconds or 0.0 for stage in self.stages)

    @property
    def cost(self) -> float | None:
        """Price of the stages whose price is known; None: of none."""
        costs = [stage.cost for stage in self.stages if stage.cost is not None]
        return sum(costs) if costs else None
