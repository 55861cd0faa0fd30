"""The season of a cell's patches as it is known before a month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from python_udfs.change.groups import Floats, Mask, Numbers, common_residuals, groups_of, members_of, robust_covariance
from python_udfs.change.patches import MAX_FRAME_BYTES, PATCHES, PatchFeatures, bands_of_code, code_of_bands
from python_udfs.change.rule import ChangeRule
from python_udfs.codec import decode_numbers, encode_array

TERMS: Final = 5  # 1, cos, sin, cos 2, sin 2 of the year
_YEAR: Final = 365.2425  # days
_DARKEST: Final = 0.002  # reflectance; darker features count as so dark
_LOG_OFFSET: Final = 0.02  # reflectance; keeps the logarithm of dark water from exaggerating noise
_STEPS: Final = 8192  # steps of a stored coefficient in 1; coefficients of logarithms lie within -4 and 4
_SAMPLES: Final = 4096  # residuals of a group from which its covariance is computed
_FEWEST: Final = 50  # residuals of a group, for a covariance of its own
_LARGEST: Final = 0.5  # residual of log reflectance; a larger one counts as so large in the spread of a patch


@dataclass(frozen=True)
class Baseline:
    """What is expected of the patches of a cell.

    Attributes:
        bands: names of the bands that are compared.
        season: (5, bands, 1024), coefficients of log reflectance.
        group: (1024,) group of like patches.
        covariance: (groups, bands, bands) of the residuals of the history.
        own: (1024,) unit of a patch's score; NaN where the patch was not seen often enough.
    """

    bands: tuple[str, ...]
    season: Floats
    group: Numbers
    covariance: Floats
    own: Floats

    def encode(self) -> bytes:
        """Return one Blosc frame of uint16: bands, number of groups, and the parts, of uint16, int16 and float32."""
        season = np.clip(np.rint(self.season * _STEPS), -32768, 32767).astype("<i2")
        parts = (self.group.astype("<u2"), season, self.covariance.astype("<f4"), self.own.astype("<f4"))
        header = np.array([code_of_bands(self.bands), len(self.covariance)], "<u2")
        return encode_array(np.frombuffer(header.tobytes() + b"".join(part.tobytes() for part in parts), "<u2"))

    @classmethod
    def decode(cls, frame: bytes) -> Baseline:
        """Read a frame of `encode`.

        Raises:
            ValueError: the bytes are not a whole frame of a baseline.
        """
        stored = decode_numbers(frame, MAX_FRAME_BYTES)
        bands, groups = (bands_of_code(int(stored[0])), int(stored[1])) if len(stored) > 1 else ((), 0)
        sizes = (PATCHES, TERMS * len(bands) * PATCHES, 2 * groups * len(bands) ** 2, 2 * PATCHES)
        if not bands or not groups or len(stored) != 2 + sum(sizes):
            raise ValueError(f"not a frame of a baseline: {len(stored)} numbers")
        group, season, covariance, own = np.split(stored[2:], np.cumsum(sizes)[:-1])
        if group.max() >= groups:
            raise ValueError(f"not a frame of a baseline: group {group.max()} of {groups}")
        return cls(
            bands,
            season.view("<i2").reshape(TERMS, len(bands), PATCHES) / _STEPS,
            group.astype(np.intp),
            covariance.view("<f4").reshape(groups, len(bands), len(bands)).astype(np.float64),
            own.view("<f4").astype(np.float64),
        )


def logarithms(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log reflectance, 0 where nothing was seen: light and haze multiply, so residuals of logarithms compare."""
    shifted = np.maximum(features, np.float32(_DARKEST)) + np.float32(_LOG_OFFSET)
    return np.nan_to_num(np.log(shifted), copy=False, nan=0.0)


def season_terms(days: Floats) -> Floats:
    """Return 1, cos, sin of the year and of half the year, (n, 5), of days since 1970-01-01."""
    angle = 2 * np.pi * days / _YEAR
    return np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=1)


def fit_baseline(rule: ChangeRule, days: Floats, observations: Sequence[PatchFeatures]) -> Baseline | None:
    """Fit the season of each patch, and measure how patches differ from it.

    Args:
        rule: the constants.
        days: (n,) of the observations, since 1970-01-01, in order.
        observations: what was seen; those with other bands than the last one are left out.

    Returns:
        None if no patch has enough observations.
    """
    bands = observations[-1].bands if observations else ()
    chosen = [number for number, one in enumerate(observations) if one.bands == bands]
    if not chosen:
        return None
    seen: Mask = np.stack([observations[number].share for number in chosen]) >= rule.min_share
    enough = seen.sum(axis=0) >= rule.min_observations
    if not enough.any():
        return None
    values = np.stack([logarithms(observations[number].features) for number in chosen])
    terms = season_terms(days[chosen])
    season = _fit(terms, values, seen.astype(np.float32), rule.ridge)
    group = np.zeros(PATCHES, np.intp)
    group[enough] = groups_of(season[:, :, enough], rule.groups)
    members = members_of(group, rule.groups)
    # What all of a group have in common on a night is weather, light or an early spring, and no part of the season.
    values -= common_residuals(values - expected_values(terms, season), seen, members)
    weights = seen * _weights(rule, values - expected_values(terms, season), seen, members)
    season = _fit(terms, values, weights, rule.ridge)
    residuals = values - expected_values(terms, season)
    covariance = np.stack([_covariance(residuals, seen, of_group) for of_group in members])
    own = np.empty(PATCHES)
    for of_group, one in zip(members, covariance, strict=True):
        own[of_group] = _own_scores(rule, residuals[:, :, of_group], seen[:, of_group], one)
    return Baseline(bands, season, group, covariance, np.where(enough, own, np.nan))


def expected_values(terms: Floats, season: Floats) -> NDArray[np.float32]:
    """Return the season's log reflectance, (n, bands, patches), at the terms of n days."""
    flat = terms.astype(np.float32) @ season.reshape(TERMS, -1).astype(np.float32)
    return flat.reshape(len(terms), *season.shape[1:])


def _fit(terms: Floats, values: NDArray[np.float32], weights: NDArray[np.float32], ridge: float) -> Floats:
    """Return the weighted ridge fit of each patch, (5, bands, patches).

    Hoerl and Kennard 1970: (A'WA + R)^-1 A'W x, with a penalty R on the seasonal terms.
    """
    products = (terms[:, :, None] * terms[:, None, :]).reshape(len(terms), -1)
    penalty = np.diag([1e-6, ridge, ridge, 2 * ridge, 2 * ridge])
    normal = (weights.T.astype(np.float64) @ products).reshape(-1, TERMS, TERMS) + penalty
    weighted = (values * weights[:, None]).reshape(len(values), -1)
    right = (terms.astype(np.float32).T @ weighted).reshape(TERMS, *values.shape[1:]).transpose(2, 0, 1)
    return np.ascontiguousarray(np.linalg.solve(normal, right.astype(np.float64)).transpose(1, 2, 0))


def _weights(
    rule: ChangeRule, residuals: NDArray[np.float32], seen: Mask, members: Sequence[Numbers]
) -> NDArray[np.float32]:
    """Return the weight of each observation of each patch, (n, patches): less than 1 for one that looks strange."""
    squares = residuals**2
    cut = np.minimum(squares, np.float32(_LARGEST**2)) * seen[:, None]
    spread = np.sqrt(cut.sum(axis=0) / np.maximum(seen.sum(axis=0), 1))
    distance = np.empty(seen.shape, np.float32)
    for of_group in members:
        unit = np.median(spread[:, of_group], axis=1) + rule.noise if len(of_group) else np.ones(len(spread))
        distance[:, of_group] = np.einsum("ncp,c->np", squares[:, :, of_group], (unit**-2).astype(np.float32))
    mean = distance / np.float32(squares.shape[1])
    return np.asarray(np.minimum(1.0, rule.outlier**2 / np.maximum(mean, 1e-12)), np.float32)


def _covariance(residuals: NDArray[np.float32], seen: Mask, of_group: Numbers) -> Floats:
    """Return the covariance of a group's residuals; that of all patches for a group that was hardly seen."""
    night, member = np.nonzero(seen[:, of_group])
    patch = of_group[member]
    if len(patch) < _FEWEST:
        night, patch = np.nonzero(seen)
    step = -(-len(patch) // _SAMPLES)
    return robust_covariance(residuals[night[::step], :, patch[::step]].T)


def _own_scores(rule: ChangeRule, residuals: NDArray[np.float32], seen: Mask, covariance: Floats) -> Floats:
    """Return the quantile of each patch's earlier scores; at least the median one of its group.

    Args:
        rule: the constants.
        residuals: (n, bands, patches) of the history of a group.
        seen: (n, patches).
        covariance: of the group.
    """
    if not residuals.shape[2]:
        return np.empty(0)
    whitened = whitening(rule, covariance).astype(np.float32) @ residuals
    scores = np.where(seen, np.sqrt((whitened**2).mean(axis=1, dtype=np.float64)), np.inf)
    scores.sort(axis=0)
    counted = seen.sum(axis=0)
    place = np.maximum(np.ceil(rule.own_quantile * counted).astype(np.intp) - 1, 0)
    own = scores[place, np.arange(scores.shape[1])]
    of_seen = own[counted > 0]
    return np.asarray(np.maximum(own, np.median(of_seen) if len(of_seen) else 1.0))


def whitening(rule: ChangeRule, covariance: Floats) -> Floats:
    """Return the matrix that gives residuals of a covariance, and expected noise, unit variance: (bands, bands)."""
    expected = covariance + np.eye(len(covariance)) * rule.noise**2
    return np.asarray(np.linalg.inv(np.linalg.cholesky(expected)))
