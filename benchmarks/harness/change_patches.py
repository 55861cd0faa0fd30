"""The product's rule on the patches of a landscape: the functions that SQL calls, without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np

from harness.change_scores import Detection
from harness.change_series import Series
from lakehouse.bands import BAND_NAMES
from python_udfs.change.anomaly import score_chip
from python_udfs.change.baseline import Baseline, fit_baseline
from python_udfs.change.events import CellEvent, Observation, follow_cell
from python_udfs.change.patches import SIDE, PatchFeatures
from python_udfs.change.rule import RULE, ChangeRule

PATCH_SCORES: Final = (2.0, 2.2, 2.4, 2.7, 3.0, 3.5, 4.0, 5.0, 6.0)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# As macros baseline_first_at, baseline_end_at and baseline_min_observations.
_LAG_DAYS, _SPAN_DAYS, _FEWEST = 25, 730, 10


def patch_detections(
    series: Series, rule: ChangeRule = RULE, bands: tuple[str, ...] = BAND_NAMES
) -> dict[float, list[Detection]]:
    """Return the events that reach `provisional`, by least score.

    Args:
        series: of a landscape.
        rule: the constants.
        bands: names of the features.
    """
    observations = observations_of(series, rule, bands)
    return {
        score: [
            _detection(event)
            for event in follow_cell(rule.model_copy(update={"min_score": score}), observations)
            if event.provisional_at is not None
        ]
        for score in PATCH_SCORES
    }


def observations_of(series: Series, rule: ChangeRule, bands: tuple[str, ...]) -> list[Observation]:
    """Return the evidence of each night that has any."""
    nights = [PatchFeatures(bands, *night) for night in zip(series.features, series.shares, strict=True)]
    baselines: dict[date, Baseline | None] = {}
    found = []
    for number, (day, night) in enumerate(zip(series.days, nights, strict=True)):
        moment = _EPOCH + timedelta(days=float(day))
        month = moment.date().replace(day=1)
        if month not in baselines:
            baselines[month] = _baseline(series, nights, rule, month)
        baseline = baselines[month]
        anomaly = None if baseline is None else score_chip(rule, baseline, float(day), night)
        if anomaly is not None and anomaly.judged.any():
            found.append(Observation(moment, str(number), anomaly.evidence(rule)))
    return found


def _baseline(series: Series, nights: Sequence[PatchFeatures], rule: ChangeRule, month: date) -> Baseline | None:
    end = (month - _EPOCH.date()).days - _LAG_DAYS
    is_known = (series.days < end) & (series.days >= end - _SPAN_DAYS) & (series.shares >= rule.min_share).any(axis=1)
    known = np.flatnonzero(is_known)
    if len(known) < _FEWEST:
        return None
    return fit_baseline(rule, series.days[known], [nights[int(number)] for number in known])


def _detection(event: CellEvent) -> Detection:
    patches = np.zeros(SIDE * SIDE, np.bool_)
    patches[list(event.patches)] = True
    assert event.provisional_at is not None
    return Detection(_day(event.provisional_at), _day(event.first_seen_at), patches.reshape(SIDE, SIDE), event.score)


def _day(moment: datetime) -> float:
    return (moment - _EPOCH) / timedelta(days=1)
