"""Load: the answers of a run go into raw.clay_embeddings, each checked against its request.

A failed transform is loaded, too: chips without an answer are exported again by the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from pyspark.sql import functions as f

from embedding.runs.files import LoadReport, Manifest, Run, answer_path
from embedding.wire import ANSWER_SCHEMA, ARROW_STREAM, read_table
from lakehouse.catalog import ensure_sources
from lakehouse.locks import table_lock
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ANSWER_DDL: Final = "chip_id string, input_hash string, model_id string, embedding array<float>, error string"
_REQUIRED: Final = ("chip_id", "input_hash", "model_id", "embedding", "error")
_VIEW: Final = "chiplake_answers_to_load"


def load_run(spark: SparkSession, settings: Settings, run: Run) -> LoadReport:
    """Merge the answers of a run into raw.clay_embeddings and mark the run as loaded.

    An embedding replaces an error; an error never replaces an embedding. Answers that the table has already are not
    written again: a load of only such answers makes no snapshot.

    Args:
        spark: the session.
        settings: of the catalog that holds the table.
        run: an exported run, transformed completely or in part.

    Raises:
        ChiplakeError: the manifest of the run is missing, or another writer holds the table's lock for too long.
    """
    manifest = run.manifest()
    run.gather_answers()
    answered = [entry for entry in manifest.objects if answer_path(run.output_dir, entry.name).is_file()]
    unanswered = tuple(entry.name for entry in manifest.objects if entry not in answered)
    embedded = errors = unchanged = 0
    if answered:
        with table_lock(ensure_sources(settings).properties, CLAY_EMBEDDINGS):
            spark.catalog.refreshTable(CLAY_EMBEDDINGS)
            embedded, errors, unchanged = _merge(spark, run, manifest, [entry.name for entry in answered])
    report = LoadReport(
        run_id=run.run_id,
        embedded=embedded,
        errors=errors,
        unchanged=unchanged,
        unanswered_objects=unanswered,
    )
    run.mark_loaded(report)
    return report


def checked_answers(request: pa.Table | None, answer: pa.Table | str, model_id: str, dimension: int) -> pa.Table:
    """Check the answers to one object; return exactly one row for every chip of the request.

    Args:
        request: `chip_id` and `input_hash` of the object's chips; None if the object is gone.
        answer: the server's table, or a message why it cannot be read.
        model_id: the model of the run.
        dimension: length of its embeddings.

    Returns:
        A table of `wire.ANSWER_SCHEMA`: each row has an embedding, or an error that names the fault of the answer.
    """
    given, fault = _rows_by_chip(answer)
    asked = given.keys() if request is None else dict.fromkeys(_pairs(request)).keys()
    rows = []
    for chip_id, input_hash in asked:
        answers = given.get((chip_id, input_hash), [])
        embedding, error = (None, fault) if fault else _judge(answers, model_id, dimension)
        rows.append((chip_id, input_hash, model_id, embedding, error))
    return pa.Table.from_pylist(
        [dict(zip(ANSWER_SCHEMA.names, row, strict=True)) for row in rows], schema=ANSWER_SCHEMA
    )


def answer_reader(
    run: Run, model_id: str, dimension: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that turns names of objects into checked answers on an executor."""
    input_dir, output_dir = run.input_dir, run.output_dir

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for name in batch.column("name").to_pylist():
                request = _read_identity(input_dir / name)
                answer = _read_answer(answer_path(output_dir, name))
                yield from checked_answers(request, answer, model_id, dimension).to_batches()

    return read


def _merge(spark: SparkSession, run: Run, manifest: Manifest, names: list[str]) -> tuple[int, int, int]:
    """Merge the answers of these objects; return the numbers of embeddings written, errors, and unchanged answers."""
    answers = _compared_answers(spark, run, manifest, names).persist()
    try:
        # Counted first: a MERGE makes a snapshot even if it changes nothing.
        counted: Any = answers.selectExpr(
            "count_if(is_news and embedding is not null) as embedded",
            "count_if(error is not null and not has_embedding) as errors",
            "count_if(not is_news) as unchanged",
            "count_if(is_news) as news",
            "count_if(is_news and is_known) as updates",
        ).first()
        if counted.news:
            answers.where("is_news").drop("is_news", "is_known", "has_embedding").createOrReplaceTempView(_VIEW)
            # If no key is known, the update is left out: Iceberg then appends and rewrites no file.
            update = "when matched and target.embedding is null then update set *" if counted.updates else ""
            spark.sql(
                f"""
                merge into {CLAY_EMBEDDINGS} as target
                using {_VIEW} as source
                    on
                        target.chip_id = source.chip_id
                        and target.model_id = source.model_id
                        and target.input_hash = source.input_hash
                {update}
                when not matched then insert *
                """
            )
            spark.catalog.dropTempView(_VIEW)
    finally:
        answers.unpersist()
    return counted.embedded, counted.errors, counted.unchanged


def _compared_answers(spark: SparkSession, run: Run, manifest: Manifest, names: list[str]) -> DataFrame:
    """Return the answers as rows of the table, compared with those that the table has.

    `is_news` marks rows to write: new keys, embeddings in place of errors, other errors in place of errors.
    """
    tasks = min(len(names), spark.sparkContext.defaultParallelism)
    objects = spark.createDataFrame([(name,) for name in names], "name string").repartition(tasks)
    answers = objects.mapInArrow(answer_reader(run, manifest.model_id, manifest.dimension), _ANSWER_DDL)
    known = spark.table(CLAY_EMBEDDINGS).where(f.col("model_id") == manifest.model_id)
    known = known.select("chip_id", "input_hash", f.col("error").alias("known_error"), f.lit(True).alias("known"))
    has_embedding = f.expr("known is not null and known_error is null")
    is_same_error = f.expr("known is not null and error is not distinct from known_error")
    return answers.join(known, ["chip_id", "input_hash"], "left").select(
        "chip_id",
        "model_id",
        "input_hash",
        "embedding",
        "error",
        f.lit(run.run_id).alias("run_id"),
        f.current_timestamp().alias("embedded_at"),
        f.expr("known is not null").alias("is_known"),
        has_embedding.alias("has_embedding"),
        (~has_embedding & ~is_same_error).alias("is_news"),
    )


def _rows_by_chip(answer: pa.Table | str) -> tuple[dict[tuple[str, str], list[dict[str, Any]]], str | None]:
    """Group answers by (chip_id, input_hash). A fault of the whole answer comes second, otherwise None."""
    if isinstance(answer, str):
        return {}, answer
    missing = [name for name in _REQUIRED if name not in answer.column_names]
    by_chip: dict[tuple[str, str], list[dict[str, Any]]] = {}
    if "chip_id" not in missing and "input_hash" not in missing:
        names = [name for name in _REQUIRED if name not in missing]
        for row in answer.select(names).to_pylist():
            by_chip.setdefault((row["chip_id"], row["input_hash"]), []).append(row)
    return by_chip, f"the answer has no column {', '.join(missing)}" if missing else None


def _judge(answers: list[dict[str, Any]], model_id: str, dimension: int) -> tuple[list[float] | None, str | None]:
    """Return the embedding of one chip and None, or None and an error message."""
    if len(answers) != 1:
        return None, f"the answer holds this chip {len(answers)} times"
    answer = answers[0]
    embedding, error = answer["embedding"], answer["error"]
    if answer["model_id"] != model_id:
        return None, f"the answer is of {answer['model_id']}, the request was for {model_id}"
    if error is not None:
        return None, str(error)
    if embedding is None:
        return None, "the answer holds neither an embedding nor an error"
    if not isinstance(embedding, list) or len(embedding) != dimension:
        length = len(embedding) if isinstance(embedding, list) else "no"
        return None, f"the embedding has {length} values, embeddings of {model_id} have {dimension}"
    values = np.array(embedding, dtype=np.float32) if None not in embedding else np.array([np.nan])
    if not np.isfinite(values).all():
        return None, "the embedding holds values that are not finite"
    return embedding, None


def _pairs(table: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(table.column("chip_id").to_pylist(), table.column("input_hash").to_pylist(), strict=True)


def _read_identity(path: Path) -> pa.Table | None:
    """Read `chip_id` and `input_hash` of an object's chips; None if the object is gone."""
    if not path.is_file():
        return None
    # Mapped: the pixels between these columns are not read from disk.
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        return reader.read_all().select(["chip_id", "input_hash"])


def _read_answer(path: Path) -> pa.Table | str:
    try:
        return read_table(path.read_bytes(), ARROW_STREAM)
    except ValueError as error:
        return f"the answer cannot be read: {error}"
