"""What a chip costs to keep: Blosc codecs and levels against raw Parquet and GeoTIFF, the same pixels, one core.

    python benchmarks/storage.py [--chips 64] [--layout-size-m 51200]

Chips of ten bands and SCL, of scenes made as for the benchmark of chips. Bytes are of the file or frame itself, times
are CPU seconds of this process, the best of three. Then `fct_chips` of two dates is written again, with other sizes of
row groups and other numbers of files, and read: one band of all chips, as for statistics, and of the chips of one cell,
as for a fill; seconds on all cores, reads the best of three. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from harness.lakes import MIB, ingest_items, run_models, use_lake
from harness.scenes import LAYERS, Extent, gsd_of, write_dates, write_items, write_looks
from harness.timing import wall_s
from numcodecs import blosc
from numpy.typing import NDArray
from pyspark.sql import functions as f
from rasterio.io import MemoryFile
from rich.console import Console
from rich.table import Table

from lakehouse.bands import CHIP_SIZE_M

REPEATS: Final = 3
CHIPS: Final = "chiplake.fct_chips"
LAYOUT: Final = "chiplake.fct_chips_layout"
LAYOUTS: Final = ((4, 1), (32, 1), (128, 1), (32, 4), (32, 16))  # MiB of row groups; tasks that write each partition

Chip = dict[str, NDArray[Any]]
Packed = list[bytes]


def make_chips(count: int) -> list[Chip]:
    """Cut chips side by side out of a small scene."""
    side = int(np.ceil(count**0.5))
    extent = Extent(side * CHIP_SIZE_M)
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as folder:
        (item,) = write_dates(Path(folder), extent, write_looks(Path(folder), extent, 1, 1), [0])
        layers = {}
        for layer in LAYERS:
            with rasterio.open(item["assets"][layer]["href"]) as dataset:
                layers[layer] = dataset.read(1)
    pixels = {layer: CHIP_SIZE_M // gsd_of(layer) for layer in LAYERS}

    def cut(layer: str, row: int, col: int) -> NDArray[Any]:
        n = pixels[layer]
        return np.ascontiguousarray(layers[layer][row * n : (row + 1) * n, col * n : (col + 1) * n])

    places = [divmod(number, side) for number in range(count)]
    return [{layer: cut(layer, *place) for layer in LAYERS} for place in places]


def with_blosc(codec: bytes, level: int) -> tuple[Callable[[Chip], Packed], Callable[[Packed], None]]:
    """Frames with bitshuffle, one a layer."""

    def pack(chip: Chip) -> Packed:
        return [blosc.compress(layer, codec, level, shuffle=blosc.BITSHUFFLE) for layer in chip.values()]

    def unpack(packed: Packed) -> None:
        for frame in packed:
            blosc.decompress(frame)

    return pack, unpack


def with_geotiff(**options: Any) -> tuple[Callable[[Chip], Packed], Callable[[Packed], None]]:
    """Files in memory, one a layer."""

    def pack(chip: Chip) -> Packed:
        return [_geotiff(layer, options) for layer in chip.values()]

    def unpack(packed: Packed) -> None:
        for content in packed:
            with MemoryFile(content) as file, file.open() as dataset:
                dataset.read(1)

    return pack, unpack


def _geotiff(layer: NDArray[Any], options: dict[str, Any]) -> bytes:
    side = layer.shape[0]
    transform = rasterio.Affine(CHIP_SIZE_M / side, 0, 0, 0, -CHIP_SIZE_M / side, 0)
    with MemoryFile() as file:
        with file.open(
            driver="GTiff",
            width=side,
            height=side,
            count=1,
            dtype=layer.dtype,
            crs="EPSG:32633",
            transform=transform,
            **options,
        ) as dataset:
            dataset.write(layer, 1)
        return bytes(file.read())


def with_parquet(compression: str, level: int | None) -> tuple[Callable[[Chip], Packed], Callable[[Packed], None]]:
    """Raw pixels in binary columns, compressed by Parquet alone; a file a chip."""

    def pack(chip: Chip) -> Packed:
        table = pa.table({name: [layer.tobytes()] for name, layer in chip.items()})
        sink = io.BytesIO()
        pq.write_table(table, sink, compression=compression, compression_level=level, use_dictionary=False)
        return [sink.getvalue()]

    def unpack(packed: Packed) -> None:
        pq.read_table(io.BytesIO(packed[0]))

    return pack, unpack


WAYS: Final = {
    **{f"Blosc lz4 {level}": with_blosc(b"lz4", level) for level in (1, 5, 9)},
    **{f"Blosc zstd {level}": with_blosc(b"zstd", level) for level in (1, 3, 5)},
    "Parquet zstd 1": with_parquet("zstd", 1),
    "Parquet zstd 3": with_parquet("zstd", 3),
    "GeoTIFF DEFLATE, predictor 2": with_geotiff(compress="DEFLATE", predictor=2),
    "GeoTIFF ZSTD 1, predictor 2": with_geotiff(compress="ZSTD", zstd_level=1, predictor=2),
}


def cpu_ms(work: Callable[[], object], count: int) -> float:
    """Milliseconds a chip."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1000 * best / count


def measure_layouts(extent: Extent, folder: Path) -> dict[str, dict[str, float]]:
    """Write and read `fct_chips` in other layouts. Returns seconds, files and bytes by layout."""
    cores = len(os.sched_getaffinity(0))
    use_lake(folder / "lake", cores)
    write_items(folder / "items.json", write_dates(folder, extent, write_looks(folder, extent, 2, cores), range(2)))
    ingest_items(folder / "items.json")
    run_models("+fct_chips")

    from python_udfs.session import get_spark

    spark = get_spark()
    given = {row.key: row.value for row in spark.sql(f"show tblproperties {CHIPS}").collect()}
    cell_id = spark.table(CHIPS).agg({"cell_id": "min"}).collect()[0][0]
    results = {}
    for row_group_mib, tasks in LAYOUTS:
        properties = {name: value for name, value in given.items() if name.startswith(("write.", "format-version"))}
        properties["write.parquet.row-group-size-bytes"] = str(row_group_mib * MIB)
        spark.table(CHIPS).repartition(tasks).createOrReplaceTempView("chips_to_lay_out")
        listed = ", ".join(f"'{name}' = '{value}'" for name, value in properties.items())
        statement = (
            f"create table {LAYOUT} using iceberg partitioned by (truncate(4, geohash), months(acquired_at)) "  # noqa: S608
            f"tblproperties ({listed}) as select * from chips_to_lay_out"
        )
        write_s = wall_s(lambda statement=statement: spark.sql(statement))  # type: ignore[misc]
        files = spark.table(f"{LAYOUT}.files").agg(f.count("*"), f.sum("file_size_in_bytes")).collect()[0]

        def read(where: str) -> object:
            # Made anew each time, or Spark would keep what it shuffled.
            return spark.table(LAYOUT).where(where).select(f.max(f.crc32("red"))).collect()

        results[f"row groups {row_group_mib} MiB, {tasks} files a partition"] = {
            "write_s": round(write_s, 2),
            "files": files[0],
            "mb": round(files[1] / 1e6),
            "one_band_s": round(min(wall_s(lambda: read("true")) for _ in range(REPEATS)), 2),
            "one_cell_s": round(min(wall_s(lambda: read(f"cell_id = '{cell_id}'")) for _ in range(REPEATS)), 2),
        }
        spark.sql(f"drop table {LAYOUT} purge")
    return results


def main(count: int, layout_m: int) -> None:
    """Measure every way and print the results."""
    blosc.use_threads = False
    pa.set_cpu_count(1)
    chips = make_chips(count)
    raw = sum(layer.nbytes for layer in chips[0].values())
    table = Table(title=f"{count} chips of {raw / 1000:.0f} kB")
    for name in ("", "kB a chip", "of raw", "pack, ms", "unpack, ms"):
        table.add_column(name, justify="right" if name else "left")
    results = {}
    for name, (pack, unpack) in WAYS.items():
        packed = [pack(chip) for chip in chips]
        size = sum(len(part) for parts in packed for part in parts) / count
        pack_ms = cpu_ms(lambda pack=pack: [pack(chip) for chip in chips], count)  # type: ignore[misc]
        unpack_ms = cpu_ms(lambda unpack=unpack, packed=packed: [unpack(one) for one in packed], count)  # type: ignore[misc]
        table.add_row(name, f"{size / 1000:.0f}", f"{size / raw:.2f}", f"{pack_ms:.2f}", f"{unpack_ms:.2f}")
        results[name] = {"bytes": round(size), "pack_ms": round(pack_ms, 2), "unpack_ms": round(unpack_ms, 2)}
    Console().print(table)
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as folder:
        layouts = measure_layouts(Extent(layout_m), Path(folder))
    shown = Table(title="fct_chips")
    for name in ("", *next(iter(layouts.values()))):
        shown.add_column(name.replace("_", " "), justify="right" if name else "left")
    for name, layout in layouts.items():
        shown.add_row(name, *map(str, layout.values()))
    Console().print(shown)
    result = {"benchmark": "storage", "chips": count, "raw_bytes": raw, "ways": results, "layouts": layouts}
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure bytes and time of ways to keep chips.")
    parser.add_argument("--chips", type=int, default=64, help="chips packed one by one")
    parser.add_argument("--layout-size-m", type=int, default=51_200, help="side of the part of the tile laid out anew")
    given = parser.parse_args()
    main(given.chips, given.layout_size_m)
