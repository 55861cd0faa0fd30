"""URLs of servers: which are accepted, and how they are shown."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

from lakehouse.errors import ChiplakeError


class FetchError(ChiplakeError):
    """One document cannot be fetched. The message names it."""


def split_http(url: str) -> SplitResult:
    """Split an http or https URL into its parts.

    Raises:
        FetchError: it is not an http or https URL.
    """
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable()
        _ = parts.port  # raises if it is not a number
    except ValueError:
        is_http = False
    if not is_http:
        raise FetchError(f"{printable_url(url)!r} is not an http or https address")
    return parts


def check_root_url(url: str) -> str:
    """Check the URL of a server's root document, and return it.

    Raises:
        ChiplakeError: it is not an http or https URL, or it holds a user name, a password or a query, which would be
            recorded with each item and shown in errors.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ChiplakeError("the address of the server is not a URL") from None
    if parts.username or parts.password or parts.query:
        raise ChiplakeError("leave user name, password and query out of the address")
    split_http(url)
    return url


def printable_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, which may be secrets."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))[:300]
    except ValueError:
        return "an address that is not a URL"
