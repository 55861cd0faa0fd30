"""A run of the demo: write an archive, ingest it, run the nightly job, report."""

from __future__ import annotations

import os
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyspark.sql import SparkSession

from chiplake.demo.picture import CellRow, CellScore, ChangeMap, ChipPicture, draw, stretch_rgb
from chiplake.demo.report import DemoSummary, print_summary
from chiplake.jobs import Window, run_job
from chiplake.output import print_heading, print_line
from chiplake.synthetic import Archive, ArchiveSpec, write_archive
from ingestion import IngestRequest, ingest
from lakehouse.bands import BAND_NAMES, CHIP_PIXELS_10M, CHIP_PIXELS_20M
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings, get_settings
from lakehouse.settings.cutting import CuttingSettings
from lakehouse.settings.listing import list_settings
from lakehouse.settings.variables import ENV_FILE_VARIABLE, PREFIX
from python_udfs.codec import decode_array, decode_bands
from python_udfs.fill.source_index import STILL_MISSING
from python_udfs.session import get_spark
from python_udfs.valid_pixels import class_table, data_mask

_MARKER: Final = "chiplake-demo"  # a file that marks a folder as the demo's, which the next demo may replace


def run_demo(home: Path | None) -> None:
    """Write the archive, run the nightly job on it, print the report, write the picture.

    Args:
        home: folder of the demo's lake; an earlier demo there is replaced. None: demo/ in the home of the settings.

    Raises:
        ChiplakeError: the folder has other contents, or a job failed.
    """
    started = time.monotonic()
    home = (home or get_settings().lake.home / "demo").resolve()
    _clear(home)
    _use_only(home)
    get_settings.cache_clear()
    settings = get_settings()

    print_heading("scenes")
    archive = write_archive(ArchiveSpec(), home / "archive", print_line)
    print_heading("chiplake ingest")
    ingested = ingest(IngestRequest(items=archive.items_path), settings)
    print_line(f"{ingested.written} items written to raw.stac_items")
    print_heading("chiplake run nightly")
    run_job("nightly", Window(), print_line)

    print_heading()
    spark = get_spark(settings)
    spark.sql(f"use {settings.lake.target_schema}")
    summary = _summary(spark, archive)
    print_summary(summary)
    picture = _picture(spark, settings, archive, summary, home / "demo.png")
    print_line(f"picture: {picture}")
    print_line(f"lake:    {home}   (CHIPLAKE_HOME={home} dbt show …)")
    print_line(f"time:    {time.monotonic() - started:.0f} s")


def _use_only(home: Path) -> None:
    """Remove the user's settings from the environment, which dbt reads as well, except for those of Spark."""
    kept = {
        setting.variable: setting.value
        for setting in list_settings(get_settings())
        if setting.group == "runtime" and setting.name != "functions"
    }
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update(kept | {"CHIPLAKE_HOME": str(home), ENV_FILE_VARIABLE: ""})


def _clear(home: Path) -> None:
    if home.exists() and any(home.iterdir()) and not (home / _MARKER).exists():
        raise ChiplakeError(f"{home} has other contents than a demo; name an empty folder with --home")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / _MARKER).touch()


def _summary(spark: SparkSession, archive: Archive) -> DemoSummary:
    def one(sql: str) -> Any:
        return spark.sql(sql).first()

    valid = one("select count(*) as chips, avg(valid_fraction) as share from fct_chips")
    model = one("select count(*) as n, min(model_id) as id, min(is_trained) as trained from fct_chip_embeddings")
    changed = spark.sql(
        "select cell_id from fct_chip_changes where is_change and date(acquired_at) = :day order by cell_id",
        args={"day": _planted_day(archive)},
    )
    return DemoSummary(
        scenes=one("select count(*) as n from int_scenes").n,
        cells=one("select count(*) as n from dim_grid_cells").n,
        chips=valid.chips,
        valid_before=valid.share,
        valid_after=one("select avg(complete_fraction) as share from fct_filled_chips").share,
        embeddings=model.n,
        model_id=model.id,
        is_untrained=not model.trained,
        changed_cells=tuple(row.cell_id for row in changed.collect()),
        planted_cells=tuple(archive.change.cell_ids) if archive.change else (),
    )


def _planted_day(archive: Archive) -> date:
    return archive.change.day if archive.change else max(scene.day for scene in archive.scenes)


def _picture(spark: SparkSession, settings: Settings, archive: Archive, summary: DemoSummary, path: Path) -> Path:
    day = _planted_day(archive)
    scores = spark.sql(
        """
        select
            dim_grid_cells.cell_id, cell_col, cell_row, change_score, cosine_distance,
            coalesce(is_change, false) as is_change
        from dim_grid_cells
        left join fct_chip_changes
            on dim_grid_cells.cell_id = fct_chip_changes.cell_id and date(fct_chip_changes.acquired_at) = :day
        """,
        args={"day": day},
    ).collect()
    change_map = ChangeMap(
        day=day,
        cells=tuple(
            CellScore(row.cell_id, row.cell_col, row.cell_row, row.change_score, row.cosine_distance, row.is_change)
            for row in scores
        ),
        planted_cells=summary.planted_cells,
        min_score=settings.change.min_score,
        min_distance=settings.change.min_distance,
        model_id=summary.model_id,
        is_untrained=summary.is_untrained,
    )
    rows = [_cell_row(spark, settings.cutting, cell_id) for cell_id in _cells_to_show(spark, summary)]
    return draw(path, rows, change_map)


def _cells_to_show(spark: SparkSession, summary: DemoSummary) -> list[str]:
    """Return the first planted cell, and the whole cells in which filling recovered the most pixels."""
    recovered = spark.sql(
        """
        select cell_id, sum(complete_fraction - base_valid_fraction) as recovered
        from fct_filled_chips
        group by cell_id
        having max(nodata_fraction) < 0.6 and min(complete_fraction) > 0.5
        order by recovered desc, cell_id
        limit 3
        """
    ).collect()
    cells = [
        *summary.planted_cells[:1],
        *(row.cell_id for row in recovered if row.cell_id not in summary.planted_cells),
    ]
    return cells[:3]


def _cell_row(spark: SparkSession, cutting: CuttingSettings, cell_id: str) -> CellRow:
    columns = ", ".join(f"chips.{name}, filled.{name} as filled_{name}" for name in BAND_NAMES)
    rows = spark.sql(
        f"""
        select chips.acquired_at, chips.scl, filled.source_index, {columns}
        from fct_chips as chips
        inner join fct_filled_chips as filled on chips.chip_id = filled.chip_id
        where chips.cell_id = :cell_id
        order by chips.acquired_at
        """,  # noqa: S608  # column names of the band table
        args={"cell_id": cell_id},
    ).collect()
    return CellRow(cell_id, tuple(_chip_picture(row, cutting) for row in rows))


def _chip_picture(row: Any, cutting: CuttingSettings) -> ChipPicture:
    def bands(prefix: str) -> dict[str, np.ndarray[Any, np.dtype[np.uint16]]]:
        return decode_bands({name: row[prefix + name] for name in cutting.bands})

    before, after = bands(""), bands("filled_")
    scl = decode_array(row["scl"], "uint8", CHIP_PIXELS_20M)
    return ChipPicture(
        day=row["acquired_at"].date(),
        rgb_before=stretch_rgb(before["red"], before["green"], before["blue"]),
        rgb_after=stretch_rgb(after["red"], after["green"], after["blue"]),
        valid_before=data_mask(before, class_table(cutting.valid_scl_classes)[scl]),
        valid_after=decode_array(row["source_index"], "uint8", CHIP_PIXELS_10M) != STILL_MISSING,
    )
