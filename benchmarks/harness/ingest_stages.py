"""Ways to bring STAC items from JSON into rows, Arrow or objects, each with its own clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

BATCH_ITEMS: Final = 2000


@dataclass(slots=True)
class Clock:
    """Time between the starts and the ends of its contexts, all threads of this process."""

    cpu_s: float = 0
    wall_s: float = 0

    def __enter__(self) -> Clock:
        self.cpu_s -= time.process_time()
        self.wall_s -= time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.cpu_s += time.process_time()
        self.wall_s += time.perf_counter()


def parsed_batches(items: Path) -> Iterator[list[dict[str, Any]]]:
    """Parse the items of a file in batches."""
    with items.open() as lines:
        while batch := [json.loads(line) for line in islice(lines, BATCH_ITEMS)]:
            yield batch


def json_load(items: Path, folder: Path, clock: Clock) -> None:
    """Parse one file of all items with json."""
    path = folder / "items.json"
    with items.open() as lines, path.open("w") as out:
        out.write('{"type": "FeatureCollection", "features": [')
        out.writelines(line if number == 0 else f",{line}" for number, line in enumerate(lines))
        out.write("]}")
    with path.open() as stream, clock:
        json.load(stream)


def json_loads(items: Path, _folder: Path, clock: Clock) -> None:
    """Parse the items one by one with json, and drop them."""
    with items.open() as lines, clock:
        for line in lines:
            json.loads(line)


def orjson_loads(items: Path, _folder: Path, clock: Clock) -> None:
    """Parse the items one by one with orjson, and drop them."""
    import orjson

    with items.open("rb") as lines, clock:
        for line in lines:
            orjson.loads(line)


def from_parsed(items: Path, folder: Path, clock: Clock) -> None:
    """Chiplake: from parsed JSON to committed rows in a new lake."""
    from ingestion.item.normalise import normalise
    from ingestion.model import Origin, Received, StacItemRow
    from ingestion.store.items import ItemWriter
    from lakehouse.catalog import ensure_sources
    from lakehouse.settings import Settings

    origin = Origin("https://earth-search.aws.element84.com/v1")
    with clock:
        writer = ItemWriter(ensure_sources(Settings().replace(home=folder / "lake")), datetime.now(UTC))
    for batch in parsed_batches(items):
        with clock:
            rows = [row for item in batch if isinstance(row := normalise(Received(item, None, origin)), StacItemRow)]
            written = len(writer.write_rows(rows).write)
        if written != len(batch):
            raise SystemExit(f"{written} of {len(batch)} items were written")


def from_file(items: Path, folder: Path, clock: Clock) -> None:
    """Chiplake: from a file of newline-delimited JSON to committed rows in a new lake."""
    from ingestion import IngestRequest, ingest
    from lakehouse.settings import Settings

    with clock:
        ingest(IngestRequest(items=items), Settings().replace(home=folder / "lake"))


def again(items: Path, folder: Path, clock: Clock) -> None:
    """Chiplake: ingest a file for the second time, when no item is new."""
    from ingestion import IngestRequest, ingest
    from lakehouse.settings import Settings

    request, settings = IngestRequest(items=items), Settings().replace(home=folder / "lake")
    ingest(request, settings)
    with clock:
        summary = ingest(request, settings)
    if summary.written:
        raise SystemExit(f"{summary.written} items were written twice")


def rustac_arrow(items: Path, _folder: Path, clock: Clock) -> None:
    """rustac: from parsed JSON to Arrow."""
    import rustac

    for batch in parsed_batches(items):
        with clock:
            rustac.to_arrow(batch)


def rustac_parquet(items: Path, folder: Path, clock: Clock) -> None:
    """rustac: from parsed JSON to a stac-geoparquet file a batch."""
    import rustac

    for number, batch in enumerate(parsed_batches(items)):
        with clock:
            rustac.write_sync(str(folder / f"{number}.parquet"), batch)


def stac_geoparquet_arrow(items: Path, _folder: Path, clock: Clock) -> None:
    """stac-geoparquet: from parsed JSON to Arrow."""
    from stac_geoparquet.arrow import parse_stac_items_to_arrow

    for batch in parsed_batches(items):
        with clock:
            parse_stac_items_to_arrow(batch).read_all()


def pystac_objects(items: Path, _folder: Path, clock: Clock) -> None:
    """pystac: from parsed JSON to objects."""
    import pystac

    for batch in parsed_batches(items):
        with clock:
            for item in batch:
                pystac.Item.from_dict(item)


Stage = Callable[[Path, Path, Clock], None]  # (file of items, empty folder, clock)
STAGES: Final[dict[str, tuple[str, Stage]]] = {
    "json_load": ("json.load of all", json_load),
    "json_loads": ("json.loads one by one", json_loads),
    "orjson_loads": ("orjson.loads one by one", orjson_loads),
    "ours_parsed": ("ours: JSON to rows", from_parsed),
    "ours_file": ("ours: file to rows", from_file),
    "ours_again": ("ours: file again", again),
    "rustac_arrow": ("rustac: JSON to Arrow", rustac_arrow),
    "rustac_parquet": ("rustac: JSON to Parquet", rustac_parquet),
    "stac_geoparquet": ("stac-geoparquet: to Arrow", stac_geoparquet_arrow),
    "pystac": ("pystac: JSON to objects", pystac_objects),
}
