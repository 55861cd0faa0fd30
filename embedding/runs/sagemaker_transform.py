"""The transform on SageMaker: upload the objects of a run, have a batch transform job embed them, fetch the answers.

The run's folder in S3 is `<CHIPLAKE_TRANSFORM_S3_URI>/<run_id>`; `lakehouse.transform_job` describes its content. Names
of jobs and models follow from their work: a call after one that was killed finds its job and waits for it.
"""

from __future__ import annotations

import hashlib
import itertools
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
from embedding.model.card import preprocessing_of
from embedding.runs.files import Manifest, Run, answer_path, objects_of
from embedding.runs.report import ObjectFailure, Progress, TransformReport, no_progress
from embedding.server.process import preprocessing_environment
from embedding.wire import ARROW_STREAM, UNTRAINED, read_table
from lakehouse.errors import ChiplakeError, one_line
from lakehouse.files import write_atomically
from lakehouse.settings import Settings
from lakehouse.settings.transform import TransformSettings
from lakehouse.transform_job import (
    INPUT_FOLDER,
    MB,
    OUTPUT_FOLDER,
    Job,
    JobHistory,
    RequestLimits,
    answer_keys,
    create_model_request,
    create_transform_job_request,
    find_jobs,
    input_manifest,
    input_manifest_path,
    is_not_found,
)

_MAX_ANSWER_BYTES: Final = 100 * MB

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Work:
    """A call: the run, its settings, and the clients of AWS."""

    run: Run
    settings: TransformSettings
    manifest: Manifest
    place: S3Place  # the run's folder
    model: dict[str, Any]  # CreateModel request
    report: Progress
    aws: Any  # boto3 session
    s3: Any
    sagemaker: Any


def transform_on_sagemaker(run: Run, settings: Settings, on_progress: Progress | None = None) -> TransformReport:
    """Embed the objects of a run that have no answer yet by a batch transform job, and wait for it.

    If a job of this run is still running, wait for it instead of starting another. The job continues if this call ends.

    Args:
        run: an exported run.
        settings: the settings, of which `transform` and those of the model are read.
        on_progress: called with (stage, done, total) as objects are sent (`upload`) and answered (`transform`).

    Raises:
        ChiplakeError: a setting is missing, an object is too large, or AWS refuses a request.
    """
    objects = objects_of(run.input_dir)
    pending = [path for path in objects if not answer_path(run.output_dir, path.name).is_file()]
    skipped = len(objects) - len(pending)
    if not pending:
        return TransformReport(status="Completed", transformed=0, skipped=skipped, failures=())
    work = _prepare(run, settings, pending, on_progress or no_progress)
    # Ask for the job before the answers: a job that has ended here has all its answers in S3 below.
    history = _find_jobs(work)
    job = history.latest
    faults = _fetch_answers(work, pending)  # a call that was killed may have left some
    if faults:
        rest = [path for path in pending if path.name in faults]
        if job is None or not job.is_running:
            job = _new_job(work, rest, history.next_name)
        _log.info("waiting for SageMaker job %s", job.name)
        job = _wait(work, job, [path.name for path in objects])
        faults = _fetch_answers(work, rest)
    work.report("transform", len(objects) - len(faults), len(objects))
    return TransformReport(
        status="Failed" if faults else "Completed",
        transformed=len(pending) - len(faults),
        skipped=skipped,
        failures=tuple(
            ObjectFailure(name=name, reason=fault or _why_unanswered(job)) for name, fault in sorted(faults.items())
        ),
    )


def model_request(settings: Settings, manifest: Manifest) -> dict[str, Any]:
    """Build the CreateModel request for the model of a run.

    Args:
        settings: the settings, of which `transform` and those of the model are read.
        manifest: manifest of the run.

    Raises:
        ChiplakeError: a setting is missing.
    """
    if manifest.weights != UNTRAINED and settings.transform.model_data_uri is None:
        raise ChiplakeError(
            f"{manifest.model_id} has a checkpoint, which SageMaker lacks: pack it with `chiplake embed package`, "
            "copy it to S3 and set CHIPLAKE_TRANSFORM_MODEL_DATA_URI"
        )
    return create_model_request(
        image=_required(settings.transform.image, "IMAGE"),
        role_arn=_required(settings.transform.role_arn, "ROLE_ARN"),
        environment={
            **preprocessing_environment(preprocessing_of(settings.clay)),
            # A server with other weights ends before it embeds anything.
            "CHIPLAKE_EXPECTED_MODEL_ID": manifest.model_id,
        },
        model_data_uri=settings.transform.model_data_uri,
    )


def _prepare(run: Run, settings: Settings, pending: Sequence[Path], report: Progress) -> _Work:
    """Check everything that needs no AWS, and make the clients."""
    manifest = run.manifest()
    transform = settings.transform
    place = S3Place.parse(_required(transform.s3_uri, "S3_URI")) / run.run_id
    model = model_request(settings, manifest)
    _check_objects(pending, transform.max_payload_mb)
    aws = session()
    with plain_errors("cannot reach AWS"):
        return _Work(run, transform, manifest, place, model, report, aws, client(aws, "s3"), client(aws, "sagemaker"))


def _new_job(work: _Work, paths: Sequence[Path], name: str) -> Job:
    """Upload the objects that S3 lacks, make the model if there is none, and start a job for these objects."""
    sent = itertools.count(1)
    upload_files(work.s3, paths, work.place / INPUT_FOLDER, lambda: work.report("upload", next(sent), len(paths)))
    _ensure_model(work)
    manifest = input_manifest(work.place.uri, [path.name for path in paths])
    put_bytes(work.s3, work.place / input_manifest_path(name), manifest.encode())
    settings = work.settings
    request = create_transform_job_request(
        name=name,
        model_name=work.model["ModelName"],
        run_uri=work.place.uri,
        instance_type=settings.instance_type,
        instance_count=settings.instance_count,
        limits=RequestLimits(
            max_concurrent=settings.max_concurrent,
            max_payload_mb=settings.max_payload_mb,
            timeout_s=settings.timeout_s,
            retries=settings.retries,
        ),
    )
    return _start_job(work, request)


def _check_objects(pending: Sequence[Path], max_payload_mb: int) -> None:
    limit = max_payload_mb * MB
    for path in pending:
        if path.suffix != ".arrow":
            raise ChiplakeError(f"{path.name}: SageMaker jobs take .arrow objects; use --on local for others")
        size = path.stat().st_size
        if size > limit:
            raise ChiplakeError(
                f"{path.name} has {size / MB:.1f} MB and a request may have {limit // MB} MB; raise "
                "CHIPLAKE_TRANSFORM_MAX_PAYLOAD_MB, or export again with fewer CHIPLAKE_EMBED_CHIPS_PER_OBJECT"
            )


def _fetch_answers(work: _Work, pending: Sequence[Path]) -> dict[str, str]:
    """Fetch the usable answers to these objects.

    Returns:
        The error of each object without a usable answer, by name; empty text if the object has no answer.
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
    """Return the key and the size in bytes of each answer, by the name of its object."""
    sizes = list_objects(work.s3, work.place / OUTPUT_FOLDER)
    return {name: (key, sizes[key]) for name, key in answer_keys(sizes).items()}


def _fault_of(content: bytes, model_id: str) -> str | None:
    try:
        answer = read_table(content, ARROW_STREAM)
    except ValueError as error:
        return f"the answer cannot be read: {error}"
    models = set(answer["model_id"].to_pylist()) if "model_id" in answer.column_names else set()
    others = models - {model_id}
    return f"the answer is of {min(map(str, others))}, not of {model_id}" if others else None


def _find_jobs(work: _Work) -> JobHistory:
    """Find the jobs that were started for this run."""
    # The digest of the address distinguishes runs of the same name in two lakes of one account.
    digest = hashlib.sha256(work.place.uri.encode()).hexdigest()[:8]
    return find_jobs(f"chiplake-{work.run.run_id}-{digest}", lambda name: _find_job(work.sagemaker, name))


def _find_job(sagemaker: Any, name: str) -> Job | None:
    from botocore.exceptions import ClientError

    with plain_errors(f"cannot describe SageMaker job {name}"):
        try:
            answer = sagemaker.describe_transform_job(TransformJobName=name)
        except ClientError as error:
            if is_not_found(error.response):
                return None
            raise
    return Job(name, answer["TransformJobStatus"], answer.get("FailureReason") or "")


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
        if is_not_found(error.response):
            return False
        raise
    return True


def _start_job(work: _Work, request: dict[str, Any]) -> Job:
    from botocore.exceptions import ClientError

    name = request["TransformJobName"]
    with plain_errors(f"cannot start SageMaker job {name}"):
        try:
            if work.settings.through == "sagemaker-core":
                _create_through_core(work.aws, work.sagemaker, request)
            else:
                work.sagemaker.create_transform_job(**request)
        except ClientError as error:
            if error_code(error) != "ResourceInUse":  # another call was faster: its job is for the same objects
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
        env=request.get("Environment"),
        transform_ami_version=resources.get("TransformAmiVersion"),
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
    """Wait until a job has ended, and report how many objects have their answer."""
    while job.is_running:
        answered = _answers(work).keys()
        done = sum(name in answered or answer_path(work.run.output_dir, name).is_file() for name in names)
        work.report("transform", done, len(names))
        found = _find_job(work.sagemaker, job.name)
        if found is None:
            raise ChiplakeError(f"SageMaker job {job.name} no longer exists; call again to start another")
        job = found
        if job.is_running:
            time.sleep(work.settings.poll_s)
    return job


def _why_unanswered(job: Job | None) -> str:
    """Return why an object has no answer."""
    if job is None:
        return "it has no answer"
    if job.status == "Failed":
        reason = one_line(job.failure_reason) or "SageMaker gives no reason"
        return f"SageMaker job {job.name} failed: {reason}; see its log in CloudWatch"
    return f"SageMaker job {job.name} is {job.status} and left no answer"


def _required(value: str | None, name: str) -> str:
    if value is None:
        raise ChiplakeError(f"a transform on SageMaker needs CHIPLAKE_TRANSFORM_{name}; set it")
    return value
