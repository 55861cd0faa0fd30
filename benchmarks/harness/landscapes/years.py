"""How the years of a landscape differ, and curves of a year."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.landscapes.families import Family, Nuisances
from harness.landscapes.noise import chance_of
from harness.landscapes.weather import Weather, january, years_of


@dataclass(frozen=True)
class Year:
    """What a landscape's years have in common and how they differ.

    Attributes:
        days: (n,) nights, since 1970-01-01.
        january: 1 January of each year.
        spring: by how many days the spring of each year is late.
        autumn: the same for autumn.
        dry: (n,) how dry the last months were, 0 to 1.
    """

    days: NDArray[np.float64]
    january: NDArray[np.float64]
    spring: NDArray[np.float64]
    autumn: NDArray[np.float64]
    dry: NDArray[np.float32]

    def rise(self, begin: float, end: float, widths: tuple[float, float]) -> NDArray[np.float64]:
        """Return (n,) 0 to 1: up at `begin`, down at `end`, days of each year; widths are of the logistic curves."""
        up = sigmoid(self.days[None], (self.january + self.spring + begin)[:, None], widths[0])
        down = sigmoid(-self.days[None], -(self.january + self.autumn + end)[:, None], widths[1])
        return np.asarray((up * down).max(axis=0))


def sigmoid(at: NDArray[np.float64], middle: NDArray[np.float64] | float, width: float) -> NDArray[np.float64]:
    """Return the logistic curve of days."""
    return np.asarray(1 / (1 + np.exp(-np.clip((at - middle) / width, -30, 30))))


def make_year(family: Family, seed: int, days: NDArray[np.float64], weather: Weather, nuisances: Nuisances) -> Year:
    """Draw how the years differ."""
    chance = chance_of(family.name, seed, "years")
    years = years_of(days[0], days[-1])
    shift = chance.normal(0, family.spring_shift, (2, len(years))) * nuisances.phenology
    starts = np.array([january(year) for year in years], np.float64)
    return Year(days, starts, shift[0], 0.7 * shift[1], weather.at(weather.dry, days))
