"""The program of the inference server: it loads a model and serves the application until it is stopped."""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import uvicorn

from embedding.model.card import Preprocessing
from embedding.model.weights import load_model
from embedding.server.app import create_app
from embedding.wire import MAX_OBJECT_BYTES
from lakehouse.errors import ChiplakeError
from lakehouse.ports import listening_socket

LOOPBACK: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_M_ARENA_MAX: Final = -8

_log = logging.getLogger("chiplake.embedding")


@dataclass(frozen=True)
class ServerOptions:
    """The options of a server."""

    weights_file: Path | None  # a checkpoint; None for the seeded encoder with untrained weights
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    expected_model_id: str | None = None  # refuse to serve another model
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    device: str = "auto"  # auto, cpu or cuda
    max_payload_bytes: int = MAX_OBJECT_BYTES  # a larger request is refused with 413
    listen_fd: int | None = None  # descriptor of a listening socket, used instead of host and port
    exit_with_parent: bool = False  # stop when standard input ends, as it does when the parent process ends


class JsonFormatter(logging.Formatter):
    """Formatter of one JSON object a line: time (UTC), level, logger, message, and the call's `extra={"data": …}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "data", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def serve(options: ServerOptions) -> None:
    """Load the model and answer requests until SIGTERM or SIGINT. Requests in flight are finished first.

    Raises:
        ChiplakeError: the checkpoint cannot be used, the model is not the expected one, or the port is taken.
    """
    _log_as_json()
    keep_freed_memory()
    # For the time before and after uvicorn's own handler: a requested stop is not a failure.
    signal.signal(signal.SIGTERM, _exit_cleanly)
    if options.exit_with_parent:
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    listener = _listener(options)
    model = load_model(options.weights_file, options.preprocessing, options.device)
    if options.expected_model_id not in (None, model.card.model_id):
        raise ChiplakeError(
            f"the model data hold {model.card.model_id} and the chips were exported for {options.expected_model_id}; "
            "make the archive again with `chiplake embed package`"
        )
    gc.freeze()  # modules and model are kept to the end: collections need not look at their objects
    host, port = listener.getsockname()[:2]
    data = {"host": host, "port": port, "model_id": model.card.model_id, "weights": model.card.weights}
    _log.info("serving", extra={"data": data | {"device": str(model.device)}})
    config = uvicorn.Config(
        create_app(model, options.max_payload_bytes), log_config=None, access_log=False, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listener(options: ServerOptions) -> socket.socket:
    if options.listen_fd is not None:
        return socket.socket(fileno=options.listen_fd)
    return listening_socket(options.host, options.port)


def keep_freed_memory() -> None:
    """Make glibc keep the memory of one batch for the next, in one heap that all threads share.

    By default each tensor and each decoded band gets new pages of the system, which clears and maps every one of them.
    That takes a twentieth of the smallest encoder's time. Other C libraries have no `mallopt` and are left as they
    are. Source of the numbers: glibc's malloc.h.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)


def _stop_at_end_of_input() -> None:
    # Not sys.stdin: a thread that holds its lock would block the interpreter's end.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _exit_cleanly(_signum: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)
