"""One STAC API over HTTP: requests that are made again until the answer is whole, and the links between pages."""

from __future__ import annotations

import contextlib
import json
import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urljoin

import orjson
import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.exceptions import ChunkedEncodingError, ContentDecodingError, RequestException, Timeout
from requests.exceptions import ConnectionError as RequestsConnectionError
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from chiplake.errors import ChiplakeError
from ingestion.http import CHUNK_BYTES, MAX_BODY_BYTES, HttpPolicy, open_session, shown, split_http
from ingestion.model import JsonObject

MAX_WAIT_S: Final = 60.0  # the longest interval between two tries, where the server names none
MAX_ANSWER_S: Final = 600.0  # an answer that comes byte by byte is given up after this

_PASSING_STATUSES: Final = frozenset({408, 425, 429})  # and those from 500 on, but for 501
_HOP_HEADERS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class SearchStoppedError(Exception):
    """Whoever reads the search wants no more of it; never leaves `ingestion.search`."""


class _PassingError(Exception):
    """Ends one try; the next may do better."""

    def __init__(self, error: APIError, retry_after_s: float | None = None, is_answer: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s
        self.is_answer = is_answer  # the server said that it cannot now, so there is one


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request for one page."""

    method: str  # GET or POST
    url: str
    parameters: Mapping[str, Any] = field(default_factory=dict)  # the query of a GET, the body of a POST
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str, str]:
        """The same for requests that ask for the same."""
        return self.method, self.url, json.dumps(self.parameters, sort_keys=True, default=str)


class ApiSession(StacApiIO):
    """A connection to one STAC API, for as many threads as told. Speaks http and https only, whatever links say."""

    def __init__(self, policy: HttpPolicy, concurrency: int) -> None:
        super().__init__(max_retries=None)
        self.session = open_session(replace(policy, retries=0, connect_retries=0), concurrency)
        self.is_open = False  # whether it has answered a search, so that patience is worth while
        self._policy = policy
        self._stopped = threading.Event()
        self._not_before = 0.0  # monotonic clock: what one thread is told to wait, all wait

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """As in `StacApiIO`, but never from a local file."""
        split_http(str(getattr(source, "href", source)))
        return str(super().read_text(source, *args, **kwargs))

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The JSON object at an address, as text: what pystac-client calls to open the API.

        Raises:
            APIError: as `fetch`.
        """
        asked = ApiRequest((method or "GET").upper(), href, parameters or {}, headers or {})
        return json.dumps(self.fetch(asked, lambda document: True))

    def fetch(self, request: ApiRequest, is_whole: Callable[[JsonObject], bool]) -> JsonObject:
        """The JSON object that a request is answered with, asked for again while the server is busy or broken.

        Args:
            request: what to ask.
            is_whole: whether an object is what was asked for; anything else is taken for a passing fault.

        Raises:
            APIError: it goes on failing, or says that the request is wrong.
            SearchStoppedError: `stop` was called.
        """
        split_http(request.url)
        tries = Retrying(
            retry=retry_if_exception_type(_PassingError),
            stop=self._is_enough,
            wait=self._wait_s,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return tries(self._try, request, is_whole)
        except _PassingError as passing:
            raise passing.error from passing

    def stop(self) -> None:
        """End all waiting; requests under way end by themselves."""
        self._stopped.set()

    def resume(self) -> None:
        """Take requests again after `stop`."""
        self._stopped.clear()

    def _try(self, request: ApiRequest, is_whole: Callable[[JsonObject], bool]) -> JsonObject:
        while (pause_s := self._not_before - time.monotonic()) > 0:
            self._sleep(pause_s)
        self._sleep(0)
        response, body = self._send(request)
        if not 200 <= response.status_code < 300:
            raise self._refusal(response, body)
        document = _parse(body)
        if not isinstance(document, dict) or not is_whole(document):
            words = body[:100].decode(errors="replace")
            raise _PassingError(APIError(f"{shown(request.url)} answers with no STAC: {words!r}"))
        return document

    def _send(self, request: ApiRequest) -> tuple[requests.Response, bytes]:
        is_post = request.method == "POST"
        timeout = self._policy.connect_timeout_s, self._policy.read_timeout_s
        until = time.monotonic() + MAX_ANSWER_S
        body = bytearray()
        try:
            with self.session.request(
                request.method,
                request.url,
                params=None if is_post else request.parameters,
                json=dict(request.parameters) if is_post else None,
                headers=dict(request.headers),
                timeout=timeout,
                stream=True,
            ) as response:
                for chunk in response.iter_content(CHUNK_BYTES):
                    body += chunk
                    if len(body) > MAX_BODY_BYTES or time.monotonic() > until:
                        raise APIError(f"{shown(request.url)} answers with too much, or too slowly")
                return response, bytes(body)
        except (ChunkedEncodingError, ContentDecodingError, RequestsConnectionError, Timeout) as error:
            raise _PassingError(_api_error(f"{type(error).__name__} at {shown(request.url)}")) from error
        except (RequestException, ValueError) as error:  # odd addresses and headers of links
            raise _api_error(f"{type(error).__name__} at {shown(request.url)}") from error

    def _refusal(self, response: requests.Response, body: bytes) -> Exception:
        error = _api_error(body[:300].decode(errors="replace"), response.status_code)
        is_passing = response.status_code in _PASSING_STATUSES or (
            response.status_code >= 500 and response.status_code != 501
        )
        if not is_passing:
            return error
        wait_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
        if wait_s is not None:
            wait_s = min(wait_s, self._policy.max_retry_after_s)
            self._not_before = max(self._not_before, time.monotonic() + wait_s)
        return _PassingError(error, wait_s, is_answer=True)

    def _is_enough(self, state: RetryCallState) -> bool:
        # A wrong address should be told soon.
        error = state.outcome.exception() if state.outcome else None
        is_patient = self.is_open or (isinstance(error, _PassingError) and error.is_answer)
        return state.attempt_number > (self._policy.retries if is_patient else self._policy.connect_retries)

    def _wait_s(self, state: RetryCallState) -> float:
        """What the server says, or twice as long as before; with jitter, so that threads do not come back at once."""
        error = state.outcome.exception() if state.outcome else None
        told_s = error.retry_after_s if isinstance(error, _PassingError) else None
        own_s = min(self._policy.backoff_s * 2.0 ** (state.attempt_number - 1), MAX_WAIT_S)
        jitter_s = random.random() * min(own_s, self._policy.jitter_s)  # noqa: S311  # no secret
        return (own_s if told_s is None else told_s) + jitter_s

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise SearchStoppedError


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks to wait, given as seconds or as a date; None if it cannot be read."""
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        seconds = float(value)
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(value)
        return max((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now.timestamp(), 0.0)
    except (OverflowError, ValueError):
        return None


def next_request(page: JsonObject, asked: ApiRequest, first: ApiRequest) -> ApiRequest | None:
    """The request that a page's `next` link stands for; None if it has none.

    Args:
        page: one page of an answer.
        asked: the request it answers, against which the link resolves.
        first: the request for the first page, which a link with `merge` completes.

    Raises:
        ChiplakeError: the link leads elsewhere than to http or https.
        ValueError: the link is none that STAC knows.
    """
    link = next_link(page)
    if link is None:
        return None
    href, body = link.get("href"), link.get("body")
    method = link.get("method") or ("GET" if body is None else "POST")
    if not isinstance(href, str) or not isinstance(method, str) or method.upper() not in ("GET", "POST"):
        raise ValueError("a next link without an address, or of a method other than GET and POST")
    url = urljoin(asked.url, href)
    try:
        split_http(url)
    except ChiplakeError:
        raise ChiplakeError(f"a STAC API and its links are at http or https addresses, not at {shown(url)!r}") from None
    is_merged = link.get("merge") is True
    headers = (dict(first.headers) if is_merged else {}) | _headers(link.get("headers"))
    if method.upper() == "GET":
        return ApiRequest("GET", url, {}, headers)
    if not isinstance(body, dict):  # then the token is in the address, and the body is what it was
        return ApiRequest("POST", url, first.parameters, headers)
    return ApiRequest("POST", url, {**first.parameters, **body} if is_merged else body, headers)


def next_link(page: JsonObject) -> JsonObject | None:
    """A page's link to the next one, if it has one."""
    links = page.get("links")
    candidates = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
    return next((link for link in candidates if link.get("rel") == "next"), None)


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {
        name: text
        for name, text in value.items()
        if isinstance(name, str) and isinstance(text, str) and name.lower() not in _HOP_HEADERS
    }


def _parse(body: bytes) -> Any:
    """The JSON document, or None if it is none. NaN and large integers pass, as they do in a file of items."""
    try:
        return orjson.loads(body)
    except ValueError:
        try:
            return json.loads(body)
        except (RecursionError, ValueError):
            return None


def _api_error(words: str, status: int | None = None) -> APIError:
    error = APIError(words)
    error.status_code = status
    return error
