"""Made the lake of release 0.1.0 that is kept beside this file. It runs at tag v0.1.0 alone, in a set up checkout.

    python tests/releases/0.1.0/make.py

It writes scenes and a lake under /var/tmp/chiplake-release-0.1.0, and then lake.tar.xz, items.json, items-next.json
and expected.json in this folder. It stays here to say how they were made.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyiceberg.catalog import Catalog

from chiplake.bands import CHIP_SIZE_M, SCL
from chiplake.demo import landscape, scenes
from chiplake.demo.scenes import ArchiveSpec, Overpass, SwathEdge, TileWindow
from chiplake.lake import open_catalog
from chiplake.settings import PROJECT_DIR, Settings

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from lake_tables import KEYS, rows_of, table_names  # noqa: E402

# The metadata of Iceberg holds absolute paths, and so do items and chips: the lake can be read at this path alone.
ROOT: Final = Path("/var/tmp/chiplake-release-0.1.0")
HOME: Final = ROOT / "lake"
SCENES: Final = ROOT / "scenes"
MARKER: Final = ROOT / "is-a-chiplake-release-fixture"
API_PORT: Final = 8765
BIN: Final = Path(sys.executable).parent

# Three cells in a row. 33TWL holds the first two whole and a strip of the third; 33TXL holds the third whole and most
# of the second.
FIRST_COL, ROW = 233, 1980
WEST, SOUTH = FIRST_COL * CHIP_SIZE_M, ROW * CHIP_SIZE_M
NORTH, EAST = SOUTH + CHIP_SIZE_M, WEST + 3 * CHIP_SIZE_M
NEXT_DAY: Final = date(2023, 9, 4)  # its scenes are in the archive, not in the lake
UNREADABLE: Final = "S2A_33TXL_20230825_0_L2A"  # half of its swir22 is missing
OVERRIDDEN: Final = "S2B_33TWL_20230810_0_L2A"  # the item says wrongly that the offset is applied
REVISED: Final = "S2A_33TWL_20230815_0_L2A"  # published a second time with another cloud cover

SPEC: Final = ArchiveSpec(
    windows=(
        TileWindow("33TWL", 499_980, 5_100_000, west=WEST, north=NORTH, width=602_400 - WEST, height=CHIP_SIZE_M),
        TileWindow("33TXL", 600_000, 5_100_000, west=600_000, north=NORTH, width=EAST - 600_000, height=CHIP_SIZE_M),
    ),
    passes=(
        Overpass(date(2023, 8, 5), "A", 0),
        Overpass(date(2023, 8, 10), "B", 0, offset_pending=("33TWL",)),
        Overpass(date(2023, 8, 15), "A", 0, offset_pending=("33TXL",)),
        Overpass(date(2023, 8, 20), "B", 0, swath_edge=SwathEdge(603_300)),
        Overpass(date(2023, 8, 25), "A", 0),
        Overpass(date(2023, 8, 30), "B", 0),
        Overpass(NEXT_DAY, "A", 0),
    ),
    flooded_cell=None,
    block_size=256,
)
FLOOD_FROM: Final = date(2023, 8, 30)  # in the second cell


@dataclass(frozen=True)
class Cloud:
    """A disc; metres from the archive's south-west corner."""

    east: int
    north: int
    radius: int
    opacity: float = 0.9  # 0.1: thin cirrus


CLOUDS: Final = {
    date(2023, 8, 5): [Cloud(6900, 2100, 180)],
    date(2023, 8, 10): [Cloud(900, 1400, 720)],
    date(2023, 8, 15): [Cloud(3900, 1300, 1180), Cloud(6500, 600, 500, 0.1)],
    date(2023, 8, 20): [],
    date(2023, 8, 25): [Cloud(1700, 700, 400)],
    date(2023, 8, 30): [Cloud(1000, 1900, 450)],
    NEXT_DAY: [Cloud(6300, 1500, 560)],
}


def main() -> None:
    """Make everything."""
    if ROOT.exists() and not MARKER.exists():
        raise SystemExit(f"{ROOT} is something else")
    shutil.rmtree(ROOT, ignore_errors=True)
    SCENES.mkdir(parents=True)
    MARKER.write_text("tests/releases/0.1.0 of Chiplake; this folder can be deleted\n")
    items = write_scenes()
    now = [item for item in items if not is_next(item)]
    write_items(SCENES / "items.json", [*now, unusable_item(now[0])])
    write_items(SCENES / "items-first.json", [first_version(item) for item in now if day_of(item) <= date(2023, 8, 20)])
    write_items(SCENES / "items-next.json", [item for item in items if is_next(item)])
    (SCENES / "boa_offsets.csv").write_text(
        "collection,item_id,start_date,end_date,boa_offset,note\n"
        f"{scenes.COLLECTION},{OVERRIDDEN},,,-1000,the pixels still have the offset\n"
    )

    chiplake("ingest", "--items", str(SCENES / "items-first.json"))
    with stac_api([level_1c_item(now[0])]) as url:
        chiplake("ingest", "--api", url, "--start-date", "2023-08-01", "--end-date", "2023-08-20", "--max-cloud", "80")
    chiplake("run", "nightly")
    chiplake("ingest", "--items", str(SCENES / "items.json"))
    chiplake("run", "nightly", exit_code=3)  # a chip cannot be read
    chiplake("boa-offsets", str(SCENES / "boa_offsets.csv"))
    chiplake("run", "nightly", exit_code=3)

    keep()


def keep() -> None:
    """Write the lake that is there, and what is in it, to this folder."""
    (HERE / "expected.json").write_text(json.dumps(describe(), indent=1, ensure_ascii=False) + "\n")
    for name in ("items.json", "items-next.json"):
        shutil.copyfile(SCENES / name, HERE / name)
    pack()


def write_scenes() -> list[dict[str, Any]]:
    """Write all rasters; return all items."""
    fine = make_ground()
    ground = {10: fine, 20: landscape.coarsen(fine)}
    grid = SPEC.grid.coarsened()
    items = []
    for number, overpass in enumerate(SPEC.passes):
        sky = make_sky(grid, CLOUDS[overpass.day])
        is_flooded = overpass.day >= FLOOD_FROM
        scl = landscape.classify(ground[20], sky, is_flooded)
        if overpass.swath_edge is not None:
            scl[scenes._beyond(overpass.swath_edge, SPEC, grid)] = landscape.SCL_NODATA
        colours = landscape.palette(5 * number, 1 + 0.008 * float(np.sin(1.7 * number)))
        view = scenes._View(ground, sky, scl, colours, is_flooded)
        images = {band: scenes._image(view, band) for band in SPEC.bands} | {SCL: scl}
        for place, window in enumerate(SPEC.windows):
            scene, item = scenes._write_scene(SPEC, overpass, place, window, images, SCENES)
            scene.item_path.unlink()
            item = scenes._with_absolute_hrefs(item, scene.item_path.parent)
            item["properties"]["description"] = "Synthetic scene of a test fixture: no satellite saw this."
            if scene.item_id == OVERRIDDEN:
                item["properties"]["earthsearch:boa_offset_applied"] = True
            if scene.item_id == REVISED:
                item["properties"]["updated"] = "2023-08-16T18:18:57.000Z"
            if scene.item_id == UNREADABLE:
                raster = scene.rasters["swir22"]
                shutil.copyfile(raster, raster.with_name("B12-whole.tif"))
                raster.write_bytes(raster.read_bytes()[: raster.stat().st_size // 2])
            items.append(item)
    return items


def make_ground() -> landscape.Ground:
    """Fields of one colour each, with a gentle gradient and little noise: it compresses well."""
    grid = SPEC.grid
    word = landscape.hashed(11, np.floor(grid.northings / 480), np.floor(grid.eastings / 480))
    covers = np.array([landscape.MAIZE, landscape.SOY, landscape.MEADOW, landscape.SOIL, landscape.CONIFER], np.uint8)
    index = covers[word % np.uint32(covers.size)] * np.uint8(landscape.VARIANTS)
    index += (word // np.uint32(64) % np.uint32(landscape.VARIANTS)).astype(np.uint8)
    gradient = np.floor((grid.eastings - WEST) / 160) / 16 % 1 * 0.04 + np.zeros_like(grid.northings)
    texture = 1 + gradient + 0.05 * landscape._grain(grid, 12, 20, 0.01)
    east, north = grid.eastings - WEST - CHIP_SIZE_M, grid.northings - SOUTH
    flood = (east > 200) & (east < 2360) & (north > 160) & (north < 2400)
    return landscape.Ground(index.astype(np.uint8), texture.astype(np.float32), flood)


def make_sky(grid: landscape.Grid, clouds: list[Cloud]) -> landscape.Sky:
    """Even discs, each with an even shadow north-west of it."""
    opacity, shadow = (np.zeros((grid.rows, grid.cols), np.float32) for _ in range(2))
    east, north = grid.eastings - WEST, grid.northings - SOUTH
    for cloud in clouds:
        opacity[np.hypot(east - cloud.east, north - cloud.north) < cloud.radius] = cloud.opacity
        if cloud.opacity > 0.5:
            shadow[np.hypot(east - cloud.east + 300, north - cloud.north - 300) < cloud.radius / 2] = 0.75
    return landscape.Sky(opacity, np.full_like(opacity, 6500), shadow, np.zeros_like(opacity))


def day_of(item: Mapping[str, Any]) -> date:
    """Day of acquisition."""
    return date.fromisoformat(item["properties"]["datetime"][:10])


def is_next(item: Mapping[str, Any]) -> bool:
    """Whether the item is not for the lake of this release."""
    return day_of(item) == NEXT_DAY


def first_version(item: dict[str, Any]) -> dict[str, Any]:
    """The item as it was published first."""
    if item["id"] != REVISED:
        return item
    earlier = {"updated": item["properties"]["created"], "eo:cloud_cover": 1.5}
    return item | {"properties": item["properties"] | earlier}


def unusable_item(item: dict[str, Any]) -> dict[str, Any]:
    """An item without its scene classification."""
    assets = {name: asset for name, asset in item["assets"].items() if name != SCL}
    return item | {"id": item["id"].replace("_0_L2A", "_1_L2A"), "assets": assets}


def level_1c_item(item: dict[str, Any]) -> dict[str, Any]:
    """An item of a level that cannot be used, as an API could give it."""
    properties = item["properties"] | {"s2:product_type": "S2MSI1C"}
    properties["s2:product_uri"] = properties["s2:product_uri"].replace("MSIL2A", "MSIL1C")
    return item | {"id": item["id"].replace("_L2A", "_L1C"), "properties": properties, "assets": {}}


def write_items(path: Path, items: list[dict[str, Any]]) -> None:
    """Write an ItemCollection, an item a line."""
    lines = ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)
    path.write_text(f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n')


@contextmanager
def stac_api(items: list[dict[str, Any]]) -> Iterator[str]:
    """A STAC API on loopback that answers each search with these items."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            search = {"rel": "search", "href": f"{url}search", "type": "application/geo+json", "method": "POST"}
            conforms = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
            root = {"type": "Catalog", "id": "release", "stac_version": "1.0.0", "description": "release"}
            self._answer(root | {"links": [search], "conformsTo": conforms})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer({"type": "FeatureCollection", "features": items, "links": []})

        def _answer(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/geo+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    url = f"http://127.0.0.1:{API_PORT}/"
    with HTTPServer(("127.0.0.1", API_PORT), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield url
        finally:
            server.shutdown()
            thread.join()


def chiplake(*arguments: str, exit_code: int = 0) -> None:
    """Run a command of the release on the lake, with the defaults of all settings that decide about rows."""
    print("chiplake", *arguments, flush=True)
    kept = ("CHIPLAKE_JARS_DIR", "CHIPLAKE_SPARK_MASTER", "CHIPLAKE_SPARK_DRIVER_MEMORY")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHIPLAKE_")}
    environment |= {name: os.environ[name] for name in kept if name in os.environ}
    # Spark writes the user's name to the properties of each table that it makes.
    environment |= {"CHIPLAKE_HOME": str(HOME), "SPARK_USER": "chiplake", "HADOOP_USER_NAME": "chiplake"}
    done = subprocess.run([BIN / "chiplake", *arguments], cwd=PROJECT_DIR, env=environment)
    if done.returncode != exit_code:
        raise SystemExit(f"exit code {done.returncode} instead of {exit_code}")


def describe() -> dict[str, Any]:
    """What a later release must find."""
    with closing(open_catalog(Settings(home=HOME))) as catalog:
        return {"release": "0.1.0", "root": str(ROOT), "tables": describe_tables(catalog)}


def describe_tables(catalog: Catalog) -> dict[str, Any]:
    """Columns, snapshots and rows of all tables."""
    if set(table_names(catalog)) != set(KEYS):
        raise SystemExit(f"other tables than expected: {table_names(catalog)}")
    tables = {}
    for name, key in KEYS.items():
        table = catalog.load_table(name)
        rows = rows_of(table, key)
        if not rows:
            raise SystemExit(f"{name} has no row")
        tables[name] = {
            "key": key,
            "columns": {field.name: str(field.field_type).partition("<")[0] for field in table.schema().fields},
            "snapshots": len(table.snapshots()),
            "row_count": len(rows),
            "rows": rows,
        }
    return tables


def pack() -> None:
    """Write the archive: sorted names, no owner, one time."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        return member.replace(mtime=1_700_000_000, mode=0o644, uid=0, gid=0, uname="", gname="", deep=False)

    with closing(sqlite3.connect(HOME / "catalog.db")) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    paths = [MARKER, *ROOT.glob("lake/**/*"), *ROOT.glob("scenes/**/*")]
    left_out = ("server.log", "catalog.db-wal", "catalog.db-shm")  # process ids; empty after the checkpoint
    with lzma.open(HERE / "lake.tar.xz", "wb", preset=9) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(path for path in paths if path.is_file() and path.name not in left_out):
            archive.add(path, path.relative_to(ROOT.parent), recursive=False, filter=anonymous)


if __name__ == "__main__":
    main()
