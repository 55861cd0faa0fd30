"""Ingestion from two real STAC servers, compared with an independent filter over the list of served items."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyproj import Transformer
from shapely.geometry import Polygon, box, shape
from support.ingests import write_items
from support.stac_items import make_asset, make_item
from support.stac_servers import geoparquet_server, rustac_server, write_collections

from ingestion import Filters, IngestRequest, IngestSummary, ingest
from ingestion.area import area_of_bbox
from lakehouse.catalog import open_catalog
from lakehouse.settings import Settings
from lakehouse.source_schemas import RAW_NAMESPACE, STAC_ITEMS, STAC_REJECTS

S2, C1, S1 = "sentinel-2-l2a", "sentinel-2-c1-l2a", "sentinel-1-grd"
S2_ITEMS, OTHER_ITEMS = 10_000, 150
START = datetime(2023, 1, 1, tzinfo=UTC)
STEP = timedelta(hours=6)  # every fourth acquisition is at midnight, where intervals begin and end
CROWD_AT = datetime(2023, 12, 20, 10, 20, 31, 24_000, UTC)
CROWD = 300  # items of one instant, more than a page: no interval of time separates them
CROWD_PAGE = 100

# Tile, zone, west and north edge in metres. The first three overlap, the last is on the antimeridian.
TILES = (
    ("33TWL", 32633, 499_980, 5_100_000),
    ("33TVL", 32633, 399_960, 5_100_000),
    ("33TWM", 32633, 499_980, 5_200_020),
    ("31TCJ", 32631, 300_000, 4_900_020),
    ("36NYH", 32636, 699_960, 100_020),
    ("60VXH", 32660, 499_980, 6_700_020),
    ("01WCS", 32601, 300_000, 7_300_020),
)
ON_ANTIMERIDIAN = {
    "type": "MultiPolygon",
    "coordinates": [
        [[[178.8, 64.8], [180.0, 64.8], [180.0, 65.8], [178.6, 65.8], [178.8, 64.8]]],
        [[[-180.0, 64.8], [-178.9, 64.8], [-179.0, 65.8], [-180.0, 65.8], [-180.0, 64.8]]],
    ],
}

SOURCE_COLUMNS = frozenset({"source", "ingested_at", "rejected_at", "content_hash", "item"})

Items = list[dict[str, Any]]


# --- what is served -------------------------------------------------------------------------------------------


def served_item(number: int, acquired_at: datetime) -> dict[str, Any]:
    tile, epsg, west, north = TILES[number % len(TILES)]
    item = make_item(
        number,
        datetime=f"{acquired_at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
        **{
            "eo:cloud_cover": None if number % 97 == 0 else float(number * 37 % 101),
            "proj:epsg": epsg,
            "grid:code": f"MGRS-{tile}",
            "s2:product_uri": None,
            "s2:datatake_id": None,
            "s2:datastrip_id": None,
        },
    )
    geometry = ON_ANTIMERIDIAN if tile == "01WCS" else footprint(epsg, west, north)
    assets = {
        key: make_asset(code, gsd, **{"proj:transform": [gsd, 0, west, 0, -gsd, north]})
        for key, code, gsd in (("scl", "SCL", 20), ("blue", "B02", 10))
    }
    bbox = [178.6, 64.8, -178.9, 65.8] if geometry is ON_ANTIMERIDIAN else list(shape(geometry).bounds)
    return item | {"id": f"S2A_{tile}_{number}_L2A", "geometry": geometry, "bbox": bbox, "assets": assets}


@cache
def footprint(epsg: int, west: int, north: int) -> dict[str, Any]:
    to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
    east, south = west + 109_800, north - 109_800
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return {"type": "Polygon", "coordinates": [[to_degrees.transform(*corner) for corner in corners]]}


@pytest.fixture(scope="module")
def collections() -> dict[str, Items]:
    spread = S2_ITEMS - CROWD
    s2 = [served_item(number, START + number // len(TILES) * STEP) for number in range(spread)]
    s2 += [served_item(number, CROWD_AT) for number in range(spread, S2_ITEMS)]
    others = [served_item(number, START + number * STEP) for number in range(OTHER_ITEMS)]
    c1 = [item | {"id": f"C1_{item['id']}", "collection": C1} for item in others]
    radar = {"platform": "sentinel-1a", "constellation": "sentinel-1"}
    s1 = [
        item | {"id": f"S1_{item['id']}", "collection": S1, "properties": item["properties"] | radar} for item in others
    ]
    return {S2: s2, C1: c1, S1: s1}


@pytest.fixture(scope="module")
def served(collections: dict[str, Items]) -> Items:
    """All items, in random order."""
    items = [item for name in collections for item in collections[name]]
    random.Random(0).shuffle(items)
    return items


@dataclass(frozen=True)
class Server:
    url: str
    has_cql2: bool = False
    has_post: bool = True

    def selects(self, filters: Filters) -> Filters:
        """Return the filters that the server applies: cloud by CQL2 in a POST only, an area in a GET as bounds."""
        max_cloud = filters.max_cloud if self.has_cql2 and self.has_post else None
        area = filters.area if filters.area is None or self.has_post else box(*filters.area.bounds)
        return replace(filters, max_cloud=max_cloud, area=area)


@pytest.fixture(scope="module")
def rustac(served: Items, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("rustac")
    with rustac_server(folder, write_items(folder / "items.json", served)) as url:
        yield Server(url)


@pytest.fixture(scope="module")
def parquet(collections: dict[str, Items], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collections(tmp_path_factory.mktemp("parquet"), collections)


@pytest.fixture(scope="module")
def geoparquet(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with geoparquet_server(tmp_path_factory.mktemp("geoparquet"), parquet) as url:
        yield Server(url, has_cql2=True)


@pytest.fixture(scope="module")
def get_only(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with geoparquet_server(tmp_path_factory.mktemp("get_only"), parquet, is_get_only=True) as url:
        yield Server(url, has_cql2=True, has_post=False)


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    return Settings().replace(home=tmp_path / "lake")


# --- what is compared -----------------------------------------------------------------------------------------


def expected_ids(items: Iterable[dict[str, Any]], filters: Filters) -> list[str]:
    """Return sorted ids of the items that pass, computed item by item without code of ingestion."""
    return sorted(item["id"] for item in items if passes(item, filters))


def passes(item: dict[str, Any], filters: Filters) -> bool:
    properties = item["properties"]
    time = datetime.fromisoformat(properties["datetime"])
    cloud = properties.get("eo:cloud_cover")
    return (
        (filters.collection is None or item["collection"] == filters.collection)
        and (filters.start is None or time >= filters.start)
        and (filters.end is None or time < filters.end)
        and (filters.max_cloud is None or (cloud is not None and cloud <= filters.max_cloud))
        and (filters.area is None or shape(item["geometry"]).intersects(filters.area))
    )


def rows(settings: Settings, table: str = STAC_ITEMS) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = open_catalog(settings).load_table(table).scan().to_arrow().to_pylist()
    return found


def comparable(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows in the order of their keys, without the columns that depend on the source and the time."""
    kept = [{name: value for name, value in row.items() if name not in SOURCE_COLUMNS} for row in found]
    return sorted(kept, key=lambda row: (row["collection"], row["item_id"]))


def stored_ids(settings: Settings, table: str = STAC_ITEMS) -> list[str]:
    return sorted(row["item_id"] for row in rows(settings, table))


def snapshots(settings: Settings) -> dict[str, int]:
    catalog = open_catalog(settings)
    names = [".".join(identifier) for identifier in catalog.list_tables(RAW_NAMESPACE)]
    return {name: len(catalog.load_table(name).snapshots()) for name in names}


# --- tests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rustac", "geoparquet"])
def test_ten_thousand_items_are_stored_once_and_a_second_ingest_commits_nothing(
    name: str, request: pytest.FixtureRequest, collections: dict[str, Items], lake: Settings
) -> None:
    server: Server = request.getfixturevalue(name)
    wanted = IngestRequest(api=server.url, filters=Filters(collection=S2), page_size=500)
    assert ingest(wanted, lake) == IngestSummary(received=S2_ITEMS, written=S2_ITEMS)
    assert stored_ids(lake) == expected_ids(collections[S2], Filters())
    before = snapshots(lake)
    assert ingest(wanted, lake) == IngestSummary(received=S2_ITEMS, unchanged=S2_ITEMS)
    assert snapshots(lake) == before


FILTERS = {
    "dates": Filters(collection=S2, start=datetime(2023, 2, 5, tzinfo=UTC), end=datetime(2023, 3, 1, tzinfo=UTC)),
    "an open start": Filters(collection=S2, end=datetime(2023, 1, 12, 6, tzinfo=UTC)),
    "an open end": Filters(collection=S2, start=datetime(2023, 12, 8, 18, tzinfo=UTC)),
    "one crowded instant": Filters(collection=S2, start=CROWD_AT, end=CROWD_AT + timedelta(milliseconds=1)),
    "a box": Filters(
        collection=S2, area=area_of_bbox((14.5, 45.5, 15.1, 45.97)), start=datetime(2023, 11, 1, tzinfo=UTC)
    ),
    "a box across the antimeridian": Filters(
        collection=S2, area=area_of_bbox((179.5, 60, -179.5, 66)), start=datetime(2023, 11, 1, tzinfo=UTC)
    ),
    "a polygon": Filters(
        collection=S2, area=Polygon([(1.0, 43.5), (15.2, 45.2), (1.0, 45.0)]), start=datetime(2023, 11, 1, tzinfo=UTC)
    ),
    "cloud": Filters(collection=S2, max_cloud=10, start=datetime(2023, 10, 1, tzinfo=UTC)),
    "all at once": Filters(
        collection=S2,
        area=area_of_bbox((15.2, 46.0, 16.3, 46.04)),
        start=datetime(2023, 3, 5, 6, tzinfo=UTC),
        end=datetime(2023, 9, 30, 18, tzinfo=UTC),
        max_cloud=33,
    ),
    "another collection": Filters(collection=C1),
}


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS.keys())
@pytest.mark.parametrize("name", ["rustac", "geoparquet", "get_only"])
def test_filters_give_the_same_items_as_over_the_list(
    name: str, filters: Filters, request: pytest.FixtureRequest, served: Items, lake: Settings
) -> None:
    server: Server = request.getfixturevalue(name)
    expected = expected_ids(served, filters)
    assert expected
    summary = ingest(IngestRequest(api=server.url, filters=filters, page_size=CROWD_PAGE), lake)
    assert stored_ids(lake) == expected
    received = len(expected_ids(served, server.selects(filters)))  # the server applied every filter that it can
    assert summary == IngestSummary(received=received, written=len(expected), skipped=received - len(expected))


@pytest.mark.parametrize("name", ["rustac", "geoparquet", "get_only"])
def test_items_of_other_missions_are_rejected(
    name: str, request: pytest.FixtureRequest, served: Items, lake: Settings
) -> None:
    server: Server = request.getfixturevalue(name)
    filters = Filters(start=datetime(2023, 1, 20, tzinfo=UTC), end=datetime(2023, 2, 3, tzinfo=UTC))
    ingest(IngestRequest(api=server.url, filters=filters, page_size=30), lake)
    radar = expected_ids(served, replace(filters, collection=S1))
    assert len(radar) > 30
    assert stored_ids(lake, STAC_REJECTS) == radar
    assert stored_ids(lake) == sorted(set(expected_ids(served, filters)) - set(radar))


@pytest.mark.parametrize("name", ["rustac", "geoparquet", "get_only"])
def test_a_limit_takes_exactly_that_many_items(
    name: str, request: pytest.FixtureRequest, collections: dict[str, Items], lake: Settings
) -> None:
    server: Server = request.getfixturevalue(name)
    wanted = IngestRequest(api=server.url, filters=Filters(collection=S2), page_size=50, limit=120)
    summary = ingest(wanted, lake)
    assert (summary.written, summary.skipped, summary.rejected) == (120, 0, {})
    found = stored_ids(lake)
    assert len(set(found)) == len(found) == 120
    assert set(found) <= set(expected_ids(collections[S2], Filters()))


@pytest.mark.parametrize("name", ["rustac", "geoparquet", "get_only"])
def test_a_search_without_results_is_not_an_error(name: str, request: pytest.FixtureRequest, lake: Settings) -> None:
    server: Server = request.getfixturevalue(name)
    filters = Filters(collection=S2, start=datetime(2023, 1, 1, 1, tzinfo=UTC), end=datetime(2023, 1, 1, 5, tzinfo=UTC))
    assert ingest(IngestRequest(api=server.url, filters=filters), lake) == IngestSummary()


@pytest.mark.parametrize("name", ["rustac", "geoparquet"])
def test_a_server_and_a_file_of_its_items_give_the_same_rows(
    name: str, request: pytest.FixtureRequest, collections: dict[str, Items], tmp_path: Path, lake: Settings
) -> None:
    server: Server = request.getfixturevalue(name)
    ingest(IngestRequest(api=server.url, filters=Filters(collection=C1), page_size=40), lake)
    from_file = Settings().replace(home=tmp_path / "from_file")
    ingest(IngestRequest(items=write_items(tmp_path / "items.json", collections[C1])), from_file)
    assert len(rows(from_file)) == OTHER_ITEMS
    assert comparable(rows(lake)) == comparable(rows(from_file))


def test_a_server_and_a_file_of_real_items_give_the_same_rows(
    sample_data: Path, tmp_path: Path, lake: Settings
) -> None:
    paths = [path for path in sorted((sample_data / "stac").iterdir()) if path.suffix in (".json", ".geojson")]
    documents = [json.loads(path.read_text()) for path in paths]
    # Servers serve items by collection, so an item without collection is left out.
    items = [item for document in documents for item in document.get("features", [document]) if item.get("collection")]
    file = write_items(tmp_path / "items.json", items)
    from_file = Settings().replace(home=tmp_path / "from_file")
    summary = ingest(IngestRequest(items=file), from_file)
    assert summary.written >= 30
    with rustac_server(tmp_path, file) as url:
        assert ingest(IngestRequest(api=url, page_size=7), lake) == summary
    for table in (STAC_ITEMS, STAC_REJECTS):
        assert comparable(rows(lake, table)) == comparable(rows(from_file, table))
