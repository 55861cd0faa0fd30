"""`chiplake embed …`: Clay embeddings, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from chiplake.cli.options import Day
from chiplake.cli.progress import progress_bar
from chiplake.output import print_line
from embedding.server.command import serve_command
from lakehouse.days import Days
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.settings import Settings, get_settings

app = typer.Typer(help="Make Clay embeddings: export chips, transform them, load the answers.", no_args_is_help=True)

_RunId = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="An exported run; default all runs that are not loaded.")
]


@app.command()
def export(
    start_date: Day = None,
    end_date: Day = None,
    load_leftovers: Annotated[
        bool,
        typer.Option(
            "--load-leftovers", help="Load answers of earlier runs first; chips without one are exported again."
        ),
    ] = False,
) -> None:
    """Write filled chips without an embedding as objects for a transform."""
    from chiplake.scheduled_stage import scheduled_stage
    from embedding.pipeline import run_export

    settings = get_settings()
    days = Days(start_date, end_date)
    with scheduled_stage(settings, "export", days):
        run = run_export(settings, days, load_leftovers=load_leftovers)
    if run is None:
        print_line("nothing to export: every chip that is complete enough has its embedding")
        return
    manifest = run.manifest()
    print_line(f"{run.run_id}: {manifest.chips} chips in {len(manifest.objects)} objects, {run.input_dir}")
    print_line(f"for {manifest.model_id} ({manifest.weights})")


@app.command()
def transform(
    run: _RunId = None,
    on: Annotated[
        Literal["local", "sagemaker"] | None,
        typer.Option(help="A server on this machine, or a batch transform job; default CHIPLAKE_TRANSFORM_ON."),
    ] = None,
    through: Annotated[
        Literal["boto3", "sagemaker-core"] | None,
        typer.Option(help="Library that starts the job; default CHIPLAKE_TRANSFORM_THROUGH."),
    ] = None,
) -> None:
    """Send exported objects to the inference server, here or on SageMaker, and keep its answers.

    A SageMaker job continues when this command is stopped; the next call waits for it and fetches its answers.
    """
    from chiplake.scheduled_stage import scheduled_stage
    from embedding.wire import UNTRAINED

    choices: dict[str, Any] = {"transform_on": on, "transform_through": through}
    settings = get_settings().replace(**{name: value for name, value in choices.items() if value is not None})
    if settings.clay.checkpoint is None:
        print_line(f"no checkpoint is set: a seeded encoder with {UNTRAINED} takes its place")
    with scheduled_stage(settings, "batch_transform"):
        _transform(settings, run)


def _transform(settings: Settings, run: str | None) -> None:
    from embedding.pipeline import run_transform

    with progress_bar("transform") as show_progress:
        reports = run_transform(settings, run, show_progress)
    failures = [f"{run_id}/{failure.name}: {failure.reason}" for run_id, r in reports.items() for failure in r.failures]
    for run_id, report in reports.items():
        print_line(f"{run_id}: {report.status}, {report.transformed} transformed, {report.skipped} done before")
    if not reports:
        print_line("nothing to transform")
    if failures and not any(report.transformed or report.skipped for report in reports.values()):
        raise ChiplakeError(f"all {len(failures)} objects failed, first {failures[0]}")
    if failures:
        raise IncompleteError(f"{len(failures)} objects failed, first {failures[0]}; the others can be loaded")


@app.command()
def load(run: _RunId = None) -> None:
    """Load the answers of a transform, also of one that failed, into raw.clay_embeddings."""
    from chiplake.scheduled_stage import scheduled_stage
    from embedding.pipeline import run_load

    settings = get_settings()
    with scheduled_stage(settings, "load"):
        reports = run_load(settings, run)
        for report in reports:
            print_line(
                f"{report.run_id}: {report.embedded} embeddings, {report.errors} errors, {report.unchanged} unchanged, "
                f"{len(report.unanswered_objects)} objects without an answer"
            )
        if not reports:
            print_line("nothing to load")
        unanswered = sum(len(report.unanswered_objects) for report in reports)
        if unanswered or any(report.errors for report in reports):
            raise IncompleteError("not every chip has its embedding; export, transform and load again")


@app.command()
def package(
    dest: Annotated[Path, typer.Argument(help="The archive NAME.tar.gz, or the directory of model.tar.gz.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Clay checkpoint; default CHIPLAKE_CLAY_CHECKPOINT, else untrained weights.")
    ] = None,
) -> None:
    """Write the server's code and the checkpoint as model data of a SageMaker model."""
    from embedding.model.card import card_path, preprocessing_of
    from embedding.server.package import write_package

    settings = get_settings()
    archive, weights = write_package(dest, checkpoint or settings.clay.checkpoint)
    card = weights.card(preprocessing_of(settings.clay))
    print_line(f"{archive}: {card.model_id} ({card.weights})")
    print_line("copy it to S3 and set CHIPLAKE_TRANSFORM_MODEL_DATA_URI to its address")
    print_line(f"{card_path(archive)}: the card, for CHIPLAKE_CLAY_CARD of machines without torch")


app.command("serve")(serve_command)
