"""Export of chips to be embedded, and load of their embeddings.

    python benchmarks/export_load.py [--chips 3840] [--answers 20000] [--dimension 1024]

Floors, one process: PyArrow reads the chips' columns from the table's Parquet files and writes them as streams of 16;
it reads the answers and writes them as one Parquet file, zstd. Chiplake's runs are in a Spark session that has done
each before. Every number is the best of three. The last line is JSON; `export_vs_pyarrow` and `load_vs_pyarrow` are
shares of the floor's rate.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness.chips import make_chips
from harness.lakes import use_lake
from harness.timing import REPEATS, best_s, wall_s
from rich.console import Console
from rich.table import Table

from embedding.model.card import ModelCard, Preprocessing
from embedding.model.weights import describe_model
from embedding.runs.export import EMBEDDING_INPUTS, FILLED_CHIPS, export_chips
from embedding.runs.files import OUT_SUFFIX, ExportedObject, Run, new_run
from embedding.runs.load import load_run
from embedding.runs.stores import run_store
from embedding.wire import ANSWER_SCHEMA, ARROW_STREAM, read_table, write_table
from lakehouse.bands import BAND_NAMES
from lakehouse.catalog import ensure_sources
from lakehouse.days import Days
from lakehouse.files import write_atomically
from lakehouse.settings import get_settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS
from python_udfs.session import get_spark

FILES: Final = 8  # files of the table of chips
CHIPS_PER_ROW_GROUP: Final = 64
# As in the tables of dbt (macro `chip_table_properties`).
OF_CHIPS: Final = {
    "write.parquet.compression-codec": "uncompressed",
    "write.parquet.dict-size-bytes": "4096",
    "write.parquet.row-group-limit": str(CHIPS_PER_ROW_GROUP),
}
EXPORTED: Final = ["chip_id", "input_hash", "acquired_at", *BAND_NAMES, "source_index"]

Result = dict[str, Any]


def make_lake(chips: pa.Table) -> None:
    """Make a table of filled chips, and one that lists all of them for the export."""
    catalog = ensure_sources(get_settings())
    cell_ids = pa.array([f"32632_{number}_0" for number in range(chips.num_rows)])
    filled = chips.drop_columns(["longitude", "latitude"]).append_column("cell_id", cell_ids)
    filled = filled.append_column("complete_fraction", pa.array([1.0] * chips.num_rows))
    inputs = chips.select(["chip_id", "input_hash", "acquired_at", "longitude", "latitude"])
    lake = get_settings().lake
    catalog.create_table(lake.table(EMBEDDING_INPUTS), inputs.schema).append(inputs)
    table = catalog.create_table(lake.table(FILLED_CHIPS), filled.schema, properties=OF_CHIPS)
    share = -(-chips.num_rows // FILES)
    for start in range(0, chips.num_rows, share):
        table.append(filled.slice(start, share))


def files_of(table: str) -> list[str]:
    """Return the paths of a table's data files."""
    return [row.file_path for row in get_spark().table(f"{table}.files").collect()]


def measure_export(card: ModelCard, folder: Path) -> Result:
    """Measure the seconds of the export, and of PyArrow for the same bytes."""
    settings, spark, runs = get_settings(), get_spark(), list[Run]()

    def export() -> None:
        run = export_chips(spark, settings, run_store(settings), card, Days())
        if not isinstance(run, Run):
            raise SystemExit("nothing was exported to this machine")
        runs.append(run)

    def floor() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        number = 0
        for path in paths:
            chips = pq.read_table(path, columns=EXPORTED, partitioning=None)
            for start in range(0, chips.num_rows, settings.embedding.chips_per_object):
                content = write_table(chips.slice(start, settings.embedding.chips_per_object), ARROW_STREAM)
                (folder / f"{number}.arrow").write_bytes(content)
                number += 1

    paths = files_of(settings.lake.table(FILLED_CHIPS))
    seconds, floor_s = best_s(export), best_s(floor)
    manifest = runs[-1].manifest()
    for run in runs:
        shutil.rmtree(run.path)
    return {
        "chips": manifest.chips,
        "mb": round(sum(entry.size for entry in manifest.objects) / 1e6),
        "seconds": round(seconds, 2),
        "floor_seconds": round(floor_s, 2),
    }


def write_run(card: ModelCard, chips: int) -> Run:
    """Write a run with an answer for each object. The objects have no pixels, because a load reads none."""
    settings = get_settings()
    per_object, chance = settings.embedding.chips_per_object, np.random.default_rng(0)
    run, objects = new_run(settings.lake.transform_dir), []
    for number, start in enumerate(range(0, chips, per_object)):
        count = min(per_object, chips - start)
        values = chance.normal(size=(count, card.dimension)).astype(np.float32)
        answer = pa.table(
            {
                "chip_id": [f"chip-{k:06d}" for k in range(start, start + count)],
                "input_hash": ["0" * 64] * count,
                "model_id": [card.model_id] * count,
                "embedding": list(values),
                "error": pa.nulls(count, pa.string()),
            },
            schema=ANSWER_SCHEMA,
        )
        name = f"chips-{number:05d}.arrow"
        identity = write_table(answer.select(["chip_id", "input_hash"]), ARROW_STREAM)
        write_atomically(run.input_dir / name, identity)
        write_atomically(run.output_dir / f"{name}{OUT_SUFFIX}", write_table(answer, ARROW_STREAM))
        objects.append(ExportedObject(name=name, chips=count, size=len(identity), sha256=""))
    run.write_manifest(card, BAND_NAMES, objects)
    return run


def measure_load(card: ModelCard, chips: int, folder: Path) -> Result:
    """Measure the seconds of the load, and of PyArrow for the same answers."""
    settings, spark = get_settings(), get_spark()
    run = write_run(card, chips)
    answers = sorted(run.output_dir.iterdir())
    folder.mkdir(parents=True, exist_ok=True)

    def floor() -> None:
        tables = [read_table(path.read_bytes(), ARROW_STREAM) for path in answers]
        pq.write_table(pa.concat_tables(tables), folder / "answers.parquet", compression="zstd")

    def load() -> float:
        spark.sql(f"truncate table {CLAY_EMBEDDINGS}")
        seconds = wall_s(lambda: load_run(settings, run))
        found = spark.table(CLAY_EMBEDDINGS).where("embedding is not null").count()
        if found != chips:
            raise SystemExit(f"{found} of {chips} embeddings were loaded")
        return seconds

    load()
    seconds = min(load() for _ in range(REPEATS))
    return {
        "chips": chips,
        "mb": round(sum(path.stat().st_size for path in answers) / 1e6),
        "seconds": round(seconds, 2),
        "floor_seconds": round(best_s(floor), 2),
    }


def main(chips: int, answers: int, dimension: int) -> Result:
    """Measure everything and print it."""
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as folder:
        use_lake(Path(folder) / "lake", len(os.sched_getaffinity(0)))
        card = replace(describe_model(None, Preprocessing()), dimension=dimension)
        make_lake(make_chips(chips))
        measured = {
            "export": measure_export(card, Path(folder) / "objects"),
            "load": measure_load(card, answers, Path(folder) / "answers"),
        }
        get_spark().stop()
    table = Table(title="Export, load")
    for column in ("", "chips", "MB", "s", "chips/s", "floor, s", "of the floor's rate"):
        table.add_column(column, justify="right")
    for name, one in measured.items():
        one["chips_per_s"] = round(one["chips"] / one["seconds"])
        one["ratio"] = round(one["floor_seconds"] / one["seconds"], 3)
        columns = ("chips", "mb", "seconds", "chips_per_s", "floor_seconds", "ratio")
        table.add_row(name, *(f"{one[column]:,}" if column in one else "" for column in columns))
    Console().print(table)
    shares = {f"{name}_vs_pyarrow": measured[name]["ratio"] for name in ("export", "load")}
    return {"benchmark": "export_load", "dimension": dimension, **measured, **shares}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure export and load.")
    parser.add_argument("--chips", type=int, default=3840, help="chips to export")
    parser.add_argument("--answers", type=int, default=20_000, help="embeddings to load")
    parser.add_argument("--dimension", type=int, default=1024, help="length of an embedding")
    given = parser.parse_args()
    print(json.dumps(main(given.chips, given.answers, given.dimension)))
