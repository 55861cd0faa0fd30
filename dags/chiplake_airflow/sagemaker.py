"""SageMaker's operators as the stages need them: a job that is still at work is waited for, not started again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.sagemaker import SageMakerProcessingOperator, SageMakerTransformOperator
from airflow.providers.amazon.aws.triggers.sagemaker import SageMakerTrigger
from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import Variable
from botocore.exceptions import ClientError

from chiplake_airflow.commands import without_absent
from chiplake_airflow.values import job_settings

TRANSFORM_JOBS_A_RUN: Final = 2  # what these did not answer is exported again by a later run
_RUNNING: Final = ("InProgress", "Stopping")


@dataclass(frozen=True)
class LatestJob:
    """The last of the jobs that were started for the same work."""

    name: str
    status: str  # empty where there is none yet
    next_name: str  # of the next job for it
    count: int  # how many there were

    @property
    def is_running(self) -> bool:
        """Whether it is still at work."""
        return self.status in _RUNNING


def latest_job(base_name: str, describe: Callable[[str], dict[str, Any]], status_key: str) -> LatestJob:
    """Find the last job for some work: their names are the work's, and a number."""
    latest = LatestJob("", "", f"{base_name}-01", 0)
    while True:
        try:
            status = str(describe(latest.next_name)[status_key])
        except ClientError as error:
            # SageMaker says a ValidationException, "Could not find requested job with name"; others ResourceNotFound.
            if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
                raise
            return latest
        count = latest.count + 1
        latest = LatestJob(latest.next_name, status, f"{base_name}-{count + 1:02d}", count)


@dataclass(frozen=True)
class ExportedRun:
    """Objects of chips in S3, as `chiplake embed export` wrote them, and which of them have their answer."""

    bucket: str
    prefix: str  # key of the run's folder, ends with /
    objects: tuple[str, ...]  # names
    unanswered: tuple[str, ...]

    @property
    def run_id(self) -> str:
        """Name of its folder."""
        return self.prefix.rstrip("/").rsplit("/", 1)[-1]

    @property
    def uri(self) -> str:
        """Address of its folder, ends with /."""
        return f"s3://{self.bucket}/{self.prefix}"


def newest_run(s3: S3Hook, uri: str) -> ExportedRun | None:
    """The newest whole export below an address; None if there is none. Only one with a manifest is whole."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    keys = s3.list_keys(bucket, prefix=prefix.rstrip("/") + "/") or []
    folders = sorted(key.removesuffix("manifest.json") for key in keys if key.endswith("/manifest.json"))
    if not folders:
        return None
    folder = folders[-1]  # their names begin with the time
    objects = [key.rsplit("/", 1)[-1] for key in keys if key.startswith(f"{folder}input/") and not key.endswith("/")]
    answered = {
        key.rsplit("/", 1)[-1].removesuffix(".out")
        for key in keys
        if key.startswith(f"{folder}output/") and key.endswith(".out")
    }
    unanswered = tuple(name for name in objects if name not in answered)
    return ExportedRun(bucket, folder, tuple(objects), unanswered)


class ProcessingJobOperator(SageMakerProcessingOperator):
    """A processing job of our image. A retry waits for the job that an earlier try started, if it still works.

    Args:
        checkpoint_to: folder of the container that gets the Clay checkpoint, if there is one; None: it needs none.
    """

    def __init__(self, *, checkpoint_to: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.checkpoint_to = checkpoint_to

    def execute(self, context: Any) -> Any:
        """Start it, or find it, and wait."""
        latest = latest_job(self.config["ProcessingJobName"], self.hook.describe_processing_job, "ProcessingJobStatus")
        if latest.is_running:
            _wait_for(self, latest.name, "Processing")
        specification, cluster = self.config["AppSpecification"], self.config["ProcessingResources"]["ClusterConfig"]
        specification["ContainerArguments"] = without_absent(specification["ContainerArguments"])
        self.config["ProcessingJobName"] = latest.next_name
        self.config["Environment"] = job_settings() | self.config["Environment"]
        checkpoint = Variable.get("chiplake_clay_checkpoint_uri", default="")
        if self.checkpoint_to and checkpoint:
            self.config.setdefault("ProcessingInputs", []).append(
                s3_input("checkpoint", checkpoint, self.checkpoint_to)
            )
            name = checkpoint.rsplit("/", 1)[-1]
            self.config["Environment"]["CHIPLAKE_CLAY_CHECKPOINT"] = f"{self.checkpoint_to}/{name}"
        if subnets := _list("chiplake_subnets"):
            groups = _list("chiplake_security_groups")
            self.config["NetworkConfig"] = {"VpcConfig": {"Subnets": subnets, "SecurityGroupIds": groups}}
        if key := Variable.get("chiplake_kms_key", default=""):
            cluster["VolumeKmsKeyId"] = key
            if "ProcessingOutputConfig" in self.config:
                self.config["ProcessingOutputConfig"]["KmsKeyId"] = key
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        """Go on when the job has ended. What an incomplete job left undone is a warning in the log.

        Raises:
            RuntimeError: it failed; the words are its container's, where SageMaker's only say that there is a log.
        """
        if event is not None:
            name = event["job_name"]
            job = self.hook.describe_processing_job(name)
            if event.get("status") == "failed":
                raise RuntimeError(f"{name} failed: {job.get('ExitMessage') or job.get('FailureReason')}")
            if words := job.get("ExitMessage"):
                self.log.warning("Incomplete: %s", words)
        return super().execute_complete(context, event)


class TransformJobOperator(SageMakerTransformOperator):
    """A batch transform job for the objects of a run that have no answer yet.

    Its name follows from the export: a retry waits for a job that still works, and starts another only for objects that
    are unanswered then. It skips where nothing was exported. The id of the export is its XCom `run_id`.

    Args:
        objects: address below which exports of this run lie.
        config: CreateTransformJob, without the name, the input's data source and the output's path.
    """

    template_fields: Sequence[str] = (*SageMakerTransformOperator.template_fields, "objects")

    def __init__(self, *, objects: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.objects = objects

    def execute(self, context: Any) -> Any:
        """Start it, or find it, and wait.

        Raises:
            AirflowSkipException: nothing was exported.
            RuntimeError: jobs ended without a single answer.
        """
        s3 = S3Hook(aws_conn_id=self.aws_conn_id, region_name=self.region_name)
        run = newest_run(s3, self.objects)
        if run is None:
            raise AirflowSkipException("nothing was exported: every chip that is complete enough has its embedding")
        context["ti"].xcom_push(key="run_id", value=run.run_id)
        base_name = f"{self.config['TransformJobName']}-{run.run_id}"
        latest = latest_job(base_name, self.hook.describe_transform_job, "TransformJobStatus")
        if latest.is_running:
            _wait_for(self, latest.name, "Transform")
        if not run.unanswered:
            self.log.info("all %d objects have their answer", len(run.objects))
            return None
        if latest.count >= TRANSFORM_JOBS_A_RUN:
            return self._give_up(run, latest)
        self._prepare(s3, run, latest.next_name)
        return super().execute(context)

    def _prepare(self, s3: S3Hook, run: ExportedRun, name: str) -> None:
        manifest = f"{run.prefix}jobs/{name}.manifest"
        content = json.dumps([{"prefix": f"{run.uri}input/"}, *run.unanswered])
        s3.load_string(content, manifest, run.bucket, replace=True)
        self.config["TransformJobName"] = name
        self.config["TransformInput"]["DataSource"] = {
            "S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": f"s3://{run.bucket}/{manifest}"}
        }
        self.config["TransformOutput"]["S3OutputPath"] = f"{run.uri}output"
        if key := Variable.get("chiplake_kms_key", default=""):
            self.config["TransformOutput"]["KmsKeyId"] = key
        settings = job_settings()
        self.config["MaxConcurrentTransforms"] = int(settings.get("CHIPLAKE_TRANSFORM_MAX_CONCURRENT", "2"))
        self.config["MaxPayloadInMB"] = int(settings.get("CHIPLAKE_TRANSFORM_MAX_PAYLOAD_MB", "25"))

    def _give_up(self, run: ExportedRun, latest: LatestJob) -> None:
        words = f"{len(run.unanswered)} of {len(run.objects)} objects have no answer after {latest.count} jobs"
        if len(run.unanswered) == len(run.objects):
            raise RuntimeError(f"{words}; the log of {latest.name} in CloudWatch says why")
        self.log.warning("%s, the last of them %s; the others are loaded", words, latest.name)


def s3_input(name: str, uri: str, path: str) -> dict[str, Any]:
    """What a processing job finds in a folder when it starts."""
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": path,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }


def s3_output(name: str, path: str, uri: str) -> dict[str, Any]:
    """What a processing job leaves in a folder goes to S3 when it ends."""
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": "EndOfJob"}}


def _wait_for(operator: Any, job_name: str, job_type: str) -> None:
    operator.log.info("job %s is still at work: waiting for it", job_name)
    operator.defer(
        timeout=operator.execution_timeout,
        trigger=SageMakerTrigger(
            job_name=job_name,
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


def _list(name: str) -> list[str]:
    return [part.strip() for part in Variable.get(name, default="").split(",") if part.strip()]
