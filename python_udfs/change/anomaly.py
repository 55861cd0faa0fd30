"""How unusual the patches of a chip are: for their own season, and among their like of the same night."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from python_udfs.change.baseline import Baseline, expected_values, logarithms, season_terms, whitening
from python_udfs.change.groups import Floats, Mask, common_residuals, members_of, robust_covariance
from python_udfs.change.patches import (
    MAX_FRAME_BYTES,
    PATCHES,
    SIDE,
    PatchFeatures,
    bands_of_code,
    code_of_bands,
)
from python_udfs.change.rule import ChangeRule
from python_udfs.codec import decode_numbers, encode_array

_WORDS: Final = PATCHES // 16  # uint16 numbers with a bit for each patch


@dataclass(frozen=True)
class Evidence:
    """What events need of an acquisition: which patches were judged, and how the unusual ones differ.

    Attributes:
        bands: names of the bands.
        judged: (1024,) bool.
        patch: (n,) numbers of the unusual patches, in order.
        score: (n,) float32.
        direction: (bands, n) float32, whitened residual.
        residual: (bands, n) float32, of log reflectance.
    """

    bands: tuple[str, ...]
    judged: Mask
    patch: NDArray[np.intp]
    score: NDArray[np.float32]
    direction: NDArray[np.float32]
    residual: NDArray[np.float32]

    def encode(self) -> bytes:
        """Return one Blosc frame of uint16."""
        numbers = np.concatenate([self.score[None], self.direction, self.residual]).astype("<f2")
        parts = (
            np.array([code_of_bands(self.bands), len(self.patch)], "<u2"),
            np.packbits(self.judged).view("<u2"),
            self.patch.astype("<u2"),
            numbers.view("<u2").ravel(),
        )
        return encode_array(np.concatenate(parts))

    @classmethod
    def decode(cls, frame: bytes) -> Evidence:
        """Read a frame of `encode`.

        Raises:
            ValueError: the bytes are not a whole frame of evidence.
        """
        stored = decode_numbers(frame, MAX_FRAME_BYTES)
        bands, number = (bands_of_code(int(stored[0])), int(stored[1])) if len(stored) > 1 else ((), 0)
        rows = 1 + 2 * len(bands)
        if not bands or len(stored) != 2 + _WORDS + number * (1 + rows):
            raise ValueError(f"not a frame of evidence: {len(stored)} numbers")
        judged, patch, numbers = np.split(stored[2:], (_WORDS, _WORDS + number))
        if number and patch.max() >= PATCHES:
            raise ValueError(f"not a frame of evidence: patch {patch.max()}")
        score, direction, residual = np.split(
            numbers.view("<f2").reshape(rows, number).astype(np.float32), (1, 1 + len(bands))
        )
        seen = np.unpackbits(judged.view("u1")).astype(np.bool_)
        return cls(bands, seen, patch.astype(np.intp), score[0], direction, residual)


@dataclass(frozen=True)
class Anomaly:
    """The patches of one acquisition.

    Attributes:
        bands: names of the bands.
        score: (1024,), NaN where a patch was not judged; the usual score is about 1.
        direction: (bands, 1024), whitened residual in units of the score.
        residual: (bands, 1024) of log reflectance, less that of the patch's like.
    """

    bands: tuple[str, ...]
    score: Floats
    direction: Floats
    residual: Floats

    @property
    def judged(self) -> Mask:
        """(1024,) patches with a score."""
        return ~np.isnan(self.score)

    def scores_frame(self) -> bytes:
        """Return the scores as a Blosc frame of float16, (32, 32)."""
        return encode_array(self.score.reshape(SIDE, SIDE).astype("<f2"))

    def evidence(self, rule: ChangeRule) -> Evidence:
        """Return what events need."""
        patch = np.flatnonzero(np.nan_to_num(self.score) >= rule.evidence_score)
        return Evidence(
            self.bands,
            self.judged,
            patch,
            self.score[patch].astype(np.float32),
            self.direction[:, patch].astype(np.float32),
            self.residual[:, patch].astype(np.float32),
        )


def score_chip(rule: ChangeRule, baseline: Baseline, day: float, patches: PatchFeatures) -> Anomaly | None:
    """Compare the patches of a chip with their season and with their like.

    Args:
        rule: the constants.
        baseline: of the chip's cell and month.
        day: of acquisition, since 1970-01-01.
        patches: what was seen.

    Returns:
        None if too few patches were seen to know what they have in common, or the baseline has other bands.
    """
    seen = patches.share >= rule.min_share
    if seen.sum() < rule.min_patches or patches.bands != baseline.bands:
        return None
    members = members_of(baseline.group, len(baseline.covariance))
    expected = expected_values(season_terms(np.array([day])), baseline.season)
    residuals = logarithms(patches.features)[None] - expected
    residual = (residuals - common_residuals(residuals, seen[None], members))[0].astype(np.float64)
    covariances = [
        _with_tonight(rule, of_history, residual[:, of_group[seen[of_group]]])
        for of_group, of_history in zip(members, baseline.covariance, strict=True)
    ]
    return measured(rule, baseline, residual, seen, covariances)


def _with_tonight(rule: ChangeRule, of_history: Floats, tonight: Floats) -> Floats:
    """Return a group's covariance: directions in which all of its patches vary tonight count little.

    Args:
        rule: the constants.
        of_history: (bands, bands).
        tonight: (bands, n) residuals of the patches that were seen.
    """
    number, weight = tonight.shape[1], rule.history_weight
    if not number:
        return of_history
    return np.asarray((number * robust_covariance(tonight) + weight * of_history) / (number + weight))


def measured(
    rule: ChangeRule, baseline: Baseline, residual: Floats, seen: Mask, covariances: Sequence[Floats]
) -> Anomaly:
    """Measure residuals by the covariance of their group, and by what is usual for the patch.

    Args:
        rule: the constants.
        baseline: of the chip's cell and month.
        residual: (bands, 1024), of log reflectance.
        seen: (1024,) patches that are judged.
        covariances: (bands, bands) of each group.
    """
    direction = np.empty_like(residual)
    for of_group, covariance in zip(members_of(baseline.group, len(covariances)), covariances, strict=True):
        direction[:, of_group] = whitening(rule, covariance) @ residual[:, of_group]
    direction /= baseline.own
    score = np.where(seen, np.sqrt((direction**2).mean(axis=0)), np.nan)
    return Anomaly(baseline.bands, score, direction, residual)
