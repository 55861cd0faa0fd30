"""SageMaker batch transform jobs of an export: their names, requests, states and limits.

Both `chiplake embed transform` and the Airflow DAG run these jobs. Airflow's environment lacks the packages of the
project, so this module uses only the standard library, and it never calls AWS: its callers send the requests.

The S3 folder of an exported run holds

    input/chips-00000.arrow           an object: some chips, sent to the inference server as one request
    jobs/<job>.manifest               the objects that a job is for
    output/…/chips-00000.arrow.out    the server's answer to an object

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"  # media type of objects and answers
CARD_SUFFIX: Final = ".card.json"  # of the file beside a checkpoint that says which model it is
ANSWER_SUFFIX: Final = ".out"  # SageMaker appends it to the name of the object
INPUT_FOLDER: Final = "input"
OUTPUT_FOLDER: Final = "output"

MB: Final = 1_000_000  # bytes; the inference server counts megabytes in the same way
MAX_REQUESTS_MB: Final = 100  # MaxConcurrentTransforms x MaxPayloadInMB
DEFAULT_MAX_CONCURRENT: Final = 2
DEFAULT_MAX_PAYLOAD_MB: Final = 25
DEFAULT_TIMEOUT_S: Final = 3600
DEFAULT_RETRIES: Final = 3


DEVICE_VARIABLE: Final = "CHIPLAKE_DEVICE"  # of the inference server: auto, cpu or cuda
# With NVIDIA driver 535, which runs CUDA 12. The driver of SageMaker's default image may be 470, which does not.
GPU_AMI: Final = "al2-ami-sagemaker-batch-gpu-535"
_NVIDIA_FAMILIES: Final = ("ml.g", "ml.p")


@dataclass(frozen=True)
class RequestLimits:
    """The limits of a job's requests to each of its instances."""

    max_concurrent: int = DEFAULT_MAX_CONCURRENT  # requests at once to one instance
    max_payload_mb: int = DEFAULT_MAX_PAYLOAD_MB  # largest object
    timeout_s: int = DEFAULT_TIMEOUT_S  # longest answer to one request, seconds
    retries: int = DEFAULT_RETRIES  # how often SageMaker repeats a failed request

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RequestLimits:
        """Read the limits from the settings `CHIPLAKE_TRANSFORM_…`, with the defaults of the project.

        Args:
            environment: environment variables by name.

        Raises:
            ValueError: a setting is not a whole number.
        """

        def read(setting: str, default: int) -> int:
            name = f"CHIPLAKE_TRANSFORM_{setting}"
            text = environment.get(name, str(default))
            try:
                return int(text)
            except ValueError as error:
                raise ValueError(f"{name}={text}: expected a whole number") from error

        return cls(
            max_concurrent=read("MAX_CONCURRENT", DEFAULT_MAX_CONCURRENT),
            max_payload_mb=read("MAX_PAYLOAD_MB", DEFAULT_MAX_PAYLOAD_MB),
            timeout_s=read("TIMEOUT_S", DEFAULT_TIMEOUT_S),
            retries=read("RETRIES", DEFAULT_RETRIES),
        )


@dataclass(frozen=True)
class Job:
    """A SageMaker job and its state."""

    name: str
    status: str  # InProgress, Stopping, Completed, Failed or Stopped
    failure_reason: str = ""

    @property
    def is_running(self) -> bool:
        """Return whether the job may still write its output."""
        return self.status in ("InProgress", "Stopping")


@dataclass(frozen=True)
class JobHistory:
    """The jobs that were started for the same work: `<work>-01`, `<work>-02` and so on."""

    work: str
    latest: Job | None  # None: no job was started yet
    count: int

    @property
    def next_name(self) -> str:
        """Name of the next job for this work."""
        return _job_name(self.work, self.count + 1)


def find_jobs(work: str, find_job: Callable[[str], Job | None]) -> JobHistory:
    """Find the jobs that were started for some work, so that a caller waits for a running one instead of another.

    Args:
        work: name of the work; at most 60 characters, so that the names of its jobs have at most 63.
        find_job: returns the job of a name, or None if SageMaker has no job of that name.
    """
    latest, count = None, 0
    while (job := find_job(_job_name(work, count + 1))) is not None:
        latest, count = job, count + 1
    return JobHistory(work, latest, count)


def is_not_found(error_response: Mapping[str, Any]) -> bool:
    """Return whether SageMaker refused a request because the job or the model does not exist.

    SageMaker has no error code for this: it answers `ValidationException` with the message "Could not find model …" or
    "Could not find requested job …". Other calls answer with a code that begins with `ResourceNotFound`.

    Args:
        error_response: `response` of botocore's ClientError.
    """
    error = error_response.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    return code.startswith("ResourceNotFound") or (
        code == "ValidationException" and message.lower().startswith("could not find")
    )


def create_model_request(
    image: str, role_arn: str, environment: Mapping[str, str], model_data_uri: str | None
) -> dict[str, Any]:
    """Build the CreateModel request of an inference server. The name of the model is a digest of the request.

    Args:
        image: address of the server's image in ECR.
        role_arn: execution role of the model.
        environment: environment variables of the server.
        model_data_uri: s3:// address of what `chiplake embed package` wrote; None: the code of the image.
    """
    container: dict[str, Any] = {"Image": image, "Environment": dict(environment)}
    if model_data_uri is not None:
        container["ModelDataUrl"] = model_data_uri
    request: dict[str, Any] = {
        "ExecutionRoleArn": role_arn,
        "PrimaryContainer": container,
        "EnableNetworkIsolation": True,  # the server needs no network
    }
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
    return {"ModelName": f"chiplake-clay-{digest}"} | request


def create_transform_job_request(
    *,
    name: str,
    model_name: str,
    run_uri: str,
    instance_type: str,
    instance_count: int,
    limits: RequestLimits,
    kms_key: str = "",
) -> dict[str, Any]:
    """Build the CreateTransformJob request for the objects in the job's input manifest, one object a request.

    On an instance with an NVIDIA GPU the server must use it. Otherwise a driver that is too old would leave the work to
    the CPU, for the price of the GPU.

    Args:
        name: name of the job.
        model_name: name of the SageMaker model.
        run_uri: s3:// address of the run's folder, without / at its end.
        instance_type: type of the job's instances.
        instance_count: number of the job's instances.
        limits: how the job sends objects to each instance.
        kms_key: ARN of the KMS key of the answers; empty: the default encryption of the bucket.
    """
    uses_gpu = has_gpu(instance_type)
    resources: dict[str, Any] = {"InstanceType": instance_type, "InstanceCount": instance_count}
    output = {"S3OutputPath": f"{run_uri}/{OUTPUT_FOLDER}", "Accept": ARROW_STREAM, "AssembleWith": "None"}
    return {
        "TransformJobName": name,
        "ModelName": model_name,
        "MaxConcurrentTransforms": limits.max_concurrent,
        "MaxPayloadInMB": limits.max_payload_mb,
        "BatchStrategy": "SingleRecord",
        "ModelClientConfig": {
            "InvocationsTimeoutInSeconds": limits.timeout_s,
            "InvocationsMaxRetries": limits.retries,
        },
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": f"{run_uri}/{input_manifest_path(name)}"}
            },
            "ContentType": ARROW_STREAM,
            "CompressionType": "None",
            "SplitType": "None",
        },
        "TransformOutput": output | ({"KmsKeyId": kms_key} if kms_key else {}),
        "TransformResources": resources | ({"TransformAmiVersion": GPU_AMI} if uses_gpu else {}),
    } | ({"Environment": {DEVICE_VARIABLE: "cuda"}} if uses_gpu else {})


def has_gpu(instance_type: str) -> bool:
    """Return whether a SageMaker instance type, such as ml.g5.xlarge, has an NVIDIA GPU."""
    return instance_type.startswith(_NVIDIA_FAMILIES)


def input_manifest_path(job_name: str) -> str:
    """Path of a job's input manifest in the run's folder."""
    return f"jobs/{job_name}.manifest"


def input_manifest(run_uri: str, names: Sequence[str]) -> str:
    """Write the input manifest of a job: the objects that it is for, as SageMaker's `ManifestFile`.

    Args:
        run_uri: s3:// address of the run's folder, without / at its end.
        names: names of the objects.
    """
    return json.dumps([{"prefix": f"{run_uri}/{INPUT_FOLDER}/"}, *names])


def answer_keys(keys: Iterable[str]) -> dict[str, str]:
    """Find the answers among keys of a bucket.

    AWS's documentation leaves open which folders SageMaker puts between the output path and an answer. So an answer is
    found only by the end of its key.

    Args:
        keys: keys below the run's `output/`.

    Returns:
        The key of each answer, by the name of the object that it answers.
    """
    return {key.rsplit("/", 1)[-1].removesuffix(ANSWER_SUFFIX): key for key in keys if key.endswith(ANSWER_SUFFIX)}


def _job_name(work: str, number: int) -> str:
    return f"{work}-{number:02d}"
