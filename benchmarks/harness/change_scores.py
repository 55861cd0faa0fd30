"""Compare detected changes with planted ones: what is found, what is false, and how late.

An observation is a square of 640 m (8 x 8 patches; 16 a chip) on a night on which at least half of it is valid. The
first year of a series is history: neither its observations nor its detections count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.landscapes import Truth
from python_udfs.change.patches import PATCH, SIDE

SQUARE: Final = 8  # patches a side
SQUARES: Final = SIDE // SQUARE  # 4 a side
SQUARE_KM2: Final = (SQUARE * PATCH / 100) ** 2
HISTORY_DAYS: Final = 365
MIN_SHARE: Final = 0.5  # of a square that is valid in an observation
REPEAT_DAYS: Final = 60  # detections of a square within these are one
STILL_DAYS: Final = 60  # after its end, a change may still be detected
FOUND_WITHIN_DAYS: Final = 120  # of its start
HECTARES: Final = ((1, 3), (3, 10), (10, 50.5))  # classes of size


@dataclass(frozen=True)
class Detection:
    """A change that a rule reports.

    Attributes:
        day: on which the rule reports it, since 1970-01-01.
        first_seen: the first day that counts for it.
        patches: (32, 32) bool.
        score: the higher the more certain.
    """

    day: float
    first_seen: float
    patches: NDArray[np.bool_]
    score: float = 0.0


@dataclass(frozen=True)
class Counts:
    """What a rule did on one landscape or on several.

    Attributes:
        observations: squares on nights.
        square_years: squares times years.
        right: detections of a square that a change explains.
        false: the others.
        kind: (events,) planted changes.
        hectares: (events,).
        delay: (events,) days from the start of a change to its first detection; NaN where it was not found.
    """

    observations: int
    square_years: float
    right: int
    false: int
    kind: NDArray[np.str_]
    hectares: NDArray[np.float64]
    delay: NDArray[np.float64]

    @classmethod
    def total(cls, counts: Iterable[Counts]) -> Counts:
        """Return the sum of some.

        Raises:
            ValueError: there are no counts.
        """
        every = list(counts)
        if not every:
            raise ValueError("there are no counts to add")
        return cls(
            sum(one.observations for one in every),
            sum(one.square_years for one in every),
            sum(one.right for one in every),
            sum(one.false for one in every),
            np.concatenate([one.kind for one in every]),
            np.concatenate([one.hectares for one in every]),
            np.concatenate([one.delay for one in every]),
        )

    @property
    def found(self) -> NDArray[np.bool_]:
        """(events,) which changes were found."""
        return ~np.isnan(self.delay)

    @property
    def recall(self) -> float:
        """Share of the changes that were found; NaN without any."""
        return _mean(self.found)

    @property
    def precision(self) -> float:
        """Share of the detections that are right; NaN without any."""
        return self.right / (self.right + self.false) if self.right + self.false else float("nan")

    @property
    def false_per_10000(self) -> float:
        """False detections per 10,000 observations; NaN without any."""
        return 10_000 * self.false / self.observations if self.observations else float("nan")

    @property
    def false_per_1000_km2_year(self) -> float:
        """False detections per 1,000 km² and year; NaN without any."""
        return 1000 * self.false / (self.square_years * SQUARE_KM2) if self.square_years else float("nan")

    @property
    def delay_days(self) -> float:
        """Median delay of the changes that were found; NaN without any."""
        return float(np.nanmedian(self.delay)) if self.found.any() else float("nan")

    def recall_of(self, chosen: NDArray[np.bool_]) -> float:
        """Return the share of some of the changes that were found; NaN without any.

        Args:
            chosen: (events,).
        """
        return _mean(self.found[chosen])

    def figures(self, prefix: str = "") -> dict[str, float | None]:
        """Return the keys of a benchmark's JSON; None where there is nothing to measure."""
        named = {
            "recall": self.recall,
            "false_per_10000": self.false_per_10000,
            "precision": self.precision,
            "delay_days": self.delay_days,
        }
        return {f"{prefix}{name}": None if np.isnan(value) else round(value, 4) for name, value in named.items()}


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def observed_squares(shares: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which squares are observed on which night, (n, 16), in the order of rows.

    Args:
        shares: (n, 1024) valid share of each patch, or (n, 32, 32).
    """
    by_square = shares.reshape(len(shares), SQUARES, SQUARE, SQUARES, SQUARE).mean(axis=(2, 4))
    return np.asarray(by_square.reshape(len(shares), -1) >= MIN_SHARE)


def squares_of(patches: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the numbers of the squares with at least one of the patches, (32, 32)."""
    touched = patches.reshape(SQUARES, SQUARE, SQUARES, SQUARE).any(axis=(1, 3))
    return np.flatnonzero(touched)


def squares_of_events(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which squares, wider by one patch on each side, hold a pixel of each event, (events, 16).

    Args:
        mask: (events, 256, 256).
    """
    near = np.zeros((len(mask), SQUARES, SQUARES), np.bool_)
    side = SQUARE * PATCH
    for row in range(SQUARES):
        for column in range(SQUARES):
            rows = slice(max(0, row * side - PATCH), (row + 1) * side + PATCH)
            columns = slice(max(0, column * side - PATCH), (column + 1) * side + PATCH)
            near[:, row, column] = mask[:, rows, columns].any(axis=(1, 2))
    return near.reshape(len(mask), SQUARES**2)


def evaluate(
    truth: Truth, detections: Sequence[Detection], days: NDArray[np.float64], observed: NDArray[np.bool_]
) -> Counts:
    """Count what a rule found on a landscape.

    A detection counts once for each square that it touches; repeats in a square within 60 days, of the same verdict,
    are one. It is right if a change in the square, or within one patch of it, had begun before that day and had not
    ended more than 60 days before it was first seen. A change is found if a right detection lies within 120 days of its
    start.

    Args:
        truth: planted changes.
        detections: what the rule reports, in any order.
        days: (n,) nights, since 1970-01-01, in order.
        observed: (n, 16), from `observed_squares`.
    """
    begin = days[0] + HISTORY_DAYS
    near, start, end = squares_of_events(truth.mask), truth.start_day, truth.end_day
    delay = np.full(len(start), np.nan)
    last: dict[tuple[int, bool], float] = {}
    counted = {True: 0, False: 0}
    for detection in sorted(detections, key=lambda one: (one.day, one.first_seen)):
        if detection.day < begin:
            continue
        explained = (start <= detection.day) & (end + STILL_DAYS >= detection.first_seen)
        for square in squares_of(detection.patches):
            causes = explained & near[:, square]
            late = detection.day - start
            newly = causes & (late <= FOUND_WITHIN_DAYS)
            delay[newly] = np.fmin(delay[newly], late[newly])
            key = (int(square), bool(causes.any()))
            if detection.day - last.get(key, -np.inf) > REPEAT_DAYS:
                counted[key[1]] += 1
                last[key] = detection.day
    counts_from = days >= begin
    years = max(0.0, float(days[-1] - begin)) / 365.25
    return Counts(
        observations=int(observed[counts_from].sum()),
        square_years=years * SQUARES**2,
        right=counted[True],
        false=counted[False],
        kind=truth.kind,
        hectares=truth.hectares,
        delay=delay,
    )
