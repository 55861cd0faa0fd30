"""Scalar functions of SQL that find changes: patches, baselines, anomalies, events.

Times are microseconds since 1970-01-01 UTC (`unix_micros`), because Spark's conversion of timestamps in structs depends
on the time zone of the Python process.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from lakehouse.bands import CHIP_PIXELS_10M, CHIP_PIXELS_20M
from python_udfs.change.anomaly import Evidence, score_chip
from python_udfs.change.baseline import Baseline, fit_baseline
from python_udfs.change.events import CellEvent, Observation, follow_cell
from python_udfs.change.patches import SIDE, PatchFeatures, patch_features
from python_udfs.change.rule import RULE, ChangeRule
from python_udfs.change.words import looks_like
from python_udfs.codec import decode_array, decode_bands
from python_udfs.functions.frames import fields_of
from python_udfs.valid_pixels import to_10m

CHIP_PATCHES: Final = "struct<patches: binary, observed_patches: int>"
ANOMALY: Final = (
    "struct<scores: binary, evidence: binary, judged_patches: int, max_score: double, patch_row: int, patch_col: int, "
    "looks_like: string>"
)
EVENTS: Final = (
    "array<struct<state: string, first_seen_us: bigint, provisional_us: bigint, confirmed_us: bigint, "
    "last_seen_us: bigint, ended_us: bigint, observations_for: int, observations_against: int, score: double, "
    "looks_like: string, patches: array<int>, chip_id_before: string, chip_id_after: string>>"
)
_DAY_US: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def chip_patches(bands: Any, source_index: bytes | None, suspect: bytes | None) -> dict[str, Any] | None:
    """Means of the bands over the 32 x 32 patches of a filled chip, of pixels seen in this acquisition.

    Args:
        bands: struct of band columns by their own names; a null band was not cut.
        source_index: column source_index; only pixels that are the chip's own count.
        suspect: column suspect, null without suspect pixels; these pixels do not count.

    Returns:
        `patches`, one frame (python_udfs/change/patches.py), and the number of patches of which enough was seen; null
        without a band or source_index.

    Raises:
        ValueError: a frame is damaged, or has not the size of its column.
    """
    if bands is None or source_index is None:
        return None
    pixels = decode_bands(fields_of(bands))
    if not pixels:
        return None
    counted = decode_array(source_index, "uint8", CHIP_PIXELS_10M) == 0
    if suspect is not None:
        counted &= ~to_10m(decode_array(suspect, "uint8", CHIP_PIXELS_20M).astype(np.bool_))
    patches = patch_features(pixels, counted)
    return {"patches": patches.encode(), "observed_patches": int((patches.share >= RULE.min_share).sum())}


def patch_baseline(history: Sequence[Any] | None) -> bytes | None:
    """Season, like patches and usual differences of the patches of a cell, from earlier chips.

    Args:
        history: structs of time (microseconds since 1970), chip_id and patches, in any order.

    Returns:
        Frame (python_udfs/change/baseline.py); null if no patch was seen often enough.

    Raises:
        ValueError: a frame is damaged.
    """
    ordered = sorted((int(time), str(chip_id), patches) for time, chip_id, patches in _fields(history))
    days = np.array([time / _DAY_US for time, _, _ in ordered])
    baseline = fit_baseline(RULE, days, [PatchFeatures.decode(patches) for _, _, patches in ordered])
    return None if baseline is None else baseline.encode()


def chip_anomaly(acquired_us: int | None, patches: bytes | None, baseline: bytes | None) -> dict[str, Any] | None:
    """How unusual the patches of a chip are for their season and among their like of the same night.

    Args:
        acquired_us: time of acquisition, microseconds since 1970.
        patches: frame of chip_patches.
        baseline: frame of patch_baseline, of the chip's cell and month; null without a baseline.

    Returns:
        `judged_patches` is 0, and the other fields are null, where nothing can be judged.

    Raises:
        ValueError: a frame is damaged.
    """
    if acquired_us is None or patches is None:
        return None
    seen = PatchFeatures.decode(patches)
    anomaly = None if baseline is None else score_chip(RULE, Baseline.decode(baseline), acquired_us / _DAY_US, seen)
    if anomaly is None or not anomaly.judged.any():
        return {"judged_patches": 0}
    strongest = int(np.nanargmax(anomaly.score))
    return {
        "scores": anomaly.scores_frame(),
        "evidence": anomaly.evidence(RULE).encode(),
        "judged_patches": int(anomaly.judged.sum()),
        "max_score": float(anomaly.score[strongest]),
        "patch_row": strongest // SIDE,
        "patch_col": strongest % SIDE,
        "looks_like": looks_like(anomaly.bands, anomaly.residual[:, strongest]),
    }


def cell_events(rule: str | None, history: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    """The change events that the anomalies of a cell show, oldest first.

    Args:
        rule: JSON, constants of ChangeRule (python_udfs/change/rule.py) that differ from its own.
        history: structs of time (microseconds since 1970), chip_id and evidence, in any order.

    Raises:
        ValueError: a frame is damaged, or the rule has an unknown or impossible constant.
    """
    if rule is None or history is None:
        return None
    observations = [
        Observation(_EPOCH + timedelta(microseconds=int(time)), str(chip_id), Evidence.decode(evidence))
        for time, chip_id, evidence in _fields(history)
    ]
    return [_event_row(event) for event in follow_cell(ChangeRule.model_validate_json(rule), observations)]


def _event_row(event: CellEvent) -> dict[str, Any]:
    times = ("first_seen", "provisional", "confirmed", "last_seen", "ended")
    same = ("state", "observations_for", "observations_against", "score", "looks_like", "chip_id_before")
    return {
        **{f"{time}_us": _micros(getattr(event, f"{time}_at")) for time in times},
        **{name: getattr(event, name) for name in (*same, "chip_id_after")},
        "patches": sorted(event.patches),
    }


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def _fields(structs: Sequence[Any] | None) -> list[tuple[Any, ...]]:
    """Return the fields of structs, which come as dictionaries or rows, in order."""
    found = structs if structs is not None else []
    return [tuple(one.values()) if isinstance(one, dict) else tuple(one) for one in found]
