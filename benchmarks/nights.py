"""A night with one new date, after histories of several lengths.

    python benchmarks/nights.py [--history 2 8 32] [--size-m 40960] [--folder FOLDER]

A night is an ingest of one date and `dbt run -s +fct_filled_chips` as a whole, in one Spark session. Scenes are made as
for `benchmarks/chips.py`. The last line is JSON: seconds of the night and of its two models with pixels, by length.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Final

from harness.lakes import ingest_items, run_models, use_lake
from harness.processes import Result
from harness.scenes import Extent, write_dates, write_items, write_looks
from rich.console import Console
from rich.table import Table

NIGHTS: Final = 2  # measured after each length of history; the faster counts


def measure_nights(folder: Path, cores: int, lengths: list[int]) -> Result:
    """Return the seconds of a night with one new date after each number of dates.

    Args:
        folder: has `items.json` with the items of all dates, oldest first.
        cores: cores that Spark may use.
        lengths: numbers of dates of history, ascending.
    """
    use_lake(folder / "lake", cores)
    items = json.loads((folder / "items.json").read_text())["features"]
    nights: Result = {}
    done = 0

    def add_dates(count: int) -> dict[str, float]:
        nonlocal done
        ingest_items(write_items(folder / "new.json", items[done : done + count]))
        done += count
        start = time.perf_counter()
        seconds = run_models("+fct_filled_chips")
        return seconds | {"night": time.perf_counter() - start}

    run_models("+fct_filled_chips")  # makes all tables, which the first night would make otherwise
    for length in lengths:
        if length > done:
            add_dates(length - done)
        measured = [add_dates(1) for _ in range(NIGHTS)]
        nights[str(length)] = {
            name: round(min(one[name] for one in measured), 2) for name in ("night", "fct_chips", "fct_filled_chips")
        }
    return nights


def main(folder: Path, extent: Extent, lengths: list[int]) -> Result:
    """Measure everything and print it."""
    console, cores = Console(), len(os.sched_getaffinity(0))
    console.print("Writing scenes…")
    looks = write_looks(folder, extent, 2, cores)
    write_items(folder / "items.json", write_dates(folder, extent, looks, range(max(lengths) + NIGHTS)))
    console.print("Nights after a history…")
    nights = measure_nights(folder, cores, lengths)
    table = Table("dates of history", "night, s", "its fct_chips, s", "its fct_filled_chips, s", title=f"{cores} cores")
    for length, seconds in nights.items():
        table.add_row(length, *(f"{value:.1f}" for value in seconds.values()))
    console.print(table)
    return {
        "benchmark": "nights",
        "cores": cores,
        "nights_s": nights,
        "night_after_longest_to_shortest": round(
            nights[str(max(lengths))]["night"] / nights[str(min(lengths))]["night"], 3
        ),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure nights with one new date.")
    parser.add_argument("--history", type=int, nargs="+", default=[2, 8, 32], help="dates before a measured night")
    parser.add_argument("--size-m", type=int, default=40_960, help="side of the part of the tile")
    parser.add_argument("--folder", type=Path, help="folder for scenes and the lake, which then stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as temporary:
        where = (given.folder or Path(temporary)).resolve()
        where.mkdir(parents=True, exist_ok=True)
        print(json.dumps(main(where, Extent(given.size_m), sorted(given.history))))
