"""Export: chips of int_embedding_inputs that have no embedding yet become objects, written by Spark's executors.

SQL says which chips, and in which data file and row their pixels are. Executors read the pixels from there and write
the objects: no pixel passes through the JVM or a shuffle. The driver handles the manifest only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from embedding.runs.files import ExportedObject
from embedding.runs.object_writer import ENTRY_DDL, BatchFunction, objects_writer
from embedding.runs.stores import NewRun, RunStore
from embedding.wire import MAX_OBJECT_BYTES
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M
from lakehouse.catalog import ensure_sources
from lakehouse.days import Days
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS
from lakehouse.sql_literals import text_literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from embedding.model.card import ModelCard
    from lakehouse.settings.lake import LakeSettings

FILLED_CHIPS: Final = "fct_filled_chips"
EMBEDDING_INPUTS: Final = "int_embedding_inputs"

_BLOSC_OVERHEAD: Final = 16  # bytes by which a frame of incompressible pixels exceeds them
_ROW_OVERHEAD: Final = 1024  # bytes for ids, coordinates, offsets and padding
_TASKS_PER_CORE: Final = 4  # so that cores end at about the same time


def export_chips(
    spark: SparkSession,
    settings: Settings,
    store: RunStore,
    card: ModelCard,
    days: Days,
) -> NewRun | None:
    """Write the chips of int_embedding_inputs that this model has no embedding of as objects, and a manifest last.

    Args:
        spark: the session.
        settings: catalog, and chips per object.
        store: where the run belongs.
        card: the model that will embed them.
        days: days of acquisition to export.

    Returns:
        The run, or None if there was nothing to export; then nothing is written.

    Raises:
        ChiplakeError: a table to export from is missing, a data file was removed by maintenance meanwhile, or executors
            write to their own file systems.
    """
    catalog = ensure_sources(settings)
    filled, inputs = settings.lake.table(FILLED_CHIPS), settings.lake.table(EMBEDDING_INPUTS)
    for table in (filled, inputs):
        if not spark.catalog.tableExists(table):
            raise ChiplakeError(f"there is no table {table}; build it with `chiplake run temporal_merge`")
    for table in (filled, inputs, CLAY_EMBEDDINGS):
        spark.catalog.refreshTable(table)  # another process may have written it a moment ago
    size = chips_per_object(settings.embedding.chips_per_object, BAND_NAMES)
    plan = spark.sql(chips_to_embed(settings.lake, card.model_id, size, days)).persist()
    try:
        chips = plan.count()
        if not chips:
            return None
        run = store.new()
        tasks = min(-(-chips // size), _TASKS_PER_CORE * spark.sparkContext.defaultParallelism)
        writer = objects_writer(run.input_dir, BAND_NAMES, catalog.load_table(filled).io)
        entries = _write_objects(plan.repartitionByRange(tasks, "object_index"), writer)
    finally:
        plan.unpersist()
    check_objects(run, [entry.name for entry in entries])
    run.write_manifest(card, BAND_NAMES, entries)
    return run


def chips_to_embed(lake: LakeSettings, model_id: str, chips_per_object: int, days: Days) -> str:
    """Return the SQL of the chips that a model has no embedding of, numbered by object in the order of chip_id.

    Args:
        lake: where the tables are.
        model_id: the model that will embed them.
        chips_per_object: how many chips have the same object_index.
        days: days of acquisition to export.

    Returns:
        A statement whose rows have the columns that `objects_writer` takes.
    """
    conditions = " and ".join(["true", *days.conditions("inputs.acquired_at")])
    # A chip that was filled again since int_embedding_inputs was built waits until that is built again.
    # row_number over all rows is one task, but no pixels are read for it.
    return f"""
        with pending as (
            select
                inputs.chip_id,
                inputs.input_hash,
                chips.acquired_at,
                inputs.longitude,
                inputs.latitude,
                chips._file as file,
                chips._pos as position
            from {lake.table(EMBEDDING_INPUTS)} as inputs
            inner join {lake.table(FILLED_CHIPS)} as chips
                on inputs.chip_id = chips.chip_id and inputs.input_hash = chips.input_hash
            left anti join (
                select chip_id, input_hash
                from {CLAY_EMBEDDINGS}
                where model_id = {text_literal(model_id)} and error is null
            ) as embedded
                on inputs.chip_id = embedded.chip_id and inputs.input_hash = embedded.input_hash
            where {conditions}
        )

        select
            *,
            cast(floor((row_number() over (order by chip_id) - 1) / {chips_per_object}) as int) as object_index
        from pending
    """  # noqa: S608


def chips_per_object(wanted: int, bands: tuple[str, ...]) -> int:
    """Return how many chips go into one object, so that even incompressible ones fit `wire.MAX_OBJECT_BYTES`.

    Args:
        wanted: the number of the settings, which is not exceeded.
        bands: of the objects.
    """
    frames = [2 * BAND_BY_NAME[band].pixels ** 2 for band in bands] + [CHIP_PIXELS_10M**2]
    largest = sum(frame + _BLOSC_OVERHEAD for frame in frames) + _ROW_OVERHEAD
    return max(1, min(wanted, MAX_OBJECT_BYTES // largest))


def check_objects(run: NewRun, names: list[str]) -> None:
    """Check that the driver sees the objects that executors wrote.

    Raises:
        ChiplakeError: it does not see some of them.
    """
    missing = run.missing(names)
    if not missing:
        return
    remedy = "something has deleted them meanwhile; export again"
    if isinstance(run.input_dir, Path):
        remedy = (
            "on a cluster CHIPLAKE_HOME must be on a file system that all machines share, under the same path, or set "
            "CHIPLAKE_TRANSFORM_EXPORT_TO=s3"
        )
    raise ChiplakeError(
        f"{len(missing)} of {len(names)} objects that Spark's executors wrote are not in {run.input_dir}: {remedy}"
    )


def _write_objects(plan: DataFrame, writer: BatchFunction) -> list[ExportedObject]:
    """Write the objects of a plan, whose partitions have whole objects; return them in the order of their names."""
    entries = [entry.asDict() for entry in plan.mapInArrow(writer, ENTRY_DDL).collect()]
    for entry in entries:
        if error := entry.pop("error"):
            raise ChiplakeError(error)
    return sorted((ExportedObject(**entry) for entry in entries), key=lambda entry: entry.name)
