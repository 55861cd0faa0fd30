"""The HTTP application of the inference server, the same in the SageMaker container and under the local transform.

`GET /ping`, `GET /execution-parameters`, `POST /invocations`, as SageMaker's containers answer. One process holds one
model, loaded once.
"""

from __future__ import annotations

import logging
import time
from typing import Final

import anyio
import pyarrow as pa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from embedding.model.inference import embed_table
from embedding.model.weights import ClayModel
from embedding.wire import MAX_OBJECT_BYTES, MEDIA_TYPES, read_table, write_table
from lakehouse.transform_job import MB

# The next request arrives while the encoder works on one. A GPU is so fast that further ones must be prepared.
MAX_CONCURRENT_REQUESTS: Final = 2
MAX_CONCURRENT_GPU_REQUESTS: Final = 4

_log = logging.getLogger("chiplake.embedding")


class _BadRequestError(Exception):
    """A request that is refused, with an HTTP status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def create_app(model: ClayModel, max_payload_bytes: int = MAX_OBJECT_BYTES) -> Starlette:
    """Make the HTTP application of a loaded model.

    Args:
        model: the model.
        max_payload_bytes: a larger request is refused with 413.
    """
    is_gpu = model.device.type == "cuda"
    # On a CPU, torch uses every core for one request.
    encoder_turn = anyio.CapacityLimiter(MAX_CONCURRENT_GPU_REQUESTS if is_gpu else 1)
    about = {"model_id": model.card.model_id, "dimension": model.card.dimension, "weights": model.card.weights}

    async def ping(_: Request) -> Response:
        return JSONResponse({"status": "healthy", **about})

    async def execution_parameters(_: Request) -> Response:
        return JSONResponse(
            {
                "MaxConcurrentTransforms": MAX_CONCURRENT_GPU_REQUESTS if is_gpu else MAX_CONCURRENT_REQUESTS,
                "BatchStrategy": "SINGLE_RECORD",
                "MaxPayloadInMB": max(1, max_payload_bytes // MB),
                **about,
            }
        )

    async def invocations(request: Request) -> Response:
        started = time.perf_counter()
        media_type = _media_type(request)
        body = await _body(request, max_payload_bytes)

        def work() -> tuple[bytes, int, int]:
            try:
                answers = embed_table(model, read_table(body, media_type))
            except ValueError as error:
                raise _BadRequestError(400, str(error)) from error
            return write_table(answers, media_type), answers.num_rows, answers.num_rows - answers["error"].null_count

        answer, chips, errors = await anyio.to_thread.run_sync(work, limiter=encoder_turn)
        seconds = round(time.perf_counter() - started, 4)
        data = {"chips": chips, "errors": errors, "request_bytes": body.size, "seconds": seconds, **about}
        _log.info("invocation", extra={"data": data})
        return Response(answer, media_type=media_type)

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status if isinstance(error, _BadRequestError) else 500
        _log.warning("request refused", extra={"data": {"path": request.url.path, "status": status, "why": str(error)}})
        return JSONResponse({"error": str(error)}, status_code=status)

    async def failed(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"internal error: {type(error).__name__}"}, status_code=500)

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/execution-parameters", execution_parameters, methods=["GET"]),
            Route("/invocations", invocations, methods=["POST"]),
        ],
        exception_handlers={_BadRequestError: refused, Exception: failed},
    )


def _media_type(request: Request) -> str:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise _BadRequestError(415, f"content type {media_type or 'missing'}; send {' or '.join(MEDIA_TYPES)}")
    return media_type


async def _body(request: Request, limit: int) -> pa.Buffer:
    too_large = _BadRequestError(413, f"the request is larger than {limit} bytes; send fewer chips at once")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return pa.py_buffer(body)
