"""Rules for change on the series of a real forest. A change is counted on the first day that shows it.

The fellings are small: 2 % of a square are 0.08 ha. So each pixel is laid out as 2 x 2, and a patch of the product's
rule, which has 8 x 8 pixels, is 40 m wide instead of 80 m. Besides the product's constants, the rule is run for single
patches with low scores, which the settings do not allow: most fellings are thinner than what the product reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.change_patches import patch_detections
from harness.change_peers import FORMER_SCORES, SCCD_BANDS, SCCD_SHARES, former_scores, rises, sccd_breaks
from harness.change_rules import FORMER, PATCHES, SCCD
from harness.change_scores import MIN_SHARE, Detection
from harness.change_series import Night, patches_of
from harness.floors import VALID
from harness.forest import CUBE_BANDS, SQUARE_PX, Cube, ForestCounts, count, felled_shares, in_chip, read_cube
from lakehouse.bands import BAND_BY_NAME, CHIP_PIXELS_10M, CHIP_PIXELS_20M, VALUE_PER_REFLECTANCE
from python_udfs.change.patches import PATCH
from python_udfs.change.rule import RULE

ENLARGED: Final = 2
SINGLE: Final = "single patches"
_LOW_SCORES: Final = (1.2, 1.4, 1.6, 1.8, 2.0, 2.7)
Found = dict[float, list[tuple[int, float]]]  # by threshold: square and day


def forest_counts(folder: Path, rules: Iterable[str]) -> dict[str, dict[float, ForestCounts]]:
    """Return what each rule finds in the forest: by name of the rule, then by threshold.

    Args:
        folder: the unpacked wheel of nrt 0.2.1.
        rules: names of rules.

    Raises:
        ChiplakeError: the cubes are not there.
    """
    cube = read_cube(folder)
    shares = felled_shares(cube)
    return {name: {limit: count(shares, found) for limit, found in _RULES[name](cube).items()} for name in rules}


def _sccd(cube: Cube) -> Found:
    bands = np.stack([cube.fine(name) for name in SCCD_BANDS], axis=1)
    breaks = sccd_breaks(bands, cube.scl, cube.days)
    across = cube.scl.shape[2] // SQUARE_PX
    square = breaks.row // SQUARE_PX * across + breaks.column // SQUARE_PX
    return {
        share: [
            (number, day)
            for number in range(across**2)
            for _, day in rises(breaks, square == number, SQUARE_PX**2, share)
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


def _patches(cube: Cube) -> Found:
    series = patches_of(_nights(cube))
    return _by_square(cube, patch_detections(series, bands=tuple(CUBE_BANDS)))


def _single_patches(cube: Cube) -> Found:
    series = patches_of(_nights(cube))
    rule = RULE.model_copy(update={"min_area_ha": 0.0, "evidence_score": 1.0})
    return _by_square(cube, patch_detections(series, rule, tuple(CUBE_BANDS), scores=_LOW_SCORES))


def _by_square(cube: Cube, reports: dict[float, list[Detection]]) -> Found:
    """Return the events of each square that have a patch in it."""
    across, patches = cube.scl.shape[2] // SQUARE_PX, ENLARGED * SQUARE_PX // PATCH  # squares, and patches of one
    return {
        score: [
            (int(square), one.first_seen)
            for one in detections
            for square in np.unique(np.argwhere(one.patches) // patches @ (across, 1))
        ]
        for score, detections in reports.items()
    }


def _nights(cube: Cube) -> Iterator[Night]:
    """Yield the nights, enlarged, in the north-western corner of a chip."""
    for number, day in enumerate(cube.days):
        bands = {
            name: in_chip(_enlarged(pixels[number]), CHIP_PIXELS_10M * 10 // BAND_BY_NAME[name].gsd)
            for name, pixels in cube.bands.items()
        }
        yield Night(float(day), bands, in_chip(cube.scl[number], CHIP_PIXELS_20M))


def _enlarged(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return pixels.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


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


_RULES: Final[dict[str, Callable[[Cube], Found]]] = {
    PATCHES.name: _patches,
    SINGLE: _single_patches,
    SCCD.name: _sccd,
    FORMER.name: _former,
}
