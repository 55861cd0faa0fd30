"""The cost of storing a chip: Blosc codecs and levels, raw Parquet and GeoTIFF, on the same pixels and one core.

    python benchmarks/storage.py [--chips 64]

Chips of ten bands and SCL, of scenes made as for `benchmarks/chips.py`. Bytes are those of the file or frame itself,
times are CPU seconds of this process, the best of three. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from harness.scenes import LAYERS, Extent, write_dates, write_looks
from numcodecs import blosc
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rich.console import Console
from rich.table import Table

from lakehouse.bands import CHIP_SIZE_M, LAYER_GSD_M

REPEATS: Final = 3

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
    pixels = {layer: CHIP_SIZE_M // LAYER_GSD_M[layer] for layer in LAYERS}

    def cut(layer: str, row: int, col: int) -> NDArray[Any]:
        n = pixels[layer]
        return np.ascontiguousarray(layers[layer][row * n : (row + 1) * n, col * n : (col + 1) * n])

    places = [divmod(number, side) for number in range(count)]
    return [{layer: cut(layer, *place) for layer in LAYERS} for place in places]


def with_blosc(codec: bytes, level: int) -> tuple[Callable[[Chip], Packed], Callable[[Packed], None]]:
    """Return functions that pack and unpack a chip as Blosc frames with bitshuffle, one a layer."""

    def pack(chip: Chip) -> Packed:
        return [blosc.compress(layer, codec, level, shuffle=blosc.BITSHUFFLE) for layer in chip.values()]

    def unpack(packed: Packed) -> None:
        for frame in packed:
            blosc.decompress(frame)

    return pack, unpack


def with_geotiff(**options: Any) -> tuple[Callable[[Chip], Packed], Callable[[Packed], None]]:
    """Return functions that pack and unpack a chip as GeoTIFF files in memory, one a layer."""

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
    """Return functions that pack and unpack a chip as raw pixels in binary columns of Parquet; a file a chip."""

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
    """Return the CPU milliseconds a chip, the best of some runs."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1000 * best / count


def main(count: int) -> None:
    """Measure every way to keep a chip and print the results."""
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
    print(json.dumps({"benchmark": "storage", "chips": count, "raw_bytes": raw, "ways": results}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure bytes and time of ways to keep a chip.")
    parser.add_argument("--chips", type=int, default=64, help="chips packed one by one")
    main(parser.parse_args().chips)
