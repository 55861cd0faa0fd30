"""A client of a local inference server: it sends objects of chips and returns the answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from embedding.server.process import InferenceServer
from embedding.wire import MEDIA_TYPE_OF_SUFFIX
from lakehouse.errors import ChiplakeError

OBJECT_TIMEOUT_S: Final = 3600.0  # SageMaker's longest InvocationsTimeoutInSeconds
MAX_CONCURRENT_OBJECTS: Final = 4
_ATTEMPTS: Final = 3
_LONGEST_REASON: Final = 200  # characters of an answer that is not JSON


class BusyError(ChiplakeError):
    """The inference server answered 503 at every attempt."""


@dataclass(frozen=True)
class InferenceClient:
    """A connection to one inference server; threads may share it."""

    server: InferenceServer
    http: httpx.Client

    def check_model(self, expected_model_id: str) -> None:
        """Check that the server holds this model.

        Raises:
            ChiplakeError: it holds another one.
        """
        actual = self.http.get("/ping").json().get("model_id")
        if actual != expected_model_id:
            raise ChiplakeError(
                f"the inference server holds {actual} and the chips were exported for {expected_model_id}"
            )

    def concurrency(self) -> int:
        """Return how many objects the server works on side by side, at most `MAX_CONCURRENT_OBJECTS`."""
        wanted = self.http.get("/execution-parameters").json()["MaxConcurrentTransforms"]
        return max(1, min(MAX_CONCURRENT_OBJECTS, int(wanted)))

    def embed(self, path: Path) -> bytes:
        """Send an object of chips and return the answer, in the object's format. Lost connections are tried again.

        Args:
            path: the object, `*.arrow` or `*.parquet`.

        Raises:
            ChiplakeError: the server has ended, refuses the object, or stays busy.
            httpx.HTTPError: the connection fails at every attempt.
            OSError: the object cannot be read.
        """
        media_type = MEDIA_TYPE_OF_SUFFIX[path.suffix]
        for attempt in Retrying(
            retry=retry_if_exception_type((httpx.TransportError, BusyError)),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(0.5, max=5),
            reraise=True,
        ):
            # The file is streamed: the encoder needs both cores and their caches.
            with attempt, path.open("rb") as body:
                self.server.check_alive()
                response = self.http.post(
                    "/invocations", content=body, headers={"content-type": media_type, "accept": media_type}
                )
                if response.status_code == 503:
                    raise BusyError("the inference server is busy (503)")
                if response.status_code != 200:
                    raise ChiplakeError(f"the inference server answered {response.status_code}: {_reason(response)}")
                return response.content
        raise AssertionError("tenacity ends by a return or a raise")


@contextmanager
def connected(server: InferenceServer) -> Iterator[InferenceClient]:
    """Connect to a server; the proxies of the environment are ignored."""
    with httpx.Client(base_url=server.url, timeout=OBJECT_TIMEOUT_S, trust_env=False) as http:
        yield InferenceClient(server, http)


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:_LONGEST_REASON]
