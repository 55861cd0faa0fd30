"""Ingest against json.load, rustac, stac-geoparquet and pystac: the same items, one core, one run.

    python benchmarks/ingest.py [--items 10000] [--repeat 3]

Each stage runs in fresh processes that share one core; the best of the repeats counts. Rates are items per second of
CPU time, so that a busy machine changes them little, and ratios are to json.load. "JSON" is parsed JSON, in batches of
2,000 items; "rows" are rows committed to `raw.stac_items` in a new lake. The last line is JSON: items per second, the
ratios, and the peak memory of an ingest of all items and of a quarter of them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lakehouse.bands import BANDS

BATCH_ITEMS: Final = 2000
ITEMS_A_DAY: Final = 30  # of an area of some tiles, newest day first, as a search answers
LAST_DAY: Final = datetime(2024, 8, 31, 9, 58, 11, 662000, tzinfo=UTC)
TILES: Final = ("33TVL", "33TVM", "33TWL", "33TWM", "33TXL", "33TXM")
ONE_THREAD: Final = dict.fromkeys(
    ("RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_IO_THREADS"), "1"
)

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measure:
    """What one process measured of one stage."""

    items: int
    cpu_s: float
    wall_s: float
    peak_mib: float  # of the whole process

    @property
    def rate(self) -> float:
        """Items per second of CPU time."""
        return self.items / self.cpu_s


@dataclass(slots=True)
class Clock:
    """Time spent between start and stop, all threads of this process."""

    cpu_s: float = 0
    wall_s: float = 0

    def __enter__(self) -> Clock:
        self.cpu_s -= time.process_time()
        self.wall_s -= time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.cpu_s += time.process_time()
        self.wall_s += time.perf_counter()


# --- stages ---------------------------------------------------------------------------------------------------


def json_load(items: Path, folder: Path, clock: Clock) -> None:
    """Parse one file of all items."""
    path = folder / "items.json"
    with items.open() as lines, path.open("w") as out:
        out.write('{"type": "FeatureCollection", "features": [')
        out.writelines(line if number == 0 else f",{line}" for number, line in enumerate(lines))
        out.write("]}")
    with path.open() as stream, clock:
        json.load(stream)


def json_loads(items: Path, folder: Path, clock: Clock) -> None:
    """Parse the items one by one, and forget them."""
    with items.open() as lines, clock:
        for line in lines:
            json.loads(line)


def orjson_loads(items: Path, folder: Path, clock: Clock) -> None:
    """The same with orjson."""
    import orjson

    with items.open("rb") as lines, clock:
        for line in lines:
            orjson.loads(line)


def from_parsed(items: Path, folder: Path, clock: Clock) -> None:
    """Ours: from parsed JSON to committed rows in a new lake."""
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
    """Ours: from a file of newline-delimited JSON to committed rows in a new lake."""
    from ingestion import IngestRequest, ingest
    from lakehouse.settings import Settings

    with clock:
        ingest(IngestRequest(items=items), Settings().replace(home=folder / "lake"))


def again(items: Path, folder: Path, clock: Clock) -> None:
    """Ours: the same file once more, of which nothing is new."""
    from ingestion import IngestRequest, ingest
    from lakehouse.settings import Settings

    request, settings = IngestRequest(items=items), Settings().replace(home=folder / "lake")
    ingest(request, settings)
    with clock:
        summary = ingest(request, settings)
    if summary.written:
        raise SystemExit(f"{summary.written} items were written twice")


def rustac_arrow(items: Path, folder: Path, clock: Clock) -> None:
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


def stac_geoparquet_arrow(items: Path, folder: Path, clock: Clock) -> None:
    """stac-geoparquet: from parsed JSON to Arrow."""
    from stac_geoparquet.arrow import parse_stac_items_to_arrow

    for batch in parsed_batches(items):
        with clock:
            parse_stac_items_to_arrow(batch).read_all()


def pystac_objects(items: Path, folder: Path, clock: Clock) -> None:
    """pystac: from parsed JSON to objects."""
    import pystac

    for batch in parsed_batches(items):
        with clock:
            for item in batch:
                pystac.Item.from_dict(item)


Stage = Callable[[Path, Path, Clock], None]
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


def parsed_batches(items: Path) -> Iterator[list[Item]]:
    """The items of a file in batches, parsed."""
    with items.open() as lines:
        while batch := [json.loads(line) for line in islice(lines, BATCH_ITEMS)]:
            yield batch


# --- items ----------------------------------------------------------------------------------------------------


def make_item(number: int) -> Item:
    """An item of some 16 kB as Earth Search serves it."""
    chance = random.Random(number)  # noqa: S311
    tile = TILES[number % len(TILES)]
    time = LAST_DAY - timedelta(days=number // ITEMS_A_DAY)
    day, name = f"{time:%Y%m%d}", f"S2A_{tile}_{time:%Y%m%d}_{number}_L2A"
    sensed, made = f"{day}T095031", f"{day}T155057"
    stamp = f"{time + timedelta(hours=11):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    place = f"{tile[:2]}/{tile[2]}/{tile[3:]}/{time.year}/{time.month}"
    west, south = (round(value + chance.uniform(0, 0.01), 6) for value in (15.0, 45.06))
    east, north = round(west + 1.39, 6), round(south + 0.99, 6)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    shares = ("water", "vegetation", "cloud_shadow", "snow_ice", "thin_cirrus", "unclassified", "not_vegetated")
    api = "https://earth-search.aws.element84.com/v1"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            f"https://stac-extensions.github.io/{extension}/schema.json"
            for extension in ("view/v1.0.0", "projection/v1.1.0", "grid/v1.1.0", "eo/v1.1.0", "raster/v1.1.0")
        ],
        "id": name,
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "created": stamp,
            "updated": stamp,
            "datetime": f"{time:%Y-%m-%dT%H:%M:%S.%f}Z",
            "platform": "sentinel-2a",
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "eo:cloud_cover": round(chance.uniform(0, 100), 6),
            "proj:epsg": 32633,
            "proj:centroid": {"lat": round((south + north) / 2, 5), "lon": round((west + east) / 2, 5)},
            "mgrs:utm_zone": 33,
            "mgrs:latitude_band": tile[2],
            "mgrs:grid_square": tile[3:],
            "grid:code": f"MGRS-{tile}",
            "view:sun_azimuth": chance.uniform(140, 170),
            "view:sun_elevation": chance.uniform(20, 60),
            "s2:sequence": "0",
            "s2:product_type": "S2MSI2A",
            "s2:processing_baseline": "05.09",
            "s2:product_uri": f"S2A_MSIL2A_{sensed}_N0509_R079_T{tile}_{made}.SAFE",
            "s2:tile_id": f"S2A_OPER_MSI_L2A_TL_2APS_{made}_A042547_T{tile}_N05.09",
            "s2:datatake_id": f"GS2A_{sensed}_042547_N05.09",
            "s2:datatake_type": "INS-NOBS",
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_2APS_{made}_S{day}T095630_N05.09",
            "s2:generation_time": f"{time:%Y-%m-%d}T15:50:57.000000Z",
            "s2:reflectance_conversion_factor": chance.uniform(0.96, 1.04),
            "s2:nodata_pixel_percentage": round(chance.uniform(0, 100), 6),
            **{f"s2:{share}_percentage": round(chance.uniform(0, 30), 6) for share in shares},
            "earthsearch:s3_path": f"s3://sentinel-cogs/sentinel-s2-l2a-cogs/{place}/{name}",
            "earthsearch:payload_id": f"roda-sentinel2/workflow-sentinel2-to-stac/{chance.getrandbits(128):032x}",
            "earthsearch:boa_offset_applied": False,
            "processing:software": {"sentinel2-to-stac": "0.1.1"},
        },
        "assets": _assets(f"{place}/{name}", f"{place}/{time.day}/0"),
        "links": [
            {"rel": "self", "type": "application/geo+json", "href": f"{api}/collections/sentinel-2-l2a/items/{name}"},
            {"rel": "parent", "type": "application/json", "href": f"{api}/collections/sentinel-2-l2a"},
            {"rel": "collection", "type": "application/json", "href": f"{api}/collections/sentinel-2-l2a"},
            {"rel": "root", "type": "application/json", "href": api},
        ],
    }


def _assets(cog_place: str, jp2_place: str) -> Item:
    """COG and JPEG 2000 of each band, and what comes with them."""
    cog, jp2 = "image/tiff; application=geotiff; profile=cloud-optimized", "image/jp2"
    bucket = f"https://sentinel-cogs.s3.us-west-2.amazonaws.com/sentinel-s2-l2a-cogs/{cog_place}"
    assets: Item = {}
    for band in BANDS:
        meaning = {"name": band.code, "common_name": band.name, "center_wavelength": band.wavelength}
        raster = {"nodata": 0, "data_type": "uint16", "spatial_resolution": band.gsd, "scale": 0.0001, "offset": -0.1}
        shared = {
            "title": f"{band.name} - {band.gsd}m",
            "eo:bands": [meaning | {"full_width_half_max": 0.038}],
            **_grid(band.gsd),
            "raster:bands": [raster],
            "roles": ["data", "reflectance"],
        }
        assets[band.name] = {"href": f"{bucket}/{band.code}.tif", "type": cog} | shared
        href = f"s3://sentinel-s2-l2a/tiles/{jp2_place}/R{band.gsd}m/{band.code}.jp2"
        assets[f"{band.name}-jp2"] = {"href": href, "type": jp2} | shared
    for name, gsd in (("scl", 20), ("aot", 20), ("wvp", 20), ("visual", 10)):
        raster = {"nodata": 0, "data_type": "uint8", "spatial_resolution": gsd}
        assets[name] = {
            "href": f"{bucket}/{name.upper()}.tif",
            "type": cog,
            "title": name,
            **_grid(gsd),
            "raster:bands": [raster],
            "roles": ["data"],
        }
    for name in ("granule_metadata", "tileinfo_metadata", "product_metadata"):
        assets[name] = {"href": f"{bucket}/{name}.xml", "type": "application/xml", "roles": ["metadata"]}
    assets["thumbnail"] = {"href": f"{bucket}/preview.jpg", "type": "image/jpeg", "roles": ["thumbnail"]}
    return assets


def _grid(gsd: int) -> Item:
    size = 109_800 // gsd
    return {"gsd": gsd, "proj:shape": [size, size], "proj:transform": [gsd, 0, 499980, 0, -gsd, 5100000]}


# --- running --------------------------------------------------------------------------------------------------


def measure(stage: str, items: Path) -> Measure:
    """Run one stage in a process of its own."""
    command = [sys.executable, __file__, "--stage", stage, "--file", str(items)]
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Measure(**json.loads(done.stdout.splitlines()[-1]))


def run_stage(stage: str, items: Path) -> None:
    """What such a process does: the last line that it prints is its measure."""
    with items.open() as lines:
        count = sum(1 for _ in lines)
    clock = Clock()
    with tempfile.TemporaryDirectory(dir=items.parent) as folder:
        STAGES[stage][1](items, Path(folder), clock)
    # What starts these processes must stay small: on Linux they inherit its peak.
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(asdict(Measure(count, clock.cpu_s, clock.wall_s, peak_mib))))


def write_items(path: Path, count: int) -> Path:
    """Newline-delimited JSON."""
    with path.open("w") as lines:
        lines.writelines(json.dumps(make_item(number)) + "\n" for number in range(count))
    return path


def results_table(best: dict[str, Measure], bytes_each: float) -> Table:
    """A line a stage."""
    floor = best["json_load"].rate
    table = Table(title=f"{best['json_load'].items} items of {bytes_each / 1000:.1f} kB, one core")
    for name in ("", "items/s CPU", "items/s wall", "ratio", "peak MiB"):
        table.add_column(name, justify="right" if name else "left")
    for stage, one in best.items():
        ratio = one.rate / floor
        numbers = (f"{one.rate:,.0f}", f"{one.items / one.wall_s:,.0f}", f"{ratio:.2f}", f"{one.peak_mib:.0f}")
        table.add_row(STAGES[stage][0], *numbers)
    return table


def main(count: int, repeat: int) -> None:
    """Measure all stages and print the results."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    console = Console()
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as folder, Progress(console=console) as progress:
        items = write_items(Path(folder) / "items.ndjson", count)
        quarter = write_items(Path(folder) / "quarter.ndjson", max(1, count // 4))
        task = progress.add_task("Measuring", total=repeat * len(STAGES) + 1)
        best: dict[str, Measure] = {}
        for _ in range(repeat):  # in turns, so that a busy minute does not hit one stage alone
            for stage in STAGES:
                one = measure(stage, items)
                progress.advance(task)
                if stage not in best or one.rate > best[stage].rate:
                    best[stage] = one
        few = measure("ours_file", quarter)
        progress.advance(task)
        bytes_each = items.stat().st_size / count
    console.print(results_table(best, bytes_each))
    peak = best["ours_file"].peak_mib
    console.print(f"Peak memory of Chiplake: {peak:.0f} MiB for {count} items, {few.peak_mib:.0f} MiB for {few.items}")
    result = {
        "benchmark": "ingest",
        "items": count,
        "item_bytes": round(bytes_each),
        "items_per_s": {stage: round(one.rate) for stage, one in best.items()},
        "ratio_to_json_load": {stage: round(one.rate / best["json_load"].rate, 3) for stage, one in best.items()},
        "ratio_to_rustac": round(best["ours_parsed"].rate / best["rustac_arrow"].rate, 3),
        "peak_mib": round(peak),
        "peak_mib_of_a_quarter": round(few.peak_mib),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure ingest against json.load, rustac, stac-geoparquet, pystac.")
    parser.add_argument("--items", type=int, default=10_000, help="how many")
    parser.add_argument("--repeat", type=int, default=3, help="processes a stage; the best counts")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        run_stage(arguments.stage, arguments.file)
    else:
        main(arguments.items, arguments.repeat)
