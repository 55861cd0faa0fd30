"""The operators that run SageMaker jobs. A retry waits for a job that is still running instead of starting another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.sagemaker import SageMakerProcessingOperator, SageMakerTransformOperator
from airflow.providers.amazon.aws.triggers.sagemaker import SageMakerTrigger
from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import Variable
from botocore.exceptions import ClientError
from typing_extensions import override

from chiplake_airflow.exported_run import ExportedRun, newest_run
from chiplake_airflow.job_settings import job_settings
from chiplake_airflow.processing_request import JobOptions, processing_request
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

TRANSFORM_JOBS_A_RUN: Final = 2  # a later run exports again what these left without an answer


class ProcessingJobOperator(SageMakerProcessingOperator):
    """Runs a processing job of the project's image.

    Args:
        job: the CreateProcessingJob request of the stage. A number follows its name for each job of the same work.
        checkpoint_folder: folder of the container for the Clay checkpoint, if one is set; None: the job needs none.
    """

    template_fields: Sequence[str] = (*SageMakerProcessingOperator.template_fields, "job")

    def __init__(self, *, job: dict[str, Any], checkpoint_folder: str | None = None, **kwargs: Any) -> None:
        super().__init__(config={}, **kwargs)
        self.job = job
        self.checkpoint_folder = checkpoint_folder

    @override
    def execute(self, context: Any) -> Any:
        """Start the job, or find the one that is running, and wait for its end."""
        find = _finder(self.hook.describe_processing_job, "ProcessingJobStatus")
        history = find_jobs(self.job["ProcessingJobName"], find)
        _wait_if_running(self, history, "Processing")
        self.config = processing_request(self.job, history.next_name, _job_options(), self.checkpoint_folder)
        return super().execute(context)

    @override
    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        """Resume when the job has ended. The message of an incomplete job becomes a warning in the log.

        Raises:
            RuntimeError: the job failed. The message is its container's, as SageMaker's only refers to the log.
        """
        if event is not None:
            name = event["job_name"]
            job = self.hook.describe_processing_job(name)
            if event.get("status") == "failed":
                raise RuntimeError(f"{name} failed: {job.get('ExitMessage') or job.get('FailureReason')}")
            if message := job.get("ExitMessage"):
                self.log.warning("Incomplete: %s", message)
        return super().execute_complete(context, event)


class TransformJobOperator(SageMakerTransformOperator):
    """Runs a batch transform job for the objects of the newest export that have no answer yet.

    The job's name follows from the export, so a retry finds the job of an earlier try. The task is skipped if the run
    exported nothing. Its XCom `run_id` is the id of the export.

    Args:
        exports_uri: s3:// address of the exports of this run.
        job_prefix: start of the names of jobs.
        model_name: name of the SageMaker model.
        instance_type: type of the job's instances.
        instance_count: number of the job's instances.
    """

    template_fields: Sequence[str] = (
        *SageMakerTransformOperator.template_fields,
        *("exports_uri", "job_prefix", "model_name", "instance_type", "instance_count"),
    )

    def __init__(
        self,
        *,
        exports_uri: str,
        job_prefix: str,
        model_name: str,
        instance_type: str,
        instance_count: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(config={}, **kwargs)
        self.exports_uri = exports_uri
        self.job_prefix = job_prefix
        self.model_name = model_name
        self.instance_type = instance_type
        self.instance_count = instance_count

    @override
    def execute(self, context: Any) -> Any:
        """Start the job, or find the one that is running, and wait for its end.

        Raises:
            AirflowSkipException: nothing was exported.
            RuntimeError: the jobs of this export ended without a single answer.
        """
        s3 = S3Hook(aws_conn_id=self.aws_conn_id, region_name=self.region_name)
        bucket, _, prefix = self.exports_uri.removeprefix("s3://").partition("/")
        run = newest_run(bucket, s3.list_keys(bucket, prefix=f"{prefix.rstrip('/')}/") or [])
        if run is None:
            raise AirflowSkipException("nothing was exported: every chip that is complete enough has its embedding")
        context["ti"].xcom_push(key="run_id", value=run.run_id)
        find = _finder(self.hook.describe_transform_job, "TransformJobStatus")
        history = find_jobs(f"{self.job_prefix}-{run.run_id}", find)
        _wait_if_running(self, history, "Transform")
        if not run.unanswered:
            self.log.info("all %d objects have their answer", len(run.objects))
            return None
        if history.latest is not None and history.count >= TRANSFORM_JOBS_A_RUN:
            return self._give_up(run, history.latest.name)
        name = history.next_name
        manifest = input_manifest(run.uri, run.unanswered)
        s3.load_string(manifest, f"{run.key}/{input_manifest_path(name)}", run.bucket, replace=True)
        self.config = self._request(run, name)
        return super().execute(context)

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

    def _give_up(self, run: ExportedRun, latest: str) -> None:
        summary = (
            f"{len(run.unanswered)} of {len(run.objects)} objects have no answer after {TRANSFORM_JOBS_A_RUN} jobs"
        )
        if len(run.unanswered) == len(run.objects):
            raise RuntimeError(f"{summary}; see the log of {latest} in CloudWatch")
        self.log.warning("%s, the latest of them %s; the answers to the others are loaded", summary, latest)


def _finder(describe: Callable[[str], Mapping[str, Any]], status: str) -> Callable[[str], Job | None]:
    """Return a function that finds a job by its name, or None if there is no such job.

    Args:
        describe: the hook's call that describes a job.
        status: field of its answer with the state of the job.
    """

    def find(name: str) -> Job | None:
        try:
            job = describe(name)
        except ClientError as error:
            if is_not_found(error.response):
                return None
            raise
        return Job(name, str(job[status]), job.get("FailureReason") or "")

    return find


def _wait_if_running(operator: Any, history: JobHistory, job_type: str) -> None:
    """Defer the task until the latest job has ended, if it is running."""
    if history.latest is None or not history.latest.is_running:
        return
    name = history.latest.name
    operator.log.info("waiting for the job %s, which an earlier try started", name)
    operator.defer(
        timeout=operator.execution_timeout,
        trigger=SageMakerTrigger(
            job_name=name,
            job_type=job_type,
            waiter_delay=operator.check_interval,
            waiter_max_attempts=operator.max_attempts,
            aws_conn_id=operator.aws_conn_id,
            region_name=operator.region_name,
            verify=operator.verify,
            botocore_config=operator.botocore_config,
        ),
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
