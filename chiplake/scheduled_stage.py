"""The stages of a schedule: those of commands, and those that the schedule ran without a command of the project.

On AWS, Airflow starts the batch transform itself. It cannot write the lake, so it leaves a report in a folder, and the
next command that records a stage also records these.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from chiplake.numbers import LakeNumbers, read_columns
from chiplake.stage_record import (
    RUNNING,
    Attempt,
    append_rows,
    columns_of_lake,
    columns_of_numbers,
    recorded_stage,
)
from lakehouse.catalog import ensure_sources
from lakehouse.causes import root_cause
from lakehouse.days import Days
from lakehouse.errors import ChiplakeError
from lakehouse.notices import notice
from lakehouse.settings import Settings
from lakehouse.source_schemas import STAGES


class OutsideReport(BaseModel):
    """What a schedule says of a stage that it ran without a command.

    `dags/chiplake_airflow/transform_report.py` writes it.

    Attributes:
        image: container image of the stage; None: unknown.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    stage: str
    attempt_id: str
    state: Literal["done", "incomplete", "failed"]
    started_at: AwareDatetime
    ended_at: AwareDatetime
    error: str | None
    image: str | None

    def rows(self, settings: Settings) -> list[dict[str, Any]]:
        """Return the rows of the start and of the end, for ops.stages. The stage itself writes no table."""
        both = columns_of_lake(settings) | {"is_recompute": False}
        both |= self.model_dump(include={"run_id", "stage", "attempt_id", "started_at", "image"})
        end = self.model_dump(include={"state", "ended_at", "error"})
        return [both | {"state": RUNNING}, both | end | columns_of_numbers(LakeNumbers())]


@contextmanager
def scheduled_stage(settings: Settings, stage: str, days: Days | None = None) -> Iterator[Attempt | None]:
    """Record the stage of a command if a schedule has named its run, and before it what the schedule ran by itself.

    Args:
        settings: where the lake is, the run's id, and the folder of reports that are not recorded yet.
        stage: name of the stage.
        days: days of acquisition that the command is limited to; None: all.
    """
    if folder := settings.jobs.schedule_unrecorded:
        try:
            record_outside_stages(settings, folder)
        except Exception as error:  # the stage matters more than the record of another
            notice(f"the reports of {folder} are not recorded in {STAGES}: {root_cause(error)}")
    with recorded_stage(settings, settings.jobs.schedule_run_id, stage, days or Days()) as attempt:
        yield attempt


def record_outside_stages(settings: Settings, folder: str) -> None:
    """Record the reports of a folder in ops.stages, each once, and delete them.

    Args:
        settings: where the lake is.
        folder: s3:// address.

    Raises:
        ChiplakeError: a report cannot be read, S3 refuses a request, or other processes keep writing the table.
    """
    from embedding.aws import S3Place, client, download, list_objects, plain_errors, session

    place = S3Place.parse(folder)
    s3 = client(session(), "s3")
    keys = sorted(key for key in list_objects(s3, place) if key.endswith(".json"))
    if not keys:
        return
    reports = [_parse(f"s3://{place.bucket}/{key}", download(s3, S3Place(place.bucket, key))) for key in keys]
    catalog = ensure_sources(settings)
    # A command may have been killed before it deleted a report.
    stages = ", ".join(f"'{stage}'" for stage in sorted({report.stage for report in reports}))
    recorded = read_columns(catalog, STAGES, [f"stage in ({stages})"], "attempt_id")
    known = set() if recorded is None else set(recorded["attempt_id"].to_pylist())
    rows = [row for report in reports if report.attempt_id not in known for row in report.rows(settings)]
    if rows:
        append_rows(catalog, rows)
    with plain_errors(f"cannot delete the reports of {folder}"):
        for key in keys:
            s3.delete_object(Bucket=place.bucket, Key=key)


def _parse(address: str, content: bytes) -> OutsideReport:
    try:
        return OutsideReport.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ChiplakeError(f"{address} is no report of a stage ({first['msg']}); delete it") from error
