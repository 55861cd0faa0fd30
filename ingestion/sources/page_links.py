"""Requests for the pages of a search, and the `next` links that lead from one page to the next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin

from ingestion.model import JsonObject
from ingestion.sources.urls import printable_url, split_http
from lakehouse.errors import ChiplakeError

# Headers that belong to one connection, or that the client sets itself.
_CONNECTION_HEADERS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request for one page or document."""

    method: str  # GET or POST
    url: str
    parameters: Mapping[str, Any] = field(default_factory=dict)  # the query of a GET, the body of a POST
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str, str]:
        """Equal for requests that ask for the same page."""
        return self.method, self.url, json.dumps(self.parameters, sort_keys=True, default=str)


def next_link(page: JsonObject) -> JsonObject | None:
    """Return a page's link to the next page, if it has one."""
    links = page.get("links")
    candidates = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
    return next((link for link in candidates if link.get("rel") == "next"), None)


def next_request(page: JsonObject, request: ApiRequest, first: ApiRequest) -> ApiRequest | None:
    """Return the request of a page's `next` link, or None if it has none.

    Args:
        page: one page of an answer.
        request: the request for this page, against which the link resolves.
        first: the request for the first page, which completes a link with `merge`.

    Raises:
        ChiplakeError: the link does not lead to http or https.
        ValueError: the link is not one that STAC defines.
    """
    link = next_link(page)
    if link is None:
        return None
    href, body = link.get("href"), link.get("body")
    method = link.get("method") or ("GET" if body is None else "POST")
    if not isinstance(href, str) or not isinstance(method, str) or method.upper() not in ("GET", "POST"):
        raise ValueError("a next link has no address, or another method than GET and POST")
    url = urljoin(request.url, href)
    try:
        split_http(url)
    except ChiplakeError:
        raise ChiplakeError(
            f"a link of a STAC API leads to {printable_url(url)!r}, which is not http or https"
        ) from None
    is_merged = link.get("merge") is True
    headers = (dict(first.headers) if is_merged else {}) | _headers(link.get("headers"))
    if method.upper() == "GET":
        return ApiRequest("GET", url, {}, headers)
    if not isinstance(body, dict):  # the token is in the URL, and the body stays the same
        return ApiRequest("POST", url, first.parameters, headers)
    return ApiRequest("POST", url, {**first.parameters, **body} if is_merged else body, headers)


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {
        name: text
        for name, text in value.items()
        if isinstance(name, str) and isinstance(text, str) and name.lower() not in _CONNECTION_HEADERS
    }
