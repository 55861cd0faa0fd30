"""The rules for change that are compared. Each reports detections at several thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.change_parts import PARTS
from harness.change_patches import PATCH_SCORES, patch_detections
from harness.change_peers import FORMER_SCORES, SCCD_SHARE, SCCD_SHARES, former_detections, sccd_detections
from harness.change_scores import Detection
from harness.change_series import Series
from harness.landscapes import Landscape
from lakehouse.settings.change import ChangeSettings
from lakehouse.settings.events import EventSettings

Reports = Mapping[float, Sequence[Detection]]  # by threshold


@dataclass(frozen=True)
class Rule:
    """A rule for change.

    Attributes:
        name: by which the program calls it.
        prefix: of its keys in the JSON.
        thresholds: of the curve.
        threshold: at which its figures are reported.
        detect: what it reports on a landscape at each threshold.
    """

    name: str
    prefix: str
    thresholds: tuple[float, ...]
    threshold: float
    detect: Callable[[Landscape, Series], Reports]


def _sccd(landscape: Landscape, _series: Series) -> Reports:
    return sccd_detections(landscape.bands, landscape.scl, landscape.days)


def _former(_landscape: Landscape, series: Series) -> Reports:
    every = former_detections(series.features, series.shares, series.days)
    return {limit: [one for one in every if one.score >= limit] for limit in FORMER_SCORES}


def _patches(_landscape: Landscape, series: Series) -> Reports:
    return patch_detections(series)


PATCHES: Final = Rule("patches", "", PATCH_SCORES, EventSettings().min_score, _patches)
SCCD: Final = Rule("S-CCD", "sccd_", SCCD_SHARES, SCCD_SHARE, _sccd)
FORMER: Final = Rule("former", "former_", FORMER_SCORES, ChangeSettings().min_score, _former)
RULES: Final = {rule.name: rule for rule in (PATCHES, SCCD, FORMER)}
WITHOUT: Final = {
    f"without {part}": Rule(
        f"without {part}",
        f"without_{part.replace(' ', '_').replace(chr(39), '')}_",
        PATCH_SCORES,
        PATCHES.threshold,
        detect,
    )
    for part, detect in PARTS.items()
}
RULES_AND_PARTS: Final = RULES | WITHOUT
assert all(rule.threshold in rule.thresholds for rule in RULES_AND_PARTS.values())
