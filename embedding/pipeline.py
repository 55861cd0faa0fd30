"""The steps of the embedding job, each as a function: export, transform, load, and all of them in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

from embedding.model.card import ModelCard, card_of, preprocessing_of
from embedding.runs.export import export_chips
from embedding.runs.files import LoadReport, Run, only_embedding_run, remove_partial_exports
from embedding.runs.load import load_run
from embedding.runs.local_transform import transform_locally
from embedding.runs.report import ObjectFailure, Progress, TransformReport
from embedding.runs.sagemaker_transform import transform_on_sagemaker
from embedding.runs.stores import NewRun, RunStore, run_store
from lakehouse.days import Days
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.settings import Settings
from python_udfs.session import get_spark

ALL_DAYS: Final = Days()

__all__ = ["EmbeddingSummary", "run_embedding", "run_export", "run_load", "run_transform"]


class EmbeddingSummary(BaseModel):
    """The result of one call of `run_embedding`."""

    model_config = ConfigDict(frozen=True)

    model_id: str
    weights: str  # `checkpoint`, or `untrained weights`
    run_ids: tuple[str, ...]  # export runs that this call finished, its own among them
    exported_chips: int  # chips exported by this call
    embedded: int  # embeddings written
    errors: int  # answers that were errors
    failures: tuple[ObjectFailure, ...]  # objects without an answer

    @property
    def is_complete(self) -> bool:
        """Return whether every exported chip was embedded."""
        return not self.failures and not self.errors

    def raise_if_incomplete(self) -> None:
        """Raise an error of one line if anything failed.

        Raises:
            IncompleteError: an object has no answer, or a chip has an error instead of an embedding.
        """
        reasons = []
        if self.failures:
            first = self.failures[0]
            reasons.append(f"{len(self.failures)} objects were not transformed, first {first.name}: {first.reason}")
        if self.errors:
            reasons.append(f"{self.errors} chips could not be embedded, see column error of raw.clay_embeddings")
        if reasons:
            raise IncompleteError("; ".join(reasons) + "; run the job again to try them again")


def run_embedding(settings: Settings, days: Days = ALL_DAYS, on_progress: Progress | None = None) -> EmbeddingSummary:
    """Embed the chips of int_embedding_inputs that have no embedding yet.

    Export runs that an earlier call left unfinished are finished first. Without a new chip, no server is started and
    nothing is written.

    Args:
        settings: of the model, the transform and the lake.
        days: days of acquisition to export. Unfinished runs are finished whatever their days.
        on_progress: called with (stage, done, total) as objects are transformed.

    Raises:
        ChiplakeError: the job cannot run at all. Objects and chips that failed are in the summary.
    """
    card, store = card_of(settings.clay), run_store(settings)
    with only_embedding_run(settings.lake.transform_dir):
        remove_partial_exports(settings.lake.transform_dir)
        finished = [_finish(settings, card, store, run_id, on_progress) for run_id in store.unfinished()]
        exported = export_chips(get_spark(settings), settings, store, card, days)
        if exported is not None:
            finished.append(_finish(settings, card, store, exported.run_id, on_progress))
    return EmbeddingSummary(
        model_id=card.model_id,
        weights=card.weights,
        run_ids=tuple(run.load.run_id for run in finished),
        exported_chips=exported.manifest().chips if exported else 0,
        embedded=sum(run.load.embedded for run in finished),
        errors=sum(run.load.errors for run in finished),
        failures=tuple(failure for run in finished for failure in run.failures),
    )


def run_export(settings: Settings, days: Days = ALL_DAYS, load_leftovers: bool = False) -> NewRun | None:
    """Export the chips of int_embedding_inputs that have no embedding yet.

    Args:
        settings: as for `run_embedding`.
        days: days of acquisition to export.
        load_leftovers: load the answers of unfinished runs first, so that their chips without an answer are exported
            again. A transform of such a run that is still at work elsewhere is not waited for.

    Returns:
        The run, or None if there was nothing to export.

    Raises:
        ChiplakeError: an earlier run is not loaded yet, or a table to export from is missing.
    """
    card, store = card_of(settings.clay), run_store(settings)
    with only_embedding_run(settings.lake.transform_dir):
        remove_partial_exports(settings.lake.transform_dir)
        for run_id in store.unfinished():
            if load_leftovers:
                _load(settings, store, store.open(run_id))
                continue
            # Its chips would be exported twice.
            raise ChiplakeError(
                f"{run_id} is not loaded yet; run `chiplake embed transform` and `load` first, "
                "or export with --load-leftovers"
            )
        return export_chips(get_spark(settings), settings, store, card, days)


def run_transform(
    settings: Settings, run_id: str | None = None, on_progress: Progress | None = None
) -> dict[str, TransformReport]:
    """Transform one exported run, or all that are not loaded yet.

    Returns:
        How each transform ended, by run id.

    Raises:
        ChiplakeError: the run does not exist, the server cannot be started, or AWS refuses a request.
    """
    store = run_store(settings)
    with only_embedding_run(settings.lake.transform_dir):
        return {one: _transform(settings, store.open(one), on_progress) for one in _chosen(store, run_id)}


def run_load(settings: Settings, run_id: str | None = None) -> list[LoadReport]:
    """Load the answers of one run, or of all that are not loaded yet.

    Raises:
        ChiplakeError: the run does not exist.
    """
    store = run_store(settings)
    with only_embedding_run(settings.lake.transform_dir):
        return [_load(settings, store, store.open(one)) for one in _chosen(store, run_id)]


@dataclass(frozen=True)
class _Finished:
    """A run that was transformed and loaded."""

    load: LoadReport
    failures: tuple[ObjectFailure, ...]


def _finish(
    settings: Settings, card: ModelCard, store: RunStore, run_id: str, on_progress: Progress | None
) -> _Finished:
    run = store.open(run_id)
    failures: tuple[ObjectFailure, ...] = ()
    # A run for another model is only loaded: its answers are kept, and this model's export takes its chips again.
    if run.manifest().model_id == card.model_id:
        failures = _transform(settings, run, on_progress).failures
    return _Finished(_load(settings, store, run), failures)


def _load(settings: Settings, store: RunStore, run: Run) -> LoadReport:
    report = load_run(settings, run)
    store.mark_loaded(report)
    return report


def _transform(settings: Settings, run: Run, on_progress: Progress | None) -> TransformReport:
    if settings.transform.on == "sagemaker":
        return transform_on_sagemaker(run, settings, on_progress)
    return transform_locally(
        run.input_dir,
        run.output_dir,
        weights_file=settings.clay.checkpoint,
        preprocessing=preprocessing_of(settings.clay),
        expected_model_id=run.manifest().model_id,
        on_progress=on_progress,
    )


def _chosen(store: RunStore, run_id: str | None) -> list[str]:
    return store.unfinished() if run_id is None else [run_id]
