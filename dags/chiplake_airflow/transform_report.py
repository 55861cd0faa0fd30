"""What a batch transform leaves for ops.stages: Airflow cannot write the lake, so a report waits for the next job.

`chiplake/scheduled_stage.py` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from chiplake_airflow.stage_reports import DONE

BATCH_TRANSFORM: Final = "batch_transform"  # the stage; `chiplake embed transform` records itself by the same name


@dataclass(frozen=True)
class TransformReport:
    """How a try of the batch transform has ended."""

    run_id: str  # of the DAG run
    started_at: datetime
    state: str = DONE  # or incomplete, failed
    error: str | None = None
    ended_at: datetime | None = None  # None: when the report is written
    image: str | None = None  # of the inference server; None: unknown

    def of_job(self, description: Mapping[str, Any]) -> TransformReport:
        """Return the report with the times of a job.

        Args:
            description: SageMaker's answer to DescribeTransformJob.
        """
        return replace(
            self, started_at=description["CreationTime"], ended_at=description.get("TransformEndTime") or self.ended_at
        )

    def file(self) -> tuple[str, str]:
        """Return the name and the content of a file of this report, with an id for its rows."""
        attempt_id = uuid4().hex
        row = asdict(self) | {
            "stage": BATCH_TRANSFORM,
            "attempt_id": attempt_id,
            "started_at": self.started_at.isoformat(),
            "ended_at": (self.ended_at or datetime.now(UTC)).isoformat(),
        }
        return f"{attempt_id}.json", json.dumps(row)
