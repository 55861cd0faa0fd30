"""Planted changes: where, when, and what the ground consists of afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.landscapes.families import Family
from harness.landscapes.mosaic import GRASS, WOODS, Mosaic
from harness.landscapes.noise import SIDE, Field, chance_of, smooth
from harness.landscapes.years import Year, sigmoid

Parts = dict[str, NDArray[np.float64]]
_HISTORY_DAYS: Final = 460  # before the first change
_AFTER_DAYS: Final = 150  # after the last change began
_APART_PX: Final = 10
_LEAST_HA, _LARGEST_HA = 1.0, 50.0
# Covers in which a change is plausible, and months in which it begins.
_PLACES: Final[dict[str, tuple[tuple[str, ...], tuple[int, int]]]] = {
    "clear_cut": (WOODS, (1, 12)),
    "burn": ((*WOODS, "heath", "pasture"), (3, 10)),
    "construction": (("crop", *GRASS), (2, 11)),
    "quarry": (("broadleaf", "mixed", "heath", *GRASS), (2, 11)),
    "flood": (("crop", *GRASS), (3, 11)),
    "dieback": (("needles", "mixed"), (5, 8)),
    "water_body": (("crop", *GRASS), (2, 11)),
}
# Days over which the change spreads through its area, and over which one pixel changes.
_SPREAD: Final = {
    "clear_cut": (2, 25, 1),
    "burn": (0, 1, 0.5),
    "construction": (1, 10, 1),
    "quarry": (8, 40, 2),
    "flood": (1, 4, 1),
    "dieback": (15, 45, 9),
    "water_body": (8, 40, 2),
}


@dataclass(frozen=True)
class Event:
    """A planted change.

    Attributes:
        kind: of landscape.KINDS.
        mask: (256, 256).
        start: first day, since 1970-01-01.
        end: when it is over; infinite if it stays.
        order: (256, 256) 0 to 1, when within the spread a pixel changes.
        spread: days from the first pixel to the last.
        width: days over which one pixel changes.
        strength: (256, 256) share of a pixel that changes.
        parts: shares of pure covers afterwards, each (n,).
    """

    kind: str
    mask: NDArray[np.bool_]
    start: float
    end: float
    order: Field
    spread: float
    width: float
    strength: Field
    parts: Parts

    def share(self, day: float) -> Field:
        """Return the changed share of the pixels of the mask on a day, (pixels,)."""
        begin = self.start + self.order[self.mask] * self.spread
        done = np.clip((day - begin) / self.width, 0, 1) if day >= self.start else np.zeros(begin.shape)
        if np.isfinite(self.end) and self.kind == "flood":  # the water leaves in the opposite order, and mud dries
            done = done * np.clip(1 - (day - self.end + (self.order[self.mask] - 1) * self.spread) / 25, 0, 1)
        return np.asarray(done * self.strength[self.mask], np.float32)


def plant(family: Family, seed: int, mosaic: Mosaic, year: Year) -> list[Event]:
    """Plant changes apart from each other, with at least 15 months of nights before each."""
    chance = chance_of(family.name, seed, "events")
    cover = mosaic.cover_map
    taken = np.zeros((SIDE, SIDE), np.bool_)
    first, last = year.days[0] + _HISTORY_DAYS, year.days[-1] - _AFTER_DAYS
    wanted = int(chance.integers(family.changes[0], family.changes[1] + 1))
    kinds = [*chance.permutation(list(_PLACES)), *chance.permutation(list(_PLACES))]
    events: list[Event] = []
    for kind in kinds:
        if len(events) == wanted:
            break
        covers, months = _PLACES[str(kind)]
        mask = _area(chance, str(kind), np.isin(cover, covers) & ~taken)
        if mask is None:
            continue
        start = _start(chance, first, last, months)
        events.append(_event(chance, str(kind), mask, start, str(_commonest(cover[mask])), year))
        taken |= _grown(mask, _APART_PX)
    return events


def _commonest(names: NDArray[np.str_]) -> str:
    values, counts = np.unique(names, return_counts=True)
    return str(values[counts.argmax()])


def _start(chance: np.random.Generator, first: float, last: float, months: tuple[int, int]) -> float:
    """Draw a day whose month is one of those."""
    days = np.arange(np.ceil(first), last)
    month = (days.astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12) + 1
    allowed = days[(month >= months[0]) & (month <= months[1])]
    return float(chance.choice(allowed))


def _area(chance: np.random.Generator, kind: str, allowed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Draw a connected area of 1 to 50 ha within the allowed pixels; None if there is no room for it."""
    hectares = float(np.exp(chance.uniform(np.log(_LEAST_HA), np.log(_LARGEST_HA))))
    angle, stretch = chance.uniform(0, np.pi), float(np.exp(chance.normal(0, 0.35)))
    boxy = kind in ("clear_cut", "construction", "quarry")
    rough = smooth(chance, 4) * (0.08 if boxy else 0.28)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    for _ in range(30):
        middle = np.argwhere(allowed)
        if len(middle) < 150:
            return None
        top, left = middle[chance.integers(len(middle))]
        u = ((rows - top) * np.cos(angle) + (columns - left) * np.sin(angle)) * stretch
        v = ((columns - left) * np.cos(angle) - (rows - top) * np.sin(angle)) / stretch
        radius = np.sqrt(hectares * 100 / (4 if boxy else np.pi))
        distance = np.maximum(np.abs(u), np.abs(v)) if boxy else np.hypot(u, v)
        mask = _connected((distance / radius + rough < 1) & allowed, int(top), int(left))
        if mask is not None and mask.sum() >= max(100, 50 * hectares):
            return mask
        hectares = max(_LEAST_HA, hectares * 0.9)
    return None


def _connected(mask: NDArray[np.bool_], row: int, column: int) -> NDArray[np.bool_] | None:
    """Return the part of the mask that is connected with a pixel."""
    if not mask[row, column]:
        return None
    part = np.zeros_like(mask)
    part[row, column] = True
    while True:
        wider = _grown(part, 4) & mask
        if wider.sum() == part.sum():
            return part
        part = wider


def _grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Dilate a mask in eight directions."""
    for _ in range(pixels):
        wider = mask.copy()
        wider[1:] |= mask[:-1]
        wider[:-1] |= mask[1:]
        mask = wider.copy()
        mask[:, 1:] |= wider[:, :-1]
        mask[:, :-1] |= wider[:, 1:]
    return mask


def _event(
    chance: np.random.Generator, kind: str, mask: NDArray[np.bool_], start: float, cover: str, year: Year
) -> Event:
    least, most, width = _SPREAD[kind]
    spread = float(chance.uniform(least, most))
    front = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) * chance.normal(0, 1, 2).astype(np.float32)[:, None, None]
    field = front.sum(axis=0) + (25 if kind == "dieback" else 8) * smooth(chance, 5)
    order = np.zeros((SIDE, SIDE), np.float32)
    order[mask] = (field[mask].argsort().argsort() / max(int(mask.sum()) - 1, 1)).astype(np.float32)
    low, high = {"burn": (0.65, 1.0), "dieback": (0.55, 0.95), "clear_cut": (0.85, 1.0)}.get(kind, (0.95, 1.0))
    strength = np.clip(low + (high - low) * (0.5 + 0.6 * smooth(chance, 3)), low, high)
    parts, days = _AFTER[kind](chance, year, start, cover in WOODS)
    return Event(kind, mask, start, start + days, order, spread, width, strength.astype(np.float32), parts)


def _since(year: Year, start: float) -> NDArray[np.float64]:
    return np.maximum(year.days - start, 0)


def _clear_cut(chance: np.random.Generator, year: Year, start: float, _woody: bool) -> tuple[Parts, float]:
    since = _since(year, start)
    herbs = 0.5 * (1 - np.exp(-since / 350)) * year.rise(118, 285, (12, 15))
    slash = float(chance.uniform(0.35, 0.6)) * np.exp(-since / 500)
    return {"grass": 0.03 + herbs, "slash": slash * (1 - herbs), "litter": 0.25 * (1 - herbs)}, np.inf


def _burn(chance: np.random.Generator, year: Year, start: float, woody: bool) -> tuple[Parts, float]:
    since = _since(year, start)
    fade = float(chance.uniform(120, 220) if woody else chance.uniform(40, 70))
    char = 0.8 * np.exp(-since / fade)
    back = (0.35 if woody else 0.7) * (1 - np.exp(-since / (2 * fade))) * year.rise(105, 295, (12, 15))
    parts = {
        "char": char,
        "grass": back,
        "dry_grass": 0.12 * (1 - back),
        "dead_grey": (0.15 if woody else 0.0) + 0 * back,
    }
    return parts, np.inf if woody else 3.5 * fade


def _construction(chance: np.random.Generator, year: Year, start: float, _woody: bool) -> tuple[Parts, float]:
    since = _since(year, start)
    built = sigmoid(since, float(chance.uniform(60, 180)), 12)
    tiles, concrete, asphalt, metal = chance.dirichlet((1.0, 2.0, 1.5, 0.7))
    one = {"tiles": tiles, "concrete": concrete, "asphalt": asphalt, "metal": metal}
    return {name: 0.85 * part * built for name, part in one.items()} | {"gravel": 0.35 * (1 - built)}, np.inf


def _quarry(chance: np.random.Generator, year: Year, _start: float, _woody: bool) -> tuple[Parts, float]:
    return {"gravel": float(chance.uniform(0.35, 0.8)) * np.ones(len(year.days))}, np.inf


def _flood(chance: np.random.Generator, year: Year, start: float, _woody: bool) -> tuple[Parts, float]:
    days = float(chance.uniform(12, 45))
    gone = sigmoid(_since(year, start), days, 2)
    return {"turbid": 0.85 * (1 - gone), "water": 0.12 * (1 - gone), "mud": 0.9 * gone}, days


def _dieback(chance: np.random.Generator, year: Year, start: float, _woody: bool) -> tuple[Parts, float]:
    grey = sigmoid(_since(year, start), float(chance.uniform(90, 150)), 25)
    return {"dead_red": 0.8 * (1 - grey), "dead_grey": 0.8 * grey, "litter": 0.15 + 0 * grey}, np.inf


def _water_body(chance: np.random.Generator, year: Year, start: float, _woody: bool) -> tuple[Parts, float]:
    clears = np.exp(-_since(year, start) / 60)
    turbid = 0.6 * clears + float(chance.uniform(0.05, 0.25))
    return {"turbid": turbid, "water": 1 - turbid}, np.inf


_AFTER: Final[dict[str, Callable[[np.random.Generator, Year, float, bool], tuple[Parts, float]]]] = {
    "clear_cut": _clear_cut,
    "burn": _burn,
    "construction": _construction,
    "quarry": _quarry,
    "flood": _flood,
    "dieback": _dieback,
    "water_body": _water_body,
}
