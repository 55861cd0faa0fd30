"""Make a landscape: the ground of each night, seen through its sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.landscapes.events import Event, plant
from harness.landscapes.families import Family, Nuisances
from harness.landscapes.landscape import Landscape, Truth, date_of, origin_of
from harness.landscapes.mosaic import WOODS, Mosaic, make_mosaic
from harness.landscapes.noise import SIDE, Field, chance_of, fractal, smooth
from harness.landscapes.scene import Light, Night, classify, look_at
from harness.landscapes.seasons import part_shares, unit_shares
from harness.landscapes.sky import ORBITS, Pass, make_passes, make_sky, sun_at
from harness.landscapes.spectra import GREEN, SOIL, WETTING, endmembers
from harness.landscapes.weather import Weather, make_weather
from harness.landscapes.years import make_year

_OLD_BASELINE, _NEW_BASELINE = "04.00", "05.10"
# By cover: variation of growth, and of brightness, within a unit.
_TEXTURE: Final = {
    "broadleaf": (0.10, 0.07),
    "needles": (0.10, 0.10),
    "mixed": (0.14, 0.09),
    "heath": (0.25, 0.08),
    "pasture": (0.20, 0.04),
    "meadow": (0.14, 0.04),
    "crop": (0.14, 0.035),
    "urban": (0.9, 0.22),
    "bare": (0.5, 0.10),
    "road": (0.4, 0.05),
    "water": (0.0, 0.05),
}
_EVENT_TEXTURE: Final = (0.3, 0.08)
# How much of the pattern of growth is another each year.
_YEARLY: Final = {"crop": 0.8, "meadow": 0.4, "pasture": 0.4, "heath": 0.2}
_YEARLY_WOODS: Final = 0.15


@dataclass(frozen=True)
class _Ground:
    """Spectra of units and of what events leave: (nights, units + events, 10)."""

    spectra: NDArray[np.float32]
    growth: NDArray[np.float32]  # how a spectrum changes with one standard deviation of growth
    bright: NDArray[np.float32]  # (units + events,), variation of brightness


def make_landscape(family: Family, seed: int, nuisances: Nuisances | None = None) -> Landscape:
    """Make a landscape. The same arguments give the same pixels.

    Args:
        family: parameters.
        seed: number of the landscape.
        nuisances: what a year brings; None: all of it.
    """
    present = nuisances or Nuisances()
    passes = make_passes(family, seed, present)
    days = np.array([one.day for one in passes])
    weather = make_weather(family, seed, days[0], days[-1], present)
    year = make_year(family, seed, days, weather, present)
    mosaic = make_mosaic(family, seed)
    events = plant(family, seed, mosaic, year)
    shares, irrigated = unit_shares(family, seed, mosaic, year, present)
    after = part_shares([event.parts for event in events], len(days), family.soils)
    wet = np.minimum(weather.at(weather.wet, days)[None] + irrigated, 1)
    wet = np.concatenate([wet, np.repeat(weather.at(weather.wet, days)[None], len(events), 0)])
    ground = _ground(family, seed, np.concatenate([shares, after]), wet, mosaic, len(events))
    bands, scl, baselines = _render(family, seed, passes, weather, mosaic, ground, events, present)
    return Landscape(
        name=f"{family.name}-{seed}",
        days=days,
        platform=np.array([one.platform for one in passes]),
        orbit=np.array([ORBITS[one.orbit] for one in passes]),
        baseline=baselines,
        bands=bands,
        scl=scl,
        truth=_truth(events, days),
    )


def _truth(events: list[Event], days: NDArray[np.float64]) -> Truth:
    origin = origin_of(days[0])
    end = np.array([event.end for event in events])
    return Truth(
        origin,
        np.array([event.mask for event in events], np.bool_).reshape(-1, SIDE, SIDE),
        np.array([event.start for event in events]) - origin,
        np.where(np.isfinite(end), end - origin, -1),
        np.array([event.kind for event in events], np.str_),
    )


def _ground(
    family: Family, seed: int, shares: NDArray[np.float32], wet: NDArray[np.float32], mosaic: Mosaic, events: int
) -> _Ground:
    pure = endmembers(family.tilt, chance_of(family.name, seed, "palette"))
    soil = (shares[..., SOIL] @ pure[SOIL]) * (1 - wet[..., None] * WETTING)
    green = shares[..., GREEN] @ pure[GREEN]
    other = soil + shares[..., ~(SOIL | GREEN)] @ pure[~(SOIL | GREEN)]
    cover = shares[..., GREEN].sum(axis=2, keepdims=True)
    vary, bright = (
        np.array([_TEXTURE[str(one)][number] for one in mosaic.cover] + [_EVENT_TEXTURE[number]] * events, np.float32)
        for number in (0, 1)
    )
    contrast = green / np.maximum(cover, 0.05) - other / np.maximum(1 - cover, 0.05)
    room = np.minimum(cover, 1 - cover)
    growth = family.texture * vary[:, None, None] * room * contrast * (cover > 0.02)
    return _Ground(
        np.ascontiguousarray((green + other).swapaxes(0, 1)),
        np.ascontiguousarray(growth.swapaxes(0, 1)),
        bright * np.float32(family.texture),
    )


@dataclass(frozen=True)
class _Textures:
    """Patterns within units, standard deviation 1."""

    still: Field  # of growth, the same in all years
    yearly: dict[int, Field]  # of growth, by year
    turnover: Field  # share of the pattern of growth that is the year's
    bright: Field
    melt: Field  # where snow stays


def _textures(family: Family, seed: int, days: NDArray[np.float64], mosaic: Mosaic) -> _Textures:
    chance = chance_of(family.name, seed, "texture")
    still = 0.6 * smooth(chance, 4) + 0.5 * smooth(chance, 1.2) + 0.6 * fractal(chance, 2.0)
    years = sorted({date_of(day).year for day in days})
    yearly = {year: fractal(chance_of(family.name, seed, f"texture {year}"), 2.2) for year in years}
    turnover = np.array([_turnover(str(cover)) for cover in mosaic.cover], np.float32)[mosaic.label]
    return _Textures(still, yearly, turnover, 0.8 * smooth(chance, 0.8) + 0.6 * smooth(chance, 3), smooth(chance, 5))


def _turnover(cover: str) -> float:
    return _YEARLY.get(cover, _YEARLY_WOODS if cover in WOODS else 0.0)


def _render(
    family: Family,
    seed: int,
    passes: list[Pass],
    weather: Weather,
    mosaic: Mosaic,
    ground: _Ground,
    events: list[Event],
    nuisances: Nuisances,
) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.str_]]:
    days = np.array([one.day for one in passes])
    textures = _textures(family, seed, days, mosaic)
    snow = weather.at(weather.snow, days)
    chance = chance_of(family.name, seed, "light")
    light = Light(family, chance, mosaic)
    switch = days[0] + float(chance.uniform(0.3, 0.9)) * (days[-1] - days[0])
    pure = endmembers(family.tilt, chance_of(family.name, seed, "palette"))
    bands = np.empty((len(passes), 10, SIDE, SIDE), np.uint16)
    scl = np.empty((len(passes), SIDE // 2, SIDE // 2), np.uint8)
    for number, one in enumerate(passes):
        sun = sun_at(family.latitude, one.day)
        image = _mixed_ground(mosaic, ground, textures, events, number, one.day)
        night = Night(one, sun, make_sky(family, seed, one, sun, nuisances), float(snow[number]), one.day >= switch)
        seen, white = look_at(
            image, night, light, textures.melt, pure, nuisances, chance_of(family.name, seed, f"look {one.day}")
        )
        bands[number] = seen
        scl[number] = classify(seen, white, night.sky, nuisances, chance_of(family.name, seed, f"scl {one.day}"))
    baselines = np.where(days >= switch, _NEW_BASELINE, _OLD_BASELINE)
    return bands, scl, baselines if nuisances.baseline else np.full(len(days), _NEW_BASELINE)


def _mixed_ground(
    mosaic: Mosaic, ground: _Ground, textures: _Textures, events: list[Event], number: int, day: float
) -> Field:
    """Return the reflectance of the ground, (10, 256, 256)."""
    growth = textures.still + textures.turnover * (textures.yearly[date_of(day).year] - textures.still)
    image = _take(ground.spectra[number], mosaic.label)
    image += _take(ground.growth[number], mosaic.label) * growth
    image *= 1 + ground.bright[mosaic.label] * textures.bright
    first = len(mosaic.cover)
    for place, event in enumerate(events):
        if day < event.start:
            continue
        share, mask = event.share(day), event.mask
        after = (
            ground.spectra[number, first + place][:, None]
            + ground.growth[number, first + place][:, None] * growth[mask]
        )
        after *= 1 + ground.bright[first + place] * textures.bright[mask]
        image[:, mask] = (1 - share) * image[:, mask] + share * after
    return image


def _take(table: NDArray[np.float32], label: NDArray[np.int32]) -> Field:
    return np.asarray(np.ascontiguousarray(table.T)[:, label], np.float32)
