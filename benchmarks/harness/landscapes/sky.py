"""Passes of two satellites on two orbits, and the sky on each: clouds, shadows, cirrus and haze."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from harness.landscapes.families import Family, Nuisances
from harness.landscapes.landscape import day_of
from harness.landscapes.noise import SIDE, Field, chance_of, fractal, smooth
from harness.landscapes.weather import season_of

ORBITS: Final = (79, 122)
_PLATFORMS: Final = ("a", "b")
_CYCLE_DAYS: Final = 10
_TIMES: Final = (9.97 / 24, 10.14 / 24)  # of day, by orbit
_SEARCHED: Final = (
    0.85  # scenes with a larger share of clouds are not taken, as a search by cloud cover leaves them out
)
_EDGE: Final = 0.35  # width of a cloud's edge, in standard deviations of the field
_SEEN_FROM: Final = 0.2  # opacity from which SCL knows a cloud


@dataclass(frozen=True)
class Pass:
    """One night's look at the chip.

    Attributes:
        day: since 1970-01-01, with the time of day.
        platform: a or b.
        orbit: 0 or 1, of ORBITS.
        clouds: share of the chip under clouds.
    """

    day: float
    platform: str
    orbit: int
    clouds: float


@dataclass(frozen=True)
class Sun:
    """Its position, radians."""

    zenith: float
    azimuth: float  # from north, clockwise


@dataclass(frozen=True)
class Sky:
    """What is between the ground and the satellite, each (256, 256) float32.

    Attributes:
        cloud: opacity of clouds, 0 to 1.
        shadow: share of the direct light that clouds take.
        cirrus: opacity of thin cirrus.
        haze: extra reflectance in blue.
        seen_cloud: the opacity that SCL knows.
        seen_shadow: the shadow that SCL knows.
    """

    cloud: Field
    shadow: Field
    cirrus: Field
    haze: Field
    seen_cloud: Field
    seen_shadow: Field


def make_passes(family: Family, seed: int, nuisances: Nuisances) -> list[Pass]:
    """Draw the passes of a landscape whose scenes a search by cloud cover finds; without `clouds` these are clear."""
    chance = chance_of(family.name, seed, "passes")
    start = day_of(date(int(chance.integers(2018, 2022)), 1, 1)) + int(chance.integers(0, 100))
    length = float(chance.uniform(*family.years)) * 365.25
    passes = []
    for cycle in range(int(length / _CYCLE_DAYS)):
        for number, offset in enumerate(family.repeat):
            day = start + cycle * _CYCLE_DAYS + int(offset)
            orbit, platform = number % 2, _PLATFORMS[number // 2]
            clouds = _cloud_share(family, chance, float(day))
            if clouds <= _SEARCHED:
                passes.append(Pass(day + _TIMES[orbit], platform, orbit, clouds * nuisances.clouds))
    return passes


def _cloud_share(family: Family, chance: np.random.Generator, day: float) -> float:
    summer, winter = family.overcast
    overcast = 0.5 * (summer + winter) + 0.5 * (winter - summer) * np.cos(
        2 * np.pi * (season_of_day(day) - 10) / 365.25
    )
    one, other, share = chance.random(3)
    if one < overcast:
        return 1.0
    return float(share**1.3) if other < family.partly else 0.0


def season_of_day(day: float) -> float:
    """Return the day of the year."""
    return float(season_of(np.array([day]))[0])


def sun_at(latitude: float, day: float) -> Sun:
    """Return where the sun is about two hours before noon.

    Args:
        latitude: degrees north.
        day: since 1970-01-01.
    """
    declination = np.radians(-23.44) * np.cos(2 * np.pi * (season_of_day(day) + 10) / 365.25)
    north, hour = np.radians(latitude), np.radians(-22)
    up = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    northward = np.cos(north) * np.sin(declination) - np.sin(north) * np.cos(declination) * np.cos(hour)
    return Sun(float(np.arccos(up)), float(np.arctan2(east, northward)))


def make_sky(family: Family, seed: int, look: Pass, sun: Sun, nuisances: Nuisances) -> Sky:
    """Draw the sky of a pass."""
    clear = np.zeros((SIDE, SIDE), np.float32)
    cloud, shadow, seen_cloud, seen_shadow = clear, clear, clear, clear
    chance = chance_of(family.name, seed, f"clouds {look.day}")
    height_m, stretch = float(chance.uniform(500, 4000)), float(chance.uniform(2.6, 3.4))
    if look.clouds > 0:
        field = fractal(chance, stretch) + 0.12 * fractal(chance, 1.8)
        cloud = seen_cloud = _opacity(field, look.clouds)
        shadow = seen_shadow = _cast(cloud, height_m, sun)
    if nuisances.missed:
        chance = chance_of(family.name, seed, f"missed {look.day}")
        small = _small_clouds(family, chance, look)
        known = smooth(chance, 20) > _quantile_of(family.missed_shadows)
        seen_cloud = np.where(seen_cloud >= _SEEN_FROM, seen_cloud, 0)
        seen_shadow = np.where(known & (seen_shadow > 0.35), seen_shadow, 0)
        if small is not None:
            cloud = np.maximum(cloud, small)
            shadow = np.maximum(shadow, _cast(small, height_m, sun))
    cirrus = _cirrus(family, seed, look) if nuisances.missed else clear
    haze = _haze(family, seed, look) if nuisances.haze else clear
    return Sky(cloud, np.where(cloud > 0.3, 0, shadow), cirrus, haze, seen_cloud, seen_shadow)


def _opacity(field: Field, share: float) -> Field:
    edge = np.quantile(field, 1 - share)
    return np.asarray(np.clip((field - edge) / _EDGE + 0.1, 0, 1), np.float32)


def _quantile_of(share: float) -> float:
    """Return the value below which a share of a standard normal lies, roughly (Tukey's lambda approximation)."""
    return float((share**0.135 - (1 - share) ** 0.135) / 0.1975)


def _small_clouds(family: Family, chance: np.random.Generator, look: Pass) -> Field | None:
    """Return the opacity of small clouds that SCL misses; there are fewer on clear nights."""
    count = int(chance.poisson(family.missed_clouds * (1.0 if look.clouds > 0.02 else 0.3)))
    if not count:
        return None
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    ragged = smooth(chance, 3)
    opacity = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(count):
        top, left, radius = chance.uniform(0, SIDE), chance.uniform(0, SIDE), np.exp(chance.normal(2.0, 0.5))
        dense = chance.uniform(0.15, 0.7)
        blob = np.clip((1.2 - np.hypot(rows - top, columns - left) / radius + 0.35 * ragged) / 0.6, 0, 1)
        opacity = np.maximum(opacity, np.float32(dense) * blob.astype(np.float32))
    return opacity


def _cast(cloud: Field, height_m: float, sun: Sun) -> Field:
    """Return the shadow of clouds of a height."""
    reach = height_m * np.tan(min(sun.zenith, np.radians(75))) / 10
    down, right = round(reach * np.cos(sun.azimuth)), round(-reach * np.sin(sun.azimuth))
    return np.roll(cloud, (down, right), (0, 1))


def _cirrus(family: Family, seed: int, look: Pass) -> Field:
    chance = chance_of(family.name, seed, f"cirrus {look.day}")
    if chance.random() > family.cirrus:
        return np.zeros((SIDE, SIDE), np.float32)
    return np.asarray(np.clip(chance.uniform(0.01, 0.07) * (1 + 0.9 * fractal(chance, 3.0)), 0, 0.2), np.float32)


def _haze(family: Family, seed: int, look: Pass) -> Field:
    chance = chance_of(family.name, seed, f"haze {look.day}")
    hazy = chance.random() < family.hazy
    level = float(chance.exponential(family.haze)) if hazy else float(chance.normal(0, 0.1 * family.haze))
    return np.asarray(level * np.clip(1 + 0.4 * smooth(chance, 45), 0, None), np.float32)
