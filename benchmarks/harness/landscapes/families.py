"""The parameters of the generator: two families, and the nuisances that can be left out one by one."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

from lakehouse.errors import ChiplakeError


@dataclass(frozen=True)
class Nuisances:
    """What a year brings beside the planted changes. Each can be left out."""

    phenology: bool = True  # seasons that are early or late by year, drought, growth that varies by stand
    farming: bool = True  # crop rotation, dates by field and year, ploughing, mowing, irrigation
    moisture: bool = True  # soils that rain darkens
    haze: bool = True  # haze, and errors of the atmospheric correction by night
    clouds: bool = True  # clouds and shadows that SCL knows
    missed: bool = True  # clouds, shadows and thin cirrus that SCL calls clear, and clear ground that it calls cloud
    snow: bool = True
    orbits: bool = True  # view and sun geometry
    baseline: bool = True  # small gains from a processing baseline on
    registration: bool = True  # shifts by parts of a pixel
    noise: bool = True  # of the sensor

    @classmethod
    def none(cls) -> Nuisances:
        """Return a world that only has the regular year."""
        return cls(**dict.fromkeys(NUISANCES, False))

    def without(self, name: str) -> Nuisances:
        """Return these but one.

        Raises:
            ChiplakeError: no nuisance has this name.
        """
        return replace(self, **{_known(name): False})

    @classmethod
    def only(cls, name: str) -> Nuisances:
        """Return one alone.

        Raises:
            ChiplakeError: no nuisance has this name.
        """
        return replace(cls.none(), **{_known(name): True})


NUISANCES: Final = tuple(field.name for field in fields(Nuisances))


def _known(name: str) -> str:
    if name not in NUISANCES:
        raise ChiplakeError(f"there is no nuisance {name}; there are {', '.join(NUISANCES)}")
    return name


@dataclass(frozen=True)
class Family:
    """Parameters of a half. Ranges are drawn from by landscape."""

    name: str
    seeds: tuple[int, ...]
    # Climate.
    latitude: float  # degrees north
    mean_c: float  # mean temperature of the year, degrees Celsius
    swing_c: float  # half of the difference between July and January
    weather_c: float  # standard deviation of the day's temperature
    wet_spell: tuple[float, float]  # chance of rain after a dry day, after a wet day
    rain_mm: float  # of a wet day
    overcast: tuple[float, float]  # share of passes without any clear ground: summer, winter
    partly: float  # share of the others with some clouds
    # Seasons: days of the year, and standard deviations in days.
    leaf_out: float
    leaf_fall: float
    spring_shift: float  # of a year's spring
    stand_shift: float  # of a stand or field within a year
    green_range: tuple[float, float]  # of closed canopies in summer
    drought: float  # share of the green that a dry summer takes from grass
    # Cover.
    forest: tuple[float, float]  # share of the chip
    conifers: tuple[float, float]  # share of the forest
    grassland: tuple[float, float]  # share of the open land
    field_ha: tuple[float, float]
    crops: tuple[str, ...]
    soils: tuple[str, str]
    cover_crop: float  # chance that one follows a harvest
    tilt: float  # of the palette
    relief_m: float  # standard deviation of elevations
    # Sky and sensor.
    haze: float  # mean extra reflectance in blue on a hazy night
    hazy: float  # share of nights
    missed_clouds: float  # mean number of small clouds that SCL misses on a partly cloudy night
    missed_shadows: float  # share of the shadows that SCL misses
    cirrus: float  # share of nights with thin cirrus
    gain_sigma: float  # of a night's correction, all bands
    view_gain: float  # between orbits, of a closed canopy
    shift_px: float  # standard deviation of misregistration
    noise: float  # of the sensor, a share of reflectance
    texture: float  # factor on the variation within fields and stands
    years: tuple[float, float]  # length of the series
    repeat: tuple[float, ...]  # days of passes within ten days
    changes: tuple[int, int] = (4, 6)  # fewest and most planted ones


TUNE: Final = Family(
    name="tune",
    seeds=tuple(range(1, 25)),
    latitude=47.5,
    mean_c=10.5,
    swing_c=10.0,
    weather_c=3.5,
    wet_spell=(0.25, 0.55),
    rain_mm=6,
    overcast=(0.42, 0.62),
    partly=0.5,
    leaf_out=115,
    leaf_fall=292,
    spring_shift=7,
    stand_shift=4,
    green_range=(0.80, 0.93),
    drought=0.45,
    forest=(0.1, 0.45),
    conifers=(0.25, 0.75),
    grassland=(0.1, 0.35),
    field_ha=(1.0, 12.0),
    crops=("wheat", "wheat", "rape", "maize", "beet", "spring_barley", "alfalfa"),
    soils=("loam", "chernozem"),
    cover_crop=0.35,
    tilt=0.0,
    relief_m=90,
    haze=0.012,
    hazy=0.35,
    missed_clouds=2.0,
    missed_shadows=0.3,
    cirrus=0.15,
    gain_sigma=0.02,
    view_gain=0.05,
    shift_px=0.25,
    noise=0.012,
    texture=1.0,
    years=(2.6, 2.9),
    repeat=(0, 3, 5, 8),
)
TEST: Final = Family(
    name="test",
    seeds=tuple(range(1001, 1025)),
    latitude=51.0,
    mean_c=9.3,
    swing_c=8.3,
    weather_c=4.2,
    wet_spell=(0.32, 0.6),
    rain_mm=5,
    overcast=(0.48, 0.6),
    partly=0.62,
    leaf_out=124,
    leaf_fall=285,
    spring_shift=9,
    stand_shift=5.5,
    green_range=(0.72, 0.9),
    drought=0.6,
    forest=(0.08, 0.5),
    conifers=(0.15, 0.85),
    grassland=(0.08, 0.4),
    field_ha=(1.5, 20.0),
    crops=("wheat", "winter_barley", "rape", "maize", "sunflower", "potato", "spring_barley", "alfalfa"),
    soils=("terra_rossa", "loam"),
    cover_crop=0.5,
    tilt=0.08,
    relief_m=60,
    haze=0.017,
    hazy=0.45,
    missed_clouds=3.0,
    missed_shadows=0.4,
    cirrus=0.2,
    gain_sigma=0.025,
    view_gain=0.07,
    shift_px=0.3,
    noise=0.016,
    texture=1.3,
    years=(2.5, 3.0),
    repeat=(0, 2, 5, 7),
)
FAMILIES: Final = {family.name: family for family in (TUNE, TEST)}
HALVES: Final = tuple(FAMILIES)
