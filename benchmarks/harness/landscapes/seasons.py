"""What each unit consists of on each night: shares of pure covers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.landscapes.families import Family, Nuisances
from harness.landscapes.fields import farm
from harness.landscapes.mosaic import Mosaic
from harness.landscapes.noise import chance_of
from harness.landscapes.spectra import GREEN, INDEX, NAMES
from harness.landscapes.years import Year

Parts = dict[str, NDArray[np.float64]]
_Wild = Callable[[Family, np.random.Generator, Year, float, float], Parts]
Shares = NDArray[np.float32]  # (units, nights, len(NAMES))
_LAG_DAYS_PER_M: Final = 0.03  # later spring with elevation


def unit_shares(
    family: Family, seed: int, mosaic: Mosaic, year: Year, nuisances: Nuisances
) -> tuple[Shares, NDArray[np.float32]]:
    """Return shares of pure covers, and extra water of irrigated soils, (units, n)."""
    chance = chance_of(family.name, seed, "stands")
    units, nights = len(mosaic.cover), len(year.days)
    shares = np.zeros((units, nights, len(NAMES)), np.float32)
    irrigated = np.zeros((units, nights), np.float32)
    for unit, cover in enumerate(mosaic.cover):
        late = _LAG_DAYS_PER_M * float(mosaic.unit_height[unit])
        late += float(chance.normal(0, family.stand_shift)) * nuisances.phenology
        closed = float(chance.uniform(*family.green_range))
        if cover in ("crop", "meadow"):
            farmed, irrigated[unit] = farm(family, seed, unit, str(cover), year, late, closed, nuisances)
            _put(shares[unit], farmed)
        else:
            _put(shares[unit], _WILD[str(cover)](family, chance, year, late, closed))
    _vary(shares, chance, year.days, nuisances)
    _rest_is_soil(shares, mosaic.soil, family.soils)
    return shares, irrigated


def part_shares(parts: list[Parts], nights: int, soils: tuple[str, str]) -> Shares:
    """Return shares of pure covers where the parts say them; the rest is soil, half of each."""
    shares = np.zeros((len(parts), nights, len(NAMES)), np.float32)
    for number, one in enumerate(parts):
        _put(shares[number], one)
    _rest_is_soil(shares, np.full(len(parts), 0.5, np.float32), soils)
    return shares


def _put(shares: NDArray[np.float32], parts: Parts) -> None:
    for name, part in parts.items():
        shares[:, INDEX[name]] += part.astype(np.float32)


def _rest_is_soil(shares: Shares, soil: NDArray[np.float32], soils: tuple[str, str]) -> None:
    """Fill shares up to 1 with soil, and scale down what is above."""
    total = shares.sum(axis=2, keepdims=True)
    shares /= np.maximum(total, 1)
    rest = np.maximum(1 - total[..., 0], 0)
    shares[..., INDEX[soils[0]]] += rest * soil[:, None]
    shares[..., INDEX[soils[1]]] += rest * (1 - soil[:, None])


def _vary(shares: Shares, chance: np.random.Generator, days: NDArray[np.float64], nuisances: Nuisances) -> None:
    """Let the green of a unit stray from its curve: 3 %, correlated over a month."""
    count, nights = shares.shape[:2]
    state = chance.standard_normal(count)
    shocks = chance.standard_normal((nights, count))
    factor = np.ones((count, nights), np.float32)
    for night in range(nights):
        keep = 0.0 if night == 0 else np.exp(-(days[night] - days[night - 1]) / 30)
        state = keep * state + np.sqrt(1 - keep**2) * shocks[night] if night else state
        factor[:, night] = 1 + 0.03 * state * nuisances.phenology
    shares[..., GREEN] *= factor[..., None]


def _broadleaf(family: Family, chance: np.random.Generator, year: Year, late: float, closed: float) -> Parts:
    leaf_out, leaf_fall = family.leaf_out + late, family.leaf_fall - 0.5 * late
    leaves = closed * year.rise(leaf_out, leaf_fall + 14, (5, 5))
    green = closed * year.rise(leaf_out, leaf_fall - 8, (5, 9))
    green *= 1 - 0.08 * family.drought * year.dry
    under = float(chance.uniform(0.04, 0.15))
    autumn = np.maximum(leaves - green, 0)
    return {
        "broadleaf": green,
        "autumn": 0.8 * autumn,
        "grass": under * (1 - leaves),
        "litter": (1 - leaves) * (1 - under) + 0.2 * autumn,
    }


def _needles(_family: Family, chance: np.random.Generator, year: Year, late: float, closed: float) -> Parts:
    green = closed * (0.93 + 0.07 * year.rise(140 + late, 270, (15, 25)))
    under = float(chance.uniform(0.0, 0.06))
    return {"needles": green, "shrub": under * np.ones_like(green), "litter": np.maximum(1 - green - under, 0)}


def _mixed(family: Family, chance: np.random.Generator, year: Year, late: float, closed: float) -> Parts:
    share = float(chance.uniform(0.3, 0.7))
    needles = _needles(family, chance, year, late, closed)
    leaves = _broadleaf(family, chance, year, late, closed)
    names = {*needles, *leaves}
    none = np.zeros(len(year.days))
    return {name: share * needles.get(name, none) + (1 - share) * leaves.get(name, none) for name in sorted(names)}


def _pasture(family: Family, chance: np.random.Generator, year: Year, late: float, closed: float) -> Parts:
    winter = float(chance.uniform(0.35, 0.55))
    green = winter + (closed - 0.08 - winter) * year.rise(family.leaf_out - 28 + late, 305, (11, 16))
    dry = float(chance.uniform(0.6, 1.0)) * family.drought * year.dry
    return {"grass": green * (1 - dry), "dry_grass": green * dry * 0.85 + 0.5 * np.maximum(0.85 - green, 0)}


def _heath(family: Family, _chance: np.random.Generator, year: Year, late: float, closed: float) -> Parts:
    green = 0.45 + (closed - 0.5) * year.rise(family.leaf_out + late, 290, (10, 14))
    return {"shrub": green, "dry_grass": 0.15 + 0.15 * year.dry.astype(np.float64), "litter": 0.1 + 0 * green}


def _urban(family: Family, chance: np.random.Generator, year: Year, late: float, closed: float) -> Parts:
    tiles, concrete, asphalt, metal, garden, trees = chance.dirichlet((2.0, 1.6, 1.8, 0.3, 2.2, 1.0))
    grass = garden * (0.5 + 0.4 * year.rise(family.leaf_out - 25 + late, 305, (11, 16)))
    leaves = trees * closed * year.rise(family.leaf_out + late, family.leaf_fall, (5, 9))
    one = np.ones_like(grass)
    parts = {"tiles": tiles * one, "concrete": concrete * one, "asphalt": asphalt * one, "metal": metal * one}
    return parts | {"grass": grass, "broadleaf": leaves, "litter": trees - leaves}


def _constant(parts: dict[str, float]) -> _Wild:
    def shares(_family: Family, _chance: np.random.Generator, year: Year, _late: float, _closed: float) -> Parts:
        return {name: part * np.ones(len(year.days)) for name, part in parts.items()}

    return shares


def _water(_family: Family, chance: np.random.Generator, year: Year, _late: float, _closed: float) -> Parts:
    turbid = np.clip(0.15 + 0.1 * chance.standard_normal(len(year.days)), 0, 0.5)
    return {"water": 1 - turbid, "turbid": turbid}


_WILD: Final[dict[str, _Wild]] = {
    "broadleaf": _broadleaf,
    "needles": _needles,
    "mixed": _mixed,
    "pasture": _pasture,
    "heath": _heath,
    "urban": _urban,
    "bare": _constant({"gravel": 0.45, "dry_grass": 0.05}),
    "road": _constant({"asphalt": 0.8, "grass": 0.15}),
    "water": _water,
}
