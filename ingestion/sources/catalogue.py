"""Items of a static STAC catalogue: a tree of JSON documents at http or https URLs or in local files.

Links resolve against the URL or path at which a document was read. The self link of a document does not count, since it
is wrong in a copied catalogue. Each document is read once, even if several links lead to it. A document that cannot be
read becomes an entry that cannot be parsed: it is recorded by name, and the others are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import responses
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from pystac_client.exceptions import APIError

from ingestion.model import CONCURRENCY, JsonObject, Origin, Received
from ingestion.sources.http_session import ApiSession, HttpPolicy, error_status
from ingestion.sources.item_file import is_catalog, read_file
from ingestion.sources.page_links import ApiRequest
from ingestion.sources.urls import FetchError, check_root_url, printable_url, split_http
from lakehouse.errors import ChiplakeError

MAX_DEPTH: Final = 64  # a server might generate children without end
MAX_PAGES: Final = 10_000  # of one ItemCollection, for the same reason
DEFAULT_POLICY: Final = HttpPolicy()

_RELATIONS: Final = frozenset({"child", "item", "items"})

Target = Path | str  # a local file, or an http or https URL


def read_catalog(
    url: str, concurrency: int = CONCURRENCY, policy: HttpPolicy = DEFAULT_POLICY
) -> Generator[Received, None, None]:
    """Yield all items of a static catalogue at an http or https URL, in the order of its links.

    Args:
        url: URL of the root: a Catalog or Collection, or an ItemCollection or item.
        concurrency: most requests at the same time.
        policy: timeouts and retries.

    Raises:
        ChiplakeError: the root cannot be fetched, or is not STAC.
    """
    check_root_url(url)
    with _fetching(policy, concurrency) as fetcher:
        crawl = _Crawl(url, None, False, fetcher)
        content, found_at = _fetch(fetcher.session, url)
        _check_root(content, url)
        crawl.seen |= {_key(url), _key(found_at)}
        yield from crawl.pages(content, found_at, depth=0)


def read_local_catalog(
    path: Path, content: JsonObject, allow_file_hrefs: bool = False, concurrency: int = CONCURRENCY
) -> Generator[Received, None, None]:
    """Yield all items of a static catalogue in local files, in the order of its links. Also follow links to servers.

    Args:
        path: absolute path of the root document.
        content: the root document, a Catalog or Collection.
        allow_file_hrefs: links may lead to local files outside the root's folder.
        concurrency: most requests at the same time.
    """
    with _fetching(DEFAULT_POLICY, concurrency) as fetcher:
        crawl = _Crawl(str(path), path.parent, allow_file_hrefs, fetcher)
        crawl.seen.add(_key(path))
        yield from crawl.document(content, path, depth=0)


@dataclass(frozen=True, slots=True)
class _Fetcher:
    """Fetches documents ahead, as many as there may be requests at the same time."""

    session: ApiSession
    pool: ThreadPoolExecutor
    concurrency: int

    def ahead(self, targets: Iterable[Target | Received]) -> Iterator[tuple[Target | Received, Future[Any] | None]]:
        """Yield each target in order, with the future document of a URL."""
        waiting: deque[tuple[Target | Received, Future[Any] | None]] = deque()
        for target in targets:
            waiting.append((target, self.submit(target) if isinstance(target, str) else None))
            if len(waiting) >= self.concurrency:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()

    def submit(self, url: str) -> Future[Any]:
        return self.pool.submit(_fetch, self.session, url)


@contextlib.contextmanager
def _fetching(policy: HttpPolicy, concurrency: int) -> Generator[_Fetcher, None, None]:
    """Provide a fetcher. Leaving the context ends its requests and waits."""
    session = ApiSession(policy, concurrency)
    pool = ThreadPoolExecutor(concurrency)
    try:
        yield _Fetcher(session, pool, concurrency)
    finally:
        session.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        session.session.close()


def _fetch(session: ApiSession, url: str) -> tuple[Any, str]:
    """Return the JSON document at a URL, and its URL after redirects.

    Raises:
        FetchError: the URL is not http or https, or the document cannot be fetched, or is not JSON.
        SearchStoppedError: the reader of the catalogue has left.
    """
    try:
        return session.fetch_document(ApiRequest("GET", url), lambda _: True)
    except APIError as error:
        raise FetchError(_failure(error, url)) from error


def _failure(error: APIError, url: str) -> str:
    status = error_status(error)
    if status is None:
        return str(error)
    return f"{printable_url(url)} answers HTTP {status} {responses.get(status, '')}".rstrip()


@dataclass(slots=True)
class _Crawl:
    """One walk through a catalogue, depth first. It keeps only the URLs and paths of the documents it has seen."""

    source: str
    root: Path | None  # folder that local links may not leave; None for a catalogue on a server
    allow_file_hrefs: bool
    fetcher: _Fetcher
    seen: set[str] = field(default_factory=set)

    def document(self, content: Any, found_at: Target, depth: int) -> Iterator[Received]:
        """Yield the items that a document holds or leads to."""
        features = content if isinstance(content, list) else None
        if isinstance(content, dict) and isinstance(content.get("features"), list):
            features = content["features"]
        if features is not None:
            for number, feature in enumerate(features):
                origin = self._origin(found_at, is_own_file=False, has_self_link=_has_self_link(feature))
                yield Received(feature, f"{self._place(found_at)}#{number}", origin)
        elif not is_catalog(content):
            yield Received(content, self._place(found_at), self._origin(found_at, is_own_file=True))
        elif depth > MAX_DEPTH:
            yield self._broken(self._place(found_at), f"it is more than {MAX_DEPTH} catalogues deep")
        else:
            for target, future in self.fetcher.ahead(self._links(content, found_at, _RELATIONS)):
                yield from self._target(target, future, depth + 1)

    def _target(self, target: Target | Received, future: Future[Any] | None, depth: int) -> Iterator[Received]:
        if isinstance(target, Received):
            yield target
        elif isinstance(target, Path):
            yield from self._local(target, depth)
        elif future is not None:
            yield from self._remote(target, future, depth)

    def _remote(self, url: str, future: Future[Any], depth: int) -> Iterator[Received]:
        try:
            content, found_at = future.result()
        except FetchError as error:
            yield self._broken(self._place(url), str(error))
            return
        if found_at == url or self._is_new(found_at):  # else it redirects to a document that was read before
            yield from self.pages(content, found_at, depth)

    def pages(self, content: Any, found_at: Target, depth: int) -> Iterator[Received]:
        """Yield the items of a document. If it is a page of an ItemCollection on a server, follow its next links."""
        first = found_at
        for number in range(1, MAX_PAGES + 1):
            following: tuple[str, Future[Any]] | None = None
            for target in self._next_pages(content, found_at):
                if isinstance(target, Received):
                    yield target
                elif number == MAX_PAGES:
                    yield self._broken(self._place(first), f"it has more than {MAX_PAGES} pages")
                elif following is not None:
                    yield self._broken(self._place(target), "its page has more than one next link")
                elif isinstance(target, str):
                    following = target, self.fetcher.submit(target)
            yield from self.document(content, found_at, depth)
            if following is None:
                return
            url, future = following
            try:
                content, found_at = future.result()
            except FetchError as error:
                yield self._broken(self._place(url), str(error))
                return
            if found_at != url and not self._is_new(found_at):
                return

    def _next_pages(self, content: Any, found_at: Target) -> list[Target | Received]:
        if not isinstance(content, dict) or content.get("type") != "FeatureCollection":
            return []
        return self._links(content, found_at, frozenset({"next"}))

    def _local(self, path: Path, depth: int) -> Iterator[Received]:
        place = self._place(path)
        origins = [self._origin(path, is_own_file) for is_own_file in (False, True)]
        try:
            for entry in read_file(path):
                if entry.is_own_file and is_catalog(entry.content):
                    yield from self.document(entry.content, path, depth)
                else:
                    origin = origins[entry.is_own_file]
                    yield Received(entry.content, f"{place}#{entry.number}", origin, entry.parse_error)
        except ChiplakeError as error:
            yield self._broken(place, str(error))

    def _links(self, content: JsonObject, found_at: Target, relations: frozenset[str]) -> list[Target | Received]:
        """Return the targets of a document's links, each once in the whole walk. A broken link is a received entry."""
        links = content.get("links")
        targets: list[Target | Received] = []
        for number, link in enumerate(links if isinstance(links, list) else []):
            if not isinstance(link, dict) or str(link.get("rel")) not in relations:
                continue
            try:
                target = self._resolved(link, found_at)
                if self._is_new(target):
                    targets.append(target)
            except (ChiplakeError, OSError, ValueError) as error:  # of invalid paths and URLs
                targets.append(self._broken(f"{self._place(found_at)}#/links/{number}", str(error)))
        return targets

    def _resolved(self, link: JsonObject, found_at: Target) -> Target:
        href = link.get("href")
        if not isinstance(href, str) or not href or not href.isprintable():
            raise ChiplakeError(f"its {link['rel']} link has no usable href")
        if str(link.get("method", "GET")).upper() != "GET":
            raise ChiplakeError("a link with another method than GET belongs to a STAC API: give its root as --api")
        if isinstance(found_at, Path) and not re.match(r"https?:", href, re.IGNORECASE):
            return self._local_target(href, found_at)
        url = urldefrag(urljoin(found_at, href) if isinstance(found_at, str) else href).url
        split_http(url)
        return url

    def _local_target(self, href: str, found_at: Path) -> Path:
        if re.match(r"file:///", href, re.IGNORECASE):
            href = unquote(urlsplit(href).path)
        elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", href):
            raise ChiplakeError(f"{printable_url(href)!r} is neither a local file nor an http or https address")
        if not (found_at.parent / href).exists():
            href = unquote(href)
        if not href.isprintable():
            raise ChiplakeError("its href holds control characters")
        target = Path(posixpath.normpath(posixpath.join(found_at.parent.as_posix(), href)))
        if not self.allow_file_hrefs and self.root is not None:
            # Checks the path as written, and after symbolic links.
            inside = target.is_relative_to(self.root) and _real(target).is_relative_to(_real(self.root))
            if not inside:
                remedy = "allow local files anywhere if you trust the catalogue"
                raise ChiplakeError(f"{href[:200]!r} leads out of {self.root}; {remedy}")
        return target

    def _is_new(self, target: Target) -> bool:
        key = _key(target)
        is_new = key not in self.seen
        self.seen.add(key)
        return is_new

    def _origin(self, found_at: Target, is_own_file: bool, has_self_link: bool = False) -> Origin:
        if isinstance(found_at, str):
            # An item among others resolves against its self link, if it has one.
            return Origin(self.source, url=None if has_self_link and not is_own_file else found_at)
        return Origin(
            source=self.source,
            folder=str(found_at.parent),
            root=str(self.root),
            is_own_file=is_own_file,
            allow_file_hrefs=self.allow_file_hrefs,
        )

    def _place(self, found_at: Target) -> str:
        if isinstance(found_at, str):
            query = urlsplit(found_at).query  # may be a secret, so its hash distinguishes documents
            return printable_url(found_at) + (f"?({hashlib.sha256(query.encode()).hexdigest()[:8]})" if query else "")
        is_inside = self.root is not None and found_at.is_relative_to(self.root)
        return (found_at.relative_to(self.root) if self.root is not None and is_inside else found_at).as_posix()

    def _broken(self, place: str, error: str) -> Received:
        return Received("", place, Origin(self.source), error)


def _check_root(content: Any, url: str) -> None:
    """Check that the root document leads to items.

    Raises:
        ChiplakeError: it is not STAC, or it is the root of a STAC API, whose items would be fetched one by one.
    """
    conforms = content.get("conformsTo") if isinstance(content, dict) else None
    if isinstance(conforms, list) and any("item-search" in str(entry) for entry in conforms):
        raise ChiplakeError(f"{printable_url(url)} is the root of a STAC API: give it as --api")
    is_items = isinstance(content, list) or (
        isinstance(content, dict) and content.get("type") in ("Feature", "FeatureCollection")
    )
    if not is_items and not is_catalog(content):
        raise ChiplakeError(f"{printable_url(url)} is not a STAC catalogue: its type is neither Catalog nor Collection")


def _has_self_link(item: Any) -> bool:
    links = item.get("links") if isinstance(item, dict) else None
    objects = (link for link in links if isinstance(link, dict)) if isinstance(links, list) else ()
    return any(link.get("rel") == "self" and str(link.get("href")).startswith("http") for link in objects)


def _key(target: Target) -> str:
    return target if isinstance(target, str) else str(_real(target))


def _real(path: Path) -> Path:
    """Return the path without symbolic links.

    Raises:
        ChiplakeError: they go in a circle.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise ChiplakeError(f"cannot read {path}: {error}") from error
