"""The operator that shows one stage of a processing job that runs several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.sdk import BaseOperator
from typing_extensions import override

from chiplake_airflow.compatibility import AirflowSkipException
from chiplake_airflow.operators.sagemaker import job_and_reports
from chiplake_airflow.stage_reports import (
    FAILED,
    INCOMPLETE,
    RUNNING,
    ReportedError,
    StageError,
    add_asset_events,
)
from chiplake_airflow.stages import alias_of
from lakehouse.transform_job import Job


class StageOperator(BaseOperator):
    """Ends as its stage did in the job, logs its numbers, and publishes the marts that it has written.

    It is skipped if the job did not reach the stage, or left it out because it was not due.

    Args:
        stage: name of the stage.
        job_name: name of the job; empty: its task has started none.
        reports_uri: s3:// address of the reports of this run.
        schema: schema of the models.
        is_optional: whether the job may leave the stage out.
    """

    template_fields: Sequence[str] = ("job_name", "reports_uri", "region_name")
    ui_color = "#e4ecf0"

    def __init__(
        self,
        *,
        stage: str,
        job_name: str,
        reports_uri: str,
        schema: str,
        region_name: str,
        is_optional: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.job_name = job_name
        self.reports_uri = reports_uri
        self.schema = schema
        self.region_name = region_name
        self.is_optional = is_optional

    @override
    def execute(self, context: Any) -> None:
        """Show the stage.

        Raises:
            AirflowSkipException: the job did not run the stage.
            ReportedError: the stage failed, and with it the job.
            StageError: the stage failed, and the job went on; or the job completed without a word of the stage.
        """
        hook = SageMakerHook(aws_conn_id=None, region_name=self.region_name)
        job, reports = job_and_reports(hook, self.job_name, self.reports_uri) if self.job_name else (None, [])
        if job is None:
            raise AirflowSkipException("no job was started")
        report = next((one for one in reports if one.stage == self.stage), None)
        if report is None:
            if job.status == "Completed" and not self.is_optional:
                raise StageError(f"{job.name} completed without a report of {self.stage}; see its log in CloudWatch")
            raise AirflowSkipException(f"{job.name} did not run this stage")
        self.log.info(report.line)
        if report.state in (RUNNING, FAILED):
            raise (StageError if job.status == "Completed" else ReportedError)(report.error or _unfinished(job))
        if report.state == INCOMPLETE:
            self.log.warning("Incomplete: %s", report.error)
        add_asset_events(report, context, alias_of(self.stage, self.schema), self.schema)


def _unfinished(job: Job) -> str:
    """Say what became of a stage whose last report is that of its start."""
    if job.status == "Completed":
        return f"{job.name} completed, but the end of this stage was not recorded; see its log in CloudWatch"
    return f"{job.name} ended in this stage: {job.failure_reason or job.status}"
