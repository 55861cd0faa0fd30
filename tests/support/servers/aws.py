"""A double of AWS on loopback: moto's S3, Glue, SSM and SageMaker, with features that moto lacks.

- Glue's UpdateTable compares VersionId, as AWS does; in moto the last writer wins.
- Transform jobs run: a process serves as the container of the inference server and receives every object as a request;
  its answers are written to S3. In moto, transform jobs are Completed at once and run nothing.
- Names and limits of transform jobs are checked, and jobs can be stopped.
- A test can have the inference servers answer 500 to every object (`servers_answer_500`).
- Processing jobs run if a test sets `run_processing_jobs`: the entry point of the project's image runs as a process,
  with the container's folders in the folder of the job, for each instance. Otherwise they are Completed at once, as in
  moto.

moto has one backend in a process, so only one server can run at a time.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import boto3
import httpx
import pytest
from moto.core.responses import EmptyResult
from moto.core.utils import utcnow
from moto.glue.exceptions import GlueClientError
from moto.glue.responses import GlueResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.sagemaker.exceptions import ResourceInUseException, ValidationError
from moto.sagemaker.models import FakeTransformJob, SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse
from moto.server import ThreadedMotoServer

from embedding.server.process import STOP_TIMEOUT_S, stop_process
from lakehouse.settings import PROJECT_DIR
from support.servers.calls import Call, Recorder
from support.servers.processing_jobs import ProcessingRun

REGION: Final = "eu-central-1"
DAG_KEY: Final = "testing"  # of Airflow, and of the commands of tests
JOB_KEY: Final = "job"  # of processing jobs
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": DAG_KEY,
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",  # do not ask it for credentials
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
CONTAINER_COMMAND: Final = PROJECT_DIR / "docker" / "serve"  # /usr/local/bin/serve of the image
_START_TIMEOUT_S: Final = 120


@dataclass
class AwsServer:
    """The running double and its jobs."""

    url: str
    folder: Path  # has a folder for each job: server log and unpacked model data, or the folders of a container
    calls: set[Call]  # what every request needed; of DAG_KEY, JOB_KEY and the tests
    output_folder: str = ""  # folder between the output path of a job and the names of answers
    sent: Counter[str] = field(default_factory=Counter)  # requests to inference servers by object name, with retries
    jobs: dict[str, _TransformRun] = field(default_factory=dict)
    servers_answer_500: bool = False  # inference servers, to every object
    run_processing_jobs: bool = False  # False: jobs are Completed when created
    container_script: str = ""  # shell script that processing jobs run in place of their own command
    processing_jobs: dict[str, ProcessingRun] = field(default_factory=dict)  # jobs that were run, by name
    _may_run: threading.Event = field(default_factory=threading.Event)

    def client(self, service: str) -> Any:
        """Return a client of this server, independent of the environment."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="tests",
            aws_secret_access_key="testing",
        )

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a container, for SDKs, PyIceberg and GDAL."""
        return {
            **ENVIRONMENT,
            "AWS_ACCESS_KEY_ID": JOB_KEY,
            "AWS_ENDPOINT_URL": self.url,
            "PYICEBERG_CATALOG__LAKE__S3__ENDPOINT": self.url,
            "AWS_S3_ENDPOINT": self.url.removeprefix("http://"),
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }

    def hold_jobs(self) -> None:
        """Keep transform jobs InProgress before their first object until `release_jobs`."""
        self._may_run.clear()

    def release_jobs(self) -> None:
        """Let transform jobs run."""
        self._may_run.set()

    def wait_for_jobs(self) -> None:
        """Wait until every job has ended."""
        for name, job in (self.jobs | self.processing_jobs).items():
            job.thread.join(_START_TIMEOUT_S)
            assert not job.thread.is_alive(), f"job {name} did not end"

    def server_log(self, job: str) -> list[dict[str, Any]]:
        """Return the log of the inference server of a job."""
        lines = (self.folder / job / "server.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def aws_server(folder: Path) -> Iterator[AwsServer]:
    """Run the double while the context lasts."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    recorders: list[Recorder] = []

    def recorded(create_app: Any) -> Recorder:
        recorders.append(Recorder(DomainDispatcherApplication(create_app)))
        return recorders[0]

    with patch("moto.moto_server.threaded_moto_server.DomainDispatcherApplication", recorded):
        moto.start()
    host, port = moto.get_host_and_port()
    server = AwsServer(f"http://{host}:{port}", folder, recorders[0].calls)
    server.release_jobs()
    with ExitStack() as stack:
        stack.callback(_close, moto)
        stack.callback(_stop_jobs, server)
        stack.enter_context(patch.object(GlueResponse, "update_table", _update_table(threading.Lock())))
        for name, method in _sagemaker_methods(server).items():
            stack.enter_context(patch.object(SageMakerModelBackend, name, method, create=True))
        stack.enter_context(patch.object(SageMakerResponse, "stop_transform_job", _stop_transform_job, create=True))
        stack.enter_context(patch.object(SageMakerResponse, "create_processing_job", _create_processing_job(server)))
        httpx.post(f"{server.url}/moto-api/reset", trust_env=False).raise_for_status()
        yield server


def point_environment(monkeypatch: pytest.MonkeyPatch, server: AwsServer) -> None:
    """Point every AWS client of this process and its children at the double."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)


def _update_table(lock: threading.Lock) -> Any:
    original = GlueResponse.update_table

    def update_table(self: Any) -> Any:
        table_name = self.parameters["TableInput"]["Name"]
        with lock:  # the server runs a thread for each request
            table = self.glue_backend.get_table(self.parameters["DatabaseName"], table_name)
            given, current = self.parameters.get("VersionId"), table.as_dict()["VersionId"]
            if given is not None and given != current:
                raise GlueClientError(
                    "ConcurrentModificationException", f"Update table failed due to concurrent modifications: {current}"
                )
            return original(self)

    return update_table


def _sagemaker_methods(server: AwsServer) -> dict[str, Any]:
    """Return the methods of moto's backend that the double replaces, by name."""
    return _model_methods() | _transform_methods(server) | _processing_methods(server)


def _model_methods() -> dict[str, Any]:
    create = SageMakerModelBackend.create_model

    def create_model(self: Any, model_name: str, *arguments: Any, **request: Any) -> Any:
        if model_name in self._models:
            raise ValidationError(f'Cannot create already existing model "{model_name}".')
        return create(self, model_name, *arguments, **request)

    return {"create_model": create_model}


def _transform_methods(server: AwsServer) -> dict[str, Any]:
    create, describe = SageMakerModelBackend.create_transform_job, SageMakerModelBackend.describe_transform_job
    lock = threading.Lock()

    def create_transform_job(self: Any, **request: Any) -> FakeTransformJob:
        name = request["transform_job_name"]
        with lock:
            _check_transform_job(self, request)
            job: FakeTransformJob = create(self, **request)
            job.transform_job_status = "InProgress"
            job.failure_reason = None  # type: ignore[assignment]
            job.transform_end_time = None  # type: ignore[assignment]
            run = _TransformRun(server, job, self._models[job.model_name].primary_container)
            server.jobs[name] = run
            run.thread.start()
            return job

    def describe_transform_job(self: Any, transform_job_name: str) -> dict[str, Any]:
        if transform_job_name not in self.transform_jobs:  # the message is AWS's
            raise ValidationError(f"Could not find requested job with name: {transform_job_name}")
        return dict(describe(self, transform_job_name))

    def stop_transform_job(self: Any, transform_job_name: str) -> None:
        describe_transform_job(self, transform_job_name)
        server.jobs[transform_job_name].stop()

    return {
        "create_transform_job": create_transform_job,
        "describe_transform_job": describe_transform_job,
        "stop_transform_job": stop_transform_job,
    }


def _check_transform_job(backend: Any, request: dict[str, Any]) -> None:
    """Refuse the requests that AWS refuses: a used name, too much payload at once, a model that does not exist."""
    name = request["transform_job_name"]
    if name in backend.transform_jobs:
        raise ResourceInUseException(f"Job name must be unique within an AWS account and region: {name}")
    at_once = (request["max_concurrent_transforms"] or 1) * (request["max_payload_in_mb"] or 6)
    if at_once > 100:
        raise ValidationError(f"MaxConcurrentTransforms * MaxPayloadInMB is {at_once}, more than 100")
    if request["model_name"] not in backend._models:
        raise ValidationError(f'Could not find model "{request["model_name"]}".')


def _processing_methods(server: AwsServer) -> dict[str, Any]:
    describe, stop = SageMakerModelBackend.describe_processing_job, SageMakerModelBackend.stop_processing_job

    def describe_processing_job(self: Any, processing_job_name: str) -> dict[str, Any]:
        if processing_job_name not in self.processing_jobs:  # the message is AWS's
            raise ValidationError(f"Could not find requested job with name: {processing_job_name}")
        return dict(describe(self, processing_job_name))

    def stop_processing_job(self: Any, processing_job_name: str) -> None:
        describe_processing_job(self, processing_job_name)
        if processing_job_name in server.processing_jobs:
            server.processing_jobs[processing_job_name].stop()
        else:
            stop(self, processing_job_name)

    return {"describe_processing_job": describe_processing_job, "stop_processing_job": stop_processing_job}


def _create_processing_job(server: AwsServer) -> Any:
    original = SageMakerResponse.create_processing_job
    lock = threading.Lock()

    def create_processing_job(self: Any) -> Any:
        name = self._get_param("ProcessingJobName")
        records = self.sagemaker_backend.processing_jobs
        with lock:
            if name in records:
                raise ResourceInUseException(f"Job name must be unique within an AWS account and region: {name}")
            answer = original(self)
            record = records[name]
            # moto does not keep these.
            record.environment = self._get_param("Environment")
            record.processing_resources = self._get_param("ProcessingResources")
            if server.run_processing_jobs:
                folder, script = server.folder / name, server.container_script
                run = ProcessingRun(record, server.client("s3"), server.environment, folder, script)
                server.processing_jobs[name] = run
                run.start()
            return answer

    return create_processing_job


def _stop_transform_job(self: Any) -> EmptyResult:
    self.sagemaker_backend.stop_transform_job(self._get_param("TransformJobName"))
    return EmptyResult()


class _TransformRun:
    """A transform job that runs as on SageMaker: it starts a container, then sends it a request for every object."""

    def __init__(self, server: AwsServer, record: FakeTransformJob, container: dict[str, Any]) -> None:
        self.server = server
        self.record = record
        self.container = container
        self.folder = server.folder / record.transform_job_name
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._stopped = threading.Event()

    def stop(self) -> None:
        if self.record.transform_job_status == "InProgress":
            self.record.transform_job_status = "Stopping"
            self._stopped.set()

    def _run(self) -> None:
        try:
            failed = self._transform()
            reason = "ClientError: See job logs for more information" if failed else None
        except Exception as error:  # the job must end, whatever the error
            reason = f"InternalServerError: {type(error).__name__}: {error}"
        now = utcnow()
        self.record.failure_reason = reason  # type: ignore[assignment]
        self.record.transform_end_time = self.record.last_modified_time = now
        # The status is set last, so that a client that sees it also sees the other fields.
        if self._stopped.is_set():
            self.record.transform_job_status = "Stopped"
        else:
            self.record.transform_job_status = "Failed" if reason else "Completed"

    def _transform(self) -> list[str]:
        self.folder.mkdir(parents=True)
        s3 = self.server.client("s3")
        bucket, keys = self._inputs(s3)
        model_dir = self._unpack_model(s3)
        with self._container(model_dir) as url, httpx.Client(base_url=url, timeout=600, trust_env=False) as http:
            if not self._wait_for_ping(http):
                return keys
            while not self.server._may_run.wait(0.05) and not self._stopped.is_set():
                pass
            with ThreadPoolExecutor(self.record.max_concurrent_transforms or 1) as pool:
                answered = list(pool.map(lambda key: self._transform_object(s3, http, bucket, key), keys))
        return [key for key, is_answered in zip(keys, answered, strict=True) if not is_answered]

    def _inputs(self, s3: Any) -> tuple[str, list[str]]:
        source: Any = self.record.transform_input["DataSource"]
        bucket, _, key = source["S3DataSource"]["S3Uri"].removeprefix("s3://").partition("/")
        if source["S3DataSource"]["S3DataType"] == "ManifestFile":
            head, *names = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            bucket, _, prefix = head["prefix"].removeprefix("s3://").partition("/")
            return bucket, [prefix + name for name in names]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        return bucket, [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def _unpack_model(self, s3: Any) -> Path:
        model_dir = self.folder / "model"
        model_dir.mkdir()
        if "ModelDataUrl" in self.container:
            bucket, _, key = self.container["ModelDataUrl"].removeprefix("s3://").partition("/")
            archive = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(model_dir, filter="data")
        return model_dir

    @contextmanager
    def _container(self, model_dir: Path) -> Iterator[str]:
        environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(model_dir / "code"), str(PROJECT_DIR)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SM_MODEL_DIR": str(model_dir),
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(self.record.max_payload_in_mb),
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(self.record.max_concurrent_transforms),
            **(self.container.get("Environment") or {}),
            **(self.record.environment or {}),
        }
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            (self.folder / "server.log").open("wb") as log,
        ):
            port, fd = listener.getsockname()[1], listener.fileno()
            process = subprocess.Popen(
                [str(CONTAINER_COMMAND), "--listen-fd", str(fd)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[fd],
            )
        self.process = process
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            stop_process(process)

    def _wait_for_ping(self, http: httpx.Client) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None and not self._stopped.is_set():
            try:
                if http.get("/ping", timeout=2).status_code == 200:
                    return True
            except httpx.HTTPError:
                time.sleep(0.1)
        return False

    def _transform_object(self, s3: Any, http: httpx.Client, bucket: str, key: str) -> bool:
        if self._stopped.is_set():
            return False
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if len(body) > self.record.max_payload_in_mb * 1024 * 1024:
            return False
        output: Any = self.record.transform_output
        headers = {"content-type": self.record.transform_input["ContentType"], "accept": output["Accept"]}
        name = key.rsplit("/", 1)[-1]
        for _ in range(1 + (self.record.model_client_config or {}).get("InvocationsMaxRetries", 3)):
            self.server.sent[name] += 1
            if self.server.servers_answer_500:
                answer = httpx.Response(500)
                continue
            answer = http.post("/invocations", content=body, headers=headers)
            if answer.status_code < 500:
                break
        if answer.status_code != 200:
            return False
        bucket, _, prefix = output["S3OutputPath"].removeprefix("s3://").partition("/")
        parts = [prefix.rstrip("/"), self.server.output_folder, f"{name}.out"]
        s3.put_object(Bucket=bucket, Key="/".join(part for part in parts if part), Body=answer.content)
        return True


def _stop_jobs(server: AwsServer) -> None:
    server.release_jobs()
    jobs: list[_TransformRun | ProcessingRun] = [*server.jobs.values(), *server.processing_jobs.values()]
    for job in jobs:
        job.stop()
        job.thread.join(2 * STOP_TIMEOUT_S)


def _close(moto: ThreadedMotoServer) -> None:
    moto.stop()
    if moto._server is not None:
        moto._server.server_close()
