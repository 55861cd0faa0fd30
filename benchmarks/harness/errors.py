"""Errors of filled pixels by part of the holes, and seams at their edges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from harness.fills import NONE, PEERS, TRUTH, Bands, of_band
from harness.holes import Case, age_class
from lakehouse.bands import BAND_BY_NAME
from python_udfs.valid_pixels import Mask

EDGES: Final = ((4, "to 4 px from the edge"), (16, "to 16 px from the edge"))
COVERS: Final = ((0.25, "holes to 25 %"), (0.5, "holes to 50 %"), (0.95, "holes to 95 %"))


@dataclass
class Errors:
    """Errors of one method, of one hole each; every hole counts alike."""

    of_reflectance: list[float] = field(default_factory=list)  # relative, mean of the bands
    of_ndvi: list[float] = field(default_factory=list)

    def add(self, filled: Bands, truth: Bands, where: Mask) -> None:
        """Add the pixels of a hole, a (256, 256) mask."""
        relative = []
        for name, pixels in truth.items():
            mask = of_band(where, name)
            true = pixels[mask].astype(np.float64)
            relative.append(float(np.abs(filled[name][mask] - true).sum() / true.sum()))
        self.of_reflectance.append(float(np.mean(relative)))
        self.of_ndvi.append(float(np.abs(ndvi_at(filled, where) - ndvi_at(truth, where)).mean()))

    @property
    def reflectance(self) -> float:
        """Mean error relative to the reflectance."""
        return float(np.mean(self.of_reflectance))

    @property
    def ndvi(self) -> float:
        """Mean error of NDVI."""
        return float(np.mean(self.of_ndvi))


@dataclass
class Seams:
    """Mean differences of neighbouring pixels of 10 m bands: across the edge of a hole, and inside of it."""

    across: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)

    def add(self, bands: Bands, case: Case) -> None:
        """Add the means of one night."""
        for pixels in fine(bands).values():
            across, inside = jumps(pixels.astype(np.float64), case.is_known, case.night.valid)
            if across.size and inside.size:
                self.across.append(float(across.mean()))
                self.inside.append(float(inside.mean()))

    @property
    def ratio(self) -> float:
        """Jump across the edge relative to that inside."""
        return float(np.sum(self.across) / np.sum(self.inside))


def jumps(pixels: NDArray[np.float64], filled: Mask, own: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the differences of neighbouring pixels, one filled and one own; and both filled."""
    across, inside = [], []
    for one, other in (
        ((slice(None), slice(1, None)), (slice(None), slice(-1))),
        ((slice(1, None),), (slice(-1),)),
    ):
        step = np.abs(pixels[one] - pixels[other])
        across.append(step[(filled[one] & own[other]) | (own[one] & filled[other])])
        inside.append(step[filled[one] & filled[other]])
    return np.concatenate(across), np.concatenate(inside)


def ndvi_at(bands: Bands, where: Mask) -> NDArray[np.float64]:
    """Return the NDVI of the pixels of a (256, 256) mask."""
    red, nir = (bands[name][where].astype(np.float64) for name in ("red", "nir"))
    result: NDArray[np.float64] = (nir - red) / np.maximum(nir + red, 1)
    return result


def fine(bands: Bands) -> Bands:
    """Return the bands of 10 m."""
    return {name: pixels for name, pixels in bands.items() if BAND_BY_NAME[name].gsd == 10}


def parts_of(case: Case) -> dict[tuple[str, str], Mask]:
    """Return the filled pixels of known truth by the series and age, the cover of the hole, and the way to its edge.

    A hole over 95 % of the chip leaves nearly nothing to adjust by, and has a part of its own.
    """
    hole = ~case.night.valid
    share = float(hole[case.truth["red"] > 0].mean())
    if share > COVERS[-1][0]:
        return {("all", "holes over 95 %"): case.is_known}
    cover = next(name for limit, name in COVERS if share <= limit)
    parts = {(case.series, age_class(case.age_days)): case.is_known, ("all", cover): case.is_known}
    left, done = hole, 0
    for limit, name in EDGES:
        inner = left
        for _ in range(limit - done):
            inner = shrunk(inner)
        parts["all", name] = case.is_known & left & ~inner
        left, done = inner, limit
    parts["all", "farther from the edge"] = case.is_known & left
    return {key: mask for key, mask in parts.items() if mask.any()}


def shrunk(mask: Mask) -> Mask:
    """Return a mask without the pixels at its edge."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return inner


@dataclass
class Measured:
    """Errors by part and method, and seams by series and method."""

    errors: dict[tuple[str, str], dict[str, Errors]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Errors))
    )
    seams: dict[str, dict[str, Seams]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Seams)))

    def add(self, case: Case, filled: Mapping[str, Bands]) -> None:
        """Add one hole, filled by each method."""
        parts = parts_of(case)
        for method, bands in {**filled, TRUTH: case.truth}.items():
            if (case.series, age_class(case.age_days)) in parts:
                self.seams[case.series][method].add(bands, case)
            for part, where in parts.items():
                if method != TRUTH:
                    self.errors[part][method].add(bands, case.truth, where)

    def relative(self, series: str, method: str = PEERS, to: str = NONE) -> dict[str, float]:
        """Return the error of a method relative to that of another, by class of age of one series."""
        return {
            part[1]: round(by_method[method].reflectance / by_method[to].reflectance, 3)
            for part, by_method in self.errors.items()
            if part[0] == series
        }


def error_table(measured: Measured, methods: Sequence[str]) -> Table:
    """Return a table of the errors of methods, one row a part."""
    table = Table("pixels", "holes", *methods, *(f"{method}, NDVI" for method in methods))
    for part, by_method in sorted(measured.errors.items()):
        errors = [by_method.get(method) for method in methods]
        table.add_row(
            ", ".join(part),
            str(len(by_method[NONE].of_ndvi)),
            *(f"{one.reflectance:.3f}" if one else "" for one in errors),
            *(f"{one.ndvi:.4f}" if one else "" for one in errors),
        )
    return table


def seam_table(measured: Measured, methods: Sequence[str]) -> Table:
    """Return a table of the jumps at the edges of holes, one row a series."""
    table = Table("seam, relative to inside", *methods)
    for series, by_name in measured.seams.items():
        table.add_row(series, *(f"{by_name[name].ratio:.2f}" if name in by_name else "" for name in methods))
    return table
