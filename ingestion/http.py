"""JSON over HTTP from servers that are busy, slow, far away or not to be trusted.

429, 5xx, timeouts and lost connections are tried again by urllib3, at growing intervals or when the server says
(`Retry-After`); an answer that broke off in its middle, or is no JSON, is asked for again here.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ContentDecodingError, RequestException
from requests.exceptions import ConnectionError as RequestsConnectionError
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from chiplake.errors import ChiplakeError

MAX_BODY_BYTES: Final = 1 << 28
CHUNK_BYTES: Final = 1 << 16
USER_AGENT: Final = "chiplake (+requests)"

_STATUSES_TO_RETRY: Final = frozenset({429, 500, 502, 503, 504})


class FetchError(ChiplakeError):
    """One document could not be had; the message names it."""


class _Retry(Retry):
    """Takes a `Retry-After` that cannot be read for none, where urllib3 would give up."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            return super().get_retry_after(response)
        except InvalidHeader:
            return None


class _BrokenAnswerError(Exception):
    """An answer that may be whole the next time."""


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """How patient a client is."""

    connect_timeout_s: float = 10
    read_timeout_s: float = 60  # without a single byte
    retries: int = 6
    connect_retries: int = 3  # a wrong address should be told soon
    body_retries: int = 3  # answers that broke off or are no JSON
    backoff_s: float = 0.5  # doubled at each retry; a server's Retry-After outranks it
    jitter_s: float = 0.5  # at most so much on top, so that clients do not come back all at once
    max_retry_after_s: int = 120  # a server that asks for more is asked again after this


def retry_policy(policy: HttpPolicy) -> Retry:
    """The policy as urllib3 applies it to one request; the last answer, not the count of retries, is reported."""
    return _Retry(
        total=policy.retries,
        connect=policy.connect_retries,
        backoff_factor=policy.backoff_s,
        backoff_jitter=policy.jitter_s if policy.backoff_s else 0,
        status_forcelist=_STATUSES_TO_RETRY,
        allowed_methods=None,  # GET, and searches by POST, which change nothing
        respect_retry_after_header=True,
        retry_after_max=policy.max_retry_after_s,
        raise_on_status=False,
    )


def open_session(policy: HttpPolicy, connections: int = 1) -> requests.Session:
    """A session that retries, speaks http and https only, keeps no cookies, and serves as many threads as told."""
    session = requests.Session()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json, application/geo+json, */*;q=0.1"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(max_retries=retry_policy(policy), pool_connections=connections, pool_maxsize=connections)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def get_json(session: requests.Session, url: str, policy: HttpPolicy) -> tuple[Any, str]:
    """The JSON document at an address, and the address at which it was found in the end.

    Raises:
        FetchError: the address is no http or https URL, or the document cannot be had, or is no JSON.
    """
    split_http(url)
    for attempt in range(policy.body_retries + 1):
        if attempt:
            time.sleep(policy.backoff_s * 2 ** (attempt - 1) + random.random() * policy.jitter_s)  # noqa: S311
        try:
            body, found_at = _body(session, url, policy)
            return json.loads(body), found_at
        except RecursionError as error:
            raise FetchError(f"{shown(url)} is nested too deep") from error
        except (_BrokenAnswerError, ValueError) as error:  # UnicodeDecodeError is one too
            broken = error
    raise FetchError(f"{shown(url)} is not valid JSON: {str(broken)[:200]}") from broken


def _body(session: requests.Session, url: str, policy: HttpPolicy) -> tuple[bytes, str]:
    timeout = policy.connect_timeout_s, policy.read_timeout_s
    try:
        with session.get(url, timeout=timeout, stream=True) as response:
            if response.status_code != 200:
                raise FetchError(f"{shown(url)} answers HTTP {response.status_code} {response.reason or ''}".rstrip())
            body = bytearray()
            try:
                for chunk in response.iter_content(CHUNK_BYTES):
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise FetchError(f"{shown(url)} is larger than {MAX_BODY_BYTES >> 20} MiB")
            except (ChunkedEncodingError, ContentDecodingError, RequestsConnectionError) as error:
                raise _BrokenAnswerError(f"the answer broke off after {len(body)} bytes") from error
            return bytes(body), response.url
    except (HTTPError, RequestException, ValueError) as error:  # ValueError is for odd addresses
        raise FetchError(f"{shown(url)} cannot be fetched: {type(error).__name__}") from error


def split_http(url: str) -> SplitResult:
    """The parts of an http or https address.

    Raises:
        FetchError: it is something else.
    """
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable()
        _ = parts.port  # raises if it is no number
    except ValueError:
        is_http = False
    if not is_http:
        raise FetchError(f"{shown(url)!r} is not an http or https address")
    return parts


def check_root_url(url: str) -> str:
    """Return the address of a server's root document if it can be one.

    Raises:
        ChiplakeError: it is no http or https URL, or it holds a user name, a password or a query, which would be
            recorded with each item and shown in errors.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ChiplakeError("the catalogue's address is not a URL") from None
    if parts.username or parts.password or parts.query:
        raise ChiplakeError("leave user name, password and query out of the address")
    split_http(url)
    return url


def shown(url: str) -> str:
    """An address as it may be shown: without user, password, query and fragment, which may be secrets."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))[:300]
    except ValueError:
        return "an address that is no URL"
