"""HTTP to STAC servers: requests are repeated until the answer is complete.

Servers may be busy, slow or malicious. Every wait can be ended, every answer has a limit in bytes and in time, and a
redirect gets the same request.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import orjson
import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import RequestException, Timeout
from requests.models import REDIRECT_STATI
from tenacity import RetryCallState, Retrying, retry_if_exception_type
from urllib3.exceptions import HTTPError

from ingestion.model import JsonObject
from ingestion.sources.page_links import ApiRequest, next_link
from ingestion.sources.urls import FetchError, printable_url, split_http

MAX_WAIT_S: Final = 60.0  # longest interval between two tries, if the server asks for none
MAX_ANSWER_S: Final = 600.0  # longest time of one answer, for servers that send byte by byte
MAX_BODY_BYTES: Final = 1 << 28
MAX_REDIRECTS: Final = 5
CHUNK_BYTES: Final = 1 << 16
USER_AGENT: Final = "chiplake (+requests)"

_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})  # as are those from 500 on, except 501


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """The timeouts and retries of a client."""

    connect_timeout_s: float = 10
    read_timeout_s: float = 60  # without a single byte
    retries: int = 6
    connect_retries: int = 3  # while the server has never answered: a wrong address is reported soon
    backoff_s: float = 0.5  # doubled at each retry; a server's Retry-After has precedence
    jitter_s: float = 0.5  # largest random addition, so that clients do not all return at the same time
    max_retry_after_s: int = 120  # a server that requests a longer wait gets the next request after this


class SearchStoppedError(Exception):
    """The reader of a search or a catalogue needs no more of it. Never leaves `ingestion`."""


class _TransientError(Exception):
    """One try failed, and another may succeed."""

    def __init__(self, error: APIError, retry_after_s: float | None = None, is_answer: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s
        self.is_answer = is_answer  # the server answered, with a status that permits a retry


class _Session(requests.Session):
    """A session that follows no redirects: requests turns a POST into a GET, and reads bodies without a limit."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return None, so that requests takes no answer for a redirect."""
        del resp  # `ApiSession` looks at its status
        return None


class ApiSession(StacApiIO):
    """A connection to a STAC API or to the servers of a static catalogue, for several threads.

    It accepts http and https only, and keeps no cookies.
    """

    def __init__(self, policy: HttpPolicy, concurrency: int) -> None:
        super().__init__(max_retries=None)
        self.session = _open_session(concurrency)
        self.has_answered = False  # whether the server has answered a search; if so, more retries are made
        self._policy = policy
        self._stopped = threading.Event()
        # Host to monotonic time. A Retry-After that one thread gets holds for all threads.
        self._not_before: dict[str, float] = {}

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """Do what `StacApiIO` does, but never read a local file."""
        split_http(str(getattr(source, "href", source)))
        return str(super().read_text(source, *args, **kwargs))

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the JSON object at a URL, as text. pystac-client calls this to open the API.

        Raises:
            APIError: as `fetch`.
        """
        request = ApiRequest((method or "GET").upper(), href, parameters or {}, headers or {})
        return json.dumps(self.fetch(request, lambda _: True))

    def fetch(self, request: ApiRequest, is_valid: Callable[[JsonObject], bool]) -> JsonObject:
        """Return the JSON object that answers a request. Its `next` link, if it has one, is absolute.

        Args:
            request: the request, repeated while the server is busy or broken.
            is_valid: whether an object is a complete answer; any other one counts as a transient fault.

        Raises:
            APIError: the server keeps failing, or answers that the request is wrong.
            SearchStoppedError: `stop` was called.
        """
        document, found_at = self.fetch_document(
            request, lambda document: isinstance(document, dict) and is_valid(document)
        )
        link = next_link(document)
        if link is not None and isinstance(link.get("href"), str):
            with contextlib.suppress(ValueError):  # `next_request` raises later, after the items of the page are read
                link["href"] = urljoin(found_at, link["href"])  # found_at is the URL after redirects
        page: JsonObject = document
        return page

    def fetch_document(self, request: ApiRequest, is_valid: Callable[[Any], bool]) -> tuple[Any, str]:
        """Return the JSON document that answers a request, and its URL after redirects.

        Args:
            request: the request, repeated while the server is busy or broken.
            is_valid: whether a document is a complete answer; any other one counts as a transient fault.

        Raises:
            APIError: the server keeps failing, or answers that the request is wrong.
            FetchError: the address is not an http or https URL.
            SearchStoppedError: `stop` was called.
        """
        split_http(request.url)
        retrying = Retrying(
            retry=retry_if_exception_type(_TransientError),
            stop=self._is_last_try,
            wait=self._wait_s,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._try, request, is_valid)
        except _TransientError as transient:
            raise transient.error from transient

    def stop(self) -> None:
        """End all waits. Requests in flight end when their next bytes come, or at the policy's timeouts."""
        self._stopped.set()

    def resume(self) -> None:
        """Accept requests again after `stop`."""
        self._stopped.clear()

    def _try(self, request: ApiRequest, is_valid: Callable[[Any], bool]) -> tuple[Any, str]:
        host = urlsplit(request.url).netloc
        while (pause_s := self._not_before.get(host, 0) - time.monotonic()) > 0:
            self._sleep(pause_s)
        name = printable_url(request.url)
        response, body = self._send(request, name)
        if not 200 <= response.status_code < 300:
            raise self._status_error(response, body, host)
        start = body[:100].decode(errors="replace")
        try:
            document = _parse(body)
        except RecursionError as error:
            raise _api_error(f"{name} is nested too deep") from error
        except ValueError as error:  # includes UnicodeDecodeError
            raise _TransientError(_api_error(f"{name} is not valid JSON: {start!r}")) from error
        if not is_valid(document):
            raise _TransientError(_api_error(f"{name} does not answer with STAC: {start!r}"))
        return document, response.url

    def _send(self, request: ApiRequest, name: str) -> tuple[requests.Response, bytes]:
        """Return the answer after all redirects. Method and body stay the same."""
        until = time.monotonic() + MAX_ANSWER_S
        for _ in range(MAX_REDIRECTS + 1):
            response, body = self._send_once(request, name, until)
            if response.status_code not in REDIRECT_STATI:
                return response, body
            request = _redirected(request, response, name)
        raise _api_error(f"{name} redirects more than {MAX_REDIRECTS} times")

    def _send_once(self, request: ApiRequest, name: str, until: float) -> tuple[requests.Response, bytes]:
        self._sleep(0)
        is_post = request.method == "POST"
        try:
            with self.session.request(
                request.method,
                request.url,
                params=None if is_post else request.parameters,
                json=dict(request.parameters) if is_post else None,
                headers=dict(request.headers),
                timeout=(self._policy.connect_timeout_s, self._policy.read_timeout_s),
                stream=True,
                allow_redirects=False,
            ) as response:
                return response, self._read(response, name, until)
        except (RequestsConnectionError, Timeout) as error:
            raise _TransientError(_api_error(f"{name} cannot be fetched: {type(error).__name__}")) from error
        except (HTTPError, RequestException, ValueError) as error:  # invalid URLs and headers of links
            raise _api_error(f"{name} cannot be fetched: {type(error).__name__}") from error

    def _read(self, response: requests.Response, name: str, until: float) -> bytes:
        body = bytearray()
        try:
            # read1 returns the bytes that have arrived. A slow server might never fill a whole chunk.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                self._sleep(0)
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _api_error(f"{name} is larger than {MAX_BODY_BYTES >> 20} MiB")
                if time.monotonic() > until:
                    raise _api_error(f"{name} answers too slowly: {len(body)} bytes in {MAX_ANSWER_S:g} s")
        except HTTPError as error:
            message = f"{name} broke off after {len(body)} bytes: {type(error).__name__}"
            raise _TransientError(_api_error(message)) from error
        return bytes(body)

    def _status_error(self, response: requests.Response, body: bytes, host: str) -> Exception:
        error = _api_error(body[:300].decode(errors="replace"), response.status_code)
        is_transient = response.status_code in _TRANSIENT_STATUSES or (
            response.status_code >= 500 and response.status_code != 501
        )
        if not is_transient:
            return error
        wait_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
        if wait_s is not None:
            wait_s = min(wait_s, self._policy.max_retry_after_s)
            self._not_before[host] = max(self._not_before.get(host, 0), time.monotonic() + wait_s)
        return _TransientError(error, wait_s, is_answer=True)

    def _is_last_try(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        is_server = self.has_answered or (isinstance(error, _TransientError) and error.is_answer)
        return state.attempt_number > (self._policy.retries if is_server else self._policy.connect_retries)

    def _wait_s(self, state: RetryCallState) -> float:
        """Return the wait that the server asks for, or twice the last one, with jitter so that threads spread out."""
        error = state.outcome.exception() if state.outcome else None
        backoff_s = min(self._policy.backoff_s * 2.0 ** (state.attempt_number - 1), MAX_WAIT_S)
        jitter_s = random.random() * min(backoff_s, self._policy.jitter_s)  # noqa: S311  # not a secret
        server_s = error.retry_after_s if isinstance(error, _TransientError) else None
        return (backoff_s if server_s is None else server_s) + jitter_s

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise SearchStoppedError


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait, or None if it cannot be read.

    Args:
        value: the header, seconds or a date.
        now: time from which a date counts, UTC.
    """
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


def error_status(error: APIError) -> int | None:
    """Return the HTTP status of an error, or None if the server did not answer with one."""
    return getattr(error, "status_code", None)  # pystac-client does not always set it


def _open_session(connections: int) -> requests.Session:
    session = _Session()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json, application/geo+json, */*;q=0.1"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def _redirected(request: ApiRequest, response: requests.Response, name: str) -> ApiRequest:
    """Return the same request to the URL to which an answer redirects.

    Raises:
        APIError: the answer names no URL, or one that is not http or https.
    """
    location = response.headers.get("Location")
    if not location:
        raise _api_error(f"{name} redirects without saying where to", response.status_code)
    try:
        # Header lines are decoded as Latin-1, but servers write URLs in UTF-8.
        url = urljoin(request.url, location.encode("latin-1").decode(errors="replace"))
        split_http(url)
    except (FetchError, ValueError):
        message = f"{name} redirects to {printable_url(location)!r}, which is not an http or https address"
        raise _api_error(message) from None
    before, after = urlsplit(request.url), urlsplit(url)
    is_same_host = before.netloc == after.netloc and after.scheme in (before.scheme, "https")
    return replace(
        request,
        url=url,
        parameters=request.parameters if request.method == "POST" else {},  # the new URL holds those of a GET
        headers=request.headers if is_same_host else {},  # may hold secrets for the first host
    )


def _parse(body: bytes) -> Any:
    """Parse JSON. NaN and large integers are accepted, as in files of items.

    Raises:
        RecursionError: it is nested too deep.
        ValueError: it is not JSON.
    """
    if body.startswith(b"\x1f\x8b"):  # a file .json.gz, which the server does not declare as compressed
        body = _decompressed(body)
    try:
        return orjson.loads(body)
    except ValueError:
        return json.loads(body)


def _decompressed(body: bytes) -> bytes:
    try:
        unzipper = zlib.decompressobj(wbits=31)
        content = unzipper.decompress(body, MAX_BODY_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unzipper.eof:
        raise ValueError("it is cut short, or too large")
    return content


def _api_error(message: str, status: int | None = None) -> APIError:
    error = APIError(message)
    error.status_code = status
    return error
