"""The map of a landscape: stands, fields, villages, water and roads, each a unit with one cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.landscapes.families import Family
from harness.landscapes.noise import SIDE, Field, chance_of, fractal, smooth

WOODS: Final = ("broadleaf", "needles", "mixed")
GRASS: Final = ("pasture", "meadow")
_PIXELS_PER_HA: Final = 100
_STAND_HA: Final = (2.0, 25.0)
_LOT_HA: Final = (0.25, 1.5)


@dataclass(frozen=True)
class Mosaic:
    """Units of a landscape.

    Attributes:
        label: (256, 256) int32, the unit of each pixel.
        cover: (units,) str.
        height: (256, 256) float32, elevation, metres above the mean.
        unit_height: (units,) float32, its mean by unit.
        soil: (units,) float32, share of the first of the family's soils.
    """

    label: NDArray[np.int32]
    cover: NDArray[np.str_]
    height: Field
    unit_height: NDArray[np.float32]
    soil: NDArray[np.float32]

    @property
    def cover_map(self) -> NDArray[np.str_]:
        """(256, 256) str, the cover of each pixel."""
        return np.asarray(self.cover[self.label])


def make_mosaic(family: Family, seed: int) -> Mosaic:
    """Draw the map of a landscape."""
    chance = chance_of(family.name, seed, "mosaic")
    height = np.asarray(fractal(chance, 4.2) * np.float32(family.relief_m), np.float32)
    zones = _zones(family, chance, height)
    label = np.zeros((SIDE, SIDE), np.int32)
    cover: list[str] = []
    for zone, area in _ZONE_AREAS(family).items():
        inside = zones == _ZONES.index(zone)
        if not inside.any():
            continue
        parcels = _parcels(chance, area, ragged=6.0 if zone == "forest" else 1.2)
        units, numbers = np.unique(parcels[inside], return_inverse=True)
        label[inside] = numbers + len(cover)
        middle = [height[inside][numbers == unit].mean() for unit in range(len(units))]
        cover += _covers(family, chance, zone, np.array(middle))
    for zone in ("water", "road"):
        inside = zones == _ZONES.index(zone)
        if inside.any():
            label[inside] = len(cover)
            cover.append(zone)
    covers = np.array(cover)
    count = np.maximum(np.bincount(label.ravel(), minlength=len(covers)), 1)
    unit_height = np.bincount(label.ravel(), height.ravel(), len(covers)) / count
    soil_map = np.clip(0.5 + 0.35 * smooth(chance, 40), 0, 1)
    soil = np.bincount(label.ravel(), soil_map.ravel(), len(covers)) / count + chance.normal(0, 0.12, len(covers))
    return Mosaic(label, covers, height, unit_height.astype(np.float32), np.clip(soil, 0, 1).astype(np.float32))


_ZONES: Final = ("open", "forest", "village", "water", "road")


def _ZONE_AREAS(family: Family) -> dict[str, tuple[float, float]]:
    return {"open": family.field_ha, "forest": _STAND_HA, "village": _LOT_HA}


def _zones(family: Family, chance: np.random.Generator, height: Field) -> NDArray[np.int8]:
    """Return the number of the zone of each pixel; forests prefer heights, water lies low."""
    zones = np.zeros((SIDE, SIDE), np.int8)
    woody = smooth(chance, 16) + 0.6 * smooth(chance, 5) + 0.5 * height / max(family.relief_m, 1)
    zones[woody > np.quantile(woody, 1 - chance.uniform(*family.forest))] = _ZONES.index("forest")
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    for _ in range(chance.integers(0, 3)):
        top, left, reach = chance.uniform(20, 236), chance.uniform(20, 236), chance.uniform(10, 28)
        zones[np.hypot(rows - top, columns - left) + 7 * smooth(chance, 6) < reach] = _ZONES.index("village")
    for _ in range(chance.integers(1, 3)):
        angle, width = chance.uniform(0, np.pi), chance.uniform(0.6, 1.1)
        across = (rows - chance.uniform(40, 216)) * np.cos(angle) + (columns - chance.uniform(40, 216)) * np.sin(angle)
        zones[np.abs(across + 6 * smooth(chance, 30)) < width] = _ZONES.index("road")
    low = height + 0.3 * family.relief_m * smooth(chance, 8)
    lake = chance.uniform(0, 0.03)
    if chance.random() < 0.6:
        zones[low < np.quantile(low, lake)] = _ZONES.index("water")
    if chance.random() < 0.4:
        angle = chance.uniform(0, np.pi)
        across = (rows - 128) * np.cos(angle) + (columns - 128) * np.sin(angle) + chance.uniform(-90, 90)
        zones[np.abs(across + 14 * smooth(chance, 22)) < chance.uniform(1.5, 5)] = _ZONES.index("water")
    return zones


def _parcels(chance: np.random.Generator, hectares: tuple[float, float], ragged: float) -> NDArray[np.int32]:
    """Cut the square into parcels by splitting along two directions until each is small enough.

    Args:
        chance: random numbers.
        hectares: smallest and largest area of a parcel.
        ragged: how far boundaries stray from straight lines, pixels.
    """
    angle = chance.uniform(0, np.pi / 2)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    rows, columns = rows + ragged * smooth(chance, 9), columns + ragged * smooth(chance, 9)
    along = (rows * np.cos(angle) + columns * np.sin(angle)).ravel()
    across = (columns * np.cos(angle) - rows * np.sin(angle)).ravel()
    label = np.zeros(SIDE * SIDE, np.int32)
    work, number = [np.arange(SIDE * SIDE)], 0
    low, high = (np.log(area * _PIXELS_PER_HA) for area in hectares)
    while work:
        pixels = work.pop()
        if len(pixels) <= np.exp(chance.uniform(low, high)):
            label[pixels] = number
            number += 1
            continue
        first, second = along[pixels], across[pixels]
        longer = first if np.ptp(first) * chance.uniform(0.7, 1.4) > np.ptp(second) else second
        cut = np.quantile(longer, chance.uniform(0.35, 0.65))
        work += [part for part in (pixels[longer <= cut], pixels[longer > cut]) if len(part)]
    return label.reshape(SIDE, SIDE)


def _covers(family: Family, chance: np.random.Generator, zone: str, height: NDArray[np.float64]) -> list[str]:
    """Draw the covers of the parcels of a zone."""
    count = len(height)
    if zone == "village":
        return ["urban"] * count
    if zone == "forest":
        conifers = chance.uniform(*family.conifers)
        likely = chance.random(count) - 0.15 * np.clip(height / max(family.relief_m, 1), -1, 1)
        return ["mixed" if chance.random() < 0.2 else "needles" if one < conifers else "broadleaf" for one in likely]
    grassland = chance.uniform(*family.grassland)
    drawn = []
    for one in chance.random(count):
        if one < 0.012:
            drawn.append("bare")
        elif one < 0.03:
            drawn.append("heath")
        elif one < 0.03 + grassland:
            drawn.append("pasture" if chance.random() < 0.4 else "meadow")
        else:
            drawn.append("crop")
    return drawn
