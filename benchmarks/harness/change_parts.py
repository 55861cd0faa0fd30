"""The product's rule with one of its parts left out, to see what each part is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from harness.change_patches import PATCH_SCORES, Reports, observations_of, patch_detections, reports_of
from harness.change_series import Series, series_of
from harness.landscapes import Landscape
from python_udfs.change.anomaly import Anomaly, measured, score_chip
from python_udfs.change.baseline import Baseline, expected_values, logarithms, season_terms
from python_udfs.change.patches import PatchFeatures
from python_udfs.change.rule import RULE, ChangeRule

_NEVER: Final = 99.0  # a residual of log reflectance that does not occur


def _with(**constants: Any) -> Callable[[Landscape, Series], Reports]:
    rule = RULE.model_copy(update=constants)
    return lambda _landscape, series: patch_detections(series, rule)


def _with_suspects(landscape: Landscape, _series: Series) -> Reports:
    return patch_detections(series_of(landscape, with_suspects=False))


def _without_own_past(_landscape: Landscape, series: Series) -> Reports:
    return patch_detections(series, judge=score_by_group)


def _without_like(_landscape: Landscape, series: Series) -> Reports:
    return patch_detections(series, judge=score_by_season)


def score_by_group(rule: ChangeRule, baseline: Baseline, day: float, patches: PatchFeatures) -> Anomaly | None:
    """Score as the rule does, but with one unit for all patches of a group: the median of theirs."""
    own = baseline.own.copy()
    for group in range(len(baseline.covariance)):
        known = (baseline.group == group) & ~np.isnan(own)
        if known.any():
            own[known] = np.median(own[known])
    return score_chip(rule, replace(baseline, own=own), day, patches)


def score_by_season(rule: ChangeRule, baseline: Baseline, day: float, patches: PatchFeatures) -> Anomaly | None:
    """Score the difference from the season alone: nothing is taken from what like patches do on the same night."""
    seen = patches.share >= rule.min_share
    if not seen.any():
        return None
    expected = expected_values(season_terms(np.array([day])), baseline.season)[0]
    residual = (logarithms(patches.features) - expected).astype(np.float64)
    return measured(rule, baseline, residual, seen, list(baseline.covariance))


def _seen_once(_landscape: Landscape, series: Series) -> Reports:
    """Report at the first observation: also what was not seen again."""
    return reports_of(observations_of(series, RULE), RULE, PATCH_SCORES, lambda event: event.first_seen_at)


PARTS: Final[dict[str, Callable[[Landscape, Series], Reports]]] = {
    "its like tonight": _without_like,
    "groups of like patches": _with(groups=1),
    "tonight's covariance": _with(history_weight=1e9),
    "its own past": _without_own_past,
    "seen again": _seen_once,
    "the same direction": _with(min_cosine=-1.0),
    "doubt of clouds and shadows": _with(shadow=-_NEVER, cloud=_NEVER),
    "the least area": _with(min_area_ha=0.0),
    "suspects": _with_suspects,
}
