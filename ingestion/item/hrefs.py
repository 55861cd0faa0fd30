"""Hrefs: the location of an asset.

Items are untrusted. An href may lead to http, https and s3. It may lead to a local file only if the item itself was
read from a local file, and only in or below the folder that was read.
"""

from __future__ import annotations

import os.path
import posixpath
import re
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from ingestion.model import JsonObject, Origin

REMOTE_SCHEMES: Final = frozenset({"http", "https", "s3"})

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PLAIN_URL: Final = re.compile(r"(?:https?|s3)://[a-z0-9][a-z0-9._-]*(?::\d{1,5})?(?:[/?#]|$)", re.IGNORECASE)


def resolve_href(href: object, item: JsonObject, origin: Origin) -> str | None:
    """Return the location that a reader may open: an http, https or s3 URL, or a path if the item is a local file.

    A relative href resolves against the file that holds only this item, else against the URL of its document, else
    against its self link, else against the file that holds it with other items.

    Return None for anything else: GDAL's virtual file systems (`/vsi…`), control characters, and local files outside
    the folder that was read, unless the origin allows them.
    """
    href = href.strip() if isinstance(href, str) else ""
    if not href or not href.isprintable():
        return None
    if _PLAIN_URL.match(href):
        return href
    scheme = _scheme(href)
    if scheme in REMOTE_SCHEMES:
        return href if _has_host(href) else None
    path = _path_of_file_url(href, scheme)
    if path is not None:
        return None if _is_outside(path, origin) else path
    if scheme:
        return None
    base = None if origin.is_own_file else (origin.url or _self_link(item))
    if base is not None and not (href.startswith("/") and origin.is_local):
        return _join(base, href)
    if origin.folder is None:
        return None
    path = _normal_path(posixpath.join(origin.folder, href))
    return None if path is None or _is_outside(path, origin) else path


def place_of_href(href: str) -> str:
    """Return the kind of place of a resolved href: `file`, `https` (http, too) or `s3`."""
    scheme = _scheme(href)
    return "file" if not scheme else "s3" if scheme == "s3" else "https"


def is_refused_file(href: object, item: JsonObject, origin: Origin) -> bool:
    """Return whether an href leads to a local file that is refused only because it is outside the read folder."""
    if not origin.is_local or origin.allow_file_hrefs or resolve_href(href, item, origin) is not None:
        return False
    allowing = Origin(origin.source, origin.folder, origin.root, origin.is_own_file, origin.url, allow_file_hrefs=True)
    return resolve_href(href, item, allowing) is not None


def _path_of_file_url(href: str, scheme: str) -> str | None:
    """Return the local path of a `file:` URL."""
    if scheme == "file":
        for start in ("file:///", "file://localhost/"):
            if href.lower().startswith(start):
                return _normal_path("/" + unquote(href[len(start) :]))
    return None


def _normal_path(path: str) -> str | None:
    normal = posixpath.normpath(path)
    # GDAL takes paths such as /vsicurl/… for virtual file systems, not for files.
    return None if not normal.isprintable() or re.match(r"/+vsi", normal, re.IGNORECASE) else normal


def _is_outside(path: str, origin: Origin) -> bool:
    """Return whether an item may not lead to a local file because of its folder. Symbolic links are followed."""
    if not origin.is_local:
        return True
    if origin.allow_file_hrefs:
        return False
    root = _real_folder(origin.root or origin.folder or "/")
    folder, name = posixpath.split(path)
    real = os.path.realpath(path) if Path(path).is_symlink() else posixpath.join(_real_folder(folder), name)
    return not (real + "/").startswith(root.rstrip("/") + "/")


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _scheme(href: str) -> str:
    match = _SCHEME.match(href)
    return match[1].lower() if match else ""


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # also raised for an invalid port
        return False


def _self_link(item: JsonObject) -> str | None:
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self":
            href = link.get("href")
            if isinstance(href, str) and href.isprintable() and _scheme(href) in REMOTE_SCHEMES and _has_host(href):
                return href
    return None


def _join(base: str, href: str) -> str | None:
    # urljoin does not join s3 URLs, so the scheme is http for the join.
    scheme, _, rest = base.partition(":")
    try:
        joined = urljoin(f"http:{rest}", href)
    except ValueError:
        return None
    return f"{scheme.lower()}:{joined.partition(':')[2]}" if _has_host(joined) else None
