"""A landscape as satellites saw it, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

_EPOCH: Final = date(1970, 1, 1)
KINDS: Final = ("clear_cut", "burn", "construction", "quarry", "flood", "dieback", "water_body")


@dataclass(frozen=True)
class Truth:
    """Planted changes.

    Attributes:
        origin: 1 January of the year of the first scene, days since 1970-01-01.
        mask: (events, 256, 256) bool, pixels of 10 m that change.
        start: (events,) float64, days from the origin.
        end: (events,) float64, days from the origin; -1 where the change stays.
        kind: (events,) str, of KINDS.
    """

    origin: int
    mask: NDArray[np.bool_]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    kind: NDArray[np.str_]

    @property
    def start_day(self) -> NDArray[np.float64]:
        """Days since 1970-01-01 on which the changes begin."""
        return self.start + self.origin

    @property
    def end_day(self) -> NDArray[np.float64]:
        """Days since 1970-01-01 on which the changes end; infinite where they stay."""
        return np.where(self.end < 0, np.inf, self.end + self.origin)

    @property
    def hectares(self) -> NDArray[np.float64]:
        """Areas of the changes, hectares."""
        return np.asarray(self.mask.sum(axis=(1, 2)) / 100.0)


@dataclass(frozen=True)
class Landscape:
    """All nights of a chip.

    Attributes:
        name: half and seed.
        days: (n,) float64, days since 1970-01-01 UTC with the time of day, in order.
        platform: (n,) str, `a` or `b`.
        orbit: (n,) int64, the relative orbit.
        baseline: (n,) str, the processing baseline.
        bands: (n, 10, 256, 256) uint16, reflectance x 10,000, in the order of lakehouse.bands; a 20 m band holds
            each of its values four times.
        scl: (n, 128, 128) uint8.
        truth: the planted changes.
    """

    name: str
    days: NDArray[np.float64]
    platform: NDArray[np.str_]
    orbit: NDArray[np.int64]
    baseline: NDArray[np.str_]
    bands: NDArray[np.uint16]
    scl: NDArray[np.uint8]
    truth: Truth


def date_of(day: float) -> date:
    """Return the date of a number of days since 1970-01-01."""
    return _EPOCH + timedelta(days=int(np.floor(day)))


def origin_of(day: float) -> int:
    """Return 1 January of a day's year, both in days since 1970-01-01."""
    return day_of(date_of(day).replace(month=1, day=1))


def day_of(when: date) -> int:
    """Return the days from 1970-01-01 to a date."""
    return (when - _EPOCH).days
