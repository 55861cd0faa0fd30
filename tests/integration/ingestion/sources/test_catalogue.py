"""Static catalogues in local files and on a server: which documents are read, in which order."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pystac
import pytest
import shapely
from support.catalogues import catalog, link, read_remote
from support.file_server import FileAnswer, ServeFiles
from support.ingests import stored
from support.item_forms import (
    parse_errors,
    received_ids,
    rows_of,
    write_catalog,
    write_collection,
    write_json,
    write_lines,
    write_stac_geoparquet,
)
from support.stac_items import make_item

from ingestion import Filters, IngestRequest, Reason, ingest
from ingestion.item.normalise import normalise
from ingestion.model import Reject
from ingestion.sources import catalogue
from ingestion.sources.local_files import read_items
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings


def publish(folder: Path, kind: pystac.CatalogType) -> Path:
    """Write a catalogue with pystac. The rasters of each item are in the folder of its document."""
    root = pystac.Catalog("root", "of a test")
    child = pystac.Catalog("child", "of a test")
    root.add_child(child)
    for number in range(3):
        child.add_item(pystac.Item.from_dict(make_item(number)))
    root.normalize_hrefs("https://example.com/published")
    for item in child.get_items():
        for key, asset in item.assets.items():
            asset.href = f"./{key}.tif"
    root.save(kind, dest_href=str(folder))
    return folder / "catalog.json"


@pytest.mark.parametrize("kind", [pystac.CatalogType.SELF_CONTAINED, pystac.CatalogType.RELATIVE_PUBLISHED])
def test_hrefs_are_relative_to_the_place_of_the_item_not_to_its_self_link(
    tmp_path: Path, serve_files: ServeFiles, kind: str
) -> None:
    folder = publish(tmp_path / "copy", pystac.CatalogType(kind)).parent
    server = serve_files(folder)
    item_id = make_item(1)["id"]
    for received, base in (
        (list(read_items(folder / "catalog.json")), str(folder)),
        (list(read_items(folder)), str(folder)),
        (read_remote(f"{server.url}/catalog.json"), server.url),
    ):
        hrefs = {row.item_id: row.assets["blue"].href for row in rows_of(received)}
        assert len(hrefs) == 3
        assert hrefs[item_id] == f"{base}/child/{item_id}/blue.tif"


def test_each_document_is_read_once_even_if_several_links_lead_to_it(tmp_path: Path, serve_files: ServeFiles) -> None:
    root = write_catalog(tmp_path, [make_item(number) for number in range(4)])
    server = serve_files(tmp_path)
    first = f"a/{make_item(0)['id']}/item.json"
    circle = [
        link("child", "../catalog.json"),
        link("child", "catalog.json"),
        link("child", "../b/../b/collection.json"),
    ]
    again = [link("item", f"../{first}"), link("item", f"../{first}#twice"), link("item", "/moved.json")]
    document = json.loads((tmp_path / "a" / "catalog.json").read_text())
    document["links"] = [*circle, *document["links"], *again]
    write_json(tmp_path / "a" / "catalog.json", document)
    server.answers["/moved.json"] = [FileAnswer(302, headers={"Location": f"/{first}"})]
    received = read_remote(f"{server.url}/catalog.json")
    assert parse_errors(received) == {}
    assert sorted(received_ids(received)) == sorted(make_item(number)["id"] for number in range(4))
    # A redirect is recognised only after it was followed.
    assert {path: count for path, count in server.requests.items() if count > 1} == {f"/{first}": 2}

    document["links"].pop()  # it exists only on the server
    write_json(tmp_path / "a" / "catalog.json", document)
    assert sorted(received_ids(list(read_items(root)))) == sorted(received_ids(received))


def test_the_order_of_items_does_not_depend_on_the_concurrency(tmp_path: Path, serve_files: ServeFiles) -> None:
    write_catalog(tmp_path, [make_item(number) for number in range(24)])
    server = serve_files(tmp_path)
    server.delay_s = 0.01
    orders = {}
    for concurrency in (1, 4):
        server.most_at_once = 0
        orders[concurrency] = received_ids(read_remote(f"{server.url}/catalog.json", concurrency))
        assert server.most_at_once <= concurrency
    assert server.most_at_once > 1
    assert orders[1] == orders[4] == received_ids(list(read_items(tmp_path / "catalog.json")))
    assert orders[1] == [make_item(number)["id"] for number in (*range(0, 24, 2), *range(1, 24, 2))]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "HTTP 404"),
        (b"<html>", "not valid JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"hello": "world"}', "not a STAC catalogue"),
        (b'"text"', "not a STAC catalogue"),
        (json.dumps(catalog(conformsTo=["https://api.stacspec.org/v1.0.0/item-search"])).encode(), "--api"),
    ],
)
def test_the_error_names_a_root_that_is_not_a_catalogue(
    tmp_path: Path, serve_files: ServeFiles, body: bytes | None, message: str
) -> None:
    if body is not None:
        (tmp_path / "catalog.json").write_bytes(body)
    url = f"{serve_files(tmp_path).url}/catalog.json"
    with pytest.raises(ChiplakeError, match=f"{re.escape(url)}.*{message}"):
        read_remote(url)


@pytest.mark.parametrize(
    "url", ["file:///etc/hosts", "/etc/hosts", "s3://bucket/catalog.json", "http://", "https://me:secret@example.com"]
)
def test_only_http_urls_without_password_are_roots(url: str) -> None:
    with pytest.raises(ChiplakeError) as caught:
        read_remote(url)
    assert "secret" not in str(caught.value)


def test_a_catalogue_on_a_server_never_opens_a_local_file(tmp_path: Path, serve_files: ServeFiles) -> None:
    secret = write_json(tmp_path / "secret" / "item.json", make_item(1))
    local = make_item(2)
    for asset in local["assets"].values():
        asset["href"] = secret.as_uri()
    folder = tmp_path / "public"
    links = [link("item", href) for href in (secret.as_uri(), f"file:{secret}", "item.json", str(secret))]
    write_json(folder / "catalog.json", catalog(*links, link("child", "\x00"), link("child", "")))
    write_json(folder / "item.json", local)
    server = serve_files(folder)
    received = read_remote(f"{server.url}/catalog.json")
    assert received_ids(received) == [local["id"]]
    assert len(parse_errors(received)) == 5  # two files, an absolute path of the server, two invalid hrefs
    (reject,) = [one for one in map(normalise, received) if isinstance(one, Reject) and one.item_id == local["id"]]
    assert reject.reason == Reason.UNSUPPORTED_HREF


def test_local_links_stay_in_the_folder_of_the_root_unless_allowed(tmp_path: Path) -> None:
    items = [make_item(number) for number in range(5)]
    outside = [write_json(tmp_path / "outside" / f"{number}.json", item) for number, item in enumerate(items[:4])]
    folder = tmp_path / "folder"
    write_json(folder / "with space.json", items[4])
    (folder / "link.json").symlink_to(outside[3])
    hrefs = ["../outside/0.json", str(outside[1]), outside[2].as_uri(), "link.json", "with%20space.json"]
    root = write_json(folder / "catalog.json", catalog(*(link("item", href) for href in hrefs)))
    received = list(read_items(root))
    assert received_ids(received) == [items[4]["id"]]
    assert all("leads out of" in error for error in parse_errors(received).values())
    assert len(parse_errors(received)) == 4
    allowed = list(read_items(root, allow_file_hrefs=True))
    assert received_ids(allowed) == [item["id"] for item in items]
    assert {one.origin.allow_file_hrefs for one in allowed} == {True}


def test_a_local_catalogue_leads_to_servers_and_to_files_of_every_form(tmp_path: Path, serve_files: ServeFiles) -> None:
    items = [make_item(number) for number in range(10)]
    remote = tmp_path / "remote"
    write_catalog(remote, items[:4])
    server = serve_files(remote)
    local = tmp_path / "local"
    local.mkdir()
    write_collection(local, items[4:6])
    write_lines(local, items[6:8])
    write_stac_geoparquet(local, items[8:])
    forms = [link("items", f"items.{suffix}") for suffix in ("json", "ndjson", "parquet")]
    root = write_json(local / "catalog.json", catalog(link("child", f"{server.url}/catalog.json"), *forms))
    received = list(read_items(root))
    assert parse_errors(received) == {}
    assert sorted(received_ids(received)) == sorted(item["id"] for item in items)
    assert {one.origin.source for one in received} == {str(root)}
    assert [one.origin.folder for one in received] == [None] * 4 + [str(local)] * 6


def test_items_of_an_item_collection_are_relative_to_their_self_links(tmp_path: Path, serve_files: ServeFiles) -> None:
    items = [make_item(number) for number in range(2)]
    for item in items:
        item["assets"] = {key: asset | {"href": f"{key}.tif"} for key, asset in item["assets"].items()}
    items[0]["links"] = [link("self", "https://example.com/items/0/item.json")]
    write_collection(tmp_path / "sub", items)
    write_json(tmp_path / "collection.json", catalog(link("items", "sub/items.json")))
    server = serve_files(tmp_path)
    first, second = rows_of(read_remote(f"{server.url}/collection.json"))
    assert first.assets["blue"].href == "https://example.com/items/0/blue.tif"
    assert second.assets["blue"].href == f"{server.url}/sub/blue.tif"


def test_all_pages_of_an_item_collection_are_read(tmp_path: Path, serve_files: ServeFiles) -> None:
    items = [make_item(number) for number in range(6)]
    for number in range(3):
        following = [link("next", f"page{number + 1}.json")] if number < 2 else [link("next", "page0.json")]
        page = {"type": "FeatureCollection", "features": items[2 * number :][:2], "links": following}
        write_json(tmp_path / f"page{number}.json", page)
    post = {"type": "FeatureCollection", "features": [], "links": [link("next", "search", method="POST")]}
    write_json(tmp_path / "post.json", post)
    write_json(tmp_path / "collection.json", catalog(link("items", "page0.json"), link("items", "post.json")))
    server = serve_files(tmp_path)
    received = read_remote(f"{server.url}/collection.json")
    assert (
        received_ids(received)
        == received_ids(read_remote(f"{server.url}/page0.json"))
        == [item["id"] for item in items]
    )
    assert ["--api" in error for error in parse_errors(received).values()] == [True]


def test_an_item_collection_of_endless_pages_is_cut(
    tmp_path: Path, serve_files: ServeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "MAX_PAGES", 5)
    server = serve_files(tmp_path)
    for number in range(20):
        page = {"type": "FeatureCollection", "features": [make_item(number)], "links": [link("next", f"?{number + 1}")]}
        server.answers[f"/page.json?{number}"] = [FileAnswer(200, json.dumps(page).encode())]
    write_json(tmp_path / "item.json", make_item(30))
    links = [link("items", "page.json?0"), link("item", "item.json")]
    write_json(tmp_path / "collection.json", catalog(*links))
    received = read_remote(f"{server.url}/collection.json")
    assert received_ids(received) == [make_item(number)["id"] for number in (*range(5), 30)]
    ((place, error),) = parse_errors(received).items()
    assert str(place).startswith(f"{server.url}/page.json")
    assert error == "it has more than 5 pages"
    assert server.requests.total() == 1 + 5 + 1


def test_a_second_next_link_of_a_page_is_recorded_as_broken(tmp_path: Path, serve_files: ServeFiles) -> None:
    links = [link("next", f"{number}.json") for number in (1, 2)]
    for number in range(3):
        page = {"type": "FeatureCollection", "features": [make_item(number)], "links": [] if number else links}
        write_json(tmp_path / f"{number}.json", page)
    server = serve_files(tmp_path)
    received = read_remote(f"{server.url}/0.json")
    assert received_ids(received) == [make_item(number)["id"] for number in (0, 1)]
    assert list(parse_errors(received)) == [f"{server.url}/2.json"]


def test_an_invalid_link_does_not_end_the_reading(tmp_path: Path, serve_files: ServeFiles) -> None:
    passed_over = [None, "text", 7, {}, {"href": "item.json"}, {"rel": ["item"], "href": "x.json"}, link("self", "[")]
    odd = [
        "http://[",
        "https://",
        "http://example.com:port/",
        "x" * 5000,
        "a\nb.json",
        "\ud800.json",
        7,
        None,
        {},
    ]
    links = [*passed_over, *({"rel": "item", "href": href} for href in odd), link("item", "item.json")]
    root = write_json(tmp_path / "catalog.json", catalog() | {"links": links})
    write_json(tmp_path / "item.json", make_item())
    write_json(tmp_path / "text.json", catalog() | {"links": "text"})
    for received in (list(read_items(root)), read_remote(f"{serve_files(tmp_path).url}/catalog.json")):
        assert received_ids(received) == [make_item()["id"]]
        assert len(received) - 1 == len(odd)
        assert len(parse_errors(received)) == len(odd)
    assert list(read_items(tmp_path / "text.json")) == []


def test_an_endless_catalogue_is_cut(tmp_path: Path, serve_files: ServeFiles) -> None:
    server = serve_files(tmp_path)
    document = json.dumps(catalog(link("child", "next/catalog.json"), link("item", "item.json"))).encode()
    item = json.dumps(make_item()).encode()
    for depth in range(200):
        folder = "/next" * depth
        server.answers |= {
            f"{folder}/catalog.json": [FileAnswer(200, document)],
            f"{folder}/item.json": [FileAnswer(200, item)],
        }
    received = read_remote(f"{server.url}/catalog.json")
    assert 60 < len(received_ids(received)) < 70
    assert ["deep" in error for error in parse_errors(received).values()] == [True]


def test_filters_and_limit_apply_to_a_catalogue(
    tmp_path: Path, serve_files: ServeFiles, ingest_settings: Settings
) -> None:
    write_catalog(tmp_path, [make_item(number) for number in range(20)])
    filters = Filters(start=datetime(2023, 8, 5, tzinfo=UTC), area=shapely.box(15.5, 45.5, 15.6, 45.6))
    request = IngestRequest(catalog=f"{serve_files(tmp_path).url}/catalog.json", filters=filters, limit=7)
    summary = ingest(request, ingest_settings)
    assert summary.written == 7
    # In the order of links: every second item first.
    assert {row["item_id"] for row in stored(ingest_settings)} == {
        make_item(number)["id"] for number in range(4, 18, 2)
    }
