"""The job `embedding_generation`: finish what an earlier run left, export, transform, load."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict

from embedding.batch_transform import transform_on_sagemaker
from embedding.model.weights import ModelCard, describe_model, preprocessing_of
from embedding.runs.export import export_chips
from embedding.runs.files import LoadReport, Run, exclusively, find_run, remove_partial_exports, unfinished_runs
from embedding.runs.load import load_run
from embedding.runs.local_transform import transform_locally
from embedding.runs.report import ObjectFailure, Progress, TransformReport
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.settings import Settings
from python_udfs.session import get_spark


class EmbeddingSummary(BaseModel):
    """What one run of the job did."""

    model_config = ConfigDict(frozen=True)

    model_id: str
    weights: str  # `checkpoint`, or `untrained weights`
    run_ids: tuple[str, ...]  # runs finished or made
    exported_chips: int  # chips exported by this call
    embedded: int  # embeddings written
    errors: int  # answers that were errors
    failures: tuple[ObjectFailure, ...]  # objects without an answer

    @property
    def is_complete(self) -> bool:
        """Whether every chip asked for was embedded."""
        return not self.failures and not self.errors

    def raise_if_incomplete(self) -> None:
        """Turn what failed into one line.

        Raises:
            IncompleteError: an object has no answer, or a chip has an error in place of an embedding.
        """
        words = []
        if self.failures:
            first = self.failures[0]
            words.append(f"{len(self.failures)} objects were not transformed, first {first.name}: {first.reason}")
        if self.errors:
            words.append(f"{self.errors} chips could not be embedded, see column error of raw.clay_embeddings")
        if words:
            raise IncompleteError("; ".join(words) + "; run the job again to try them again")


def run_embedding(
    settings: Settings,
    start: date | None = None,
    end: date | None = None,
    on_progress: Progress | None = None,
) -> EmbeddingSummary:
    """Embed what has no embedding yet. With nothing new, no server is started and nothing is written.

    Args:
        settings: the settings in force.
        start: first day of acquisition, UTC; None for no bound. Leftovers are finished whatever their days.
        end: last day of acquisition, UTC, included; None for no bound.
        on_progress: called with (stage, done, total) as objects are transformed.

    Raises:
        ChiplakeError: the job cannot run at all. What failed for some objects or chips is in the summary.
    """
    card = _card(settings)
    with exclusively(settings.lake.transform_dir):
        remove_partial_exports(settings.lake.transform_dir)
        failures: list[ObjectFailure] = []
        loads: list[LoadReport] = []
        for leftover in unfinished_runs(settings.lake.transform_dir):
            _finish(settings, card, leftover, on_progress, loads, failures)
        run = export_chips(get_spark(settings), settings, card, start, end)
        if run is not None:
            _finish(settings, card, run, on_progress, loads, failures)
    return EmbeddingSummary(
        model_id=card.model_id,
        weights=card.weights,
        run_ids=tuple(load.run_id for load in loads),
        exported_chips=run.manifest().chips if run else 0,
        embedded=sum(load.embedded for load in loads),
        errors=sum(load.errors for load in loads),
        failures=tuple(failures),
    )


def run_export(
    settings: Settings, start: date | None = None, end: date | None = None, load_leftovers: bool = False
) -> Run | None:
    """Export only; None if there was nothing to export. Arguments as for `run_embedding`.

    With `load_leftovers`, the answers of earlier runs that are not loaded yet are loaded first, so that their chips
    without an answer are exported again; a transform of such a run that still works elsewhere is not waited for.

    Raises:
        ChiplakeError: an earlier export is not loaded yet, or there is nothing to export from.
    """
    card = _card(settings)
    with exclusively(settings.lake.transform_dir):
        remove_partial_exports(settings.lake.transform_dir)
        for unfinished in unfinished_runs(settings.lake.transform_dir):  # its chips would be exported twice
            if load_leftovers:
                load_run(get_spark(settings), settings, unfinished)
                continue
            raise ChiplakeError(
                f"{unfinished.run_id} is not loaded yet; run `chiplake embed transform` and `load` first, "
                "or export with --load-leftovers"
            )
        return export_chips(get_spark(settings), settings, card, start, end)


def run_transform(
    settings: Settings, run_id: str | None = None, on_progress: Progress | None = None
) -> dict[str, TransformReport]:
    """Transform one exported run, or all that are not loaded yet.

    Returns:
        How each transform ended, by run id.

    Raises:
        ChiplakeError: there is no such run, the server cannot be started, or AWS refuses what was asked of it.
    """
    with exclusively(settings.lake.transform_dir):
        return {run.run_id: _transform(settings, run, on_progress) for run in _chosen(settings, run_id)}


def run_load(settings: Settings, run_id: str | None = None) -> list[LoadReport]:
    """Load the answers of one run, or of all that are not loaded yet.

    Raises:
        ChiplakeError: there is no such run.
    """
    with exclusively(settings.lake.transform_dir):
        return [load_run(get_spark(settings), settings, run) for run in _chosen(settings, run_id)]


def _finish(
    settings: Settings,
    card: ModelCard,
    run: Run,
    on_progress: Progress | None,
    loads: list[LoadReport],
    failures: list[ObjectFailure],
) -> None:
    # Chips exported for another model are exported again if this one wants them; their answers are kept.
    if run.manifest().model_id == card.model_id:
        failures.extend(_transform(settings, run, on_progress).failures)
    loads.append(load_run(get_spark(settings), settings, run))


def _transform(settings: Settings, run: Run, on_progress: Progress | None) -> TransformReport:
    if settings.transform.on == "sagemaker":
        return transform_on_sagemaker(run, settings, on_progress)
    return transform_locally(
        run.input_dir,
        run.output_dir,
        weights_file=settings.clay.checkpoint,
        preprocessing=preprocessing_of(settings),
        expected_model_id=run.manifest().model_id,
        on_progress=on_progress,
    )


def _chosen(settings: Settings, run_id: str | None) -> list[Run]:
    if run_id is None:
        return unfinished_runs(settings.lake.transform_dir)
    return [find_run(settings.lake.transform_dir, run_id)]


def _card(settings: Settings) -> ModelCard:
    return describe_model(settings.clay.checkpoint, preprocessing_of(settings))
