"""The inference server as a process on this machine: started on a free loopback port, stopped at the end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from embedding.model.card import Preprocessing
from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR
from lakehouse.settings.variables import ENV_FILE_VARIABLE

START_TIMEOUT_S: Final = 300.0  # a large checkpoint on a slow disk
STOP_TIMEOUT_S: Final = 30.0
_PING_TIMEOUT_S: Final = 2.0  # the socket listens before the model is loaded: the process is checked between pings
_LONGEST_LINE: Final = 500  # characters of the log's last line in an error message

# Variables by which the server would choose another model than the one that it is started for.
_MODEL_VARIABLES: Final = frozenset({"CHIPLAKE_CLAY_CHECKPOINT", "CHIPLAKE_EXPECTED_MODEL_ID", "SM_MODEL_DIR"})


class ServerDiedError(ChiplakeError):
    """The inference server ended while it was needed."""


@dataclass(frozen=True)
class InferenceServer:
    """A running inference server process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def check_alive(self) -> None:
        """Check that the process runs.

        Raises:
            ServerDiedError: it has ended; the message has its exit code and the last line of its log.
        """
        code = self.process.poll()
        if code is not None:
            raise ServerDiedError(f"the inference server ended with exit code {code}: {_last_line(self.log)}")


@contextmanager
def inference_server(weights_file: Path | None, preprocessing: Preprocessing, log: Path) -> Iterator[InferenceServer]:
    """Run an inference server on a free loopback port, ready to answer, and stop it at the end.

    Args:
        weights_file: as for `weights.load_model`.
        preprocessing: the choices of the settings.
        log: file that the server's log is appended to.

    Raises:
        ServerDiedError: the server ended before it was ready.
        ChiplakeError: the server was not ready in time.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _MODEL_VARIABLES}
    # The server gets its settings from here alone: a `.env` could name another checkpoint.
    environment |= preprocessing_environment(preprocessing) | {ENV_FILE_VARIABLE: ""}
    if weights_file is not None:
        environment["CHIPLAKE_CLAY_CHECKPOINT"] = str(weights_file.resolve())
    log.parent.mkdir(parents=True, exist_ok=True)
    # The server inherits a listening socket: another program could take a port that is merely free.
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("ab") as log_file:
        port = listener.getsockname()[1]
        fd = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "embedding", "serve", "--listen-fd", str(fd), "--exit-with-parent"],
            cwd=PROJECT_DIR,
            env=environment,
            stdin=subprocess.PIPE,  # it ends with this process, however that ends, and the server then stops
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


def preprocessing_environment(preprocessing: Preprocessing) -> dict[str, str]:
    """Return the environment variables that pass these options to a server."""
    return {f"CHIPLAKE_CLAY_{choice.upper()}": value for choice, value in asdict(preprocessing).items()}


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; kill it if it has not ended after `STOP_TIMEOUT_S`."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


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
                httpx.get(f"{server.url}/ping", timeout=_PING_TIMEOUT_S, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise ChiplakeError(
            f"the inference server was not ready after {START_TIMEOUT_S:.0f} s; see {server.log}"
        ) from error


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:_LONGEST_LINE] if lines else "it logged nothing"
