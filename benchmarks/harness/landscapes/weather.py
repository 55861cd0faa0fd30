"""Weather by day: temperature, rain, the water of soils, snow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.landscapes.families import Family, Nuisances
from harness.landscapes.landscape import day_of
from harness.landscapes.noise import chance_of

Series = NDArray[np.float32]
_YEAR: Final = 365.2425
_SNOW_BELOW_C: Final = 0.5
_MELT_MM: Final = 3.0  # a day and degree
_RUN_IN: Final = 500  # days before the first night


@dataclass(frozen=True)
class Weather:
    """Weather by day.

    Attributes:
        first: the first day, since 1970-01-01.
        celsius: (days,).
        wet: (days,), water of the uppermost soil, 0 dry to 1 saturated.
        dry: (days,), how dry the last two months were, 0 to 1.
        snow: (days,), water of the snow on the ground at mean elevation, mm.
    """

    first: int
    celsius: Series
    wet: Series
    dry: Series
    snow: Series

    def at(self, series: Series, days: NDArray[np.float64]) -> Series:
        """Return a series on nights."""
        return np.asarray(series[np.floor(days).astype(int) - self.first], np.float32)


def season_of(days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the day of the year, from 0, of days since 1970-01-01; the length of the year is its mean."""
    return np.asarray(np.mod(days, _YEAR))


def make_weather(family: Family, seed: int, first: float, last: float, nuisances: Nuisances) -> Weather:
    """Draw the weather from before the first night to after the last.

    Args:
        family: its climate.
        seed: of the landscape.
        first: first night, days since 1970-01-01.
        last: last night.
        nuisances: without `moisture` soils are always alike, without `snow` none falls, without `phenology` no
            summer is dry.
    """
    chance = chance_of(family.name, seed, "weather")
    start = int(first) - _RUN_IN
    days = np.arange(start, int(last) + 30)
    count = len(days)
    chances = chance.random(count)
    shocks = chance.standard_normal(count)
    amounts = chance.exponential(family.rain_mm, count)
    anomaly, raining = 0.0, False
    celsius, rain = np.zeros(count), np.zeros(count)
    for number in range(count):
        anomaly = 0.8 * anomaly + 0.6 * family.weather_c * shocks[number]
        celsius[number] = anomaly
        raining = chances[number] < family.wet_spell[int(raining)]
        rain[number] = amounts[number] * raining
    celsius += family.mean_c - family.swing_c * np.cos(2 * np.pi * (season_of(days.astype(float)) - 15) / _YEAR)
    wet, dry, snow = np.zeros(count), np.zeros(count), np.zeros(count)
    water, store, pack = 0.5, 60.0, 0.0
    for number in range(count):
        warm = max(celsius[number], 0.0)
        falls_as_snow = celsius[number] < _SNOW_BELOW_C
        melt = min(pack, _MELT_MM * warm)
        pack += (rain[number] if falls_as_snow else 0.0) - melt
        liquid = melt + (0.0 if falls_as_snow else rain[number])
        water = min(1.0, water * np.exp(-0.06 - 0.014 * warm) + liquid / 12)
        store = float(np.clip(store + liquid - 0.19 * warm, 0, 90))
        wet[number], dry[number], snow[number] = water, 1 - min(1.0, store / 45), pack
    if not nuisances.moisture:
        wet[:] = 0.3
    if not nuisances.phenology:
        dry[:] = 0
    if not nuisances.snow:
        snow[:] = 0
    return Weather(start, *(series.astype(np.float32) for series in (celsius, wet, dry, snow)))


def years_of(first: float, last: float) -> range:
    """Return the calendar years from the one before the first day to the one after the last."""
    return range(1970 + int(first / _YEAR) - 1, 1970 + int(last / _YEAR) + 2)


def january(year: int) -> int:
    """Return 1 January, days since 1970-01-01."""
    return day_of(date(year, 1, 1))
