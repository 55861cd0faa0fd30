"""Ingest compared with json.load, rustac, stac-geoparquet and pystac: the same items, one core, one run.

    python benchmarks/ingest.py [--items 10000] [--repeat 3]

Each stage runs in fresh processes that share one core; the best of the repeats counts. Rates are items per second of
CPU time, which a busy machine changes little, and ratios are to json.load. "JSON" is parsed JSON, in batches of
2,000 items; "rows" are rows committed to `raw.stac_items` in a new lake. The last line is JSON: items per second, the
ratios, and the peak memory of an ingest of all items and of a quarter of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from harness.earth_search_items import write_items
from harness.ingest_stages import STAGES, Clock
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ONE_THREAD: Final = dict.fromkeys(
    ("RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_IO_THREADS"), "1"
)


@dataclass(frozen=True, slots=True)
class Measure:
    """The measurements of one stage in one process."""

    items: int
    cpu_s: float
    wall_s: float
    peak_mib: float  # of the whole process

    @property
    def rate(self) -> float:
        """Items per second of CPU time."""
        return self.items / self.cpu_s


def measure(stage: str, items: Path) -> Measure:
    """Run one stage in its own process."""
    command = [sys.executable, __file__, "--stage", stage, "--file", str(items)]
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Measure(**json.loads(done.stdout.splitlines()[-1]))


def run_stage(stage: str, items: Path) -> None:
    """Measure one stage in this process; the last line printed is the measure as JSON."""
    with items.open() as lines:
        count = sum(1 for _ in lines)
    clock = Clock()
    with tempfile.TemporaryDirectory(dir=items.parent) as folder:
        STAGES[stage][1](items, Path(folder), clock)
    # The parent of this process must stay small, because on Linux a process inherits its parent's peak memory.
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(asdict(Measure(count, clock.cpu_s, clock.wall_s, peak_mib))))


def results_table(best: dict[str, Measure], bytes_each: float) -> Table:
    """Make a table with a row for each stage."""
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
        for _ in range(repeat):  # alternating, so that a busy minute does not slow down only one stage
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
    parser.add_argument("--items", type=int, default=10_000, help="number of items")
    parser.add_argument("--repeat", type=int, default=3, help="processes a stage; the best counts")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        run_stage(arguments.stage, arguments.file)
    else:
        main(arguments.items, arguments.repeat)
