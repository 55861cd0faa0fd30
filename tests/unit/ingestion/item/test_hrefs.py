"""Hrefs of untrusted items lead only to places that a reader may open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.normalised import API, OWN_FILE, changed, reject_of, row_of

from ingestion.item.hrefs import resolve_href
from ingestion.model import Origin, Reason

IN_COLLECTION = Origin("/data/a/items.json", "/data/a")


IN_ARCHIVE = Origin("/data/a/items.json", "/data/a", root="/data")


ALLOWED = Origin("/data/a/item.json", "/data/a", is_own_file=True, allow_file_hrefs=True)


STATIC = Origin("https://example.com/cat.json", url="https://example.com/b/item.json")


SELF = {"links": [{"rel": "self", "href": "s3://bucket/tiles/item.json"}]}


@pytest.mark.parametrize(
    ("href", "item", "origin", "expected"),
    [
        ("https://example.com/a.tif", {}, API, "https://example.com/a.tif"),
        ("HTTPS://example.com:8080/a.tif", {}, API, "HTTPS://example.com:8080/a.tif"),
        ("s3://bucket/a.tif", {}, API, "s3://bucket/a.tif"),
        ("./a.tif", SELF, API, "s3://bucket/tiles/a.tif"),
        ("/a.tif", SELF, API, "s3://bucket/a.tif"),
        ("../a.tif", SELF, IN_COLLECTION, "s3://bucket/a.tif"),
        ("a.tif", {}, IN_COLLECTION, "/data/a/a.tif"),
        ("./b/a.tif", SELF, OWN_FILE, "/data/a/b/a.tif"),
        ("/data/a/c/a.tif", {}, OWN_FILE, "/data/a/c/a.tif"),
        ("file:///data/a/a%20b.tif", {}, OWN_FILE, "/data/a/a b.tif"),
        ("file://localhost/data/a/b.tif", {}, OWN_FILE, "/data/a/b.tif"),
        ("a.tif", SELF, STATIC, "https://example.com/b/a.tif"),
        ("../a.tif", {}, STATIC, "https://example.com/a.tif"),
        ("/a.tif", {}, STATIC, "https://example.com/a.tif"),
        # Local files in other folders: within the root, or allowed.
        ("../b/a.tif", {}, IN_ARCHIVE, "/data/b/a.tif"),
        ("/data/b/a.tif", {}, IN_ARCHIVE, "/data/b/a.tif"),
        ("/abs/a.tif", {}, ALLOWED, "/abs/a.tif"),
        ("file:///abs/a%20b.tif", {}, ALLOWED, "/abs/a b.tif"),
        ("../../a.tif", {}, ALLOWED, "/a.tif"),
        ("/abs/a.tif", {}, OWN_FILE, None),
        ("/data/abs.tif", {}, OWN_FILE, None),
        ("../a.tif", {}, OWN_FILE, None),
        ("../../a.tif", {}, IN_ARCHIVE, None),
        ("file:///abs/a.tif", {}, OWN_FILE, None),
        ("file:///data/a/%2e%2e/%2e%2e/a.tif", {}, OWN_FILE, None),
        ("file:///data/a/%0a.tif", {}, OWN_FILE, None),
        ("file://server/data/a/a.tif", {}, OWN_FILE, None),
        # Refused even with the option that allows local files.
        ("file:///abs/a.tif", {}, API, None),
        ("/abs/a.tif", {}, API, None),
        ("file:///abs/a.tif", {}, STATIC, None),
        ("/vsicurl/http://169.254.169.254/", {}, ALLOWED, None),
        ("//vsizip/a.zip", {}, ALLOWED, None),
        ("../../vsimem/a.tif", {}, ALLOWED, None),
        ("file:///%76simem/a.tif", {}, ALLOWED, None),
        ("gs://bucket/a.tif", {}, ALLOWED, None),
        ("javascript:alert(1)", {}, ALLOWED, None),
        ("https:///a.tif", {}, API, None),
        ("https://[bad/a.tif", {}, API, None),
        ("https://example.com:port/a.tif", {}, API, None),
        ("https://example.com/a.tif\nX", {}, API, None),
        ("a.tif", {"links": [{"rel": "self", "href": "file:///etc/item.json"}]}, API, None),
        (7, {}, API, None),
    ],
)
def test_only_hrefs_that_a_reader_may_open_resolve(
    href: object, item: dict[str, Any], origin: Origin, expected: str | None
) -> None:
    assert resolve_href(href, item, origin) == expected


def test_the_reject_of_a_local_file_names_the_option_that_allows_it() -> None:
    item = changed(("assets", "red", "href"), "/etc/passwd")
    reject = reject_of(item, OWN_FILE)
    assert reject.reason is Reason.UNSUPPORTED_HREF
    assert "'/etc/passwd'" in reject.detail
    assert "--allow-file-hrefs" in reject.detail
    assert row_of(item, ALLOWED).assets["red"].href == "/etc/passwd"
    # The option does not apply to items of a server.
    assert "--allow-file-hrefs" not in reject_of(item).detail


def test_a_symbolic_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder, outside = tmp_path / "items", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "a.tif").write_bytes(b"")
    (folder / "link.tif").symlink_to(outside / "a.tif")
    (folder / "linked").symlink_to(outside)
    (folder / "b.tif").write_bytes(b"")
    (folder / "inside.tif").symlink_to(folder / "b.tif")
    origin = Origin(str(folder / "item.json"), str(folder), is_own_file=True)
    assert resolve_href("link.tif", {}, origin) is None
    assert resolve_href("linked/a.tif", {}, origin) is None
    assert resolve_href("inside.tif", {}, origin) == str(folder / "inside.tif")
    # A requested folder may itself be a link.
    through = Origin(str(tmp_path / "through"), str(tmp_path / "through"), is_own_file=True)
    (tmp_path / "through").symlink_to(folder)
    assert resolve_href("b.tif", {}, through) == str(tmp_path / "through" / "b.tif")
