"""Cutting and filling chips, compared with GDAL and numpy on the same pixels and cores.

    python benchmarks/chips.py [--dates 4] [--size-m 109800] [--folder FOLDER]

Scenes: one tile, ten bands and SCL, DEFLATE COGs of 1024 px blocks, two thirds of the bytes of their pixels. Floors:

- decoding: GDAL reads the same whole files, one process a core;
- one open a chip: the files are opened again for each chip and band, as stacchip does, one process a core;
- folding: numpy fills and packs the same chips, whose frames are in memory, one process a core.

The ceiling of cutting is decoding, packing and one write of the same bytes: less work cannot make chips.

Chiplake's seconds are those of the models' statements, committed to Iceberg, in a Spark session that has cut and filled
one date before, so that its code is compiled. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, Final

from harness.floors import decode_pack_and_write, fold_cell, open_for_chip, read_whole, timed
from harness.lakes import ingest_items, run_models, use_lake, watched
from harness.processes import Result, in_process, range_server
from harness.scenes import LAYERS, TILE_NORTH, TILE_WEST, Extent, write_dates, write_items, write_looks
from harness.timing import wall_s
from rich.console import Console
from rich.table import Table

from lakehouse.bands import CHIP_SIZE_M

CHIPS_MODELS: Final = ("dim_grid_cells", "int_chip_inputs", "fct_chips")  # from int_scene_cells to fct_chips
FILL_MODELS: Final = ("int_fill_inputs", "fct_filled_chips")
SAMPLE_CHIPS: Final = 160  # chips of the floor that opens files one by one
SAMPLE_CELLS: Final = 120  # cells of the floor that folds with numpy


def rasters_of(items: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the paths of the layers of each item."""
    return [{layer: item["assets"][layer]["href"] for layer in LAYERS} for item in items]


def whole_cells(extent: Extent) -> list[tuple[int, int]]:
    """Return column and row of the cells that lie whole in the scenes."""
    cols = range(-(-TILE_WEST // CHIP_SIZE_M), (TILE_WEST + extent.size_m) // CHIP_SIZE_M)
    rows = range(-(-(TILE_NORTH - extent.size_m) // CHIP_SIZE_M), TILE_NORTH // CHIP_SIZE_M)
    return [(col, row) for row in rows for col in cols]


def measure_floors(items: list[dict[str, Any]], extent: Extent, cores: int) -> Result:
    """Measure the seconds of decoding all layers, also with packing and one write, and chips a second one by one."""
    layers = sorted((path for one in rasters_of(items) for path in one.values()), key=os.path.getsize, reverse=True)
    decode_s = timed(read_whole, layers, cores)
    with tempfile.TemporaryDirectory(dir=Path(layers[0]).parent) as written:
        tasks = [(path, f"{written}/{number}") for number, path in enumerate(layers)]
        ceiling_s = timed(decode_pack_and_write, tasks, cores)
    chance = random.Random(0)  # noqa: S311
    cells = whole_cells(extent)
    picked = sorted(chance.sample(cells, min(SAMPLE_CHIPS, len(cells))), key=lambda cell: (-cell[1], cell[0]))
    opened_s = timed(open_for_chip, [(rasters_of(items)[0], *cell) for cell in picked], cores)
    return {"decode_s": decode_s, "ceiling_s": ceiling_s, "open_per_chip_per_s": len(picked) / opened_s}


def stage_lake(folder: Path, cores: int) -> Result:
    """Cut and fill all dates at once, after a first date; run again with nothing new; fold a sample with numpy."""
    use_lake(folder / "lake", cores)
    # As the floor; benchmarks/filling.py has the cost of both.
    os.environ |= {"CHIPLAKE_FILL_ADJUST": "none", "CHIPLAKE_FILL_SUSPECTS": "none"}
    ingest_items(folder / "items-first.json")
    run_models("+fct_filled_chips")
    before = count_chips()
    ingest_items(folder / "items.json")
    with watched() as peaks:
        run_models("+int_scene_cells", "int_datatakes")
        chips_s = sum(run_models(*CHIPS_MODELS).values())
        fill_s = sum(run_models(*FILL_MODELS).values())
    again_s = wall_s(lambda: run_models("+fct_filled_chips"))
    cells = sample_cells(SAMPLE_CELLS)
    folded_s = timed(fold_cell, cells, cores)
    return {
        "chips": count_chips() - before,
        "chips_s": chips_s,
        "fill_s": fill_s,
        "again_s": again_s,
        "fold_per_s": sum(map(len, cells)) / folded_s,
        "peak_mib": peaks.mib,
    }


def count_chips() -> int:
    """Count the chips in the lake; exit if a chip has failed."""
    from lakehouse.settings import get_settings
    from python_udfs.session import get_spark

    chips = get_settings().lake.table("fct_chips")
    found = get_spark().sql(f"select count(*), count(error) from {chips}").head()  # noqa: S608
    if found is None or found[1]:
        raise SystemExit("chips failed: see column error of fct_chips")
    return int(found[0])


def sample_cells(count: int) -> list[list[dict[str, bytes]]]:
    """Read the frames of some cells' chips, oldest first."""
    from lakehouse.settings import get_settings
    from python_udfs.session import get_spark

    lake, layers = get_settings().lake, [*get_settings().cutting.bands, "scl"]
    rows = get_spark().sql(
        f"select cell_id, {', '.join(layers)} from {lake.table('fct_chips')} where cell_id in "  # noqa: S608
        f"(select cell_id from {lake.table('dim_grid_cells')} order by cell_id limit {count}) "
        "order by cell_id, acquired_at"
    )
    cells: dict[str, list[dict[str, bytes]]] = {}
    for row in rows.toLocalIterator():
        cells.setdefault(row.cell_id, []).append({layer: bytes(row[layer]) for layer in layers})
    return list(cells.values())


def stage_http(folder: Path, cores: int) -> Result:
    """Cut one date whose rasters are on a server."""
    use_lake(folder / "lake-http", cores)
    ingest_items(folder / "items-http.json")
    run_models("+int_scene_cells", "int_datatakes")
    chips_s = sum(run_models(*CHIPS_MODELS).values())
    return {"chips": count_chips(), "chips_s": chips_s}


def over_http(folder: Path, items: list[dict[str, Any]], cores: int, latency_ms: float) -> Result:
    """Cut the first date over HTTP, and count the requests."""
    with range_server(folder, latency_ms) as address:
        text = json.dumps(items[0]).replace(f'"{folder}/', f'"{address}/')
        write_items(folder / "items-http.json", [json.loads(text)])
        result = in_process(__file__, "http", folder, cores)
        with urllib.request.urlopen(f"{address}/-/requests") as answer:  # noqa: S310
            return result | {"requests": json.loads(answer.read())["requests"]}


def main(folder: Path, extent: Extent, dates: int, latency_ms: float) -> Result:
    """Measure everything and print it."""
    console, cores = Console(), len(os.sched_getaffinity(0))
    console.print("Writing scenes…")
    first, *items = write_dates(folder, extent, write_looks(folder, extent, 2, cores), range(1 + dates))
    write_items(folder / "items-first.json", [first])
    write_items(folder / "items.json", items)
    console.print("Floors…")
    floors = measure_floors(items, extent, cores)
    console.print("Chips and filling…")
    lake = in_process(__file__, "lake", folder, cores)
    console.print("Over HTTP…")
    http = over_http(folder, items, cores, latency_ms)

    chips = lake["chips"]
    per_s = {
        "decode_floor": chips / floors["decode_s"],
        "ceiling": chips / floors["ceiling_s"],
        "chips": chips / lake["chips_s"],
        "open_per_chip": floors["open_per_chip_per_s"],
        "fold_floor": lake["fold_per_s"],
        "fill": chips / lake["fill_s"],
        "chips_over_http": http["chips"] / http["chips_s"],
    }
    result = {
        "benchmark": "chips",
        "cores": cores,
        "chips": chips,
        "dates": dates,
        "chips_per_s": {name: round(rate, 1) for name, rate in per_s.items()},
        "cut_vs_floor": round(per_s["chips"] / per_s["decode_floor"], 3),
        "cut_vs_ceiling": round(per_s["chips"] / per_s["ceiling"], 3),
        "cut_vs_open_per_chip": round(per_s["chips"] / per_s["open_per_chip"], 1),
        "fill_vs_floor": round(per_s["fill"] / per_s["fold_floor"], 3),
        "requests_per_chip": round(http["requests"] / http["chips"], 3),
        "nothing_new_s": round(lake["again_s"], 1),
        "peak_mib": {kind: round(mib) for kind, mib in lake["peak_mib"].items()},
    }
    table = Table(title=f"{chips} chips of {dates} dates, {cores} cores")
    table.add_column("")
    table.add_column("chips/s", justify="right")
    for name, rate in per_s.items():
        table.add_row(name.replace("_", " "), f"{rate:,.0f}")
    console.print(table)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure cutting and filling of chips.")
    parser.add_argument("--dates", type=int, default=4, help="dates cut and filled at once")
    parser.add_argument("--size-m", type=int, default=Extent().size_m, help="side of the part of the tile")
    parser.add_argument("--latency-ms", type=float, default=20, help="latency of each answer over HTTP")
    parser.add_argument("--folder", type=Path, help="folder for scenes and lakes, which then stay")
    parser.add_argument("--cores", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--stage", choices=("lake", "http"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        print(json.dumps({"lake": stage_lake, "http": stage_http}[given.stage](given.folder, given.cores)))
    else:
        with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as temporary:
            where = (given.folder or Path(temporary)).resolve()
            where.mkdir(parents=True, exist_ok=True)
            print(json.dumps(main(where, Extent(given.size_m), given.dates, given.latency_ms)))
