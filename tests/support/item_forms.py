"""Items written in every form that ingestion reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rustac
import stac_geoparquet.arrow

from ingestion.item.normalise import normalise
from ingestion.model import Received, Reject, StacItemRow
from support.catalogues import catalog, link


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


def write_catalog(folder: Path, items: list[Any]) -> Path:
    """Write a root, two children, and each item in its own file."""
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


def received_ids(received: Sequence[Received]) -> list[str]:
    return [one.content["id"] for one in received if one.parse_error is None]


def parse_errors(received: Sequence[Received]) -> dict[str | None, str]:
    return {one.place: one.parse_error for one in received if one.parse_error is not None}


def rows_of(received: Sequence[Received]) -> list[StacItemRow]:
    rows = [normalise(one) for one in received]
    assert [row.detail for row in rows if isinstance(row, Reject)] == []
    return [row for row in rows if isinstance(row, StacItemRow)]


FORM_COLUMNS = {"source", "ingested_at", "content_hash", "item"}  # columns that may differ with the form
