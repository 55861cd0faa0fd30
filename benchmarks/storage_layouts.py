"""The cost of layouts of `fct_chips`: sizes of row groups and numbers of files.

    python benchmarks/storage_layouts.py [--size-m 51200]

`fct_chips` of two dates, of scenes made as for `benchmarks/chips.py`, is written again with other sizes of row groups
and other numbers of files, and read: one band of all chips, as for statistics, and of the chips of one cell, as for a
fill. Seconds on all cores; reads are the best of three. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Final

from harness.lakes import MIB, ingest_items, run_models, use_lake
from harness.scenes import Extent, write_dates, write_items, write_looks
from harness.timing import REPEATS, wall_s
from pyspark.sql import functions as f
from rich.console import Console
from rich.table import Table

LAYOUTS: Final = ((4, 1), (32, 1), (128, 1), (32, 4), (32, 16))  # MiB of row groups; tasks that write each partition


def measure_layouts(extent: Extent, folder: Path) -> dict[str, dict[str, float]]:
    """Write and read `fct_chips` in each layout. Returns seconds, files and megabytes by layout."""
    cores = len(os.sched_getaffinity(0))
    use_lake(folder / "lake", cores)
    write_items(folder / "items.json", write_dates(folder, extent, write_looks(folder, extent, 2, cores), range(2)))
    ingest_items(folder / "items.json")
    run_models("+fct_chips")

    from lakehouse.settings import get_settings
    from python_udfs.session import get_spark

    spark = get_spark()
    chips, layout = (get_settings().lake.table(name) for name in ("fct_chips", "fct_chips_layout"))
    given = {row.key: row.value for row in spark.sql(f"show tblproperties {chips}").collect()}
    cell_id = spark.table(chips).agg({"cell_id": "min"}).collect()[0][0]
    results = {}
    for row_group_mib, tasks in LAYOUTS:
        properties = {name: value for name, value in given.items() if name.startswith(("write.", "format-version"))}
        properties["write.parquet.row-group-size-bytes"] = str(row_group_mib * MIB)
        spark.table(chips).repartition(tasks).createOrReplaceTempView("chips_to_lay_out")
        listed = ", ".join(f"'{name}' = '{value}'" for name, value in properties.items())
        statement = (
            f"create table {layout} using iceberg partitioned by (truncate(4, geohash), months(acquired_at)) "  # noqa: S608
            f"tblproperties ({listed}) as select * from chips_to_lay_out"
        )
        write_s = wall_s(lambda statement=statement: spark.sql(statement))  # type: ignore[misc]
        files = spark.table(f"{layout}.files").agg(f.count("*"), f.sum("file_size_in_bytes")).collect()[0]

        def read(where: str) -> object:
            # A new query each time, or Spark would keep what it shuffled.
            return spark.table(layout).where(where).select(f.max(f.crc32("red"))).collect()

        results[f"row groups {row_group_mib} MiB, {tasks} files a partition"] = {
            "write_s": round(write_s, 2),
            "files": files[0],
            "mb": round(files[1] / 1e6),
            "one_band_s": round(min(wall_s(lambda: read("true")) for _ in range(REPEATS)), 2),
            "one_cell_s": round(min(wall_s(lambda: read(f"cell_id = '{cell_id}'")) for _ in range(REPEATS)), 2),
        }
        spark.sql(f"drop table {layout} purge")
    return results


def main(size_m: int) -> None:
    """Measure every layout and print the results."""
    with tempfile.TemporaryDirectory(prefix="chiplake-bench-") as folder:
        layouts = measure_layouts(Extent(size_m), Path(folder))
    table = Table(title="fct_chips")
    for name in ("", *next(iter(layouts.values()))):
        table.add_column(name.replace("_", " "), justify="right" if name else "left")
    for name, layout in layouts.items():
        table.add_row(name, *map(str, layout.values()))
    Console().print(table)
    print(json.dumps({"benchmark": "storage_layouts", "layouts": layouts}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure layouts of fct_chips.")
    parser.add_argument("--size-m", type=int, default=51_200, help="side of the part of the tile")
    main(parser.parse_args().size_m)
