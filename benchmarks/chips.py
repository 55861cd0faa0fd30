"""Cutting and filling chips, against what GDAL and numpy take for the same pixels on the same cores.

    python benchmarks/chips.py [--dates 4] [--size-m 109800] [--history 2 8 32] [--folder FOLDER]

Scenes: one tile, ten bands and SCL, DEFLATE COGs of 1024 px blocks, two thirds of the bytes of their pixels. Floors:

- decoding: GDAL reads the same files whole, one process a core;
- an open a chip: the files are opened anew for each chip and band, as stacchip does, one process a core;
- folding: the same chips, frames in memory, filled with numpy and packed again, one process a core.

Ours are the seconds of the models' statements, committed to Iceberg, in a Spark session that has cut and filled one
date before, so that its code is compiled. A night is `dbt run -s +fct_filled_chips` as a whole. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from harness.lakes import ingest_items, run_models, use_lake, watched
from harness.scenes import LAYERS, TILE_NORTH, TILE_WEST, Extent, gsd_of, write_dates, write_items, write_looks
from harness.timing import wall_s
from numcodecs import blosc
from rasterio.windows import Window
from rich.console import Console
from rich.table import Table

from lakehouse.bands import CHIP_SIZE_M
from python_udfs.codec import encode_array

CHIPS_MODELS: Final = ("dim_grid_cells", "int_chip_inputs", "fct_chips")  # from int_scene_cells to fct_chips
FILL_MODELS: Final = ("int_fill_inputs", "fct_filled_chips")
SAMPLE_CHIPS: Final = 160  # of those opened one by one
SAMPLE_CELLS: Final = 120  # of those folded by numpy
NIGHTS: Final = 2  # measured after each length of history; the faster counts
VALID: Final = (2, 4, 5, 6, 7, 11)

Result = dict[str, Any]


# --- floors -----------------------------------------------------------------------------------------------------


def read_whole(path: str) -> int:
    """Decode a raster and forget it."""
    with rasterio.open(path) as dataset:
        return int(dataset.read(1).size)


def open_for_chip(chip: tuple[dict[str, str], int, int]) -> None:
    """Open every layer for one chip and read its window."""
    rasters, col, row = chip
    for layer, path in rasters.items():
        gsd = gsd_of(layer)
        side = CHIP_SIZE_M // gsd
        with rasterio.open(path) as dataset:
            left, top = (col * CHIP_SIZE_M - TILE_WEST) // gsd, (TILE_NORTH - (row + 1) * CHIP_SIZE_M) // gsd
            dataset.read(1, window=Window(left, top, side, side))


def fold_cell(chips: list[dict[str, bytes]]) -> None:
    """Fill a cell's chips, oldest first, each missing pixel from the newest earlier one; numpy and Blosc alone."""
    seen: dict[str, np.ndarray[Any, Any]] = {}
    source = np.full((256, 256), -1, np.int32)
    for number, frames in enumerate(chips):
        now = {
            name: np.frombuffer(blosc.decompress(frame), np.uint8 if name == "scl" else "<u2")
            for name, frame in frames.items()
        }
        now = {name: pixels.reshape(2 * (round(pixels.size**0.5),)) for name, pixels in now.items()}
        valid = np.isin(now["scl"], VALID)
        for name, pixels in now.items():
            if name != "scl" and pixels.shape == valid.shape:
                valid &= pixels != 0
        fine = valid.repeat(2, 0).repeat(2, 1)
        for pixels in now.values():
            if pixels.shape == fine.shape:
                fine &= pixels != 0
        coarse = fine.reshape(128, 2, 128, 2).any(axis=(1, 3))
        for name, pixels in now.items():
            seen[name] = np.where(fine if pixels.shape == fine.shape else coarse, pixels, seen.get(name, 0))
        source[fine] = number
        packed = [seen[name].astype(now[name].dtype) for name in now] + [(number - source).astype(np.uint8)]
        for pixels in packed:
            encode_array(pixels)


def timed(work: Callable[[Any], Any], tasks: list[Any], cores: int) -> float:
    """Seconds that tasks take, one process a core, the processes running already."""
    with multiprocessing.get_context("forkserver").Pool(cores) as pool:
        pool.map(abs, range(4 * cores), chunksize=1)
        start = time.perf_counter()
        for _ in pool.imap_unordered(work, tasks, chunksize=1):
            pass
        return time.perf_counter() - start


def rasters_of(items: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Paths of the layers of each item."""
    return [{layer: item["assets"][layer]["href"] for layer in LAYERS} for item in items]


def whole_cells(extent: Extent) -> list[tuple[int, int]]:
    """Column and row of the cells that lie whole in the scenes."""
    cols = range(-(-TILE_WEST // CHIP_SIZE_M), (TILE_WEST + extent.size_m) // CHIP_SIZE_M)
    rows = range(-(-(TILE_NORTH - extent.size_m) // CHIP_SIZE_M), TILE_NORTH // CHIP_SIZE_M)
    return [(col, row) for row in rows for col in cols]


def measure_floors(items: list[dict[str, Any]], extent: Extent, cores: int) -> Result:
    """Seconds of decoding all, and chips a second of opening one by one."""
    layers = sorted((path for one in rasters_of(items) for path in one.values()), key=os.path.getsize, reverse=True)
    decode_s = timed(read_whole, layers, cores)
    chance = random.Random(0)  # noqa: S311
    cells = whole_cells(extent)
    picked = sorted(chance.sample(cells, min(SAMPLE_CHIPS, len(cells))), key=lambda cell: (-cell[1], cell[0]))
    opened_s = timed(open_for_chip, [(rasters_of(items)[0], *cell) for cell in picked], cores)
    return {"decode_s": decode_s, "open_per_chip_per_s": len(picked) / opened_s}


# --- ours, each in a process of its own -------------------------------------------------------------------------


def stage_lake(folder: Path, cores: int) -> Result:
    """Cut and fill all dates at once, after a first one; then nothing new; then fold a sample with numpy."""
    use_lake(folder / "lake", cores)
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
    """Chips in the lake; none may have failed."""
    from python_udfs.session import get_spark

    found = get_spark().sql("select count(*), count(error) from chiplake.fct_chips").head()
    if found is None or found[1]:
        raise SystemExit("chips failed: see column error of fct_chips")
    return int(found[0])


def sample_cells(count: int) -> list[list[dict[str, bytes]]]:
    """The frames of some cells' chips, oldest first."""
    from lakehouse.settings import get_settings
    from python_udfs.session import get_spark

    layers = [*get_settings().cutting.bands, "scl"]
    rows = get_spark().sql(
        f"select cell_id, {', '.join(layers)} from chiplake.fct_chips where cell_id in "  # noqa: S608
        f"(select cell_id from chiplake.dim_grid_cells order by cell_id limit {count}) order by cell_id, acquired_at"
    )
    cells: dict[str, list[dict[str, bytes]]] = {}
    for row in rows.toLocalIterator():
        cells.setdefault(row.cell_id, []).append({layer: bytes(row[layer]) for layer in layers})
    return list(cells.values())


def stage_http(folder: Path, cores: int) -> Result:
    """Cut one date whose rasters lie on a server."""
    use_lake(folder / "lake-http", cores)
    ingest_items(folder / "items-http.json")
    run_models("+int_scene_cells", "int_datatakes")
    chips_s = sum(run_models(*CHIPS_MODELS).values())
    return {"chips": count_chips(), "chips_s": chips_s}


def stage_history(folder: Path, cores: int, lengths: list[int]) -> Result:
    """What a night with one new date takes after so many dates of history."""
    use_lake(folder / "lake-history", cores)
    items = json.loads((folder / "history" / "items.json").read_text())["features"]
    nights: Result = {}
    done = 0

    def bring(count: int) -> dict[str, float]:
        nonlocal done
        ingest_items(write_items(folder / "history" / "new.json", items[done : done + count]))
        done += count
        start = time.perf_counter()
        seconds = run_models("+fct_filled_chips")
        return seconds | {"night": time.perf_counter() - start}

    run_models("+fct_filled_chips")  # so that the first night measured finds all tables there
    for length in lengths:
        if length > done:
            bring(length - done)
        measured = [bring(1) for _ in range(NIGHTS)]
        nights[str(length)] = {
            name: round(min(one[name] for one in measured), 2) for name in ("night", "fct_chips", "fct_filled_chips")
        }
    return nights


# --- running ----------------------------------------------------------------------------------------------------


def in_process(stage: str, folder: Path, cores: int, *more: str) -> Result:
    """Run a stage in a process of its own; its last line is JSON."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, __file__, "--stage", stage, "--folder", str(folder), "--cores", str(cores), *more]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def range_server(folder: Path, latency_ms: float) -> Iterator[str]:
    """Address of a server of a folder's files, each answer late."""
    command = [sys.executable, str(Path(__file__).parent / "harness" / "range_server.py"), str(folder)]
    command += ["--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        process.terminate()


def over_http(folder: Path, items: list[dict[str, Any]], cores: int, latency_ms: float) -> Result:
    """Cut the first date over HTTP, and count the requests."""
    with range_server(folder, latency_ms) as address:
        text = json.dumps(items[0]).replace(f'"{folder}/', f'"{address}/')
        write_items(folder / "items-http.json", [json.loads(text)])
        result = in_process("http", folder, cores)
        with urllib.request.urlopen(f"{address}/-/requests") as answer:  # noqa: S310
            return result | {"requests": json.loads(answer.read())["requests"]}


def main(folder: Path, extent: Extent, dates: int, lengths: list[int], history_m: int, latency_ms: float) -> Result:
    """Measure everything and print it."""
    console, cores = Console(), len(os.sched_getaffinity(0))
    console.print("Writing scenes…")
    first, *items = write_dates(folder, extent, write_looks(folder, extent, 2, cores), range(1 + dates))
    write_items(folder / "items-first.json", [first])
    write_items(folder / "items.json", items)
    console.print("Floors…")
    floors = measure_floors(items, extent, cores)
    console.print("Chips and filling…")
    lake = in_process("lake", folder, cores)
    console.print("Over HTTP…")
    http = over_http(folder, items, cores, latency_ms)
    console.print("Nights after a history…")
    part, history = Extent(history_m), folder / "history"
    looks = write_looks(history, part, 2, cores)
    write_items(history / "items.json", write_dates(history, part, looks, range(max(lengths) + NIGHTS)))
    nights = in_process("history", folder, cores, "--history", *map(str, lengths))

    chips = lake["chips"]
    per_s = {
        "decode_floor": chips / floors["decode_s"],
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
        "ratio_to_decode": round(per_s["chips"] / per_s["decode_floor"], 3),
        "ratio_to_open_per_chip": round(per_s["chips"] / per_s["open_per_chip"], 1),
        "ratio_of_fill_to_fold": round(per_s["fill"] / per_s["fold_floor"], 3),
        "requests_per_chip": round(http["requests"] / http["chips"], 3),
        "nothing_new_s": round(lake["again_s"], 1),
        "peak_mib": {kind: round(mib) for kind, mib in lake["peak_mib"].items()},
        "nights_s": nights,
        "night_after_longest_to_shortest": round(
            nights[str(max(lengths))]["night"] / nights[str(min(lengths))]["night"], 3
        ),
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
    parser.add_argument("--history", type=int, nargs="+", default=[2, 8, 32], help="dates before a measured night")
    parser.add_argument("--history-size-m", type=int, default=40_960, help="side of the part of the tile of nights")
    parser.add_argument("--latency-ms", type=float, default=20, help="of each answer over HTTP")
    parser.add_argument("--folder", type=Path, help="where to put scenes and lakes, and leave them")
    parser.add_argument("--cores", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--stage", choices=("lake", "http", "history"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage == "history":
        print(json.dumps(stage_history(given.folder, given.cores, given.history)))
    elif given.stage:
        print(json.dumps({"lake": stage_lake, "http": stage_http}[given.stage](given.folder, given.cores)))
    else:
        with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as temporary:
            where = (given.folder or Path(temporary)).resolve()
            where.mkdir(parents=True, exist_ok=True)
            extents = Extent(given.size_m), given.history_size_m
            print(json.dumps(main(where, extents[0], given.dates, given.history, extents[1], given.latency_ms)))
