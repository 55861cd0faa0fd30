"""The transform on SageMaker: a run's objects go to S3, a batch transform job embeds them, its answers come back.

    <CHIPLAKE_TRANSFORM_S3_URI>/<run_id>/input/chips-00000.arrow
    <CHIPLAKE_TRANSFORM_S3_URI>/<run_id>/jobs/<job>.manifest         the objects that a job is for
    <CHIPLAKE_TRANSFORM_S3_URI>/<run_id>/output/…/chips-00000.arrow.out

Names of jobs and models follow from what they are for: a call after a killed one finds its job and waits for it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from embedding.aws import (
    PARALLEL,
    S3Place,
    client,
    download,
    error_code,
    list_objects,
    plain_errors,
    put_bytes,
    session,
    upload_files,
)
from embedding.model.weights import preprocessing_of
from embedding.runs.files import OUT_SUFFIX, Manifest, Run, answer_path, objects_of
from embedding.runs.report import ObjectFailure, Progress, TransformReport, no_progress
from embedding.server.process import preprocessing_environment
from embedding.wire import ARROW_STREAM, UNTRAINED, read_table
from lakehouse.errors import ChiplakeError, one_line
from lakehouse.files import write_atomically
from lakehouse.settings import Settings

_MB: Final = 1_000_000  # as the server counts them
_MAX_ANSWER_BYTES: Final = 100 * _MB
_RUNNING: Final = ("InProgress", "Stopping")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A transform job and its state."""

    name: str
    status: str  # InProgress, Stopping, Completed, Failed or Stopped
    failure_reason: str = ""

    @property
    def is_running(self) -> bool:
        """Whether answers may still come."""
        return self.status in _RUNNING

    def why_unanswered(self) -> str:
        """Words for an object that this job left without an answer."""
        if self.status == "Failed":
            reason = one_line(self.failure_reason) or "SageMaker gives no reason"
            return f"SageMaker job {self.name} failed: {reason}; its log in CloudWatch says more"
        return f"SageMaker job {self.name} is {self.status} and left no answer"


@dataclass(frozen=True)
class _Work:
    """What a call works with."""

    run: Run
    settings: Settings
    manifest: Manifest
    place: S3Place  # the run's folder
    model: dict[str, Any]  # CreateModel request
    report: Progress
    aws: Any  # boto3 session
    s3: Any
    sagemaker: Any


def transform_on_sagemaker(run: Run, settings: Settings, on_progress: Progress | None = None) -> TransformReport:
    """Embed the objects of a run that have no answer yet by a batch transform job, and wait for it.

    A job of this run that still works is waited for in place of another. Whatever ends this call, the job goes on.

    Args:
        run: an exported run.
        settings: the settings in force, `transform_…` among them.
        on_progress: called with (stage, done, total) as objects are sent (`upload`) and answered (`transform`).

    Raises:
        ChiplakeError: a setting is missing, an object is too large, or AWS refuses what was asked of it.
    """
    objects = objects_of(run.input_dir)
    pending = [path for path in objects if not answer_path(run.output_dir, path.name).is_file()]
    skipped = len(objects) - len(pending)
    if not pending:
        return TransformReport(status="Completed", transformed=0, skipped=skipped, failures=())
    work = _prepare(run, settings, pending, on_progress or no_progress)
    # The job first: once it has ended, no answers come that the next line would miss.
    job, attempt = _latest_job(work)
    faults = _fetch_answers(work, pending)  # a call that was killed may have left some that nobody fetched
    if faults:
        rest = [path for path in pending if path.name in faults]
        if job is None or not job.is_running:
            job = _new_job(work, rest, attempt)
        _log.info("waiting for SageMaker job %s", job.name)
        job = _wait(work, job, [path.name for path in objects])
        faults = _fetch_answers(work, rest)
    work.report("transform", len(objects) - len(faults), len(objects))
    return TransformReport(
        status="Failed" if faults else "Completed",
        transformed=len(pending) - len(faults),
        skipped=skipped,
        failures=tuple(
            ObjectFailure(name=name, reason=fault or (job.why_unanswered() if job else "it has no answer"))
            for name, fault in sorted(faults.items())
        ),
    )


def model_request(settings: Settings, manifest: Manifest) -> dict[str, Any]:
    """The CreateModel request for a run's model. Its name follows from all that is in it.

    Raises:
        ChiplakeError: a setting is missing.
    """
    if manifest.weights != UNTRAINED and settings.transform.model_data_uri is None:
        raise ChiplakeError(
            f"{manifest.model_id} has a checkpoint, which SageMaker lacks: pack it with `chiplake embed package`, "
            "copy it to S3 and set CHIPLAKE_TRANSFORM_MODEL_DATA_URI"
        )
    container: dict[str, Any] = {
        "Image": _required(settings, "image"),
        "Environment": {
            **preprocessing_environment(preprocessing_of(settings)),
            # A server with other weights ends before it embeds anything.
            "CHIPLAKE_EXPECTED_MODEL_ID": manifest.model_id,
        },
    }
    if settings.transform.model_data_uri is not None:
        container["ModelDataUrl"] = settings.transform.model_data_uri
    request: dict[str, Any] = {
        "ExecutionRoleArn": _required(settings, "role_arn"),
        "PrimaryContainer": container,
        "EnableNetworkIsolation": True,  # the server needs no network
    }
    return {"ModelName": f"chiplake-clay-{_digest(request)}"} | request


def job_request(settings: Settings, name: str, model_name: str, place: S3Place) -> dict[str, Any]:
    """The CreateTransformJob request: one object a request, as many instances as are set."""
    return {
        "TransformJobName": name,
        "ModelName": model_name,
        "MaxConcurrentTransforms": settings.transform.max_concurrent,
        "MaxPayloadInMB": settings.transform.max_payload_mb,
        "BatchStrategy": "SingleRecord",
        "ModelClientConfig": {
            "InvocationsTimeoutInSeconds": settings.transform.timeout_s,
            "InvocationsMaxRetries": settings.transform.retries,
        },
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": (place / "jobs" / f"{name}.manifest").uri}
            },
            "ContentType": ARROW_STREAM,
            "CompressionType": "None",
            "SplitType": "None",
        },
        "TransformOutput": {
            "S3OutputPath": (place / "output").uri,
            "Accept": ARROW_STREAM,
            "AssembleWith": "None",
        },
        "TransformResources": {
            "InstanceType": settings.transform.instance_type,
            "InstanceCount": settings.transform.instance_count,
        },
    }


def _prepare(run: Run, settings: Settings, pending: Sequence[Path], report: Progress) -> _Work:
    """Check all that can be checked before AWS is asked for anything."""
    manifest = run.manifest()
    place = S3Place.parse(_required(settings, "s3_uri")) / run.run_id
    model = model_request(settings, manifest)
    _check_objects(pending, settings)
    aws = session()
    with plain_errors("cannot reach AWS"):
        return _Work(run, settings, manifest, place, model, report, aws, client(aws, "s3"), client(aws, "sagemaker"))


def _new_job(work: _Work, paths: Sequence[Path], attempt: int) -> Job:
    """Send objects that are not in S3 yet, make the model if there is none, and start a job for these objects."""
    sent = itertools.count(1)
    upload_files(work.s3, paths, work.place / "input", lambda: work.report("upload", next(sent), len(paths)))
    _ensure_model(work)
    name = _job_name(work, attempt)
    put_bytes(work.s3, work.place / "jobs" / f"{name}.manifest", _input_manifest(work.place, paths))
    return _start_job(work, job_request(work.settings, name, work.model["ModelName"], work.place))


def _check_objects(pending: Sequence[Path], settings: Settings) -> None:
    limit = settings.transform.max_payload_mb * _MB
    for path in pending:
        if path.suffix != ".arrow":
            raise ChiplakeError(f"{path.name}: SageMaker jobs take .arrow objects; use --on local for others")
        size = path.stat().st_size
        if size > limit:
            raise ChiplakeError(
                f"{path.name} has {size / _MB:.1f} MB and a request may have {limit // _MB} MB; raise "
                "CHIPLAKE_TRANSFORM_MAX_PAYLOAD_MB, or export again with fewer CHIPLAKE_EMBED_CHIPS_PER_OBJECT"
            )


def _fetch_answers(work: _Work, pending: Sequence[Path]) -> dict[str, str]:
    """Fetch the usable answers to these objects.

    Returns:
        The objects without one, with what is wrong with theirs; nothing where there is none.
    """
    answers = _answers(work)

    def fetch(path: Path) -> str | None:
        if path.name not in answers:
            return ""
        key, size = answers[path.name]
        if size > _MAX_ANSWER_BYTES:
            return f"the answer has {size} bytes, more than any server sends"
        content = download(work.s3, S3Place(work.place.bucket, key))
        fault = _fault_of(content, work.manifest.model_id)
        if fault is None:
            write_atomically(answer_path(work.run.output_dir, path.name), content)
        return fault

    with ThreadPoolExecutor(PARALLEL) as pool:
        faults = zip(pending, pool.map(fetch, pending), strict=True)
        return {path.name: fault for path, fault in faults if fault is not None}


def _answers(work: _Work) -> dict[str, tuple[str, int]]:
    """Keys and sizes of answers by the name of their object; how its folder shows in a key is not said clearly."""
    return {
        key.rsplit("/", 1)[-1].removesuffix(OUT_SUFFIX): (key, size)
        for key, size in list_objects(work.s3, work.place / "output").items()
        if key.endswith(OUT_SUFFIX)
    }


def _fault_of(content: bytes, model_id: str) -> str | None:
    try:
        answer = read_table(content, ARROW_STREAM)
    except ValueError as error:
        return f"the answer cannot be read: {error}"
    models = set(answer["model_id"].to_pylist()) if "model_id" in answer.column_names else set()
    others = models - {model_id}
    return f"the answer is of {min(map(str, others))}, asked was {model_id}" if others else None


def _latest_job(work: _Work) -> tuple[Job | None, int]:
    """The last job of a run, and the number of the next one."""
    latest = None
    for attempt in itertools.count(1):
        job = _find_job(work.sagemaker, _job_name(work, attempt))
        if job is None:
            return latest, attempt
        latest = job
    raise AssertionError("count has no end")


def _find_job(sagemaker: Any, name: str) -> Job | None:
    from botocore.exceptions import ClientError

    with plain_errors(f"cannot ask for SageMaker job {name}"):
        try:
            answer = sagemaker.describe_transform_job(TransformJobName=name)
        except ClientError as error:
            if _says_missing(error):
                return None
            raise
    return Job(name, answer["TransformJobStatus"], answer.get("FailureReason") or "")


def _job_name(work: _Work, attempt: int) -> str:
    # With the place: two lakes of one account may name a run alike.
    return f"chiplake-{work.run.run_id}-{hashlib.sha256(work.place.uri.encode()).hexdigest()[:8]}-{attempt:02d}"


def _ensure_model(work: _Work) -> None:
    from botocore.exceptions import ClientError

    name = work.model["ModelName"]
    with plain_errors(f"cannot make SageMaker model {name}"):
        if _has_model(work.sagemaker, name):
            return
        try:
            work.sagemaker.create_model(**work.model)
        except ClientError:
            if not _has_model(work.sagemaker, name):  # another call may have been faster
                raise


def _has_model(sagemaker: Any, name: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        sagemaker.describe_model(ModelName=name)
    except ClientError as error:
        if _says_missing(error):
            return False
        raise
    return True


def _start_job(work: _Work, request: dict[str, Any]) -> Job:
    from botocore.exceptions import ClientError

    name = request["TransformJobName"]
    with plain_errors(f"cannot start SageMaker job {name}"):
        try:
            if work.settings.transform.through == "sagemaker-core":
                _create_through_core(work.aws, work.sagemaker, request)
            else:
                work.sagemaker.create_transform_job(**request)
        except ClientError as error:
            if error_code(error) != "ResourceInUse":  # another call may have been faster: its job is ours
                raise
    return Job(name, "InProgress")


def _create_through_core(aws: Any, sagemaker: Any, request: dict[str, Any]) -> None:
    try:
        from sagemaker.core.helper.session_helper import Session
        from sagemaker.core.transformer import Transformer
    except ImportError as error:
        raise ChiplakeError("sagemaker-core is not installed; pip install 'chiplake[aws]'") from error
    given, taken, resources = request["TransformInput"], request["TransformOutput"], request["TransformResources"]
    source = given["DataSource"]["S3DataSource"]
    transformer = Transformer(
        model_name=request["ModelName"],
        instance_count=resources["InstanceCount"],
        instance_type=resources["InstanceType"],
        strategy=request["BatchStrategy"],
        assemble_with=taken["AssembleWith"],
        output_path=taken["S3OutputPath"],
        accept=taken["Accept"],
        max_concurrent_transforms=request["MaxConcurrentTransforms"],
        max_payload=request["MaxPayloadInMB"],
        sagemaker_session=Session(boto_session=aws, sagemaker_client=sagemaker),
    )
    transformer.transform(
        data=source["S3Uri"],
        data_type=source["S3DataType"],
        content_type=given["ContentType"],
        compression_type=given["CompressionType"],
        split_type=given["SplitType"],
        job_name=request["TransformJobName"],
        model_client_config=request["ModelClientConfig"],
        wait=False,
        logs=False,
    )


def _wait(work: _Work, job: Job, names: Sequence[str]) -> Job:
    """Wait until a job has ended, and tell how many objects have their answer."""
    while job.is_running:
        answered = _answers(work).keys()
        done = sum(name in answered or answer_path(work.run.output_dir, name).is_file() for name in names)
        work.report("transform", done, len(names))
        found = _find_job(work.sagemaker, job.name)
        if found is None:
            raise ChiplakeError(f"SageMaker job {job.name} is gone; call again to start another")
        job = found
        if job.is_running:
            time.sleep(work.settings.transform.poll_s)
    return job


def _input_manifest(place: S3Place, paths: Sequence[Path]) -> bytes:
    """The list of a job's objects, in SageMaker's form."""
    return json.dumps([{"prefix": (place / "input").uri + "/"}, *(path.name for path in paths)]).encode()


def _says_missing(error: Any) -> bool:
    code = error_code(error)
    message = str(error.response.get("Error", {}).get("Message", ""))
    # SageMaker has no code of its own for it: "Could not find model …", "Could not find requested job …".
    return code.startswith("ResourceNotFound") or (
        code == "ValidationException" and message.lower().startswith("could not find")
    )


def _required(settings: Settings, name: str) -> str:
    value = getattr(settings.transform, name)
    if value is None:
        raise ChiplakeError(f"a transform on SageMaker needs {settings.transform.variable(name)}; set it")
    return str(value)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
