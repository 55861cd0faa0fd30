"""Export, transform and load on the real lake: Spark, Iceberg, and the inference server as a process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.io import FileIO
from pyspark.sql import SparkSession
from support.embeddings import ACQUIRED_AT, make_chip
from support.lakes import dbt
from typer.testing import CliRunner

from chiplake.cli import embed as commands
from embedding.model.weights import SEEDED_SIZE
from embedding.pipeline import run_embedding, run_export, run_load, run_transform
from embedding.runs import export as export_step
from embedding.runs import local_transform
from embedding.runs.files import Run, only_embedding_run, unfinished_runs
from embedding.runs.load import load_run
from embedding.runs.object_writer import BatchFunction, objects_writer
from embedding.wire import ANSWER_SCHEMA, ARROW_STREAM, read_table, write_table
from lakehouse.bands import BAND_NAMES
from lakehouse.catalog import ensure_sources
from lakehouse.days import Days
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings

CHIPS = 5
TABLES = ("chiplake.fct_filled_chips", "chiplake.dim_grid_cells", "chiplake.int_embedding_inputs")


@pytest.fixture
def small(settings: Settings, spark: SparkSession) -> Iterator[Settings]:
    """Return settings with two chips an object, for a lake with five filled chips of five cells, without embeddings."""
    ensure_sources(settings)
    spark.sql("delete from raw.clay_embeddings")
    for table in TABLES:
        spark.sql(f"drop table if exists {table}")
    spark.sql("create table chiplake.dim_grid_cells (cell_id string, longitude double, latitude double) using iceberg")
    spark.sql(
        """create table chiplake.int_embedding_inputs (
            chip_id string, input_hash string, cell_id string, acquired_at timestamp, longitude double, latitude double
        ) using iceberg"""
    )
    bands = ", ".join(f"{band} binary" for band in BAND_NAMES)
    spark.sql(
        f"""create table chiplake.fct_filled_chips (
            chip_id string, cell_id string, acquired_at timestamp, {bands},
            source_index binary, complete_fraction double, input_hash string
        ) using iceberg"""
    )
    add_chips(spark, [filled_chip(number) for number in range(CHIPS)])
    yield settings.replace(embed_chips_per_object=2)
    shutil.rmtree(settings.lake.transform_dir, ignore_errors=True)
    spark.sql("delete from raw.clay_embeddings")
    for table in TABLES:
        spark.sql(f"drop table if exists {table}")


def filled_chip(number: int, **columns: Any) -> dict[str, Any]:
    chip = make_chip(number) | {"cell_id": f"32633_{number}_0", "complete_fraction": 1.0}
    chip["acquired_at"] = ACQUIRED_AT + timedelta(days=number)
    chip["longitude"] += number
    return chip | columns


def add_chips(spark: SparkSession, chips: list[dict[str, Any]]) -> None:
    """Add filled chips with their cells, all of them to be embedded."""
    for table in TABLES:
        columns = spark.table(table).schema
        rows = [tuple(chip[name] for name in columns.names) for chip in chips]
        spark.createDataFrame(rows, columns).writeTo(table).append()


def embeddings(spark: SparkSession) -> dict[str, Any]:
    return {row.chip_id: row for row in spark.table("raw.clay_embeddings").collect()}


def snapshots(spark: SparkSession) -> int:
    return spark.sql("select * from raw.clay_embeddings.snapshots").count()


def exported_ids(run: Run) -> list[str]:
    tables = [read_table((run.input_dir / entry.name).read_bytes(), ARROW_STREAM) for entry in run.manifest().objects]
    return [chip for table in tables for chip in table["chip_id"].to_pylist()]


def answer(run: Run, name: str, **columns: Any) -> None:
    """Write the answer of one object: a valid embedding for each chip, with the given columns replaced."""
    asked = read_table((run.input_dir / name).read_bytes(), ARROW_STREAM)
    manifest = run.manifest()
    values: dict[str, Any] = {
        "chip_id": asked["chip_id"].to_pylist(),
        "input_hash": asked["input_hash"].to_pylist(),
        "model_id": [manifest.model_id] * asked.num_rows,
        "embedding": [[0.5] * manifest.dimension] * asked.num_rows,
        "error": [None] * asked.num_rows,
    } | columns
    schema = pa.schema([ANSWER_SCHEMA.field(column) for column in values if values[column] is not None])
    table = pa.table({column: values[column] for column in schema.names}, schema=schema)
    run.output_dir.mkdir(exist_ok=True)
    (run.output_dir / f"{name}.out").write_bytes(write_table(table, ARROW_STREAM))


def export(settings: Settings) -> Run:
    run = run_export(settings)
    assert isinstance(run, Run)
    return run


def test_every_filled_chip_is_embedded_and_a_second_run_does_nothing(
    spark: SparkSession, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[tuple[str, int, int]] = []
    summary = run_embedding(small, on_progress=lambda *stage: stages.append(stage))

    assert (summary.exported_chips, summary.embedded, summary.errors, summary.is_complete) == (CHIPS, CHIPS, 0, True)
    assert summary.weights == "untrained weights"
    assert stages[-1] == ("transform", 3, 3)
    rows = embeddings(spark)
    assert sorted(rows) == [f"chip-{number:03d}" for number in range(CHIPS)]
    assert {(len(row.embedding), row.error, row.model_id) for row in rows.values()} == {
        (SEEDED_SIZE.dim, None, summary.model_id)
    }
    assert len({tuple(row.embedding) for row in rows.values()}) == CHIPS

    before = snapshots(spark)
    directories = sorted(small.lake.transform_dir.iterdir())
    monkeypatch.setattr(local_transform, "inference_server", lambda *_: pytest.fail("a server was started"))
    again = run_embedding(small)
    assert (again.run_ids, again.exported_chips, again.embedded) == ((), 0, 0)
    assert snapshots(spark) == before
    assert sorted(small.lake.transform_dir.iterdir()) == directories


def test_a_chip_whose_content_changed_is_embedded_again(spark: SparkSession, small: Settings) -> None:
    run_embedding(small)
    spark.sql("update chiplake.fct_filled_chips set input_hash = 'other' where chip_id = 'chip-002'")
    assert run_embedding(small).exported_chips == 0, "int_embedding_inputs does not list it yet"
    spark.sql("update chiplake.int_embedding_inputs set input_hash = 'other' where chip_id = 'chip-002'")
    assert run_embedding(small).embedded == 1
    rows = spark.table("raw.clay_embeddings").where("chip_id = 'chip-002'").collect()
    assert sorted(row.input_hash for row in rows) == ["hash-002", "other"]


def test_objects_are_sorted_whole_and_the_same_each_time(small: Settings) -> None:
    first = export(small)
    shutil.move(first.path, small.lake.home / "kept")
    second = export(small)
    kept = json.loads((small.lake.home / "kept" / "manifest.json").read_text())

    assert exported_ids(second) == [f"chip-{number:03d}" for number in range(CHIPS)]
    assert [entry.chips for entry in second.manifest().objects] == [2, 2, 1]
    assert [entry["sha256"] for entry in kept["objects"]] == [entry.sha256 for entry in second.manifest().objects]
    assert sorted(path.name for path in second.input_dir.iterdir()) == [o.name for o in second.manifest().objects]
    table = read_table((second.input_dir / "chips-00000.arrow").read_bytes(), ARROW_STREAM)
    assert table.column_names[:5] == ["chip_id", "input_hash", "acquired_at", "longitude", "latitude"]
    assert table["acquired_at"].to_pylist() == [ACQUIRED_AT, ACQUIRED_AT + timedelta(days=1)]
    assert table["blue"].to_pylist() == [make_chip(0)["blue"], make_chip(1)["blue"]]
    shutil.rmtree(small.lake.home / "kept")


def test_only_chips_that_were_asked_for_are_exported(spark: SparkSession, small: Settings) -> None:
    add_chips(spark, [filled_chip(7, complete_fraction=0.9)])
    day = ACQUIRED_AT.date()
    variables = {"embed_bbox": [16.0, 45.0, 18.9, 46.0]}
    dbt("run", "--select", "int_embedding_inputs", "--vars", json.dumps(variables))
    of_one_band = small.replace(bands=("blue",))

    run = run_export(of_one_band, Days(day + timedelta(days=2), day + timedelta(days=3)))

    assert isinstance(run, Run)
    assert exported_ids(run) == ["chip-002", "chip-003"]
    table = read_table((run.input_dir / "chips-00000.arrow").read_bytes(), ARROW_STREAM)
    # All bands that the chips have, which their hash names, not the bands that this process would cut.
    assert table.column_names[5:] == [*BAND_NAMES, "source_index"]


def test_an_export_finds_pixels_beside_deleted_rows(spark: SparkSession, small: Settings) -> None:
    add_chips(spark, [filled_chip(number) for number in range(CHIPS, CHIPS + 3)])
    spark.sql("alter table chiplake.fct_filled_chips set tblproperties ('write.delete.mode' = 'merge-on-read')")
    spark.sql("delete from chiplake.fct_filled_chips where chip_id in ('chip-001', 'chip-005')")
    assert spark.sql("select * from chiplake.fct_filled_chips.delete_files").count() > 0

    run = export(small)

    tables = [read_table((run.input_dir / entry.name).read_bytes(), ARROW_STREAM) for entry in run.manifest().objects]
    frames = {row["chip_id"]: row["blue"] for table in tables for row in table.to_pylist()}
    assert frames == {f"chip-{number:03d}": make_chip(number)["blue"] for number in (0, 2, 3, 4, 6, 7)}


def test_an_export_whose_data_files_are_removed_meanwhile_says_to_run_again(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after_maintenance(directory: Path, bands: tuple[str, ...], io: FileIO) -> BatchFunction:
        files = list(Path(small.lake.warehouse_location).glob("chiplake/fct_filled_chips/data/**/*.parquet"))
        assert files
        for file in files:
            file.unlink()
        return objects_writer(directory, bands, io)

    monkeypatch.setattr(export_step, "objects_writer", after_maintenance)
    with pytest.raises(ChiplakeError, match=r"parquet: this file is gone, .*; run this again$"):
        run_export(small)
    assert unfinished_runs(small.lake.transform_dir) == []


def test_the_export_names_the_job_that_builds_a_missing_table(spark: SparkSession, small: Settings) -> None:
    spark.sql("drop table chiplake.int_embedding_inputs")
    with pytest.raises(ChiplakeError) as raised:
        run_export(small)
    assert str(raised.value) == (
        "there is no table chiplake.int_embedding_inputs; build it with `chiplake run temporal_merge`"
    )


def test_nothing_is_written_when_there_is_nothing_to_export(small: Settings) -> None:
    assert run_export(small, Days(start=date(2030, 1, 1))) is None
    assert unfinished_runs(small.lake.transform_dir) == []


def test_invalid_answers_become_error_messages(spark: SparkSession, small: Settings) -> None:
    run = export(small)
    model_id = run.manifest().model_id
    answer(run, "chips-00000.arrow", embedding=[[float("nan")] * SEEDED_SIZE.dim, [0.5] * 3])
    answer(run, "chips-00001.arrow", embedding=None)
    (run.output_dir / "chips-00002.arrow.out").write_bytes(b"not arrow")

    report = load_run(small, run)

    assert (report.embedded, report.errors, report.unanswered_objects) == (0, CHIPS, ())
    rows = embeddings(spark)
    assert {row.embedding for row in rows.values()} == {None}
    assert rows["chip-000"].error == "the embedding holds values that are not finite"
    assert rows["chip-001"].error == f"the embedding has 3 values, embeddings of {model_id} have {SEEDED_SIZE.dim}"
    assert rows["chip-002"].error == rows["chip-003"].error == "the answer has no column embedding"
    assert rows["chip-004"].error.startswith("the answer cannot be read: ")


def test_an_answer_of_another_model_or_without_the_chip_is_an_error(spark: SparkSession, small: Settings) -> None:
    run = export(small)
    answer(run, "chips-00000.arrow", model_id=["other"] * 2)
    answer(run, "chips-00001.arrow", chip_id=["chip-002", "chip-999"])
    answer(run, "chips-00002.arrow")

    load_run(small, run)

    rows = embeddings(spark)
    assert rows["chip-000"].error == f"the answer is of other, the request was for {run.manifest().model_id}"
    assert rows["chip-003"].error == "the answer holds this chip 0 times"
    assert (rows["chip-002"].error, rows["chip-004"].error) == (None, None)
    assert "chip-999" not in rows


def test_an_embedding_replaces_an_error_and_never_the_reverse(spark: SparkSession, small: Settings) -> None:
    run = export(small)
    answer(run, "chips-00000.arrow", embedding=[[0.5] * SEEDED_SIZE.dim, None], error=[None, "first words"])
    load_run(small, run)
    before = snapshots(spark)

    assert load_run(small, run).embedded == 0, "the same answers write nothing"
    assert snapshots(spark) == before

    answer(run, "chips-00000.arrow", embedding=[None, [0.25] * SEEDED_SIZE.dim], error=["too late", None])
    load_run(small, run)

    rows = embeddings(spark)
    assert (rows["chip-000"].embedding[0], rows["chip-000"].error) == (0.5, None)
    assert (rows["chip-001"].embedding[0], rows["chip-001"].error) == (0.25, None)
    assert len(rows) == 2


def test_a_failed_object_leaves_the_rest_loaded_and_is_exported_again(spark: SparkSession, small: Settings) -> None:
    run = export(small)
    (run.input_dir / "chips-00001.arrow").write_bytes(b"damaged")

    reports = run_transform(small)
    assert reports[run.run_id].status == "Failed"
    assert [failure.name for failure in reports[run.run_id].failures] == ["chips-00001.arrow"]
    (load,) = run_load(small)
    assert (load.embedded, load.unanswered_objects) == (3, ("chips-00001.arrow",))

    assert run_embedding(small).exported_chips == 2
    assert len(embeddings(spark)) == CHIPS


def test_a_run_that_was_killed_is_finished_first(spark: SparkSession, small: Settings) -> None:
    killed = export(small)
    answer(killed, "chips-00000.arrow")  # its last answer before it was killed
    partial = small.lake.transform_dir / "20230101T000000Z-abcdef" / "input"
    partial.mkdir(parents=True)  # an export that was killed before its manifest

    summary = run_embedding(small)

    assert (summary.run_ids, summary.exported_chips, summary.embedded) == ((killed.run_id,), 0, CHIPS)
    assert embeddings(spark)["chip-000"].embedding[0] == 0.5, "the answer that was there is kept"
    assert unfinished_runs(small.lake.transform_dir) == []
    assert not partial.parent.exists()


def test_a_chip_with_an_error_is_exported_and_reported_again(spark: SparkSession, small: Settings) -> None:
    spark.sql("update chiplake.fct_filled_chips set red = X'00' where chip_id = 'chip-001'")
    first = run_embedding(small)
    before = snapshots(spark)
    second = run_embedding(small)

    assert (first.embedded, first.errors, second.exported_chips, second.errors) == (CHIPS - 1, 1, 1, 1)
    assert snapshots(spark) == before, "the same error writes nothing"
    assert embeddings(spark)["chip-001"].error == "column red: not a Blosc frame, or not a whole one: 1 bytes"
    with pytest.raises(ChiplakeError, match="1 chips could not be embedded"):
        second.raise_if_incomplete()


def test_the_commands_run_the_steps_and_name_untrained_weights(
    spark: SparkSession, small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "get_settings", lambda: small)
    outputs = {step: CliRunner().invoke(commands.app, [step]) for step in ("export", "transform", "load")}
    again = CliRunner().invoke(commands.app, ["export"])

    assert [result.exception for result in outputs.values()] == [None] * 3
    assert f"{CHIPS} chips in 3 objects" in outputs["export"].output
    assert "untrained weights" in outputs["export"].output
    assert "untrained weights" in outputs["transform"].output
    assert f"{CHIPS} embeddings, 0 errors" in outputs["load"].output
    assert "nothing to export" in again.output
    assert len(embeddings(spark)) == CHIPS


def test_a_second_export_before_the_load_is_refused(small: Settings) -> None:
    run = export(small)
    with pytest.raises(ChiplakeError, match=f"{run.run_id} is not loaded yet"):
        run_export(small)


def test_two_jobs_at_once_are_refused(small: Settings) -> None:
    with (
        only_embedding_run(small.lake.transform_dir),
        pytest.raises(ChiplakeError, match=rf"embedding runs .* process {os.getpid()} on .*; run this again"),
    ):
        run_embedding(small)


def test_an_export_loads_leftovers_on_request(spark: SparkSession, small: Settings) -> None:
    run = export(small)
    answer(run, "chips-00000.arrow")
    deeper = run.output_dir / "embed" / "input"  # SageMaker may keep a part of the input's key
    deeper.mkdir(parents=True)
    (run.output_dir / "chips-00000.arrow.out").rename(deeper / "chips-00000.arrow.out")
    with pytest.raises(ChiplakeError, match=r"or export with --load-leftovers$"):
        export(small)

    again = run_export(small, load_leftovers=True)

    assert isinstance(again, Run)
    assert sorted(embeddings(spark)) == ["chip-000", "chip-001"]
    assert exported_ids(again) == ["chip-002", "chip-003", "chip-004"]
    assert unfinished_runs(small.lake.transform_dir) == [again]
