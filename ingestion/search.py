"""Items from a STAC API, page by page as plain dictionaries."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import shapely
from pystac import STACError
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import PystacClientWarning
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from shapely.geometry.base import BaseGeometry
from urllib3.util.retry import Retry

from chiplake.errors import ChiplakeError
from ingestion.model import Filters, JsonObject, Origin, Received

CONNECT_TIMEOUT_S: Final = 10
READ_TIMEOUT_S: Final = 60
RETRIES: Final = 6
CONNECT_RETRIES: Final = 3  # a wrong address should be told soon
BACKOFF_S: Final = 0.5  # doubled at each retry; a server's Retry-After outranks it
RETRY_STATUSES: Final = frozenset({429, 500, 502, 503, 504})


class _ApiIO(StacApiIO):
    """Follows links to http and https only: a server must not make this process open a local file."""

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        _check_http(str(getattr(source, "href", source)))
        return str(super().read_text(source, *args, **kwargs))

    def request(self, *args: Any, **kwargs: Any) -> str:
        for _ in range(RETRIES):
            try:
                return str(super().request(*args, **kwargs))
            except APIError as error:
                # urllib3 tries all else again, but not an answer that broke off in its middle.
                if not isinstance(error.__context__, ChunkedEncodingError | ContentDecodingError):
                    raise
        return str(super().request(*args, **kwargs))


def check_api_url(url: str) -> str:
    """Return the address if a STAC API can be there.

    Raises:
        ChiplakeError: it is no http or https URL, or it holds a user name, a password or a query.
    """
    parts = _check_http(url)
    # The address is recorded with each item and shown in errors, so it must not hold a secret.
    if parts.username or parts.password or parts.query:
        raise ChiplakeError("leave user name, password and query out of the STAC API's address")
    return url


def _check_http(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise ChiplakeError("the STAC API's address is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ChiplakeError(f"a STAC API and its links are at http or https addresses, not at {url[:200]!r}")
    return parts


def search_items(api: str, filters: Filters, page_size: int = 100, backoff_s: float = BACKOFF_S) -> Iterator[Received]:
    """What a STAC API answers to a search, page after page.

    The server is asked for the area, the dates and the cloud limit as far as it says that it knows them; whoever
    calls filters again, since servers differ. 429, 5xx, timeouts and lost connections are tried again.

    Raises:
        ChiplakeError: the address is no STAC API, or it goes on failing.
    """
    origin = Origin(check_api_url(api))
    retry = Retry(
        total=RETRIES,
        connect=CONNECT_RETRIES,
        backoff_factor=backoff_s,
        status_forcelist=RETRY_STATUSES,
        allowed_methods=None,  # a search by POST changes nothing, so it may be repeated
        respect_retry_after_header=True,
        raise_on_status=False,  # so that the last answer, and not the count of retries, is what is reported
    )
    io = _ApiIO(timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S), max_retries=retry)
    try:
        with warnings.catch_warnings():
            # Servers that take POST often forget to say so; the answer tells, not the landing page.
            warnings.simplefilter("ignore", PystacClientWarning)
            client = Client.open(api, stac_io=io)
            method = _method(client)
            language = _cloud_language(client) if method == "POST" else None
            search = client.search(method=method, **search_parameters(filters, page_size, language))
        for page in _fresh_pages(search.pages_as_dicts()):
            for content in page:
                yield Received(content, None, origin)
    except APIError as error:
        answer = f"HTTP {error.status_code} " if error.status_code else ""
        raise ChiplakeError(f"STAC API {api} failed: {answer}{str(error)[:300]}".rstrip()) from error
    except (STACError, ClientTypeError, AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        # All of these are what pystac raises where the answer is no STAC.
        raise ChiplakeError(f"{api} does not answer as a STAC API: {str(error)[:300]}") from error


def search_parameters(filters: Filters, page_size: int, cloud_language: str | None) -> dict[str, Any]:
    """Arguments of `Client.search` for what is wanted; `cloud_language` is "filter", "query" or None."""
    parameters: dict[str, Any] = {"limit": page_size}
    if filters.collection:
        parameters["collections"] = [filters.collection]
    if filters.area is not None:
        parameters |= _area_parameter(filters.area)
    if filters.start or filters.end:
        parameters["datetime"] = f"{_time(filters.start)}/{_time(filters.end, is_end=True)}"
    if filters.max_cloud is not None and cloud_language == "filter":
        operands = [{"property": "eo:cloud_cover"}, filters.max_cloud]
        parameters |= {"filter": {"op": "<=", "args": operands}, "filter_lang": "cql2-json"}
    elif filters.max_cloud is not None and cloud_language == "query":
        parameters["query"] = {"eo:cloud_cover": {"lte": filters.max_cloud}}
    return parameters


def _area_parameter(area: BaseGeometry) -> dict[str, Any]:
    """A bbox where the area is one, since more servers know it; else the geometry."""
    if area.geom_type == "Polygon" and area.equals(shapely.box(*area.bounds)):
        return {"bbox": list(area.bounds)}
    return {"intersects": shapely.geometry.mapping(area)}


def _time(time: datetime | None, is_end: bool = False) -> str:
    if time is None:
        return ".."
    # STAC's interval includes its end, ours does not.
    last = time - timedelta(microseconds=1) if is_end else time
    return last.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _method(client: Client) -> str:
    """POST, which has no limit of length, unless the server says in so many words that it takes GET only."""
    stated = {link.extra_fields.get("method") for link in client.get_links("search")}
    return "GET" if stated == {"GET"} else "POST"


def _cloud_language(client: Client) -> str | None:
    return next((name.lower() for name in ("FILTER", "QUERY") if client.conforms_to(name)), None)


def _fresh_pages(pages: Iterator[Mapping[str, Any]]) -> Iterator[list[JsonObject]]:
    """The features of each page, until a server repeats the page before.

    Raises:
        ChiplakeError: the next link leads to the same page again, so that paging would never end.
    """
    before: list[Any] | None = None
    for page in pages:
        features = page.get("features")
        if not isinstance(features, list):
            raise ValueError("a page has no list of features")
        names = [feature.get("id") if isinstance(feature, dict) else feature for feature in features]
        if names == before:
            raise ChiplakeError("the STAC API answers the same page over and over; ask for less at once")
        before = names
        yield features
