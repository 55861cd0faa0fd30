"""The reports of stages: each writes its state, numbers and new marts as a JSON file into a folder of the run.

`chiplake/stage_record.py` writes them. They tell a task what a command of the project did, without a lake to read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from chiplake_airflow.compatibility import AirflowFailException
from chiplake_airflow.stages import MARTS_OF_DBT_STAGES, asset_of

RUNNING: Final = "running"
DONE: Final = "done"
INCOMPLETE: Final = "incomplete"
FAILED: Final = "failed"


class StageError(AirflowFailException):
    """A stage failed. Another try of the task that shows it would show the same."""


class ReportedError(StageError):
    """A stage failed, and the task of its job has sent the notice."""


@dataclass(frozen=True)
class StageReport:
    """What a stage reported last."""

    stage: str
    state: str  # running, done, unchanged, incomplete or failed
    started_at: datetime
    error: str  # empty: nothing failed
    numbers: Mapping[str, float]
    marts_written: tuple[str, ...]  # names of the marts that have a new snapshot

    @classmethod
    def parse(cls, content: str | bytes) -> StageReport:
        """Read the JSON of a report."""
        row: dict[str, Any] = json.loads(content)
        return cls(
            stage=row["stage"],
            state=row["state"],
            started_at=datetime.fromisoformat(row["started_at"]),
            error=row.get("error") or "",
            numbers={name: value for name, value in row.items() if type(value) in (int, float)},
            marts_written=tuple(row["marts_written"]),
        )

    @property
    def line(self) -> str:
        """The state and the numbers in one line; zeros are left out."""
        numbers = [
            f"{name} {value if isinstance(value, int) else round(value, 4)}"
            for name, value in self.numbers.items()
            if value
        ]
        return f"{self.stage}: {', '.join([self.state, *numbers])}"


def local_folder(run_id: str) -> Path:
    """Return the folder for reports of a run on this machine: in Airflow's home."""
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    return home / "chiplake-stage-reports" / quote(run_id, safe="")


def read_local(run_id: str, stage: str) -> StageReport | None:
    """Read the report of a stage on this machine; None if it wrote none."""
    path = local_folder(run_id) / f"{quote(stage, safe='')}.json"
    return StageReport.parse(path.read_bytes()) if path.is_file() else None


def read_s3(uri: str, region: str, since: datetime) -> list[StageReport]:
    """Read the reports of a run on AWS, in the order in which the stages started.

    Args:
        uri: s3:// address of their folder.
        region: AWS region.
        since: older reports are of an earlier job, and left out.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # only AWS has the provider

    s3 = S3Hook(aws_conn_id=None, region_name=region)
    bucket, folder = bucket_and_key(uri)
    keys = s3.list_keys(bucket, prefix=f"{folder}/") or []
    found = [StageReport.parse(s3.read_key(key, bucket)) for key in keys if key.endswith(".json")]
    newer = [report for report in found if report.started_at >= since.replace(microsecond=0)]
    return sorted(newer, key=lambda report: report.started_at)


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an s3:// address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def add_asset_events(report: StageReport, context: Any, alias: Any, schema: str) -> None:
    """Add an event for each mart that the stage has written, with the numbers of the stage.

    Args:
        report: of the stage.
        context: Airflow's context of the task, which has the alias among its outlets.
        alias: Airflow's AssetAlias of the stage.
        schema: schema of the models.
    """
    of_stage = MARTS_OF_DBT_STAGES.get(report.stage, ())
    for mart in (name for name in report.marts_written if name in of_stage):
        context["outlet_events"][alias].add(asset_of(mart, schema), extra={"stage": report.stage, **report.numbers})
