"""Patches alike: groups by their season, and what all of a group have in common on one night."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Numbers = NDArray[np.intp]
Mask = NDArray[np.bool_]

_COMPONENTS: Final = 4  # principal components that the grouping looks at
_ROUNDS: Final = 12  # of k-means, more than it needs
_MIN_PATCHES: Final = 12  # of a group, for a median of its own
_SAMPLE: Final = 48  # patches of a group whose median is taken
_WINSOR: Final = 2.5  # deviations beyond which a residual counts as so many
_WINSOR_GAIN: Final = 1.023  # makes up for the cut: variance of a normal distribution / that of a cut one
_MAD: Final = 1.4826  # median absolute deviations in a standard deviation (Rousseeuw and Croux 1993)
_LEAST: Final = 1e-4  # smallest deviation


def groups_of(seasons: Floats, number: int) -> Numbers:
    """Group patches by the mean and the amplitudes of their seasons: k-means with fixed starting points.

    Args:
        seasons: (5, bands, patches), coefficients of 1, cos, sin, cos 2, sin 2.
        number: of groups.

    Returns:
        (patches,) group of each patch.
    """
    mean, cos, sin = seasons[:3]
    traits = np.concatenate([mean, np.hypot(cos, sin), cos / 2, sin / 2]).T
    quarter, half, three = np.quantile(traits, (0.25, 0.5, 0.75), axis=0)
    traits = (traits - half) / (three - quarter + 0.05)
    left, sizes, _ = np.linalg.svd(traits - traits.mean(axis=0), full_matrices=False)
    points = left[:, :_COMPONENTS] * sizes[:_COMPONENTS]
    in_order = np.argsort(points[:, 0], kind="stable")
    centres = points[in_order[(np.arange(number) * 2 + 1) * len(points) // (2 * number)]]
    found = np.zeros(len(points), np.intp)
    for _ in range(_ROUNDS):
        distances = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
        found = distances.argmin(axis=1)
        centres = np.stack(
            [
                points[found == one].mean(axis=0) if (found == one).any() else centre
                for one, centre in enumerate(centres)
            ]
        )
    return found


def members_of(group: Numbers, number: int) -> list[Numbers]:
    """Return the patches of each group."""
    return [np.flatnonzero(group == one) for one in range(number)]


def common_residuals(residuals: Reals, seen: Mask, members: Sequence[Numbers]) -> Reals:
    """Return the median residual of each patch's group on each night; that of the whole chip where few were seen.

    Args:
        residuals: (n, bands, patches).
        seen: (n, patches) patches that count.
        members: from `members_of`.

    Returns:
        (n, bands, patches), zero on a night of which nothing was seen.
    """
    overall, _ = _medians(residuals, seen, np.arange(seen.shape[1]))
    common = np.empty_like(residuals)
    for of_group in members:
        median, number = _medians(residuals, seen, of_group)
        common[:, :, of_group] = np.where((number >= _MIN_PATCHES)[:, None], median, overall)[:, :, None]
    return common


def _medians(residuals: Reals, seen: Mask, patches: Numbers) -> tuple[Reals, Numbers]:
    """Return the median over some of the patches that were seen, (n, bands), and the number of these, (n,)."""
    sample = patches[:: max(1, len(patches) // _SAMPLE)]
    ordered = np.where(seen[:, None, sample], residuals[:, :, sample], np.inf)
    ordered.sort(axis=2)
    number = seen[:, sample].sum(axis=1)
    places = np.maximum(np.stack([(number - 1) // 2, number // 2], axis=1), 0)[:, None, :]
    middle = np.take_along_axis(ordered, places, axis=2) if len(sample) else np.full((*residuals.shape[:2], 2), np.inf)
    return np.where((number > 0)[:, None], middle.mean(axis=2), 0).astype(residuals.dtype), number


def robust_covariance(residuals: Reals) -> Floats:
    """Return the covariance of residuals about their medians, each cut at 2.5 robust deviations.

    Args:
        residuals: (bands, n), n > 0.

    Returns:
        (bands, bands).
    """
    centred = residuals - np.median(residuals, axis=1, keepdims=True)
    deviation = _MAD * np.median(np.abs(centred), axis=1, keepdims=True) + _LEAST
    cut = np.clip(centred, -_WINSOR * deviation, _WINSOR * deviation)
    return np.asarray(_WINSOR_GAIN * (cut @ cut.T) / residuals.shape[1], np.float64)
