"""Processing jobs of the double: a process runs the entry point of the project's image, as a container would."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from moto.core.utils import utcnow
from moto.sagemaker.models import FakeProcessingJob

from support.processing_container import HOST, image_environment, in_place, lay_out, upload_outputs

STOP_TIMEOUT_S: Final = 30  # from SIGTERM to SIGKILL; API_StopProcessingJob has 120


# Two hosts that share this machine need small heaps.
_OF_SEVERAL_HOSTS: Final = {
    "SPARK_DAEMON_MEMORY": "256m",
    "PYSPARK_SUBMIT_ARGS": "--conf spark.executor.memory=1g pyspark-shell",
}


class ProcessingRun:
    """A processing job: it downloads inputs from S3, runs the entry point, and uploads outputs to S3.

    The entry point runs once for each instance. Several instances are loopback addresses of their own, because the
    ports of their Spark cluster are fixed.

    Args:
        record: moto's record of the job.
        s3: client of the double's S3.
        environment: credentials and endpoints of AWS for the container.
        folder: folder of the job; `ml` in it is /opt/ml of the container, `container.log` its output. Each of several
            instances has such a folder in it, by its name.
        script: shell script that runs in place of the job's own command; if empty, the command runs.
    """

    def __init__(
        self, record: FakeProcessingJob, s3: Any, environment: Mapping[str, str], folder: Path, script: str = ""
    ) -> None:
        self.record: Any = record
        self.folder = folder
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.hosts = _hosts(record.processing_resources["ClusterConfig"]["InstanceCount"])  # type: ignore[attr-defined]
        self._s3 = s3
        self._environment = environment
        self._script = script
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # so that no process starts after the job was stopped
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def log(self) -> str:
        """Return the output of the containers."""
        paths = [self._folder(host) / "container.log" for host in self.hosts]
        return "\n".join(path.read_text(errors="replace") for path in paths if path.is_file())

    def start(self) -> None:
        """Start the job."""
        self.record.processing_job_status = "InProgress"
        self.record.processing_end_time = None
        self.thread.start()

    def stop(self) -> None:
        """Send SIGTERM to the containers, as StopProcessingJob does."""
        with self._lock:
            if self.record.processing_job_status == "InProgress":
                self.record.processing_job_status = "Stopping"
                self._stopped.set()
                for process in self._processes:
                    process.terminate()

    def _run(self) -> None:
        try:
            reason = self._work()
        except FileNotFoundError as error:
            reason = f"ClientError: Data download failed:{error}"
        except Exception as error:  # the job must end, whatever the error
            reason = f"InternalServerError: {type(error).__name__}: {error}"
        self.record.failure_reason = None if self._stopped.is_set() else reason
        self.record.processing_end_time = self.record.last_modified_time = utcnow()
        # The status is set last, so that a client that sees it also sees the other fields.
        with self._lock:
            if self._stopped.is_set():
                self.record.processing_job_status = "Stopped"
            else:
                self.record.processing_job_status = "Failed" if reason else "Completed"

    def _work(self) -> str | None:
        """Run the job; return the reason of a failure, or None."""
        job = self.record.response_object
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            codes = list(pool.map(lambda host: self._run_host(job, host), self.hosts))
        messages = [self._folder(host) / "ml" / "output" / "message" for host in self.hosts]
        if written := [path for path in messages if path.is_file()]:
            self.record.exit_message = written[0].read_text(errors="replace")
        if any(codes):
            return "AlgorithmError: See job logs for more information"
        if not self._stopped.is_set():
            for host in self.hosts:
                upload_outputs(self._folder(host) / "ml", job, self._s3)
        return None

    def _folder(self, host: str) -> Path:
        return self.folder if len(self.hosts) == 1 else self.folder / host

    def _run_host(self, job: Mapping[str, Any], host: str) -> int:
        root = self._folder(host) / "ml"
        command = lay_out(root, job, self._s3, host, self.hosts)
        return self._run_container(root, ["sh", "-c", in_place(self._script, root)] if self._script else command)

    def _run_container(self, root: Path, command: list[str]) -> int:
        of_the_job = {name: in_place(value, root) for name, value in (self.record.environment or {}).items()}
        of_the_host = _OF_SEVERAL_HOSTS if len(self.hosts) > 1 else {}
        with (root.parent / "container.log").open("wb") as log:
            with self._lock:
                if self._stopped.is_set():
                    return 0
                # With its own session, all processes of the container can be killed together.
                process = subprocess.Popen(
                    command,
                    cwd=root.parent,
                    env={**image_environment(root), **self._environment, **of_the_host, **of_the_job},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                self._processes.append(process)
            while process.poll() is None and not self._stopped.wait(0.1):
                pass
            try:
                return process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                return -signal.SIGKILL
            finally:
                _kill_all(process)


def _hosts(count: int) -> tuple[str, ...]:
    """Return the names of the instances of a job; those of several are addresses that no other job has."""
    if count == 1:
        return (HOST,)
    network = f"127.{random.randint(10, 250)}.{random.randint(1, 250)}"
    return tuple(f"{network}.{number}" for number in range(1, count + 1))


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # no process is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
