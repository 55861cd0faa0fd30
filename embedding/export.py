"""Export: filled chips that have no embedding yet become objects of chips, written by Spark's executors.

The driver sees keys' counts and the manifest, never pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from embedding.runs import ExportedObject, Run, new_run
from embedding.wire import ARROW_STREAM, MAX_OBJECT_BYTES, request_schema, write_table
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M
from lakehouse.box import BBox
from lakehouse.catalog import MODEL_NAMESPACE, ensure_sources
from lakehouse.errors import ChiplakeError
from lakehouse.files import write_atomically
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from embedding.checkpoint import ModelCard

FILLED_CHIPS: Final = f"{MODEL_NAMESPACE}.fct_filled_chips"
GRID_CELLS: Final = f"{MODEL_NAMESPACE}.dim_grid_cells"

_BLOSC_OVERHEAD: Final = 16  # bytes by which a frame may exceed what it holds
_ROW_OVERHEAD: Final = 1024  # bytes for identity, offsets and padding
_ENTRY_DDL: Final = "name string, chips int, size bigint, sha256 string"
_ENTRY_SCHEMA: Final = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("chips", pa.int32()),
        pa.field("size", pa.int64()),
        pa.field("sha256", pa.string()),
    ]
)


def export_chips(
    spark: SparkSession,
    settings: Settings,
    card: ModelCard,
    start: date | None = None,
    end: date | None = None,
) -> Run | None:
    """Write the filled chips that this model has no embedding of as objects, and a manifest last.

    Args:
        spark: the session.
        settings: bands, least complete share, box and chips an object.
        card: the model that will embed them.
        start: first day of acquisition, UTC; None for no bound.
        end: last day of acquisition, UTC, included; None for no bound.

    Returns:
        The run, or None if there was nothing to export; then nothing is written.

    Raises:
        ChiplakeError: the tables to export from are not there, or executors write to a file system of their own.
    """
    ensure_sources(settings)
    for table in (FILLED_CHIPS, GRID_CELLS):
        if not spark.catalog.tableExists(table):
            raise ChiplakeError(f"there is no table {table}; make it with `dbt build`")
    for table in (FILLED_CHIPS, GRID_CELLS, CLAY_EMBEDDINGS):
        spark.catalog.refreshTable(table)  # another process may have written it a moment ago
    size = chips_per_object(settings.embedding.chips_per_object, BAND_NAMES)
    where, arguments = _selection(settings, start, end)
    keys = spark.sql(
        # row_number over all keys is one task, but of keys only: no pixels are read for it.
        f"""
        select
            chips.chip_id,
            chips.input_hash,
            cells.longitude,
            cells.latitude,
            int((row_number() over (order by chips.chip_id) - 1) div {size}) as object_index
        from {FILLED_CHIPS} as chips
        inner join {GRID_CELLS} as cells
            on chips.cell_id = cells.cell_id
        left anti join {CLAY_EMBEDDINGS} as embedded
            on
                chips.chip_id = embedded.chip_id
                and chips.input_hash = embedded.input_hash
                and embedded.model_id = :model_id
                and embedded.error is null
        where {where}
        """,  # noqa: S608 (table names and an integer of our own; values are parameters)
        args=arguments | {"model_id": card.model_id},
    ).persist()
    try:
        if keys.isEmpty():
            return None
        run = new_run(settings.lake.transform_dir)
        payload = spark.table(FILLED_CHIPS).select("chip_id", "input_hash", "acquired_at", *BAND_NAMES, "source_index")
        entries = (
            payload.join(keys, ["chip_id", "input_hash"])
            .groupBy("object_index")
            .applyInArrow(object_writer(run.input_dir, BAND_NAMES), _ENTRY_DDL)
            .orderBy("name")
            .collect()
        )
    finally:
        keys.unpersist()
    check_objects(run, [entry.name for entry in entries])
    run.write_manifest(card, BAND_NAMES, (ExportedObject(**entry.asDict()) for entry in entries))
    return run


def chips_per_object(wanted: int, bands: tuple[str, ...]) -> int:
    """How many chips go into one object, so that not even incompressible ones exceed `wire.MAX_OBJECT_BYTES`."""
    frames = [2 * BAND_BY_NAME[band].pixels ** 2 for band in bands] + [CHIP_PIXELS_10M**2]
    largest = sum(frame + _BLOSC_OVERHEAD for frame in frames) + _ROW_OVERHEAD
    return max(1, min(wanted, MAX_OBJECT_BYTES // largest))


def object_writer(directory: Path, bands: tuple[str, ...]) -> Callable[[pa.Table], pa.Table]:
    """Make the function that writes one group of chips as one object and returns its manifest entry.

    The bytes depend on the chips alone: rows are in the order of chip_id, whatever order they came in.
    """
    schema = request_schema(bands)

    def write_object(group: pa.Table) -> pa.Table:
        name = f"chips-{group.column('object_index')[0].as_py():05d}.arrow"
        chips = group.select(schema.names).cast(schema).sort_by("chip_id").combine_chunks()
        content = write_table(chips, ARROW_STREAM)
        write_atomically(directory / name, content)
        entry = {
            "name": [name],
            "chips": [chips.num_rows],
            "size": [len(content)],
            "sha256": [hashlib.sha256(content).hexdigest()],
        }
        return pa.table(entry, schema=_ENTRY_SCHEMA)

    return write_object


def check_objects(run: Run, names: list[str]) -> None:
    """Check that objects that executors wrote are here, too.

    Raises:
        ChiplakeError: some are not.
    """
    missing = [name for name in names if not (run.input_dir / name).is_file()]
    if missing:
        raise ChiplakeError(
            f"{len(missing)} of {len(names)} objects that Spark's executors wrote are not in {run.input_dir}: "
            "on a cluster CHIPLAKE_HOME must be on a file system that all machines share, under the same path"
        )


def _selection(settings: Settings, start: date | None, end: date | None) -> tuple[str, dict[str, Any]]:
    """The condition on the chips to embed, and its parameters."""
    conditions = ["chips.complete_fraction >= :min_complete"]
    arguments: dict[str, Any] = {"min_complete": settings.embedding.min_complete}
    if settings.embedding.bbox is not None:
        condition, box = _in_box(settings.embedding.bbox)
        conditions.append(condition)
        arguments |= box
    if start is not None:
        conditions.append("chips.acquired_at >= timestamp(:start)")
        arguments["start"] = start.isoformat()
    if end is not None:
        conditions.append("chips.acquired_at < timestamp(:after)")
        arguments["after"] = (end + timedelta(days=1)).isoformat()
    return " and ".join(conditions), arguments


def _in_box(box: BBox) -> tuple[str, dict[str, Any]]:
    west, south, east, north = box
    # A box whose west lies east of its east crosses the antimeridian.
    joined = "and" if west <= east else "or"
    condition = (
        f"(cells.longitude >= :west {joined} cells.longitude <= :east)"
        " and cells.latitude >= :south and cells.latitude <= :north"
    )
    return condition, {"west": west, "south": south, "east": east, "north": north}
