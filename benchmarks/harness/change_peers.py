"""Other rules for change on the same pixels: S-CCD, and the distance of a chip to its predecessor.

S-CCD (Ye et al. 2021, Remote Sensing of Environment 252, 112167) is that of pyxccd: `sccd_detect_flex` a pixel, with
green, red, near infrared and short-wave infrared, and three observations for a change. A square changes on the day on
which at least 5 % of its pixels have been confirmed as changed within 30 days.

The former rule compared the embedding of a chip with that of its predecessor, and the distance with the cell's last
24 distances. Here the ten bands' means of a square of 640 m stand for the embedding: they are divided by the standard
deviations that Clay divides by, and the distance is Euclidean. History, least history and score are those of
`fct_chip_changes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyxccd import sccd_detect_flex

from embedding.model.clay_bands import STATISTICS
from harness.change_scores import SQUARE, SQUARES, Detection, observed_squares
from lakehouse.bands import BAND_NAMES, VALUE_PER_REFLECTANCE
from lakehouse.settings.change import ChangeSettings
from python_udfs.change.patches import PATCH, SIDE

SCCD_SHARES: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
SCCD_SHARE: Final = 0.05
SCCD_BANDS: Final = ("green", "red", "nir", "swir16")
_CONSECUTIVE, _LAMBDA, _SCCD_DAYS = 3, 20, 30
_GREEN, _SWIR = 1, 4  # numbers from 1 of the bands that mask clouds
_ORDINAL_1970: Final = 719_163  # of Python's calendar
_QA: Final = {2: 0, 4: 0, 5: 0, 7: 0, 6: 1, 3: 2, 11: 3}  # SCL to the classes of pyxccd; all others are clouds
_QA_CLOUD: Final = 4
FORMER_SCORES: Final = (3.0, 6.0, 12.0, 24.0)
_STEP: Final = 2  # every second pixel in both directions: the share of a square that changes stays the same


@dataclass(frozen=True)
class Breaks:
    """Breaks of single pixels, (breaks,) each.

    Attributes:
        row: of the pixel among those that were looked at.
        column: of the pixel.
        first: first day of the break, since 1970-01-01.
        confirmed: day on which the third observation confirmed it.
    """

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    first: NDArray[np.float64]
    confirmed: NDArray[np.float64]


def sccd_breaks(bands: NDArray[np.uint16], scl: NDArray[np.uint8], days: NDArray[np.float64]) -> Breaks:
    """Run S-CCD on every pixel.

    Args:
        bands: (n, 4, rows, columns) reflectance x 10,000, of SCCD_BANDS; 0 is nodata.
        scl: (n, rows, columns).
        days: (n,) since 1970-01-01, in order.
    """
    table = np.full(256, _QA_CLOUD, np.int64)
    table[list(_QA)] = list(_QA.values())
    quality = np.where((bands == 0).any(axis=1), 255, table[scl])
    dates = np.floor(days).astype(np.int64) + _ORDINAL_1970
    found = []
    for row in range(bands.shape[2]):
        for column in range(bands.shape[3]):
            at = quality[:, row, column]
            seen = at < _QA_CLOUD
            series = np.ascontiguousarray(bands[seen, :, row, column].astype(np.int64))
            found += [(row, column, *pair) for pair in _pixel_breaks(dates[seen], series, at[seen])]
    table_of = np.array(found, np.float64).reshape(-1, 4)
    return Breaks(table_of[:, 0].astype(np.intp), table_of[:, 1].astype(np.intp), table_of[:, 2], table_of[:, 3])


def _pixel_breaks(
    dates: NDArray[np.int64], series: NDArray[np.int64], quality: NDArray[np.int64]
) -> list[tuple[float, float]]:
    """Return first and confirming day of each break of a pixel."""
    if len(dates) < 2 * _CONSECUTIVE:
        return []
    result = sccd_detect_flex(
        dates,
        series,
        quality,
        lam=_LAMBDA,
        conse=_CONSECUTIVE,
        tmask_b1_index=_GREEN,
        tmask_b2_index=_SWIR,
    )
    clear = dates[quality <= 1]
    breaks = []
    for day in np.atleast_1d(result.rec_cg["t_break"]) if len(result.rec_cg) else ():
        place = int(np.searchsorted(clear, day)) + _CONSECUTIVE - 1
        if day > 0 and place < len(clear):
            breaks.append((float(day - _ORDINAL_1970), float(clear[place] - _ORDINAL_1970)))
    return breaks


def rises(breaks: Breaks, chosen: NDArray[np.bool_], pixels: int, share: float) -> list[tuple[float, float]]:
    """Return the days on which enough pixels of an area have lately been confirmed as changed, and the first break.

    Args:
        breaks: of single pixels.
        chosen: (breaks,) those of the area.
        pixels: of the area.
        share: of the pixels that makes a change.
    """
    confirmed, first = breaks.confirmed[chosen], breaks.first[chosen]
    days = []
    above = False
    for day in np.unique(confirmed):
        recent = (confirmed > day - _SCCD_DAYS) & (confirmed <= day)
        enough = bool(recent.sum() >= share * pixels)
        if enough and not above:
            days.append((float(day), float(first[recent].min())))
        above = enough
    return days


def sccd_detections(
    bands: NDArray[np.uint16], scl: NDArray[np.uint8], days: NDArray[np.float64]
) -> dict[float, list[Detection]]:
    """Return what S-CCD reports on a landscape, by the share of a square's pixels that makes a change.

    Args:
        bands: (n, 10, 256, 256) reflectance x 10,000.
        scl: (n, 128, 128).
        days: (n,) since 1970-01-01, in order.
    """
    used = [BAND_NAMES.index(name) for name in SCCD_BANDS]
    breaks = sccd_breaks(bands[:, used, ::_STEP, ::_STEP], scl, days)
    patch = PATCH // _STEP
    side = SQUARE * patch
    square = breaks.row // side * SQUARES + breaks.column // side
    reports: dict[float, list[Detection]] = {}
    for share in SCCD_SHARES:
        reports[share] = []
        for number in range(SQUARES**2):
            chosen = square == number
            for day, first in rises(breaks, chosen, side * side, share):
                lately = chosen & (breaks.confirmed > day - _SCCD_DAYS) & (breaks.confirmed <= day)
                patches = np.zeros((SIDE, SIDE), np.bool_)
                patches[breaks.row[lately] // patch, breaks.column[lately] // patch] = True
                reports[share].append(Detection(day, first, patches, share))
    return reports


def former_detections(
    features: NDArray[np.float32], shares: NDArray[np.float32], days: NDArray[np.float64]
) -> list[Detection]:
    """Return what the former rule reports on a landscape, with scores from the lowest of FORMER_SCORES on.

    Args:
        features: (n, 10, 1024) reflectances of patches, NaN where none is valid.
        shares: (n, 1024) valid share of the patches.
        days: (n,) since 1970-01-01, in order.
    """
    observed = observed_squares(shares)
    vectors = square_means(features, shares)
    reports = []
    for square in range(SQUARES**2):
        nights = np.flatnonzero(observed[:, square])
        patches = np.zeros((SQUARES, SQUARE, SQUARES, SQUARE), np.bool_)
        patches[square // SQUARES, :, square % SQUARES] = True
        for place, score in former_scores(vectors[nights, square]):
            if score >= FORMER_SCORES[0]:
                day = float(days[nights[place]])
                reports.append(Detection(day, day, patches.reshape(SIDE, SIDE), score))
    return reports


def square_means(features: NDArray[np.float32], shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means of the valid pixels of each square, (n, 16, 10).

    Args:
        features: (n, 10, 1024) reflectances of patches, NaN where none is valid.
        shares: (n, 1024) valid share of the patches.
    """
    shape = (SQUARES, SQUARE, SQUARES, SQUARE)
    weight = shares.reshape(-1, 1, *shape)
    weighted = (np.nan_to_num(features).reshape(*features.shape[:2], *shape) * weight).sum(axis=(3, 5))
    means = weighted / np.maximum(weight.sum(axis=(3, 5)), 1e-6)
    return np.asarray(means.reshape(*features.shape[:2], -1).swapaxes(1, 2), np.float32)


def former_scores(vectors: NDArray[np.float32], bands: Sequence[str] = BAND_NAMES) -> list[tuple[int, float]]:
    """Return the place and the robust score of each vector that has enough earlier distances.

    Args:
        vectors: (n, bands) reflectances, in order of time.
        bands: their names.
    """
    rule = ChangeSettings()
    scale = np.array([STATISTICS[name].std for name in bands]) / VALUE_PER_REFLECTANCE
    distances: Sequence[float] = np.linalg.norm(np.diff(vectors, axis=0) / scale, axis=1).tolist()
    scores = []
    for place, distance in enumerate(distances):
        history = np.array(distances[max(0, place - rule.history) : place])
        if len(history) < rule.min_history:
            continue
        median = float(np.median(history))
        spread = max(1.4826 * float(np.median(np.abs(history - median))), 0.25 * median)
        scores.append((place + 1, (distance - median) / spread if spread else 0.0))
    return scores
