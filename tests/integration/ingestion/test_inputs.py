"""What ingestion reads beside an API: files in every form, folders, static catalogues here and on a server."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import pytest
import rustac
import shapely
import stac_geoparquet.arrow
from support.ingests import stored
from support.stac_items import make_item

from ingestion import Filters, IngestRequest, IngestSummary, Reason, ingest
from ingestion.item.normalise import normalise
from ingestion.item.values import parse_time
from ingestion.model import Received, Reject, StacItemRow
from ingestion.sources import catalogue, http_session
from ingestion.sources.catalogue import read_catalog
from ingestion.sources.http_session import HttpPolicy
from ingestion.sources.local_files import read_items
from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR, Settings
from lakehouse.source_schemas import STAC_REJECTS

HASTY = HttpPolicy(backoff_s=0.01, jitter_s=0.01, retries=3, connect_retries=2)
CHANGING = {"source", "ingested_at", "content_hash", "item"}  # columns that differ with the form; `item` see below


def read_fast(url: str, concurrency: int = 4) -> list[Received]:
    return list(read_catalog(url, concurrency, HASTY))


def ids(received: Sequence[Received]) -> list[str]:
    return [one.content["id"] for one in received if one.parse_error is None]


def errors(received: Sequence[Received]) -> dict[str | None, str]:
    return {one.place: one.parse_error for one in received if one.parse_error is not None}


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    return Settings().replace(home=tmp_path / "lake")


# --- a server of files ----------------------------------------------------------------------------------------


@dataclass
class Answer:
    """What the server says once, instead of the file."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stated_length: int | None = None
    drip_s: float | None = None  # between one byte and the next, until the client goes away


@dataclass
class FileServer:
    """Serves a folder, and what a test wants to be answered first."""

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)  # by path, used up one after the other
    requests: Counter[str] = field(default_factory=Counter)
    delay_s: float = 0
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, path: str) -> Answer | None:
        with self._lock:
            self.requests[path] += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            return self.answers[path].pop(0) if self.answers.get(path) else None

    def leave(self) -> None:
        with self._lock:
            self._at_once -= 1


class Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, state: FileServer, **kwargs: Any) -> None:
        self.state = state
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        answer = self.state.enter(self.path)
        try:
            time.sleep(self.state.delay_s)
        finally:
            self.state.leave()  # before the client can ask for more
        if answer is None:
            super().do_GET()
        else:
            self._say(answer)

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        length = len(answer.body) if answer.stated_length is None else answer.stated_length
        for name, value in ({"Content-Length": str(length)} | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        with contextlib.suppress(OSError):
            while answer.drip_s is not None:
                self.wfile.write(b" ")
                time.sleep(answer.drip_s)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Path], FileServer]]:
    servers = []

    def start(folder: Path) -> FileServer:
        state = FileServer()
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, state=state, directory=str(folder)))
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        return state

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


# --- forms of input -------------------------------------------------------------------------------------------


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_collection(folder: Path, items: list[Any]) -> Path:
    return write_json(folder / "items.json", {"type": "FeatureCollection", "features": items})


def write_list(folder: Path, items: list[Any]) -> Path:
    return write_json(folder / "items.json", items)


def write_lines(folder: Path, items: list[Any]) -> Path:
    path = folder / "items.ndjson"
    path.write_text("\n".join(json.dumps(item) for item in items) + "\n\n")
    return path


def write_folder(folder: Path, items: list[Any]) -> Path:
    for item in items:
        write_json(folder / "items" / item["id"] / "item.json", item)
    return folder / "items"


def catalog(*links: dict[str, Any], **members: Any) -> dict[str, Any]:
    start = {"type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "of a test"}
    return start | {"links": list(links)} | members


def link(rel: str, href: str, **members: Any) -> dict[str, Any]:
    return {"rel": rel, "href": href} | members


def write_catalog(folder: Path, items: list[Any]) -> Path:
    """Root, two children, and below them each item in a file of its own."""
    write_json(folder / "catalog.json", catalog(link("child", "a/catalog.json"), link("child", "./b/collection.json")))
    for name, kind, part in (("a", "catalog", items[::2]), ("b", "collection", items[1::2])):
        links = [link("item", f"{item['id']}/item.json") for item in part]
        up = [link("root", "../catalog.json"), link("parent", "../catalog.json")]
        write_json(folder / name / f"{kind}.json", catalog(*up, *links, type=kind.capitalize()))
        for item in part:
            write_json(folder / name / item["id"] / "item.json", item)
    return folder / "catalog.json"


def write_stac_geoparquet(folder: Path, items: list[Any]) -> Path:
    path = folder / "items.parquet"
    stac_geoparquet.arrow.to_parquet(stac_geoparquet.arrow.parse_stac_items_to_arrow(items), path)
    return path


def write_rustac(folder: Path, items: list[Any]) -> Path:
    path = folder / "items.geoparquet"
    rustac.write_sync(str(path), items)
    return path


FORMS: dict[str, Callable[[Path, list[Any]], Path]] = {
    "item collection": write_collection,
    "bare list": write_list,
    "lines": write_lines,
    "folder": write_folder,
    "catalogue": write_catalog,
    "catalogue on a server": write_catalog,
    "stac-geoparquet": write_stac_geoparquet,
    "parquet of rustac": write_rustac,
}


def varied_items() -> list[dict[str, Any]]:
    items = [make_item(number) for number in range(6)]
    items[1]["properties"].pop("eo:cloud_cover")
    items[2]["assets"].pop("red")
    items[3]["properties"] |= {"proj:code": "EPSG:32633", "s2:processing_baseline": "02.14"}
    items[3]["properties"].pop("proj:epsg")
    items[4]["properties"] |= {"datetime": None, "start_datetime": "2023-08-05T09:58:11Z"}
    items[4]["properties"] |= {"end_datetime": "2023-08-05T09:58:12Z", "earthsearch:boa_offset_applied": True}
    items[5]["assets"].pop("scl")  # no row, but a reject
    return items


def as_compared(value: Any) -> Any:
    """An item without what stac-geoparquet cannot tell: how a time was written, a null from an absent member."""
    if isinstance(value, dict):
        members = {name: as_compared(member) for name, member in value.items() if member is not None}
        return {name: member for name, member in members.items() if name != "stac_version"}  # rustac writes its own
    if isinstance(value, list):
        return [as_compared(entry) for entry in value]
    return parse_time(value) or value


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(
    form: str, tmp_path: Path, lake: Settings, serve: Callable[[Path], FileServer]
) -> None:
    items = varied_items()
    expected = Settings().replace(home=tmp_path / "expected")
    (tmp_path / "expected_items").mkdir()
    ingest(IngestRequest(items=write_collection(tmp_path / "expected_items", items)), expected)
    folder = tmp_path / "input"
    folder.mkdir()
    path = FORMS[form](folder, items)
    request = IngestRequest(items=path)
    if form == "catalogue on a server":
        request = IngestRequest(catalog=f"{serve(folder).url}/catalog.json")
    summary = ingest(request, lake)
    assert summary == IngestSummary(received=6, written=5, rejected={Reason.NO_SCL.value: 1})

    rows, wanted = ({row["item_id"]: row for row in stored(settings)} for settings in (lake, expected))
    assert set(rows) == set(wanted)
    for name, row in rows.items():
        assert {c: v for c, v in row.items() if c not in CHANGING} == {
            c: v for c, v in wanted[name].items() if c not in CHANGING
        }
        if path.suffix in (".parquet", ".geoparquet"):
            assert as_compared(json.loads(row["item"])) == as_compared(json.loads(wanted[name]["item"]))
        else:
            assert (row["item"], row["content_hash"]) == (wanted[name]["item"], wanted[name]["content_hash"])
    (reject,), (wanted_reject,) = stored(lake, STAC_REJECTS), stored(expected, STAC_REJECTS)
    assert [reject[c] for c in ("collection", "item_id", "reason")] == [
        wanted_reject[c] for c in ("collection", "item_id", "reason")
    ]
    assert ingest(request, lake) == IngestSummary(received=6, unchanged=5, rejected=summary.rejected)


# --- files and folders ----------------------------------------------------------------------------------------


def test_a_file_larger_than_what_is_read_at_once_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [make_item(number) for number in range(20)]
    path = write_collection(tmp_path, items)
    for size in (1, 7, 1000):
        monkeypatch.setattr("ingestion.sources.json_items.CHUNK_CHARACTERS", size)
        assert [received.content for received in read_items(path)] == items


@pytest.mark.parametrize(
    "text", ["", "{", "[1,", '{"features": [', "[] []", '{"a" 1}', "nonsense", "\x00", "[" * 99999]
)
def test_a_file_that_is_no_json_is_named_in_the_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "items.json"
    path.write_text(text)
    with pytest.raises(ChiplakeError, match=re.escape(str(path))):
        list(read_items(path))


def test_one_broken_file_or_line_does_not_stop_the_others(tmp_path: Path, lake: Settings) -> None:
    folder = tmp_path / "items"
    write_json(folder / "good.json", make_item(0))
    (folder / "broken.json").write_text('{"type": "Feature",')
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "lines.ndjson").write_text(f"{json.dumps(make_item(1))}\n{{broken\n{json.dumps(make_item(2))}\n")
    (folder / "catalog.json").write_text('{"type": "Catalog"}')
    summary = ingest(IngestRequest(items=folder), lake)
    assert summary == IngestSummary(received=6, written=3, rejected={Reason.INVALID_JSON.value: 3})
    rejects = stored(lake, STAC_REJECTS)
    assert {row["item_id"] for row in rejects} == {"broken.json#0", "binary.json#0", "lines.ndjson#2"}


def test_the_filters_apply_to_files_too(tmp_path: Path, lake: Settings) -> None:
    items = [make_item(number) for number in range(28)]
    far = [[[16.0, 45.9], [16.1, 45.9], [16.1, 46.0], [16.0, 45.9]]]  # in the tile
    items[5]["geometry"] = {"type": "Polygon", "coordinates": far}
    items[6]["properties"].pop("eo:cloud_cover")
    filters = Filters(
        area=shapely.box(15.5, 45.5, 15.6, 45.6),
        start=datetime(2023, 8, 5, tzinfo=UTC),
        end=datetime(2023, 8, 11, tzinfo=UTC),
        max_cloud=8,
    )
    path = write_collection(tmp_path, items)
    summary = ingest(IngestRequest(items=path, filters=filters), lake)
    assert {row["item_id"] for row in stored(lake)} == {items[n]["id"] for n in (4, 7, 8)}
    assert summary == IngestSummary(received=28, written=3, skipped=25)


def test_broken_files_of_one_name_in_different_folders_are_recorded_each(tmp_path: Path, lake: Settings) -> None:
    folder = write_folder(tmp_path, [make_item(0)])
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "item.json").write_text("{")
    summary = ingest(IngestRequest(items=folder), lake)
    assert summary == IngestSummary(received=3, written=1, rejected={Reason.INVALID_JSON.value: 2})
    assert {row["item_id"] for row in stored(lake, STAC_REJECTS)} == {"a/item.json#0", "b/item.json#0"}


def test_a_folder_is_read_whole_though_it_holds_a_catalogue(tmp_path: Path) -> None:
    items = [make_item(number) for number in range(6)]
    folder = write_catalog(tmp_path / "folder", items[:3]).parent
    write_json(folder / "unlinked.json", items[3])
    write_stac_geoparquet(folder, items[4:])
    write_json(folder / "old" / "catalog.json", {"stac_version": "0.8.1", "id": "old", "links": []})
    assert sorted(ids(list(read_items(folder)))) == sorted(item["id"] for item in items)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    few = [make_item(number) for number in range(500)]
    few_rows = pq.read_table(write_stac_geoparquet(tmp_path, few))
    few_texts = [json.dumps(item) for item in few]
    for name, factor in (("few", 1), ("many", 16)):
        texts, rows = few_texts * factor, pa.concat_tables([few_rows] * factor)
        (tmp_path / f"{name}.ndjson").write_text("\n".join(texts))
        (tmp_path / f"{name}.json").write_text('{"features": [' + ",".join(texts) + "]}")
        pq.write_table(rows, tmp_path / f"{name}.parquet", row_group_size=1 << 20)
    command = [sys.executable, "-c", GROWTH_OF_READING, tmp_path]
    done = subprocess.run(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True, check=True)
    counts_and_growths = json.loads(done.stdout)
    assert {kind: count for kind, (count, _) in counts_and_growths.items()} == dict.fromkeys(counts_and_growths, 8000)
    # Held at once, 8,000 items take 30 MB as text and five times as much as objects.
    assert {kind: mib for kind, (_, mib) in counts_and_growths.items() if mib > 16} == {}


# In a process of its own, in which no memory was freed before that reading could use.
GROWTH_OF_READING = """
import json, pathlib, sys
import psutil
from ingestion.sources.local_files import read_items

folder, process, found = pathlib.Path(sys.argv[1]), psutil.Process(), {}
for kind in ("ndjson", "json", "parquet"):
    for _ in read_items(folder / f"few.{kind}"):
        pass
    count, before, peak = 0, process.memory_info().rss, 0
    for _ in read_items(folder / f"many.{kind}"):
        count += 1
        peak = peak if count % 50 else max(peak, process.memory_info().rss)
    found[kind] = count, (peak - before) / 2**20
print(json.dumps(found))
"""


# --- stac-geoparquet ------------------------------------------------------------------------------------------


def rows_of(received: Sequence[Received]) -> list[StacItemRow]:
    rows = [normalise(one) for one in received]
    assert [row.detail for row in rows if isinstance(row, Reject)] == []
    return [row for row in rows if isinstance(row, StacItemRow)]


def changed_column(path: Path, name: str, column: Any) -> Path:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)
    return path


def test_planetary_computers_parquet_becomes_rows(sample_data: Path, lake: Settings) -> None:
    path = sample_data / "stac" / "pc-1000.parquet"
    assert ingest(IngestRequest(items=path), lake) == IngestSummary(received=1000, written=1000)
    table = pq.read_table(path).to_pylist()
    wanted = {row["id"]: row for row in table}
    rows = stored(lake)
    assert {row["item_id"] for row in rows} == set(wanted)
    for row in rows:
        source = wanted[row["item_id"]]
        assert row["processing_baseline"] == source["s2:processing_baseline"]
        assert row["mgrs_tile"] == source["s2:mgrs_tile"]
        assert (row["epsg"], row["cloud_cover"]) == (source["proj:epsg"], source["eo:cloud_cover"])
        assert (row["acquired_at"], row["relative_orbit"]) == (source["datetime"], source["sat:relative_orbit"])
        assert row["is_boa_offset_applied"] is None
        assets = dict(row["assets"])
        present = {key for key, asset in source["assets"].items() if asset is not None}
        assert {asset["asset_key"] for asset in assets.values()} == present & {
            *(f"B{number:02d}" for number in (2, 3, 4, 5, 6, 7, 8, 11, 12)), "B8A", "SCL"
        }  # fmt: skip
        for asset in assets.values():
            stated = source["assets"][asset["asset_key"]]
            assert (asset["href"], asset["offset"], asset["scale"]) == (stated["href"], None, None)
            assert (asset["transform"], asset["shape"]) == (stated["proj:transform"], stated["proj:shape"])
        assert "null" not in row["item"]
    # A second reader of the format draws the same out of it.
    features = rustac.from_arrow(pq.read_table(path))["features"]
    (origin,) = {one.origin for one in read_items(path)}
    others = [normalise(Received(item | {"bbox": list(item["bbox"])}, None, origin)) for item in features]
    by_id = {other.item_id: other for other in others if isinstance(other, StacItemRow)}
    for row in rows:
        other = by_id[row["item_id"]]
        for name in ("platform", "product_id", "datatake_id", "datastrip_started_at", "geometry", "xmin", "ymax"):
            assert row[name] == getattr(other, name)


@pytest.mark.parametrize("name", ["pc-35MNM-13.geojson", "c1-13TDE-10.json", "cdse-36NYH.json"])
def test_real_items_come_back_from_parquet(sample_data: Path, tmp_path: Path, name: str) -> None:
    from_json = list(read_items(sample_data / "stac" / name))
    path = write_stac_geoparquet(tmp_path, [one.content for one in from_json])
    from_parquet = list(read_items(path))
    assert len(from_parquet) == len(from_json) > 0
    for one, other in zip(from_json, from_parquet, strict=True):
        row, found = normalise(one), normalise(other)
        assert type(row) is type(found)
        if isinstance(row, Reject) and isinstance(found, Reject):
            assert (row.key, row.detail) == (found.key, found.detail)
        else:
            columns = [column for column in StacItemRow.__slots__ if column not in CHANGING]
            assert {c: getattr(found, c) for c in columns} == {c: getattr(row, c) for c in columns}


def test_odd_columns_of_parquet_are_understood(tmp_path: Path) -> None:
    path = write_stac_geoparquet(tmp_path, [make_item(number) for number in range(4)])
    expected = rows_of(list(read_items(path)))
    table = pq.read_table(path)
    shapes = table["geometry"].to_pylist()
    changed_column(path, "geometry", pa.array([*shapes[:2], None, b"none"], pa.large_binary()))
    changed_column(path, "datetime", table["datetime"].cast(pa.timestamp("ns")))  # no zone
    changed_column(path, "eo:cloud_cover", pa.array([0, np.nan, None, 3.0]))  # NaN: absent, as pandas has it
    changed_column(path, "proj:epsg", pa.array([32633.0] * 4))
    received = list(read_items(path))
    assert [one.content["geometry"] is None for one in received] == [False, False, True, True]
    assert "eo:cloud_cover" not in received[1].content["properties"]
    rows = rows_of(received)
    assert [row.acquired_at for row in rows] == [row.acquired_at for row in expected]
    assert [row.cloud_cover for row in rows] == [0, None, None, 3]
    assert {row.epsg for row in rows} == {32633}
    assert [row.geometry for row in rows[:2]] == [row.geometry for row in expected[:2]]


def test_an_asset_that_an_item_lacks_is_absent_whatever_the_null(tmp_path: Path) -> None:
    items = [make_item(number) for number in range(2)]
    del items[1]["assets"]["red"]
    path = write_stac_geoparquet(tmp_path, items)
    table = pq.read_table(path)
    assets = table["assets"].to_pylist()
    assert assets[1]["red"] is None
    hollow = assets[1] | {"red": dict.fromkeys(assets[0]["red"])}  # a struct, and null in each member
    for column in (assets, [assets[0], hollow]):
        changed_column(path, "assets", pa.array(column, table.schema.field("assets").type))
        first, second = (one.content["assets"] for one in read_items(path))
        assert set(first) - set(second) == {"red"}
        assert all(None not in asset.values() for asset in second.values())


def write_truncated(path: Path) -> None:
    whole = write_stac_geoparquet(path.parent, [make_item()]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def write_damaged(path: Path) -> None:
    whole = bytearray(write_stac_geoparquet(path.parent, [make_item(number) for number in range(50)]).read_bytes())
    whole[4:2000] = bytes(1996)
    path.write_bytes(whole)


BROKEN_PARQUET: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("no parquet"), "not valid stac-geoparquet"),
    "empty": (lambda path: path.write_bytes(b""), "not valid stac-geoparquet"),
    "truncated": (write_truncated, "not valid stac-geoparquet"),
    "damaged": (write_damaged, "not valid stac-geoparquet"),
    "another table": (lambda path: pq.write_table(pa.table({"id": [1]}), path), "no column assets"),
    "no WKB": (
        lambda path: pq.write_table(pa.table({"id": ["a"], "assets": ["b"], "geometry": ["POINT (0 0)"]}), path),
        "not WKB but string",
    ),
}


@pytest.mark.parametrize("kind", BROKEN_PARQUET)
def test_parquet_that_is_no_stac_geoparquet_is_named_in_the_error(tmp_path: Path, kind: str) -> None:
    write, message = BROKEN_PARQUET[kind]
    path = tmp_path / "items.parquet"
    write(path)
    with pytest.raises(ChiplakeError, match=f"{re.escape(str(path))}.*{message}"):
        list(read_items(path))
    write_json(tmp_path / "item.json", make_item())
    received = list(read_items(tmp_path))
    assert ids(received) == [make_item()["id"]]
    ((place, error),) = errors(received).items()
    assert place is not None
    assert place.startswith("items.parquet#")
    assert message in error


# --- static catalogues ----------------------------------------------------------------------------------------


def publish(folder: Path, kind: str) -> Path:
    """A catalogue as pystac writes it, the rasters of each item beside its document."""
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
def test_hrefs_are_relative_to_where_an_item_is_not_to_where_it_was_published(
    tmp_path: Path, serve: Callable[[Path], FileServer], kind: str
) -> None:
    folder = publish(tmp_path / "copy", kind).parent
    server = serve(folder)
    item_id = make_item(1)["id"]
    for received, base in (
        (list(read_items(folder / "catalog.json")), str(folder)),
        (list(read_items(folder)), str(folder)),
        (read_fast(f"{server.url}/catalog.json"), server.url),
    ):
        hrefs = {row.item_id: row.assets["blue"].href for row in rows_of(received)}
        assert len(hrefs) == 3
        assert hrefs[item_id] == f"{base}/child/{item_id}/blue.tif"


def test_each_document_is_read_once_whatever_leads_to_it(tmp_path: Path, serve: Callable[[Path], FileServer]) -> None:
    root = write_catalog(tmp_path, [make_item(number) for number in range(4)])
    server = serve(tmp_path)
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
    server.answers["/moved.json"] = [Answer(302, headers={"Location": f"/{first}"})]
    received = read_fast(f"{server.url}/catalog.json")
    assert errors(received) == {}
    assert sorted(ids(received)) == sorted(make_item(number)["id"] for number in range(4))
    # The redirect is told from its target only when it was followed.
    assert {path: count for path, count in server.requests.items() if count > 1} == {f"/{first}": 2}

    document["links"].pop()  # a path without a server behind it
    write_json(tmp_path / "a" / "catalog.json", document)
    assert sorted(ids(list(read_items(root)))) == sorted(ids(received))


def test_the_order_does_not_depend_on_the_concurrency_which_is_kept(
    tmp_path: Path, serve: Callable[[Path], FileServer]
) -> None:
    write_catalog(tmp_path, [make_item(number) for number in range(24)])
    server = serve(tmp_path)
    server.delay_s = 0.01
    orders = {}
    for concurrency in (1, 4):
        server.most_at_once = 0
        orders[concurrency] = ids(read_fast(f"{server.url}/catalog.json", concurrency))
        assert server.most_at_once <= concurrency
    assert server.most_at_once > 1
    assert orders[1] == orders[4] == ids(list(read_items(tmp_path / "catalog.json")))
    assert orders[1] == [make_item(number)["id"] for number in (*range(0, 24, 2), *range(1, 24, 2))]


def test_no_more_is_fetched_ahead_than_may_be_fetched_at_once(
    tmp_path: Path, serve: Callable[[Path], FileServer]
) -> None:
    write_catalog(tmp_path, [make_item(number) for number in range(40)])
    server = serve(tmp_path)
    reading = read_catalog(f"{server.url}/catalog.json", 3, HASTY)
    assert next(reading).content["id"] == make_item(0)["id"]
    time.sleep(0.2)
    assert server.requests.total() <= 1 + 2 + 3  # the root, its children, and the first items
    reading.close()
    time.sleep(0.1)
    assert server.requests.total() <= 1 + 2 + 3


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(503, headers={"Retry-After": "30"}),
        Answer(200, stated_length=1 << 20, drip_s=0.1),
    ],
    ids=["pause", "drip"],
)
def test_a_catalogue_can_be_left_while_a_server_makes_it_wait(
    tmp_path: Path, serve: Callable[[Path], FileServer], trouble: Answer
) -> None:
    write_json(tmp_path / "item.json", make_item(0))
    server, neighbour = serve(tmp_path), serve(tmp_path)
    neighbour.answers = {"/item.json": [trouble] * 20}
    links = [link("item", f"{one.url}/item.json") for one in (server, neighbour)]
    root = write_json(tmp_path / "catalog.json", catalog(*links))
    for reading in (read_catalog(f"{server.url}/catalog.json", 2), read_items(root, concurrency=2)):
        neighbour.requests.clear()
        assert next(reading).content["id"] == make_item(0)["id"]
        while not neighbour.requests:
            time.sleep(0.01)
        time.sleep(0.5)  # so that the answer has come
        start = time.monotonic()
        reading.close()
        assert time.monotonic() - start < 10
        assert neighbour.requests.total() == 1


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_answer_byte_by_byte_is_given_up(
    tmp_path: Path, serve: Callable[[Path], FileServer], monkeypatch: pytest.MonkeyPatch, is_chunked: bool
) -> None:
    monkeypatch.setattr(http_session, "MAX_ANSWER_S", 0.5)
    server = serve(tmp_path)
    headers = {"Transfer-Encoding": "chunked"} if is_chunked else {}
    dripping = Answer(200, b"10000\r\n" if is_chunked else b"", headers, 1 << 20, drip_s=0.05)
    server.answers = {"/catalog.json": [dripping]}
    start = time.monotonic()
    with pytest.raises(ChiplakeError, match=f"{re.escape(server.url)}/catalog.json answers too slowly"):
        read_fast(f"{server.url}/catalog.json")
    assert time.monotonic() - start < 30


def test_a_pause_that_one_server_asks_for_holds_no_other_up(
    tmp_path: Path, serve: Callable[[Path], FileServer]
) -> None:
    busy, free = serve(tmp_path), serve(tmp_path)
    items = [make_item(number) for number in range(6)]
    for number, item in enumerate(items):
        write_json(tmp_path / f"{number}.json", item)
    busy.answers = {"/0.json": [Answer(429, headers={"Retry-After": "2"})]}
    links = [link("item", f"{(free if number else busy).url}/{number}.json") for number in range(6)]
    root = write_json(tmp_path / "catalog.json", catalog(*links))
    start = time.monotonic()
    received = read_items(root, concurrency=6)
    assert next(received).content["id"] == items[0]["id"]
    assert time.monotonic() - start >= 2
    assert free.requests.total() == 5
    assert ids(list(received)) == [item["id"] for item in items[1:]]


def test_a_server_in_trouble_is_asked_again(tmp_path: Path, serve: Callable[[Path], FileServer]) -> None:
    items = [make_item(number) for number in range(6)]
    write_catalog(tmp_path, items)
    server = serve(tmp_path)
    body = json.dumps(items[0]).encode()
    paths = [f"/{'ab'[number % 2]}/{item['id']}/item.json" for number, item in enumerate(items)]
    server.answers = {
        "/catalog.json": [Answer(503)],
        paths[0]: [Answer(200, body[:1000], stated_length=len(body))],  # breaks off
        paths[1]: [Answer(200, body[:1000])],  # says that it is whole
        paths[2]: [Answer(200, b"<html>come back later</html>"), Answer(502)],
        paths[3]: [Answer(429, headers={"Retry-After": "never mind"})],
        paths[4]: [Answer(500), Answer(504)],
    }
    received = read_fast(f"{server.url}/catalog.json")
    assert errors(received) == {}
    assert sorted(ids(received)) == sorted(item["id"] for item in items)


def test_a_compressed_document_is_read_whole(tmp_path: Path, serve: Callable[[Path], FileServer]) -> None:
    items = [make_item(number) for number in range(200)]
    body = gzip.compress(json.dumps({"type": "FeatureCollection", "features": items}).encode())
    server = serve(tmp_path)
    zipped = {"Content-Encoding": "gzip"}
    server.answers = {"/items.json": [Answer(200, body[:-100], zipped), Answer(200, body, zipped)]}
    assert ids(read_fast(f"{server.url}/items.json")) == [item["id"] for item in items]
    assert server.requests.total() == 2


def test_a_server_that_says_when_to_come_back_is_heard_but_not_for_ever(
    tmp_path: Path, serve: Callable[[Path], FileServer]
) -> None:
    write_catalog(tmp_path, [make_item()])
    server = serve(tmp_path)
    server.answers = {"/catalog.json": [Answer(429, headers={"Retry-After": "3600"})]}
    policy = HttpPolicy(backoff_s=0, max_retry_after_s=1)
    start = time.monotonic()
    assert len(list(read_catalog(f"{server.url}/catalog.json", 1, policy))) == 1
    assert 1 <= time.monotonic() - start < 30


def test_what_cannot_be_fetched_is_recorded_by_name_and_the_others_go_on(
    tmp_path: Path, serve: Callable[[Path], FileServer], lake: Settings
) -> None:
    items = [make_item(number) for number in range(6)]
    write_catalog(tmp_path, items)
    (tmp_path / "a" / items[0]["id"] / "item.json").unlink()
    (tmp_path / "b" / items[1]["id"] / "item.json").write_text("{")
    write_json(tmp_path / "a" / items[2]["id"] / "item.json", {"hello": "world"})
    server = serve(tmp_path)
    failing = f"/b/{items[3]['id']}/item.json"
    server.answers[failing] = [Answer(500) for _ in range(20)]
    received = read_fast(f"{server.url}/catalog.json")
    places = [f"{server.url}/{'ab'[number % 2]}/{items[number]['id']}/item.json" for number in range(6)]
    found = errors(received)
    assert set(found) == {places[0], places[1], places[3]}
    assert [found[places[number]].rpartition("item.json")[2][:18] for number in (0, 1, 3)] == [
        " answers HTTP 404 ",
        " is not valid JSON",
        " answers HTTP 500 ",
    ]
    outcomes = [normalise(one) for one in received]
    names = {one.item_id: one.reason for one in outcomes if isinstance(one, Reject)}
    assert names == dict.fromkeys(found, Reason.INVALID_JSON) | {places[2]: Reason.NOT_AN_ITEM}
    assert [one.item_id for one in outcomes if isinstance(one, StacItemRow)] == [items[4]["id"], items[5]["id"]]

    summary = ingest(IngestRequest(items=tmp_path / "catalog.json"), lake)  # the same in local files
    assert summary == IngestSummary(
        received=6, written=3, rejected={Reason.INVALID_JSON.value: 2, Reason.NOT_AN_ITEM.value: 1}
    )


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
def test_a_root_that_is_none_is_named_in_the_error(
    tmp_path: Path, serve: Callable[[Path], FileServer], body: bytes | None, message: str
) -> None:
    if body is not None:
        (tmp_path / "catalog.json").write_bytes(body)
    url = f"{serve(tmp_path).url}/catalog.json"
    with pytest.raises(ChiplakeError, match=f"{re.escape(url)}.*{message}"):
        read_fast(url)


@pytest.mark.parametrize(
    "url", ["file:///etc/hosts", "/etc/hosts", "s3://bucket/catalog.json", "http://", "https://me:secret@example.com"]
)
def test_only_http_addresses_without_password_are_roots(url: str) -> None:
    with pytest.raises(ChiplakeError) as caught:
        read_fast(url)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_named_in_the_error() -> None:
    with pytest.raises(ChiplakeError, match=re.escape("http://127.0.0.1:9/catalog.json cannot be fetched")):
        read_fast("http://127.0.0.1:9/catalog.json")


def test_a_catalogue_on_a_server_never_opens_a_local_file(tmp_path: Path, serve: Callable[[Path], FileServer]) -> None:
    secret = write_json(tmp_path / "secret" / "item.json", make_item(1))
    local = make_item(2)
    for asset in local["assets"].values():
        asset["href"] = secret.as_uri()
    folder = tmp_path / "public"
    links = [link("item", href) for href in (secret.as_uri(), f"file:{secret}", "item.json", str(secret))]
    write_json(folder / "catalog.json", catalog(*links, link("child", "\x00"), link("child", "")))
    write_json(folder / "item.json", local)
    server = serve(folder)
    received = read_fast(f"{server.url}/catalog.json")
    assert ids(received) == [local["id"]]
    assert len(errors(received)) == 5  # two files, the absolute path on the server, and two that are nothing
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
    assert ids(received) == [items[4]["id"]]
    assert all("leads out of" in error for error in errors(received).values())
    assert len(errors(received)) == 4
    allowed = list(read_items(root, allow_file_hrefs=True))
    assert ids(allowed) == [item["id"] for item in items]
    assert {one.origin.allow_file_hrefs for one in allowed} == {True}


def test_a_local_catalogue_leads_to_servers_and_to_files_of_every_form(
    tmp_path: Path, serve: Callable[[Path], FileServer]
) -> None:
    items = [make_item(number) for number in range(10)]
    remote = tmp_path / "remote"
    write_catalog(remote, items[:4])
    server = serve(remote)
    local = tmp_path / "local"
    local.mkdir()
    write_collection(local, items[4:6])
    write_lines(local, items[6:8])
    write_stac_geoparquet(local, items[8:])
    forms = [link("items", f"items.{suffix}") for suffix in ("json", "ndjson", "parquet")]
    root = write_json(local / "catalog.json", catalog(link("child", f"{server.url}/catalog.json"), *forms))
    received = list(read_items(root))
    assert errors(received) == {}
    assert sorted(ids(received)) == sorted(item["id"] for item in items)
    assert {one.origin.source for one in received} == {str(root)}
    assert [one.origin.folder for one in received] == [None] * 4 + [str(local)] * 6


def test_items_of_a_collection_on_a_server_are_relative_to_their_self_link_if_they_have_one(
    tmp_path: Path, serve: Callable[[Path], FileServer]
) -> None:
    items = [make_item(number) for number in range(2)]
    for item in items:
        item["assets"] = {key: asset | {"href": f"{key}.tif"} for key, asset in item["assets"].items()}
    items[0]["links"] = [link("self", "https://example.com/items/0/item.json")]
    write_collection(tmp_path / "sub", items)
    write_json(tmp_path / "collection.json", catalog(link("items", "sub/items.json")))
    server = serve(tmp_path)
    first, second = rows_of(read_fast(f"{server.url}/collection.json"))
    assert first.assets["blue"].href == "https://example.com/items/0/blue.tif"
    assert second.assets["blue"].href == f"{server.url}/sub/blue.tif"


def test_the_pages_of_an_item_collection_are_followed(tmp_path: Path, serve: Callable[[Path], FileServer]) -> None:
    items = [make_item(number) for number in range(6)]
    for number in range(3):
        following = [link("next", f"page{number + 1}.json")] if number < 2 else [link("next", "page0.json")]
        page = {"type": "FeatureCollection", "features": items[2 * number :][:2], "links": following}
        write_json(tmp_path / f"page{number}.json", page)
    post = {"type": "FeatureCollection", "features": [], "links": [link("next", "search", method="POST")]}
    write_json(tmp_path / "post.json", post)
    write_json(tmp_path / "collection.json", catalog(link("items", "page0.json"), link("items", "post.json")))
    server = serve(tmp_path)
    received = read_fast(f"{server.url}/collection.json")
    assert ids(received) == ids(read_fast(f"{server.url}/page0.json")) == [item["id"] for item in items]
    assert ["--api" in error for error in errors(received).values()] == [True]


def test_pages_without_end_end(
    tmp_path: Path, serve: Callable[[Path], FileServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "MAX_PAGES", 5)
    server = serve(tmp_path)
    for number in range(20):
        page = {"type": "FeatureCollection", "features": [make_item(number)], "links": [link("next", f"?{number + 1}")]}
        server.answers[f"/page.json?{number}"] = [Answer(200, json.dumps(page).encode())]
    write_json(tmp_path / "item.json", make_item(30))
    links = [link("items", "page.json?0"), link("item", "item.json")]
    write_json(tmp_path / "collection.json", catalog(*links))
    received = read_fast(f"{server.url}/collection.json")
    assert ids(received) == [make_item(number)["id"] for number in (*range(5), 30)]
    ((place, error),) = errors(received).items()
    assert str(place).startswith(f"{server.url}/page.json")
    assert error == "it has more than 5 pages"
    assert server.requests.total() == 1 + 5 + 1


def test_of_two_next_pages_the_second_is_recorded(tmp_path: Path, serve: Callable[[Path], FileServer]) -> None:
    links = [link("next", f"{number}.json") for number in (1, 2)]
    for number in range(3):
        page = {"type": "FeatureCollection", "features": [make_item(number)], "links": [] if number else links}
        write_json(tmp_path / f"{number}.json", page)
    server = serve(tmp_path)
    received = read_fast(f"{server.url}/0.json")
    assert ids(received) == [make_item(number)["id"] for number in (0, 1)]
    assert list(errors(received)) == [f"{server.url}/2.json"]


def test_odd_links_do_not_stop_the_others(tmp_path: Path, serve: Callable[[Path], FileServer]) -> None:
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
    for received in (list(read_items(root)), read_fast(f"{serve(tmp_path).url}/catalog.json")):
        assert ids(received) == [make_item()["id"]]
        assert len(received) - 1 == len(odd)
        assert len(errors(received)) == len(odd)
    assert list(read_items(tmp_path / "text.json")) == []


def test_an_endless_catalogue_ends(tmp_path: Path, serve: Callable[[Path], FileServer]) -> None:
    server = serve(tmp_path)
    document = json.dumps(catalog(link("child", "next/catalog.json"), link("item", "item.json"))).encode()
    item = json.dumps(make_item()).encode()
    for depth in range(200):
        folder = "/next" * depth
        server.answers |= {
            f"{folder}/catalog.json": [Answer(200, document)],
            f"{folder}/item.json": [Answer(200, item)],
        }
    received = read_fast(f"{server.url}/catalog.json")
    assert 60 < len(ids(received)) < 70
    assert ["deep" in error for error in errors(received).values()] == [True]


def test_filters_and_limit_apply_to_a_catalogue(
    tmp_path: Path, serve: Callable[[Path], FileServer], lake: Settings
) -> None:
    write_catalog(tmp_path, [make_item(number) for number in range(20)])
    filters = Filters(start=datetime(2023, 8, 5, tzinfo=UTC), area=shapely.box(15.5, 45.5, 15.6, 45.6))
    request = IngestRequest(catalog=f"{serve(tmp_path).url}/catalog.json", filters=filters, limit=7)
    summary = ingest(request, lake)
    assert summary.written == 7
    # In the order of links: every second item first.
    assert {row["item_id"] for row in stored(lake)} == {make_item(number)["id"] for number in range(4, 18, 2)}
