"""Processing jobs of the double: a process runs the entry point of the project's image, as a container would."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from moto.core.utils import utcnow
from moto.sagemaker.models import FakeProcessingJob

from support.processing_container import image_environment, in_place, lay_out, upload_outputs

STOP_TIMEOUT_S: Final = 30  # from SIGTERM to SIGKILL; API_StopProcessingJob has 120


class ProcessingRun:
    """A processing job: it downloads inputs from S3, runs the entry point, and uploads outputs to S3.

    Args:
        record: moto's record of the job.
        s3: client of the double's S3.
        environment: credentials and endpoints of AWS for the container.
        folder: folder of the job; `ml` in it is /opt/ml of the container, `container.log` its output.
        script: shell script that runs in place of the job's own command; if empty, the command runs.
    """

    def __init__(
        self, record: FakeProcessingJob, s3: Any, environment: Mapping[str, str], folder: Path, script: str = ""
    ) -> None:
        self.record: Any = record
        self.folder = folder
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._s3 = s3
        self._environment = environment
        self._script = script
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # so that no process starts after the job was stopped
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Return the output of the container."""
        path = self.folder / "container.log"
        return path.read_text(errors="replace") if path.is_file() else ""

    def start(self) -> None:
        """Start the job."""
        self.record.processing_job_status = "InProgress"
        self.record.processing_end_time = None
        self.thread.start()

    def stop(self) -> None:
        """Send SIGTERM to the container, as StopProcessingJob does."""
        with self._lock:
            if self.record.processing_job_status == "InProgress":
                self.record.processing_job_status = "Stopping"
                self._stopped.set()
                if self._process is not None:
                    self._process.terminate()

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
        root = self.folder / "ml"
        job = self.record.response_object
        command = lay_out(root, job, self._s3)
        if self._script:
            command = ["sh", "-c", in_place(self._script, root)]
        code = self._run_container(root, command)
        message = root / "output" / "message"
        if message.is_file():
            self.record.exit_message = message.read_text(errors="replace")
        if code:
            return "AlgorithmError: See job logs for more information"
        if not self._stopped.is_set():
            upload_outputs(root, job, self._s3)
        return None

    def _run_container(self, root: Path, command: list[str]) -> int:
        of_the_job = {name: in_place(value, root) for name, value in (self.record.environment or {}).items()}
        with (self.folder / "container.log").open("wb") as log:
            with self._lock:
                if self._stopped.is_set():
                    return 0
                # With its own session, all processes of the container can be killed together.
                process = self._process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env={**image_environment(root), **self._environment, **of_the_job},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            while process.poll() is None and not self._stopped.wait(0.1):
                pass
            try:
                return process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                return -signal.SIGKILL
            finally:
                _kill_all(process)


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # no process is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
