"""The estimate of a job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from chiplake.estimate.chips import NO_WORK, Work, chips_to_cut, chips_to_embed, chips_to_fill, pairs_to_compare
from chiplake.estimate.model import Estimate, StageEstimate
from chiplake.estimate.rows import Lake
from chiplake.estimate.speed import DOCUMENTED_BYTES, bytes_per_row, cost_of, speed_of
from chiplake.jobs import (
    LIMITED_JOBS,
    NIGHTLY_JOBS,
    NOTHING_CHANGED,
    Window,
    change_detection,
    check_job,
    chip_extraction,
    embedding_generation,
    nightly,
    temporal_merge,
)
from chiplake.night_record import was_complete
from chiplake.numbers import CHANGES, CHIPS, FILLED
from embedding.model.card import ModelCard, card_of
from lakehouse.catalog import open_catalog
from lakehouse.lake_record import compare_lake, refuse_lost_limits
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS, LAKE_SETTINGS, STAC_ITEMS

_FLOAT_BYTES: Final = 4
_PAIR_BYTES: Final = 400  # of a row of fct_chip_changes


def estimate_job(settings: Settings, job: str, window: Window) -> Estimate:
    """Estimate what a job would do. Nothing is written, and no Spark is started.

    Args:
        settings: of the lake and of the job.
        job: one of JOBS.
        window: the days of acquisition, and whether to recompute their chips.

    Raises:
        ChiplakeError: the name is unknown, the job makes nothing to recompute, or the lake was made with a box and none
            is set.
    """
    check_job(job, window.recompute)
    if job not in (nightly.__name__, *(stage.__name__ for stage in NIGHTLY_JOBS)):
        return Estimate(job, message=f"{job} computes no chips: there is nothing to estimate")
    missing = Estimate(job, message=f"there is no lake in {_place(settings)} yet: `chiplake ingest` makes one")
    if settings.lake.catalog == "sql" and not settings.lake.catalog_file.is_file():  # opening it would make it
        return missing
    catalog = open_catalog(settings)
    if not catalog.table_exists(STAC_ITEMS):
        return missing
    if catalog.table_exists(LAKE_SETTINGS):
        if job in LIMITED_JOBS:
            refuse_lost_limits(compare_lake(catalog, settings))
        is_quiet = job == nightly.__name__ and not window.recompute and not settings.jobs.compare_always
        if is_quiet and was_complete(settings, window):
            return Estimate(job, message=NOTHING_CHANGED)
    stages = tuple(_Estimator(Lake(catalog, settings), window).stages(job))
    is_idle = not any(stage.number for stage in stages)
    return Estimate(job, stages, "no chip and no pair is to be computed" if is_idle else "")


def _place(settings: Settings) -> str:
    return str(settings.lake.home) if settings.lake.catalog == "sql" else f"the {settings.lake.catalog} catalog"


@dataclass(frozen=True)
class _Estimator:
    """Estimates the stages of a job; each stage of a night continues with the chips of the one before."""

    lake: Lake
    window: Window

    @cached_property
    def _model(self) -> ModelCard:
        return card_of(self.lake.settings.clay)

    def stages(self, job: str) -> Iterator[StageEstimate]:
        """Yield the stages of a job."""
        names = [stage.__name__ for stage in NIGHTLY_JOBS] if job == nightly.__name__ else [job]
        to_cut = to_fill = to_embed = NO_WORK
        if chip_extraction.__name__ in names:
            to_cut = chips_to_cut(self.lake, self.window)
            yield self._cutting(to_cut)
        if temporal_merge.__name__ in names:
            to_fill = chips_to_fill(self.lake, self.window, to_cut)
            yield self._filling(to_fill)
        if embedding_generation.__name__ in names:
            to_embed = chips_to_embed(self.lake, self.window, to_fill, self._model.model_id)
            yield self._embedding(to_embed)
        if change_detection.__name__ in names:
            model_id = self._model.model_id if to_embed.number else ""
            yield self._comparing(pairs_to_compare(self.lake, to_embed, model_id))

    def _cutting(self, work: Work) -> StageEstimate:
        # Rasters and chips hold the same pixels, both compressed without loss, so they have about the same size.
        size = self._bytes(CHIPS)
        return self._stage(chip_extraction.__name__, "chips to cut", work, size, size)

    def _filling(self, work: Work) -> StageEstimate:
        share = work.sources / work.number if work.number else 0.0
        read = (1 + share) * self._bytes(CHIPS)
        return self._stage(temporal_merge.__name__, "chips to fill", work, read, self._bytes(FILLED))

    def _embedding(self, work: Work) -> StageEstimate:
        read, written = self._bytes(FILLED), self._embedding_bytes()
        return self._stage(embedding_generation.__name__, "chips to embed", work, read, written, self._model.dimension)

    def _comparing(self, work: Work) -> StageEstimate:
        read = 2 * self._embedding_bytes() if work.number else 0.0
        written = bytes_per_row(self.lake, CHANGES, _PAIR_BYTES)
        return self._stage(change_detection.__name__, "pairs to compare", work, read, written)

    def _bytes(self, table: str) -> float:
        return bytes_per_row(self.lake, table, DOCUMENTED_BYTES[table])

    def _embedding_bytes(self) -> float:
        return bytes_per_row(self.lake, CLAY_EMBEDDINGS, self._model.dimension * _FLOAT_BYTES)

    def _stage(self, job: str, rows: str, work: Work, read: float, written: float, dimension: int = 0) -> StageEstimate:
        """Return the estimate of a stage; `read` and `written` are bytes of one of its rows."""
        speed = speed_of(self.lake, job, dimension)
        seconds = speed.seconds(work.number)
        return StageEstimate(
            job=job,
            rows=rows,
            number=work.number,
            certainty=work.certainty,
            scenes=work.scenes,
            retried=work.retried,
            bytes_read=round(work.number * read),
            bytes_written=round(work.number * written),
            seconds=seconds,
            speed=speed.source,
            cost=cost_of(self.lake.settings, seconds),
        )
