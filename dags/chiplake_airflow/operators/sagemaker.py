"""The operators that run SageMaker jobs. A retry waits for a job that is still running instead of starting another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.sagemaker import SageMakerProcessingOperator, SageMakerTransformOperator
from airflow.sdk import BaseOperator, Variable
from botocore.exceptions import ClientError
from typing_extensions import override

from chiplake_airflow.causes import cause_of
from chiplake_airflow.compatibility import AirflowSkipException, make_sagemaker_trigger
from chiplake_airflow.exported_run import ExportedRun, newest_run
from chiplake_airflow.instances import SceneSearch, choose_instances
from chiplake_airflow.job_settings import job_settings
from chiplake_airflow.processing_request import JobOptions, processing_request
from chiplake_airflow.stage_reports import FAILED, INCOMPLETE, StageReport, bucket_and_key, read_s3
from chiplake_airflow.transform_report import TransformReport
from lakehouse.transform_job import (
    Job,
    JobHistory,
    RequestLimits,
    create_transform_job_request,
    find_jobs,
    input_manifest,
    input_manifest_path,
    is_not_found,
)

RUN_ID: Final = "run_id"  # keys of XComs
JOB_NAME: Final = "job_name"
TRANSFORM_JOBS_A_RUN: Final = 2  # a later run exports again what these left without an answer


class _JobOperator(BaseOperator):
    """Runs a job. If the job fails, its own message is the error of the task.

    The amazon providers report a failed job in different ways: by an event, by a trigger that fails, or by SageMaker's
    reason, which refers to a log. None of them has the message of the job's container, so SageMaker is asked for it.
    """

    def _find_jobs(self, context: Any) -> JobHistory:
        """Find the jobs that were started for the work of this task."""
        raise NotImplementedError

    @override
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Resume when the job has ended or its trigger has failed.

        Raises:
            RuntimeError: the job failed or was stopped.
        """
        with self._message_of_job(context):
            return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _message_of_job(self, context: Any, name: str | None = None) -> Iterator[None]:
        """Replace an error by the message of the latest job if that job has failed.

        Args:
            context: Airflow's context of the task.
            name: the latest job must have this name; None: any name.

        Raises:
            RuntimeError: the job failed or was stopped.
        """
        try:
            yield
        except Exception as error:
            job = self._find_jobs(context).latest
            if job is None or job.is_running or job.status == "Completed" or name not in (None, job.name):
                raise
            self.log.info("the provider's error: %s", error)
            # Not from this error: it only says that the job failed, and would pass for the cause.
            raise RuntimeError(f"{job.name} {job.status.lower()}: {job.failure_reason}") from None


class ProcessingJobOperator(_JobOperator, SageMakerProcessingOperator):
    """Runs a processing job of the project's image.

    Args:
        job: the CreateProcessingJob request of the stage. A number follows its name for each job of the same work.
        reports_uri: s3:// address of the reports of the stages that the job runs.
        card_folder: folder of the container for the card of the Clay checkpoint; None: the job needs none.
        scenes: fields of SceneSearch, whose number decides how many instances the job has; None: one.
    """

    template_fields: Sequence[str] = (*SageMakerProcessingOperator.template_fields, "job", "reports_uri", "scenes")

    def __init__(
        self,
        *,
        job: dict[str, Any],
        reports_uri: str,
        card_folder: str | None = None,
        scenes: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(config={}, **kwargs)
        self.job = job
        self.reports_uri = reports_uri
        self.card_folder = card_folder
        self.scenes = scenes

    @override
    def execute(self, context: Any) -> Any:
        """Start the job, or find the one that is running, and wait for its end.

        Raises:
            RuntimeError: the job failed.
        """
        history = self._find_jobs(context)
        if history.latest is not None and history.latest.is_running:
            context["ti"].xcom_push(key=JOB_NAME, value=history.latest.name)
        _wait_if_running(self, history, "Processing")
        instances = self._instances()
        self.log.info("%s: %d instances", history.next_name, instances)
        self.config = processing_request(self.job, history.next_name, _job_options(), self.card_folder, instances)
        context["ti"].xcom_push(key=JOB_NAME, value=history.next_name)
        with self._message_of_job(context, history.next_name):
            return super().execute(context)

    def _instances(self) -> int:
        if self.scenes is None:
            return 1
        return choose_instances(SceneSearch(**self.scenes), lambda name: Variable.get(name, default=None))

    @override
    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        """Resume when the job has ended. The message of an incomplete job becomes a warning in the log."""
        result = super().execute_complete(context, event)
        if event is not None and (message := self.hook.describe_processing_job(event["job_name"]).get("ExitMessage")):
            self.log.warning("Incomplete: %s", message)
        return result

    def reports(self, context: Any) -> list[StageReport]:
        """Return what the stages of the job of this task have reported."""
        name = context["ti"].xcom_pull(task_ids=self.task_id, key=JOB_NAME)
        return job_and_reports(self.hook, name, self.reports_uri)[1] if name else []

    @override
    def _find_jobs(self, context: Any) -> JobHistory:
        find = _finder(self.hook.describe_processing_job, "ProcessingJobStatus")
        return find_jobs(self.job["ProcessingJobName"], find)


@dataclass
class _Try:
    """What a try of the batch transform has found out so far."""

    job: str = ""  # name of the job that it waited for; empty: none
    incomplete: str = ""  # why it ends well without an answer to every object; empty: it has all


class TransformJobOperator(_JobOperator, SageMakerTransformOperator):
    """Runs a batch transform job for the objects of the newest export that have no answer yet.

    The job's name follows from the export, so a retry finds the job of an earlier try. The task is skipped if the run
    exported nothing. Its XCom `run_id` is the id of the export. Each try leaves a report for ops.stages when it ends.

    Args:
        exports_uri: s3:// address of the exports of this run.
        job_prefix: start of the names of jobs.
        model_name: name of the SageMaker model.
        instance_type: type of the job's instances.
        instance_count: number of the job's instances.
        unrecorded_uri: s3:// address of the reports that the next job records.
    """

    template_fields: Sequence[str] = (
        *SageMakerTransformOperator.template_fields,
        *("exports_uri", "job_prefix", "model_name", "instance_type", "instance_count", "unrecorded_uri"),
    )

    def __init__(
        self,
        *,
        exports_uri: str,
        job_prefix: str,
        model_name: str,
        instance_type: str,
        instance_count: str,
        unrecorded_uri: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(config={}, **kwargs)
        self.exports_uri = exports_uri
        self.job_prefix = job_prefix
        self.model_name = model_name
        self.instance_type = instance_type
        self.instance_count = instance_count
        self.unrecorded_uri = unrecorded_uri

    @override
    def execute(self, context: Any) -> Any:
        """Start the job, or find the one that is running, and wait for its end.

        Raises:
            AirflowSkipException: nothing was exported.
            RuntimeError: the job failed, or the jobs of this export ended without a single answer.
        """
        with self._reported(context) as this_try:
            return self._embed(context, this_try)

    @override
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Resume when the job has ended or its trigger has failed.

        Raises:
            RuntimeError: the job failed or was stopped.
        """
        with self._reported(context) as this_try:
            latest = self._find_jobs(context).latest
            this_try.job = latest.name if latest else ""
            return super().resume_execution(next_method, next_kwargs, context)

    def _embed(self, context: Any, this_try: _Try) -> Any:
        s3 = self._s3()
        bucket, prefix = bucket_and_key(self.exports_uri)
        run = newest_run(bucket, s3.list_keys(bucket, prefix=f"{prefix.rstrip('/')}/") or [])
        if run is None:
            raise AirflowSkipException("nothing was exported: every chip that is complete enough has its embedding")
        context["ti"].xcom_push(key=RUN_ID, value=run.run_id)
        history = self._find_jobs_of(run.run_id)
        _wait_if_running(self, history, "Transform")
        if not run.unanswered:
            self.log.info("all %d objects have their answer", len(run.objects))
            this_try.job = history.latest.name if history.latest else ""
            return None
        if history.latest is not None and history.count >= TRANSFORM_JOBS_A_RUN:
            this_try.incomplete = self._give_up(run, history.latest.name)
            return None
        name = history.next_name
        manifest = input_manifest(run.uri, run.unanswered)
        s3.load_string(manifest, f"{run.key}/{input_manifest_path(name)}", run.bucket, replace=True)
        self.config = self._request(run, name)
        this_try.job = name
        with self._message_of_job(context, name):
            return super().execute(context)

    @contextmanager
    def _reported(self, context: Any) -> Iterator[_Try]:
        """Leave a report when this try ends; one that waits for its job, or has nothing to embed, does not end here."""
        this_try, report = _Try(), TransformReport(context["run_id"], datetime.now(UTC))
        try:
            yield this_try
        except AirflowSkipException:
            raise
        except Exception as error:
            self._leave(replace(report, state=FAILED, error=cause_of(error)), this_try.job)
            raise
        if this_try.incomplete:
            report = replace(report, state=INCOMPLETE, error=this_try.incomplete)
        self._leave(report, this_try.job)

    def _leave(self, report: TransformReport, job: str) -> None:
        """Write a report to S3. A report that cannot be written is a warning, and stops nothing."""
        try:
            description = _describe(self.hook.describe_transform_job, job) if job else None
            if description is not None:
                report = report.of_job(description)
            image = self.hook.describe_model(self.model_name)["PrimaryContainer"]["Image"]
            name, content = replace(report, image=image).file()
            bucket, folder = bucket_and_key(self.unrecorded_uri)
            self._s3().load_string(content, f"{folder}/{name}", bucket)
        except Exception as error:
            self.log.warning("ops.stages will lack this batch transform: %s", cause_of(error))

    def _s3(self) -> S3Hook:
        return S3Hook(aws_conn_id=self.aws_conn_id, region_name=self.region_name)

    @override
    def _find_jobs(self, context: Any) -> JobHistory:
        return self._find_jobs_of(context["ti"].xcom_pull(task_ids=self.task_id, key=RUN_ID))

    def _find_jobs_of(self, run_id: str) -> JobHistory:
        find = _finder(self.hook.describe_transform_job, "TransformJobStatus")
        return find_jobs(f"{self.job_prefix}-{run_id}", find)

    def _request(self, run: ExportedRun, name: str) -> dict[str, Any]:
        return create_transform_job_request(
            name=name,
            model_name=self.model_name,
            run_uri=run.uri,
            instance_type=self.instance_type,
            instance_count=int(self.instance_count),
            limits=RequestLimits.from_environment(job_settings()),
            kms_key=Variable.get("chiplake_kms_key", default=""),
        )

    def _give_up(self, run: ExportedRun, latest: str) -> str:
        """Return what is missing after the last job of the run; without a single answer, that is an error."""
        summary = (
            f"{len(run.unanswered)} of {len(run.objects)} objects have no answer after {TRANSFORM_JOBS_A_RUN} jobs"
        )
        if len(run.unanswered) == len(run.objects):
            raise RuntimeError(f"{summary}; see the log of {latest} in CloudWatch")
        self.log.warning("%s, the latest of them %s; the answers to the others are loaded", summary, latest)
        return summary


def job_and_reports(hook: SageMakerHook, name: str, reports_uri: str) -> tuple[Job | None, list[StageReport]]:
    """Find a processing job by its name, and read what its stages have reported.

    Args:
        hook: reaches SageMaker.
        name: of the job.
        reports_uri: s3:// address of the reports of the run; those of earlier jobs are left out.

    Returns:
        The job, or None if there is none, and its reports.
    """
    description = _describe(hook.describe_processing_job, name)
    if description is None:
        return None, []
    reports = read_s3(reports_uri, hook.region_name, description["CreationTime"])
    return _job(name, description, "ProcessingJobStatus"), reports


def _finder(describe: Callable[[str], Mapping[str, Any]], status: str) -> Callable[[str], Job | None]:
    """Return a function that finds a job by its name, or None if there is no such job.

    Args:
        describe: the hook's call that describes a job.
        status: field of its answer with the state of the job.
    """

    def find(name: str) -> Job | None:
        description = _describe(describe, name)
        return None if description is None else _job(name, description, status)

    return find


def _describe(describe: Callable[[str], Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """Return what SageMaker says of a job; None if it has no job of that name."""
    try:
        return describe(name)
    except ClientError as error:
        if is_not_found(error.response):
            return None
        raise


def _job(name: str, description: Mapping[str, Any], status: str) -> Job:
    # The message is that of the job's container; SageMaker's own reason only refers to the log.
    reason = description.get("ExitMessage") or description.get("FailureReason") or ""
    return Job(name, str(description[status]), reason)


def _wait_if_running(operator: Any, history: JobHistory, job_type: str) -> None:
    """Defer the task until the latest job has ended, if it is running."""
    if history.latest is None or not history.latest.is_running:
        return
    name = history.latest.name
    operator.log.info("waiting for the job %s, which an earlier try started", name)
    operator.defer(
        timeout=operator.execution_timeout,
        trigger=make_sagemaker_trigger(operator, name, job_type),
        method_name="execute_complete",
    )


def _job_options() -> JobOptions:
    return JobOptions(
        settings=job_settings(),
        checkpoint_uri=Variable.get("chiplake_clay_checkpoint_uri", default=""),
        subnets=_list("chiplake_subnets"),
        security_groups=_list("chiplake_security_groups"),
        kms_key=Variable.get("chiplake_kms_key", default=""),
    )


def _list(name: str) -> list[str]:
    return [part.strip() for part in Variable.get(name, default="").split(",") if part.strip()]
