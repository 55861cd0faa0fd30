"""Rules for change on the series of a real forest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.change_peers import FORMER_SCORES, SCCD_BANDS, SCCD_SHARES, former_scores, rises, sccd_breaks
from harness.change_rules import FORMER, SCCD
from harness.change_scores import MIN_SHARE
from harness.floors import VALID
from harness.forest import CUBE_BANDS, SQUARE_PX, Cube, ForestCounts, count, felled_shares, read_cube
from lakehouse.bands import VALUE_PER_REFLECTANCE

Found = dict[float, list[tuple[int, float]]]  # by threshold: square and day


def forest_counts(folder: Path) -> dict[str, dict[float, ForestCounts]]:
    """Return what each rule finds in the forest: by name of the rule, then by threshold.

    Args:
        folder: the unpacked wheel of nrt 0.2.1.

    Raises:
        ChiplakeError: the cubes are not there.
    """
    cube = read_cube(folder)
    shares = felled_shares(cube)
    return {
        name: {limit: count(shares, found) for limit, found in detect(cube).items()} for name, detect in _RULES.items()
    }


def _sccd(cube: Cube) -> Found:
    bands = np.stack([cube.fine(name) for name in SCCD_BANDS], axis=1)
    breaks = sccd_breaks(bands, cube.scl, cube.days)
    across = cube.scl.shape[2] // SQUARE_PX
    square = breaks.row // SQUARE_PX * across + breaks.column // SQUARE_PX
    return {
        share: [
            (number, day)
            for number in range(across**2)
            for day, _ in rises(breaks, square == number, SQUARE_PX**2, share)
        ]
        for share in SCCD_SHARES
    }


def _former(cube: Cube) -> Found:
    means, observed = _square_means(cube)
    found: Found = {limit: [] for limit in FORMER_SCORES}
    for square in range(means.shape[1]):
        nights = np.flatnonzero(observed[:, square])
        for place, score in former_scores(means[nights, square], tuple(CUBE_BANDS)):
            for limit in FORMER_SCORES:
                if score >= limit:
                    found[limit].append((square, float(cube.days[nights[place]])))
    return found


def _square_means(cube: Cube) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return mean reflectances of the valid pixels, (n, 25, 6), and which squares are observed, (n, 25)."""
    bands = np.stack([cube.fine(name) for name in CUBE_BANDS], axis=1)
    valid = np.isin(cube.scl, VALID) & (bands > 0).all(axis=1)
    across = cube.scl.shape[2] // SQUARE_PX
    shape = (across, SQUARE_PX, across, SQUARE_PX)
    pixels = valid.reshape(-1, *shape).sum(axis=(2, 4))
    sums = np.where(valid[:, None], bands, 0).reshape(*bands.shape[:2], *shape).sum(axis=(3, 5), dtype=np.float64)
    means = sums / np.maximum(pixels[:, None], 1) / VALUE_PER_REFLECTANCE
    flat = means.reshape(*means.shape[:2], -1).swapaxes(1, 2).astype(np.float32)
    return flat, np.asarray(pixels.reshape(len(pixels), -1) >= MIN_SHARE * SQUARE_PX**2)


_RULES: Final[dict[str, Callable[[Cube], Found]]] = {SCCD.name: _sccd, FORMER.name: _former}
