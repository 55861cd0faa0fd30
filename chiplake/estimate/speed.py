"""How long a row of a job takes, and how many bytes it has: as measured in this lake, else as documented."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from chiplake.estimate.rows import TIME, Lake
from chiplake.keys import TEXT
from chiplake.stage_record import DONE, INCOMPLETE
from chiplake.status import size_of
from lakehouse.settings import Settings
from lakehouse.source_schemas import STAGES

_LAST_RUNS: Final = 5
# The stages that a job is recorded as (the DAG runs the embedding as three), and the column of what it wrote.
_RECORDED: Final = {
    "chip_extraction": (("chip_extraction",), "chips_written"),
    "temporal_merge": (("temporal_merge",), "filled_chips_written"),
    "embedding_generation": (("embedding_generation", "export", "batch_transform", "load"), "embeddings_written"),
    "change_detection": (("change_detection",), "changes_written"),
}
# Stages of which a run must have one: without the transform, the time of the embedding is not in the record.
_NEEDED: Final = {"embedding_generation": {"embedding_generation", "batch_transform"}}
_STAGES: Final = pa.schema(
    [(name, TEXT) for name in ("run_id", "stage", "schema_name", "state")]
    + [("started_at", TIME), ("ended_at", TIME)]
    + [(column, pa.int64()) for _, column in _RECORDED.values()]
)

# Measured rates, rows a second and core. Cutting (rasters on a server 20 ms away) and filling: docs/scale.md.
DOCUMENTED_RATES: Final[Mapping[str, float]] = {"chip_extraction": 37, "temporal_merge": 80}
# Of the encoder by the dimension of its embeddings, two cores, float32: docs/benchmarks.md.
DOCUMENTED_ENCODERS: Final[Mapping[int, float]] = {192: 20.6, 384: 8.0, 768: 0.98, 1024: 0.29}
_CORES_OF_ENCODERS: Final = 2
# Bytes of a row with ten bands and SCL: docs/scale.md.
DOCUMENTED_BYTES: Final[Mapping[str, int]] = {"fct_chips": 447_000, "fct_filled_chips": 383_000}


@dataclass(frozen=True)
class Speed:
    """The time of a row of a job, and its source in words; None: not known."""

    seconds_per_row: float | None
    source: str

    def seconds(self, rows: int) -> float | None:
        """Return how long some rows take."""
        if not rows:
            return 0.0
        return None if self.seconds_per_row is None else self.seconds_per_row * rows


def speed_of(lake: Lake, job: str, dimension: int = 0) -> Speed:
    """Return the speed of the last runs of a job in this lake, or the documented one.

    Args:
        lake: the lake.
        job: name of the job.
        dimension: of the embeddings, for the job that makes them.
    """
    return _own_speed(lake, job) or _documented_speed(job, dimension, cores_of(lake.settings.runtime.spark_master))


def bytes_per_row(lake: Lake, name: str, otherwise: int) -> float:
    """Return the mean bytes of a row in the data files of a table; another number if it has no rows.

    Args:
        lake: the lake.
        name: a table with its schema, or a model.
        otherwise: bytes of a row, as documented.
    """
    table = lake.table(name)
    size = None if table is None else size_of(name, table)
    return size.size_bytes / size.rows if size is not None and size.rows else otherwise


def cost_of(settings: Settings, seconds: float | None) -> float | None:
    """Return the price of some seconds of the machine on AWS; None elsewhere, or if the price or the time is not known.

    Args:
        settings: with the catalog and the price.
        seconds: how long the machine runs.
    """
    price = settings.jobs.instance_price_per_hour
    if settings.lake.catalog != "glue" or price is None or seconds is None:
        return None
    return seconds / 3600 * price


def cores_of(master: str) -> int:
    """Return the cores that a Spark master on this machine uses; for a cluster, those of this machine."""
    stated = re.fullmatch(r"local\[(\d+).*\]", master)
    return int(stated[1]) if stated else os.cpu_count() or 1


def _own_speed(lake: Lake, job: str) -> Speed | None:
    stages, column = _RECORDED[job]
    schema = lake.settings.lake.target_schema
    records = lake.read(STAGES, _STAGES, [f"schema_name == '{schema}'"]).to_pylist()
    runs = _runs(records, stages, _NEEDED.get(job, set(stages)), column)
    last = sorted(runs, key=lambda run: run.ended)[-_LAST_RUNS:]
    if not last:
        return None
    rows, seconds = sum(run.rows for run in last), sum(run.seconds for run in last)
    runs_text = "last run" if len(last) == 1 else f"last {len(last)} runs"
    return Speed(seconds / rows, f"as fast as the {runs_text} of this lake ({rows:,} rows in {seconds:,.0f} s)")


@dataclass(frozen=True)
class _Run:
    """One run of a job that wrote something; `ended` is in seconds since 1970."""

    rows: int
    seconds: float
    ended: float


def _runs(records: Iterable[Mapping[str, Any]], stages: tuple[str, ...], needed: set[str], column: str) -> list[_Run]:
    by_run: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        if record["stage"] in stages and record["state"] in (DONE, INCOMPLETE):
            by_run[record["run_id"]].append(record)
    runs = [
        _Run(
            sum(one[column] or 0 for one in of_run),
            sum((one["ended_at"] - one["started_at"]).total_seconds() for one in of_run),
            max(one["ended_at"].timestamp() for one in of_run),
        )
        for of_run in by_run.values()
        if needed & {one["stage"] for one in of_run}
    ]
    return [run for run in runs if run.rows]


def _documented_speed(job: str, dimension: int, cores: int) -> Speed:
    if job == "embedding_generation":
        # A smaller encoder than the smallest measured one is not slower than that one.
        sizes = [size for size in DOCUMENTED_ENCODERS if size >= dimension] or [max(DOCUMENTED_ENCODERS)]
        rate = DOCUMENTED_ENCODERS[min(sizes)] / _CORES_OF_ENCODERS
    elif job in DOCUMENTED_RATES:
        rate = DOCUMENTED_RATES[job]
    else:
        return Speed(None, "not known before the first run of this lake")
    page = "docs/benchmarks.md" if job == "embedding_generation" else "docs/scale.md"
    return Speed(
        1 / (rate * cores), f"{rate:g} chips a second and core ({page}), {cores} cores, without the start of Spark"
    )
