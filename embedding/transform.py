"""The local transform: batch transform's contract, with the inference server as a subprocess on loopback.

One `.out` for every object, never a partial one; when an object fails the others go on; the whole is then Failed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import httpx
from pydantic import BaseModel, ConfigDict
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_fixed,
)

from embedding.preprocess import Preprocessing
from embedding.runs import OUT_SUFFIX
from embedding.wire import ARROW_STREAM, PARQUET
from lakehouse.errors import ChiplakeError, one_line
from lakehouse.files import write_atomically
from lakehouse.settings import PROJECT_DIR

Progress = Callable[[str, int, int], None]  # stage, done, total

START_TIMEOUT_S: Final = 300.0  # a large checkpoint on a slow disk
STOP_TIMEOUT_S: Final = 30.0
OBJECT_TIMEOUT_S: Final = 3600.0  # as SageMaker's longest
CONCURRENT_OBJECTS: Final = 4  # at most; the server says how many it works on side by side
_ATTEMPTS: Final = 3
_MEDIA_TYPES: Final = {".arrow": ARROW_STREAM, ".parquet": PARQUET}


# What would have the server take another model than the one it is started for.
_MODEL_VARIABLES: Final = frozenset({"CHIPLAKE_CLAY_CHECKPOINT", "CHIPLAKE_EXPECTED_MODEL_ID", "SM_MODEL_DIR"})


class ObjectFailure(BaseModel):
    """An object without an answer."""

    model_config = ConfigDict(frozen=True)

    name: str
    reason: str


class TransformReport(BaseModel):
    """How a transform ended."""

    model_config = ConfigDict(frozen=True)

    status: Literal["Completed", "Failed"]
    transformed: int  # objects answered now
    skipped: int  # objects that had their answer already
    failures: tuple[ObjectFailure, ...]


class ServerDiedError(ChiplakeError):
    """The inference server ended while it was needed."""


class _BusyError(Exception):
    """The server asks to come again later (503)."""


@dataclass(frozen=True)
class InferenceServer:
    """A running inference server process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def check_alive(self) -> None:
        """Make sure that the process runs.

        Raises:
            ServerDiedError: it does not; with its exit code and the last line of its log.
        """
        code = self.process.poll()
        if code is not None:
            raise ServerDiedError(f"the inference server ended with exit code {code}: {_last_line(self.log)}")


def preprocessing_environment(preprocessing: Preprocessing) -> dict[str, str]:
    """The environment variables that give a server these choices."""
    return {f"CHIPLAKE_CLAY_{choice.upper()}": value for choice, value in asdict(preprocessing).items()}


@contextmanager
def inference_server(checkpoint: Path | None, preprocessing: Preprocessing, log: Path) -> Iterator[InferenceServer]:
    """Run an inference server on a free loopback port, ready to answer, and stop it at the end.

    Args:
        checkpoint: as for `checkpoint.load_model`.
        preprocessing: the choices in force.
        log: file that the server's log is appended to.

    Raises:
        ServerDiedError: it ended before it was ready.
        ChiplakeError: it was not ready in time.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _MODEL_VARIABLES}
    environment |= preprocessing_environment(preprocessing)
    if checkpoint is not None:
        environment["CHIPLAKE_CLAY_CHECKPOINT"] = str(checkpoint.resolve())
    log.parent.mkdir(parents=True, exist_ok=True)
    # The listening socket is handed over: a port that is merely free could be taken before the server starts.
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("ab") as log_file:
        port = listener.getsockname()[1]
        fd = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "embedding", "serve", "--listen-fd", str(fd), "--exit-with-parent"],
            cwd=PROJECT_DIR,
            env=environment,
            stdin=subprocess.PIPE,  # its end tells the server that this process is gone, however that came
            stdout=log_file,
            stderr=log_file,
            pass_fds=[fd],
        )
    server = InferenceServer(process, f"http://127.0.0.1:{port}", log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        stop_process(process)


def transform_objects(
    input_dir: Path,
    output_dir: Path,
    *,
    checkpoint: Path | None = None,
    preprocessing: Preprocessing | None = None,
    expected_model_id: str | None = None,
    on_progress: Progress | None = None,
) -> TransformReport:
    """Send every object of a directory to an inference server and write `<output_dir>/<object>.out`.

    Objects that have their answer are skipped; when all have, no server is started.

    Args:
        input_dir: holds the objects, `*.arrow` and `*.parquet`.
        output_dir: made if it is not there.
        checkpoint: as for `checkpoint.load_model`.
        preprocessing: the choices in force; None for the default ones.
        expected_model_id: refuse to work with another model.
        on_progress: called with ("transform", done, total) as objects end.

    Raises:
        ChiplakeError: the server cannot be started, or is of another model.
    """
    objects = objects_of(input_dir)
    pending = [path for path in objects if not answer_path(output_dir, path.name).is_file()]
    skipped = len(objects) - len(pending)
    if not pending:
        return TransformReport(status="Completed", transformed=0, skipped=skipped, failures=())
    report = on_progress or no_progress
    report("transform", skipped, len(objects))
    failures: list[ObjectFailure] = []
    log = output_dir.parent / "server.log"
    with (
        inference_server(checkpoint, preprocessing or Preprocessing(), log) as server,
        httpx.Client(base_url=server.url, timeout=OBJECT_TIMEOUT_S, trust_env=False) as client,
        ThreadPoolExecutor(_concurrency(client)) as pool,
    ):
        _check_model(client, expected_model_id)
        work = {pool.submit(_transform_object, client, server, path, output_dir): path for path in pending}
        try:
            for done, future in enumerate(as_completed(work), start=1):
                failure = future.result()
                if failure is not None:
                    failures.append(failure)
                report("transform", skipped + done, len(objects))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return TransformReport(
        status="Failed" if failures else "Completed",
        transformed=len(pending) - len(failures),
        skipped=skipped,
        failures=tuple(sorted(failures, key=lambda failure: failure.name)),
    )


def objects_of(input_dir: Path) -> list[Path]:
    """The objects of chips of a directory, in the order of their names."""
    return sorted(path for path in input_dir.iterdir() if path.suffix in _MEDIA_TYPES and path.name[0] != ".")


def answer_path(output_dir: Path, name: str) -> Path:
    """Where the answer to the object of this name belongs."""
    return output_dir / f"{name}{OUT_SUFFIX}"


def _transform_object(
    client: httpx.Client, server: InferenceServer, path: Path, output_dir: Path
) -> ObjectFailure | None:
    try:
        answer = _post(client, server, path)
        write_atomically(answer_path(output_dir, path.name), answer)
    except (ChiplakeError, httpx.HTTPError, _BusyError, OSError) as error:
        return ObjectFailure(name=path.name, reason=str(error) or type(error).__name__)
    return None


def _post(client: httpx.Client, server: InferenceServer, path: Path) -> bytes:
    media_type = _MEDIA_TYPES[path.suffix]
    for attempt in Retrying(
        retry=retry_if_exception_type((httpx.TransportError, _BusyError)),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(0.5, max=5),
        reraise=True,
    ):
        # Sent piece by piece from the file: the encoder wants both cores and their caches.
        with attempt, path.open("rb") as body:
            server.check_alive()
            response = client.post(
                "/invocations", content=body, headers={"content-type": media_type, "accept": media_type}
            )
            if response.status_code == 503:
                raise _BusyError("the inference server is busy (503)")
            if response.status_code != 200:
                raise ChiplakeError(f"the inference server answered {response.status_code}: {_error_of(response)}")
            return response.content
    raise AssertionError("tenacity ends by a return or a raise")


def _wait_until_ready(server: InferenceServer) -> None:
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(httpx.HTTPError),
            stop=stop_after_delay(START_TIMEOUT_S),
            wait=wait_fixed(0.1),
            reraise=True,
        ):
            with attempt:
                server.check_alive()
                # The socket listens before the model is loaded: a short timeout keeps an eye on the process.
                httpx.get(f"{server.url}/ping", timeout=2, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise ChiplakeError(
            f"the inference server was not ready after {START_TIMEOUT_S:.0f} s; see {server.log}"
        ) from error


def _check_model(client: httpx.Client, expected: str | None) -> None:
    actual = client.get("/ping").json().get("model_id")
    if expected is not None and actual != expected:
        raise ChiplakeError(f"the inference server holds {actual} and the chips were exported for {expected}")


def _concurrency(client: httpx.Client) -> int:
    wanted = client.get("/execution-parameters").json()["MaxConcurrentTransforms"]
    return max(1, min(CONCURRENT_OBJECTS, int(wanted)))


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it if it does not."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _error_of(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return one_line(response.text, 200)


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return one_line(lines[-1], 500) if lines else "it logged nothing"


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Tell nobody."""
