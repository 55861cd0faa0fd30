"""Export: chips of int_embedding_inputs that have no embedding yet become objects, written by Spark's executors.

The driver handles keys and the manifest, never pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as f

from embedding.runs.files import ExportedObject, Run, new_run
from embedding.wire import ARROW_STREAM, MAX_OBJECT_BYTES, request_schema, write_table
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M
from lakehouse.catalog import ensure_sources
from lakehouse.days import Days
from lakehouse.errors import ChiplakeError
from lakehouse.files import write_atomically
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from embedding.model.weights import ModelCard
    from lakehouse.settings.lake import LakeSettings

FILLED_CHIPS: Final = "fct_filled_chips"
EMBEDDING_INPUTS: Final = "int_embedding_inputs"
_KEY: Final = ["chip_id", "input_hash"]

_BLOSC_OVERHEAD: Final = 16  # bytes by which a frame of incompressible pixels exceeds them
_ROW_OVERHEAD: Final = 1024  # bytes for ids, coordinates, offsets and padding
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
    days: Days,
) -> Run | None:
    """Write the chips of int_embedding_inputs that this model has no embedding of as objects, and a manifest last.

    Args:
        spark: the session.
        settings: catalog, transform directory and chips per object.
        card: the model that will embed them.
        days: days of acquisition to export.

    Returns:
        The run, or None if there was nothing to export; then nothing is written.

    Raises:
        ChiplakeError: a table to export from is missing, or executors write to their own file systems.
    """
    ensure_sources(settings)
    filled, inputs = settings.lake.table(FILLED_CHIPS), settings.lake.table(EMBEDDING_INPUTS)
    for table in (filled, inputs):
        if not spark.catalog.tableExists(table):
            raise ChiplakeError(f"there is no table {table}; build it with `chiplake run temporal_merge`")
    for table in (filled, inputs, CLAY_EMBEDDINGS):
        spark.catalog.refreshTable(table)  # another process may have written it a moment ago
    size = chips_per_object(settings.embedding.chips_per_object, BAND_NAMES)
    keys = chips_to_embed(spark, settings.lake, card.model_id, size, days).persist()
    try:
        if keys.isEmpty():
            return None
        run = new_run(settings.lake.transform_dir)
        entries = _write_objects(spark, filled, keys, run)
    finally:
        keys.unpersist()
    check_objects(run, [entry.name for entry in entries])
    run.write_manifest(card, BAND_NAMES, entries)
    return run


def chips_to_embed(
    spark: SparkSession, lake: LakeSettings, model_id: str, chips_per_object: int, days: Days
) -> DataFrame:
    """Select the chips that a model has no embedding of, numbered by object in the order of chip_id.

    Args:
        spark: the session.
        lake: where the tables are.
        model_id: the model that will embed them.
        chips_per_object: how many chips have the same object_index.
        days: days of acquisition to export.

    Returns:
        chip_id, input_hash, longitude, latitude (degrees) and object_index, from 0.
    """
    inputs = spark.table(lake.table(EMBEDDING_INPUTS))
    for condition in days.conditions("acquired_at"):
        inputs = inputs.where(condition)
    # A chip that was filled again since int_embedding_inputs was built waits until that is built again.
    filled = spark.table(lake.table(FILLED_CHIPS)).select(*_KEY)
    embedded = spark.table(CLAY_EMBEDDINGS).where((f.col("model_id") == model_id) & f.col("error").isNull())
    pending = inputs.join(filled, _KEY, "left_semi").join(embedded.select(*_KEY), _KEY, "left_anti")
    # row_number over all keys is one task, but of keys only: no pixels are read for it.
    position = f.row_number().over(Window.orderBy("chip_id")) - 1
    return pending.select(
        *_KEY, "longitude", "latitude", f.floor(position / chips_per_object).cast("int").alias("object_index")
    )


def chips_per_object(wanted: int, bands: tuple[str, ...]) -> int:
    """Return how many chips go into one object, so that even incompressible ones fit `wire.MAX_OBJECT_BYTES`.

    Args:
        wanted: the number of the settings, which is not exceeded.
        bands: of the objects.
    """
    frames = [2 * BAND_BY_NAME[band].pixels ** 2 for band in bands] + [CHIP_PIXELS_10M**2]
    largest = sum(frame + _BLOSC_OVERHEAD for frame in frames) + _ROW_OVERHEAD
    return max(1, min(wanted, MAX_OBJECT_BYTES // largest))


def object_writer(directory: Path, bands: tuple[str, ...]) -> Callable[[pa.Table], pa.Table]:
    """Make the function that writes one group of chips as one object and returns its manifest entry.

    The bytes depend only on the chips: rows are sorted by chip_id.
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
    """Check that the driver sees the objects that executors wrote.

    Raises:
        ChiplakeError: it does not see some of them.
    """
    missing = [name for name in names if not (run.input_dir / name).is_file()]
    if missing:
        raise ChiplakeError(
            f"{len(missing)} of {len(names)} objects that Spark's executors wrote are not in {run.input_dir}: "
            "on a cluster CHIPLAKE_HOME must be on a file system that all machines share, under the same path"
        )


def _write_objects(spark: SparkSession, filled_chips: str, keys: DataFrame, run: Run) -> list[ExportedObject]:
    """Write the chips of these keys, each object on one executor; return the objects in the order of their names."""
    chips = spark.table(filled_chips).select(*_KEY, "acquired_at", *BAND_NAMES, "source_index")
    entries = (
        chips.join(keys, _KEY)
        .groupBy("object_index")
        .applyInArrow(object_writer(run.input_dir, BAND_NAMES), _ENTRY_DDL)
        .orderBy("name")
        .collect()
    )
    return [ExportedObject(**entry.asDict()) for entry in entries]
