"""Addresses of servers, and how patient to be with them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from lakehouse.errors import ChiplakeError


class FetchError(ChiplakeError):
    """One document could not be had; the message names it."""


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """How patient a client is."""

    connect_timeout_s: float = 10
    read_timeout_s: float = 60  # without a single byte
    retries: int = 6
    connect_retries: int = 3  # without an answer, or with a broken one; a wrong address should be told soon
    backoff_s: float = 0.5  # doubled at each retry; a server's Retry-After outranks it
    jitter_s: float = 0.5  # at most so much on top, so that clients do not come back all at once
    max_retry_after_s: int = 120  # a server that asks for more is asked again after this


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
