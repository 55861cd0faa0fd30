"""Search among embeddings: `nearest_chips`, exactly and in int8, and what int8 loses.

    python benchmarks/search.py [--chips 1000000] [--dimension 1024] [--queries 100]

Embeddings are synthetic: clusters of 64 latent numbers with a decaying spectrum, turned into the dimension by one
random matrix, with dimensions of different sizes and noise. The floors are scans that look at every number of the same
embeddings: `array_max` of each by Spark, and the maximum of all by PyArrow in as many threads as cores. Each number is
the median of three runs after one to warm up, in one Spark session. The ten chips that each search finds are compared
with NumPy's. Recall is the share of the ten nearest in float32, by NumPy, that are among the ten nearest in int8. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from harness.lakes import compiled, use_lake
from harness.timing import median_s
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lakehouse.catalog import ensure_sources
from lakehouse.settings import get_settings
from python_udfs.session import get_spark

EMBEDDINGS: Final = "fct_chip_embeddings"
ROWS_PER_GROUP: Final = 32_768  # as Spark writes with 128 MB a row group
GROUPS_PER_FILE: Final = 2
K: Final = 10
LATENT: Final = 64
CLUSTERS: Final = 2_000
TIME: Final = datetime(2024, 6, 1, 10, tzinfo=UTC)

Floats = NDArray[np.float32]
Result = dict[str, Any]


def make_embeddings(chips: int, dimension: int) -> Iterator[Floats]:
    """Yield (n, dimension) embeddings of length 1."""
    chance = np.random.default_rng(0)
    spectrum = np.arange(1, LATENT + 1, dtype=np.float32) ** -0.5
    centres = chance.standard_normal((CLUSTERS, LATENT), np.float32) * spectrum
    turn = chance.standard_normal((LATENT, dimension), np.float32) / np.float32(LATENT**0.5)
    turn *= chance.lognormal(0, 0.5, dimension).astype(np.float32)
    for start in range(0, chips, ROWS_PER_GROUP):
        count = min(ROWS_PER_GROUP, chips - start)
        latent = centres[chance.integers(0, CLUSTERS, count)]
        latent = latent + 0.5 * chance.standard_normal((count, LATENT), np.float32) * spectrum
        numbers = latent @ turn + 0.02 * chance.standard_normal((count, dimension), np.float32)
        yield numbers / np.linalg.norm(numbers, axis=1, keepdims=True)


def in_int8(numbers: Floats) -> tuple[NDArray[np.int32], Floats]:
    """Quantise (n, dimension) embeddings as fct_chip_embeddings does; return whole numbers and (n,) scales."""
    scales = (np.abs(numbers).max(axis=1).astype(np.float64) / 127).astype(np.float32)
    return np.clip(np.rint(numbers / scales[:, None]), -127, 127).astype(np.int32), scales


@dataclass
class Nearest:
    """The nearest chips of some queries by brute force in NumPy."""

    queries: Floats  # (q, dimension), the first chips
    distances: Floats = field(init=False)
    numbers: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.queries)
        self.distances, self.numbers = np.empty((count, 0), np.float32), np.empty((count, 0), np.int64)

    def add(self, embeddings: Floats, first: int) -> None:
        """Look at more chips, the first of which has a number."""
        distances = 1 - self.queries @ (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).T
        numbers = np.broadcast_to(np.arange(first, first + len(embeddings)), distances.shape)
        distances[numbers == np.arange(len(self.queries))[:, None]] = np.inf  # the query itself
        distances = np.concatenate([self.distances, distances], axis=1)
        numbers = np.concatenate([self.numbers, numbers], axis=1)
        best = np.argsort(distances, axis=1)[:, :K] if distances.shape[1] <= K else _smallest(distances)
        self.distances = np.take_along_axis(distances, best, axis=1)
        self.numbers = np.take_along_axis(numbers, best, axis=1)


def _smallest(distances: Floats) -> NDArray[np.int64]:
    few = np.argpartition(distances, K, axis=1)[:, :K]
    order = np.argsort(np.take_along_axis(distances, few, axis=1), axis=1)
    return np.take_along_axis(few, order, axis=1)


def make_lake(chips: int, dimension: int, queries: int) -> tuple[Nearest, Nearest]:
    """Write the table of embeddings, and return the nearest chips in float32 and in int8."""
    catalog, table, rows, first = ensure_sources(get_settings()), None, list[pa.Table](), 0
    exact: Nearest | None = None
    for numbers in make_embeddings(chips, dimension):
        whole, scales = in_int8(numbers)
        if exact is None:
            exact, quantised = Nearest(numbers[:queries]), Nearest(numbers[:queries])
        exact.add(numbers, first)
        quantised.add(whole.astype(np.float32), first)
        rows.append(make_rows(numbers, whole, scales, first))
        first += len(numbers)
        if len(rows) == GROUPS_PER_FILE or first == chips:
            if table is None:
                properties = {"write.parquet.row-group-limit": str(ROWS_PER_GROUP)}
                name = get_settings().lake.table(EMBEDDINGS)
                table = catalog.create_table(name, rows[0].schema, properties=properties)
            table.append(pa.concat_tables(rows))
            rows.clear()
    if exact is None:
        raise SystemExit("--chips is at least 1")
    return exact, quantised


def make_rows(numbers: Floats, whole: NDArray[np.int32], scales: Floats, first: int) -> pa.Table:
    """Make rows of fct_chip_embeddings."""
    count, ids = len(numbers), [chip_id(number) for number in range(first, first + len(numbers))]
    return pa.table(
        {
            "chip_id": ids,
            "model_id": ["clay-v1.5-large:sha256:0123456789abcdef"] * count,
            "cell_id": [f"32632_{number}_0" for number in range(first, first + count)],
            "geohash": ["u0qj8r2k"] * count,
            "acquired_at": pa.array([TIME] * count, pa.timestamp("us", "UTC")),
            "embedding": lists(numbers),
            "embedded_at": pa.array([TIME] * count, pa.timestamp("us", "UTC")),
            "embedding_int8": lists(whole),
            "embedding_scale": scales,
        }
    )


def chip_id(number: int) -> str:
    """Return the id of a chip, of the usual length."""
    return f"32632_{number}_0_S2A_20240601T100031"


def lists(numbers: NDArray[Any]) -> pa.ListArray:
    """Turn (n, dimension) numbers into a column of lists."""
    count, dimension = numbers.shape
    offsets = pa.array(np.arange(0, (count + 1) * dimension, dimension, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(numbers.reshape(-1)))


def scan_s(column: str) -> float:
    """Return the seconds of a scan by Spark that looks at every number."""
    statement = f"select max(array_max({column})) from {get_settings().lake.table(EMBEDDINGS)}"  # noqa: S608
    return median_s(lambda: get_spark().sql(statement).collect())


def pyarrow_s(column: str, threads: int) -> float:
    """Return the seconds of a scan by PyArrow that looks at every number."""
    files = [row.file_path for row in get_spark().table(f"{get_settings().lake.table(EMBEDDINGS)}.files").collect()]

    def scan(path: str) -> float:
        parquet = pq.ParquetFile(path.removeprefix("file://"))
        batches = parquet.iter_batches(256, columns=[column], use_threads=False)
        return float(max(pc.max(batch.column(0).flatten()).as_py() for batch in batches))

    def scan_all() -> float:
        with ThreadPoolExecutor(threads) as pool:
            return max(pool.map(scan, files))

    return median_s(scan_all)


def search_s(int8: bool, expected: Nearest) -> float:
    """Return the seconds of `nearest_chips`, whose answer must be that of NumPy."""
    call = f"nearest_chips('{chip_id(0)}', {K}, int8={str(int8).lower()})"
    statement = compiled("{{ " + call + " }}")
    rows = get_spark().sql(statement).collect()
    distances = np.array([row.cosine_distance for row in rows])
    same = {row.chip_id for row in rows} == {chip_id(int(number)) for number in expected.numbers[0]}
    if not same or np.abs(distances - expected.distances[0]).max() > 1e-5:  # NumPy computes in float32 here
        raise SystemExit(f"{call} returns {rows}; NumPy finds {expected.numbers[0]}, {expected.distances[0]}")
    return median_s(lambda: get_spark().sql(statement).collect())


def main(chips: int, dimension: int, queries: int) -> Result:
    """Measure everything and print it."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as folder:
        use_lake(Path(folder) / "lake", cores)
        exact, quantised = make_lake(chips, dimension, queries)
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(exact.numbers, quantised.numbers, strict=True)])
        measured = {
            "embedding": (search_s(False, exact), scan_s("embedding"), pyarrow_s("embedding", cores)),
            "embedding_int8": (search_s(True, quantised), scan_s("embedding_int8"), pyarrow_s("embedding_int8", cores)),
        }
        get_spark().stop()
    table = Table(title=f"Search among {chips:,} embeddings of {dimension:,}")
    for column in ("", "search, s", "chips/s", "scan by Spark, s", "by PyArrow, s", "of Spark's rate", "of PyArrow's"):
        table.add_column(column, justify="right")
    for name, (search, scan, arrow) in measured.items():
        ratios = (f"{scan / search:.2f}", f"{arrow / search:.2f}")
        table.add_row(name, f"{search:.2f}", f"{chips / search:,.0f}", f"{scan:.2f}", f"{arrow:.2f}", *ratios)
    Console().print(table)
    search, scan, arrow = measured["embedding"]
    search_int8, scan_int8, arrow_int8 = measured["embedding_int8"]
    return {
        "benchmark": "search",
        "chips": chips,
        "dimension": dimension,
        "search_s": round(search, 2),
        "search_vs_scan": round(scan / search, 2),
        "search_vs_pyarrow": round(arrow / search, 2),
        "search_int8_s": round(search_int8, 2),
        "search_int8_vs_scan": round(scan_int8 / search_int8, 2),
        "search_int8_vs_pyarrow": round(arrow_int8 / search_int8, 2),
        "recall_at_10": round(float(recall), 4),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure search among embeddings.")
    parser.add_argument("--chips", type=int, default=1_000_000, help="embeddings to search")
    parser.add_argument("--dimension", type=int, default=1024, help="length of an embedding")
    parser.add_argument("--queries", type=int, default=100, help="chips whose nearest are compared for the recall")
    given = parser.parse_args()
    print(json.dumps(main(given.chips, given.dimension, given.queries)))
