"""The product's rule on the patches of a landscape: the functions that SQL calls, without Spark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np

from harness.change_scores import Detection
from harness.change_series import EPOCH, Series
from lakehouse.bands import BAND_NAMES
from python_udfs.change.anomaly import Anomaly, score_chip
from python_udfs.change.baseline import Baseline, fit_baseline
from python_udfs.change.events import CellEvent, Observation, follow_cell
from python_udfs.change.patches import SIDE, PatchFeatures
from python_udfs.change.rule import RULE, ChangeRule

PATCH_SCORES: Final = (2.0, 2.2, 2.4, 2.7, 3.0, 3.5, 4.0, 5.0, 6.0)
Reports = dict[float, list[Detection]]  # by threshold
Judge = Callable[[ChangeRule, Baseline, float, PatchFeatures], Anomaly | None]
# As macros baseline_first_at, baseline_end_at and baseline_min_observations.
LAG_DAYS, SPAN_DAYS, FEWEST = 25, 730, 10


def patch_detections(
    series: Series,
    rule: ChangeRule = RULE,
    bands: tuple[str, ...] = BAND_NAMES,
    judge: Judge = score_chip,
    scores: Sequence[float] = PATCH_SCORES,
) -> Reports:
    """Return the events that reach `provisional`, by least score.

    Args:
        series: of a landscape.
        rule: the constants.
        bands: names of the features.
        judge: scores the patches of a night.
        scores: least scores; they may be lower than what the settings allow.
    """
    observations = observations_of(series, rule, bands, judge)
    return reports_of(observations, rule, scores, lambda event: event.provisional_at)


def reports_of(
    observations: Sequence[Observation],
    rule: ChangeRule,
    scores: Sequence[float],
    reported_at: Callable[[CellEvent], datetime | None],
) -> Reports:
    """Return the events of a cell by least score; see `patch_detections`.

    Args:
        observations: of the cell.
        rule: the constants.
        scores: least scores.
        reported_at: when an event is reported; None if it is not.
    """
    return {
        score: [
            Detection(_day_of(at), _day_of(event.first_seen_at), _patches_of(event), event.score)
            for event in follow_cell(rule.model_copy(update={"min_score": score}), observations)
            if (at := reported_at(event)) is not None
        ]
        for score in scores
    }


def observations_of(
    series: Series, rule: ChangeRule, bands: tuple[str, ...] = BAND_NAMES, judge: Judge = score_chip
) -> list[Observation]:
    """Return the evidence of each night that has any; see `patch_detections`."""
    nights = [PatchFeatures(bands, *night) for night in zip(series.features, series.shares, strict=True)]
    baselines: dict[date, Baseline | None] = {}
    found = []
    for number, (day, night) in enumerate(zip(series.days, nights, strict=True)):
        moment = EPOCH + timedelta(days=float(day))
        month = moment.date().replace(day=1)
        if month not in baselines:
            baselines[month] = _baseline(series, nights, rule, month)
        baseline = baselines[month]
        anomaly = None if baseline is None else judge(rule, baseline, float(day), night)
        if anomaly is not None and anomaly.judged.any():
            found.append(Observation(moment, str(number), anomaly.evidence(rule)))
    return found


def _baseline(series: Series, nights: Sequence[PatchFeatures], rule: ChangeRule, month: date) -> Baseline | None:
    end = (month - EPOCH.date()).days - LAG_DAYS
    is_known = (series.days < end) & (series.days >= end - SPAN_DAYS) & (series.shares >= rule.min_share).any(axis=1)
    known = np.flatnonzero(is_known)
    if len(known) < FEWEST:
        return None
    return fit_baseline(rule, series.days[known], [nights[int(number)] for number in known])


def _patches_of(event: CellEvent) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return the patches of an event, (32, 32)."""
    patches = np.zeros((SIDE, SIDE), np.bool_)
    patches.ravel()[list(event.patches)] = True
    return patches


def _day_of(moment: datetime) -> float:
    """Return days since 1970-01-01."""
    return (moment - EPOCH) / timedelta(days=1)
