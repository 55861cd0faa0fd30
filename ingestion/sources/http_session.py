"""STAC over HTTP: requests that are made again until the answer is whole, and the links between pages of a search.

Servers are busy, slow, far away or not to be trusted: every wait can be ended, every answer has an end in bytes and
in time, and redirects are followed with what was asked.
"""

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
from ingestion.sources.addresses import FetchError, HttpPolicy, shown, split_http
from lakehouse.errors import ChiplakeError

MAX_WAIT_S: Final = 60.0  # the longest interval between two tries, where the server names none
MAX_ANSWER_S: Final = 600.0  # an answer that comes byte by byte is given up after this
MAX_BODY_BYTES: Final = 1 << 28
MAX_REDIRECTS: Final = 5
CHUNK_BYTES: Final = 1 << 16
USER_AGENT: Final = "chiplake (+requests)"

_PASSING_STATUSES: Final = frozenset({408, 425, 429})  # and those from 500 on, but for 501
_HOP_HEADERS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class SearchStoppedError(Exception):
    """Whoever reads a search or a catalogue wants no more of it; never leaves `ingestion`."""


class _PassingError(Exception):
    """Ends one try; the next may do better."""

    def __init__(self, error: APIError, retry_after_s: float | None = None, is_answer: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s
        self.is_answer = is_answer  # the server said that it cannot now, so there is one


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request for one page or document."""

    method: str  # GET or POST
    url: str
    parameters: Mapping[str, Any] = field(default_factory=dict)  # the query of a GET, the body of a POST
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str, str]:
        """The same for requests that ask for the same."""
        return self.method, self.url, json.dumps(self.parameters, sort_keys=True, default=str)


class _Session(requests.Session):
    """Leaves redirects to `ApiSession`: requests makes a POST a GET without body, and reads bodies without end."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None, which is to say that the answer is no redirect."""
        return None


class ApiSession(StacApiIO):
    """A connection to a STAC API or to a static catalogue's servers, for as many threads as told.

    Speaks http and https only, whatever links say, and keeps no cookies.
    """

    def __init__(self, policy: HttpPolicy, concurrency: int) -> None:
        super().__init__(max_retries=None)
        self.session = _open_session(concurrency)
        self.is_open = False  # whether it has answered a search, so that patience is worth while
        self._policy = policy
        self._stopped = threading.Event()
        self._not_before: dict[str, float] = {}  # host to monotonic clock: what one thread is told to wait, all wait

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
        document, found_at = self.fetch_document(
            request, lambda document: isinstance(document, dict) and is_whole(document)
        )
        following = next_link(document)
        if following is not None and isinstance(following.get("href"), str):
            with contextlib.suppress(ValueError):  # `next_request` says so, after the page's items
                following["href"] = urljoin(found_at, following["href"])  # not against where it was asked for
        page: JsonObject = document
        return page

    def fetch_document(self, request: ApiRequest, is_whole: Callable[[Any], bool]) -> tuple[Any, str]:
        """The JSON document that a request is answered with, and the address at which it was found in the end.

        Args:
            request: what to ask.
            is_whole: whether a document is what was asked for; anything else is taken for a passing fault.

        Raises:
            APIError: it goes on failing, or says that the request is wrong.
            FetchError: the address is no http or https URL.
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
        """End all waiting; requests under way end at the next bytes that come, or when the policy's time is up."""
        self._stopped.set()

    def resume(self) -> None:
        """Take requests again after `stop`."""
        self._stopped.clear()

    def _try(self, request: ApiRequest, is_whole: Callable[[Any], bool]) -> tuple[Any, str]:
        host = urlsplit(request.url).netloc
        while (pause_s := self._not_before.get(host, 0) - time.monotonic()) > 0:
            self._sleep(pause_s)
        place = shown(request.url)
        response, body = self._send(request, place)
        if not 200 <= response.status_code < 300:
            raise self._refusal(response, body, host)
        words = body[:100].decode(errors="replace")
        try:
            document = _parse(body)
        except RecursionError as error:
            raise _api_error(f"{place} is nested too deep") from error
        except ValueError as error:  # UnicodeDecodeError is one too
            raise _PassingError(_api_error(f"{place} is not valid JSON: {words!r}")) from error
        if not is_whole(document):
            raise _PassingError(_api_error(f"{place} answers with no STAC: {words!r}"))
        return document, response.url

    def _send(self, request: ApiRequest, place: str) -> tuple[requests.Response, bytes]:
        """The answer, after as many redirects as lead to it: method and body stay what they were."""
        until = time.monotonic() + MAX_ANSWER_S
        for _ in range(MAX_REDIRECTS + 1):
            response, body = self._send_once(request, place, until)
            if response.status_code not in REDIRECT_STATI:
                return response, body
            request = _redirected(request, response, place)
        raise _api_error(f"{place} redirects more than {MAX_REDIRECTS} times")

    def _send_once(self, request: ApiRequest, place: str, until: float) -> tuple[requests.Response, bytes]:
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
                return response, self._read(response, place, until)
        except (RequestsConnectionError, Timeout) as error:
            raise _PassingError(_api_error(f"{place} cannot be fetched: {type(error).__name__}")) from error
        except (HTTPError, RequestException, ValueError) as error:  # odd addresses and headers of links
            raise _api_error(f"{place} cannot be fetched: {type(error).__name__}") from error

    def _read(self, response: requests.Response, place: str, until: float) -> bytes:
        body = bytearray()
        try:
            # What has come, since a full chunk may never do.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                self._sleep(0)
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _api_error(f"{place} is larger than {MAX_BODY_BYTES >> 20} MiB")
                if time.monotonic() > until:
                    raise _api_error(f"{place} answers too slowly: {len(body)} bytes in {MAX_ANSWER_S:g} s")
        except HTTPError as error:
            words = f"{place} broke off after {len(body)} bytes: {type(error).__name__}"
            raise _PassingError(_api_error(words)) from error
        return bytes(body)

    def _refusal(self, response: requests.Response, body: bytes, host: str) -> Exception:
        error = _api_error(body[:300].decode(errors="replace"), response.status_code)
        is_passing = response.status_code in _PASSING_STATUSES or (
            response.status_code >= 500 and response.status_code != 501
        )
        if not is_passing:
            return error
        wait_s = retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC))
        if wait_s is not None:
            wait_s = min(wait_s, self._policy.max_retry_after_s)
            self._not_before[host] = max(self._not_before.get(host, 0), time.monotonic() + wait_s)
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


def _open_session(connections: int) -> requests.Session:
    session = _Session()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json, application/geo+json, */*;q=0.1"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def _redirected(request: ApiRequest, response: requests.Response, place: str) -> ApiRequest:
    """The same request where an answer says that it should have gone.

    Raises:
        APIError: it does not say where, or leads elsewhere than to http or https.
    """
    location = response.headers.get("Location")
    if not location:
        raise _api_error(f"{place} redirects without saying where to", response.status_code)
    try:
        # Header lines are read as Latin-1, but servers write addresses in UTF-8.
        url = urljoin(request.url, location.encode("latin-1").decode(errors="replace"))
        split_http(url)
    except (FetchError, ValueError):
        raise _api_error(f"{place} redirects to what is no http or https address: {shown(location)!r}") from None
    before, after = urlsplit(request.url), urlsplit(url)
    is_same_host = before.netloc == after.netloc and after.scheme in (before.scheme, "https")
    return replace(
        request,
        url=url,
        parameters=request.parameters if request.method == "POST" else {},  # those of a GET are in the new address
        headers=request.headers if is_same_host else {},  # may hold what is meant for that host alone
    )


def _parse(body: bytes) -> Any:
    """The JSON document. NaN and large integers pass, as they do in a file of items.

    Raises:
        RecursionError: it is nested too deep.
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        return json.loads(body)


def _api_error(words: str, status: int | None = None) -> APIError:
    error = APIError(words)
    error.status_code = status
    return error
