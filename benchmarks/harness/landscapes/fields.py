"""Fields and meadows: what grows on them, and what farmers do. None of it is a change that a rule should report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.landscapes.families import Family, Nuisances
from harness.landscapes.noise import chance_of
from harness.landscapes.years import Year, sigmoid

Parts = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Crop:
    """A crop's year in days from 1 January of the year of harvest; winter crops emerge before it."""

    leaf: str  # its pure cover
    emerge: float
    winter: float  # share of green in winter; 0: it emerges in spring
    rise: float  # half of its growth
    width: float  # of the growth, days
    ripe: float  # half of its senescence
    harvest: float
    straw: float  # share of stubble after the harvest
    flowers: tuple[float, float] | None = None  # first day, last day
    irrigated: float = 0.0  # share of its fields


CROPS: Final = {
    "wheat": Crop("cereal", -65, 0.22, 98, 12, 178, 205, 0.6),
    "winter_barley": Crop("cereal", -80, 0.28, 90, 11, 163, 187, 0.6),
    "rape": Crop("legume", -110, 0.45, 85, 10, 172, 196, 0.45, flowers=(112, 138)),
    "spring_barley": Crop("cereal", 92, 0, 122, 8, 182, 208, 0.55),
    "maize": Crop("maize", 130, 0, 164, 9, 258, 275, 0.3, irrigated=0.3),
    "beet": Crop("beet", 105, 0, 152, 10, 300, 290, 0.1, irrigated=0.25),
    "potato": Crop("beet", 135, 0, 160, 8, 240, 262, 0.05, irrigated=0.5),
    "sunflower": Crop("sunflower", 118, 0, 154, 9, 238, 262, 0.25),
}
_ALFALFA: Final = "alfalfa"
_FIRST_CUT, _CUT_EVERY = 135, 38
_CUT_LEAVES: Final = 0.35  # of the green
_REGROWTH_DAYS: Final = 13
_HAY_DAYS: Final = 5


def farm(
    family: Family, seed: int, unit: int, cover: str, year: Year, late: float, closed: float, nuisances: Nuisances
) -> tuple[Parts, NDArray[np.float32]]:
    """Return shares of pure covers of a field or meadow by night, and the extra water of irrigation.

    Args:
        family: its crops and soils.
        seed: of the landscape.
        unit: number of the field.
        cover: crop or meadow.
        year: the nights and years.
        late: days by which the field is late.
        closed: share of green of a closed canopy.
        nuisances: without `farming` a field has one crop on the same dates each year, and nobody mows.
    """
    chance = chance_of(family.name, seed, f"farm {unit}")
    if cover == "meadow":
        return _meadow(family, chance, year, late, closed, nuisances.farming), np.zeros(len(year.days), np.float32)
    water = np.zeros(len(year.days), np.float32)
    return _field(family, late, _Field(chance, year, closed, nuisances.farming, {}, water))


def _meadow(
    family: Family, chance: np.random.Generator, year: Year, late: float, closed: float, farming: bool
) -> Parts:
    winter = float(chance.uniform(0.35, 0.55))
    green = winter + (closed - winter) * year.rise(family.leaf_out - 32 + late, 308, (10, 16))
    dry = 0.7 * family.drought * year.dry
    cuts = int(chance.integers(1, 5))
    begin = float(chance.normal(142, 12))
    left, hay = _cut(chance, year, begin, cuts, 45) if farming else (np.ones(len(year.days)), np.zeros(len(year.days)))
    green = green * left * (1 - dry)
    return {"grass": green, "dry_grass": 0.35 * hay + dry * 0.6 * left + 0.3 * np.maximum(0.8 - green - hay, 0)}


def _cut(
    chance: np.random.Generator, year: Year, begin: float, cuts: int, every: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of green that cuts leave, and of hay on the ground, by night."""
    left, hay = np.ones(len(year.days)), np.zeros(len(year.days))
    for start, spring in zip(year.january, year.spring, strict=True):
        day = start + begin + 0.6 * spring + chance.normal(0, 6)
        for _ in range(cuts):
            since = year.days - day
            after = since >= 0
            back = sigmoid(since, 1.6 * _REGROWTH_DAYS, _REGROWTH_DAYS / 2.2)
            left = np.where(after, np.minimum(left, _CUT_LEAVES + (1 - _CUT_LEAVES) * back), left)
            hay = np.where(after, np.maximum(hay, np.exp(-np.maximum(since, 0) / _HAY_DAYS)), hay)
            day += every + chance.normal(0, 6)
    return left, hay


@dataclass(frozen=True)
class _Field:
    """A field while its seasons are added, oldest first."""

    chance: np.random.Generator
    year: Year
    closed: float  # share of green of a closed canopy
    farming: bool
    parts: Parts
    water: NDArray[np.float32]

    def add(self, name: str, more: NDArray[np.float64]) -> None:
        """Add to the share of a pure cover."""
        self.parts[name] = self.parts.get(name, np.zeros(len(more))) + more

    def alfalfa(self, start: float, ended: float) -> float:
        """Add a calendar year of alfalfa; return the day on which it ends."""
        days = self.year.days
        inside = (days >= max(start, ended)) & (days < start + 365)
        green = 0.35 + (self.closed - 0.35) * self.year.rise(88, 310, (9, 14))
        if self.farming:
            green = green * _cut(self.chance, self.year, _FIRST_CUT, 4, _CUT_EVERY)[0]
        self.add("legume", np.where(inside, green, 0))
        self.add("dry_grass", np.where(inside, 0.1, 0))
        return start + 365

    def grow(self, crop: Crop, start: float, late: float, ended: float) -> tuple[float, float]:
        """Add a crop until its harvest; return the days of half growth and of the harvest.

        Args:
            crop: what grows.
            start: 1 January of the year of harvest.
            late: days by which the season is late.
            ended: the day on which the field was free.
        """
        days, jitter = self.year.days, self.chance.normal(0, 1, 4) * self.farming
        emerge = max(start + crop.emerge + 8 * jitter[0], ended + 12)
        rise = max(start + crop.rise + late + 6 * jitter[1], emerge + 12)
        ripe = start + crop.ripe + 0.7 * late + 5 * jitter[2]
        harvest = max(start + crop.harvest + 0.7 * late + 7 * jitter[3], ripe - 12)
        standing = (days >= emerge) & (days < harvest)
        young = crop.winter * sigmoid(days, emerge + 15, 6)
        grown = np.maximum(young, self.closed * sigmoid(days, rise, crop.width))
        green = grown * sigmoid(-days, -ripe, 6)
        flowers = np.zeros(len(days))
        if crop.flowers:
            first, last = (start + one + late + 3 * jitter[1] for one in crop.flowers)
            flowers = green * 0.75 * sigmoid(days, first, 2) * sigmoid(-days, -last, 2.5)
            self.add("rape_flower", np.where(standing, flowers, 0))
        self.add(crop.leaf, np.where(standing, green - flowers, 0))
        self.add("straw", np.where(standing, 0.85 * (grown - green), 0))
        return rise, harvest

    def lie(self, crop: Crop, start: float, harvest: float, cover_crop: float) -> float:
        """Add stubble, weeds and a cover crop; return the day on which the field is ploughed."""
        days = self.year.days
        draws = self.chance.random(3) if self.farming else np.array([0.25, 0.5, 1.0])
        ploughed = harvest + 3 + 67 * draws[0]
        stubble = (days >= harvest) & (days < ploughed)
        self.add("straw", np.where(stubble, crop.straw * np.exp(-np.maximum(days - harvest, 0) / 120), 0))
        self.add("grass", np.where(stubble, 0.25 * draws[1] * sigmoid(days, harvest + 30, 8), 0))
        if draws[2] < cover_crop and harvest < start + 245:
            sown, until = ploughed + 5, start + float(self.chance.uniform(315, 400))
            self.add("legume", np.where((days >= sown) & (days < until), 0.75 * sigmoid(days, sown + 35, 8), 0))
            return until
        return float(ploughed)

    def irrigate(self, first: float, last: float) -> None:
        """Wet the soil every two weeks or so."""
        days, every = self.year.days, 11 + 3 * float(self.chance.random())
        for day in np.arange(first, last, every):
            self.water[:] += np.where(days >= day, 0.8 * np.exp(-np.maximum(days - day, 0) / 4), 0)


def _field(family: Family, late: float, field: _Field) -> tuple[Parts, NDArray[np.float32]]:
    """Grow another crop each year, alfalfa for two or three."""
    chance, year = field.chance, field.year
    name, alfalfa_years = "", 0
    ended = year.january[0] - 200.0
    for start, spring in zip(year.january, year.spring, strict=True):
        if name and not field.farming:
            pass
        elif alfalfa_years > 0:
            alfalfa_years -= 1
        else:
            choice = [one for one in family.crops if one != name]
            name = choice[chance.integers(len(choice))]
            alfalfa_years = int(chance.integers(1, 3)) if name == _ALFALFA else 0
        if name == _ALFALFA:
            ended = field.alfalfa(start, ended)
            continue
        crop = CROPS[name]
        rise, harvest = field.grow(crop, start, 0.7 * spring + late, ended)
        if field.farming and chance.random() < crop.irrigated:
            field.irrigate(rise, harvest - 25)
        ended = field.lie(crop, start, harvest, family.cover_crop)
    return field.parts, field.water
