"""Nights with a hole whose true pixels are known: real scenes, a real forest, and synthetic landscapes.

A hole has the shape of clouds of another date. It is cut out of a night that is clear there, so the error of any pixel
that fills it is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray

from chiplake.synthetic.ground import coarsen, make_ground, palette
from chiplake.synthetic.noise import Grid
from chiplake.synthetic.sky import Sun, make_sky
from chiplake.synthetic.view import classify, reflectance
from harness.floors import VALID
from harness.forest import in_chip, read_cube
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M
from python_udfs.valid_pixels import CLOUD_CLASSES, BandPixels, Mask, data_mask, to_10m

SIDE: Final = CHIP_PIXELS_10M
SHADOW, VEGETATION = 3, 4  # classes of SCL
MIN_TRUTH: Final = 500  # pixels of a hole whose truth is known

_SHIFTS: Final = (0, 150, 300, 450)  # of the clouds against the ground, pixels
# Series of the tile, to the days whose nights the 15 August is filled from.
TILE_SOURCES: Final[Mapping[str, Sequence[int]]] = {"tile, clear source": (13,), "tile, cloudy source": (10,)}

TILE_DAYS: Final = {"S2B_33TWL_20230810_0_L2A": 10, "S2B_33TWL_20230813_0_L2A": 13, "S2A_33TWL_20230815_0_L2A": 15}
TILE_CODES: Final = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}
_CUBE_MAX_AGE_DAYS: Final = 60
_HISTORY_DAYS: Final = 120  # a filled pixel depends on chips of so many days
_LANDSCAPE_SEEDS: Final = (101, 102, 103, 104)
_LANDSCAPE_AGES: Final = (5, 15, 30, 55)  # days from the source to the night


@dataclass(frozen=True)
class Night:
    """What a satellite saw of one cell.

    Attributes:
        day: number of the day.
        bands: band name to (256, 256) or (128, 128) reflectance x 10,000, 0 = nodata.
        scl: (128, 128).
        valid: (256, 256), the pixels with data and a valid class.
    """

    day: int
    bands: Mapping[str, BandPixels]
    scl: NDArray[np.uint8]
    valid: Mask

    @property
    def clouds(self) -> Mask:
        """(256, 256), clouds and their shadows."""
        return to_10m(np.isin(self.scl, (SHADOW, *CLOUD_CLASSES)))

    def without(self, hole: Mask) -> Night:
        """Return the night with clouds over (256, 256) pixels of it: the pixels there are not valid."""
        return Night(self.day, self.bands, self.scl, self.valid & ~hole)

    def with_missed_clouds(self) -> Night:
        """Return the night as if SCL called half of its clouds and shadows vegetation: those of the western half."""
        scl = self.scl.copy()
        west = scl[:, : scl.shape[1] // 2]
        west[np.isin(west, (SHADOW, *CLOUD_CLASSES))] = VEGETATION
        return _night(self.day, self.bands, scl)


@dataclass(frozen=True)
class Case:
    """A night with a hole, the earlier nights, and the truth.

    Attributes:
        series: where the pixels are from.
        earlier: nights before, oldest first; the last is the source of most pixels.
        night: with its hole.
        truth: band name to pixels of the night as they are under the hole.
        is_known: (256, 256), pixels of the hole whose truth is known.
        hole: (256, 256).
        place: row and column of the chip's north-west pixel in the series; chips of a place show the same ground.
    """

    series: str
    earlier: Sequence[Night]
    night: Night
    truth: Mapping[str, BandPixels]
    is_known: Mask
    hole: Mask
    place: tuple[int, int]

    @property
    def age_days(self) -> int:
        """Days from the newest earlier night."""
        return self.night.day - self.earlier[-1].day


def cut_hole(
    series: str, earlier: Sequence[Night], night: Night, hole: Mask, place: tuple[int, int] = (0, 0)
) -> Case | None:
    """Return the case of a night with a hole; None if too little of the hole is known and can be filled.

    Args:
        series: where the pixels are from.
        earlier: nights before, oldest first.
        night: as it was seen.
        hole: (256, 256).
        place: of the chip.
    """
    is_known = hole & night.valid & earlier[-1].valid
    if np.count_nonzero(is_known) < MIN_TRUTH:
        return None
    return Case(series, earlier, night.without(hole), night.bands, is_known, hole, place)


def tile_cases(folder: Path, sources: Mapping[str, Sequence[int]] = TILE_SOURCES) -> Iterator[Case]:
    """Yield holes in the clear 15 August of tile 33TWL, filled from the 13th (clear) and the 10th (cloudy).

    Args:
        folder: with a folder of GeoTIFFs an item, pixels of 120 m; they are taken for pixels of 10 m.
        sources: names of series, to the days of their earlier nights, oldest first.
    """
    scenes = {day: read_scene(folder / name) for name, day in TILE_DAYS.items()}
    tops = range(0, scenes[15]["scl"].shape[0] - SIDE, SIDE // 2)
    for shift in _SHIFTS:
        for top in tops:
            for left in tops:
                window = {day: _window(scene, day, top, left) for day, scene in scenes.items()}
                moved = _window(scenes[10], 10, (top + shift) % tops.stop, (left + 2 * shift) % tops.stop)
                for name, days in sources.items():
                    earlier = [window[day] for day in days]
                    if case := cut_hole(name, earlier, window[15], moved.clouds, (top, left)):
                        yield case


def read_scene(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the bands and SCL of a date of the tile, (915, 915), pixels of 120 m."""
    layers = {}
    for name, code in (*TILE_CODES.items(), ("scl", "SCL")):
        with rasterio.open(folder / f"{code}.tif") as dataset:
            layers[name] = dataset.read(1)
    return layers


def _window(scene: Mapping[str, NDArray[Any]], day: int, top: int, left: int) -> Night:
    place = (slice(top, top + SIDE), slice(left, left + SIDE))
    bands = {name: np.ascontiguousarray(scene[name][place]) for name in TILE_CODES}
    return _night(day, bands, scene["scl"][place][::2, ::2])


def _night(day: int, bands: Mapping[str, BandPixels], scl: NDArray[np.uint8]) -> Night:
    return Night(day, bands, scl, data_mask(bands, np.isin(scl, VALID)))


def forest_cases(folder: Path) -> Iterator[Case]:
    """Yield holes in clear pairs of dates, 2 to 60 days apart, of a beech forest in Romania, 2015 to 2021.

    Every fourth pair is left out: the limits of gains and the shape of local factors were chosen by these.

    Args:
        folder: the unpacked wheel of nrt 0.2.1, whose cubes of 100 x 100 pixels have 140 dates.
    """
    nights = _nights_of_cube(folder)
    share = (100 / SIDE) ** 2  # of a chip that the cube covers
    cloudy = [night.clouds for night in nights if 0.1 * share < night.clouds.mean() < 0.6 * share]
    is_clear = [night.valid.mean() > 0.7 * share for night in nights]
    chance, pairs = np.random.default_rng(1), 0
    for number, night in enumerate(nights):
        clear = [index for index in range(number) if is_clear[index]]
        for place, source in enumerate(clear):
            if is_clear[number] and 2 <= night.day - nights[source].day <= _CUBE_MAX_AGE_DAYS:
                hole = cloudy[chance.integers(len(cloudy))]
                history = [nights[index] for index in clear[: place + 1]]
                earlier = [one for one in history if night.day - one.day <= _HISTORY_DAYS]
                if case := cut_hole("forest", earlier, night, hole):
                    pairs += 1
                    if pairs % 4 != 2:
                        yield case


def _nights_of_cube(folder: Path) -> list[Night]:
    """Return the nights of the cube in the north-west corner of a chip; the rest of the chip is nodata."""
    cube, nights = read_cube(folder), []
    for number, day in enumerate(cube.days):
        bands = {
            name: in_chip(pixels[number], SIDE // (BAND_BY_NAME[name].gsd // 10)) for name, pixels in cube.bands.items()
        }
        nights.append(_night(int(day), bands, in_chip(cube.scl[number, ::2, ::2], SIDE // 2)))
    return nights


def landscape_cases() -> Iterator[Case]:
    """Yield clouds over synthetic landscapes whose clear state is known, in all bands; none is one of the demo's."""
    for seed in _LANDSCAPE_SEEDS:
        landscape, place = Landscape(seed), (SIDE * seed, 0)
        for age in _LANDSCAPE_AGES:
            source, night, clouded = (
                landscape.night(60 - age, 0.0),
                landscape.night(60, 0.0),
                landscape.night(60, 0.35),
            )
            if case := cut_hole("landscape", [source], night, clouded.clouds, place):
                yield case
            before = [landscape.night(120 - age - days, 0.2) for days in (40, 30, 20, 10)]
            missed, later = landscape.night(120 - age, 0.25).with_missed_clouds(), landscape.night(120, 0.0)
            if case := cut_hole("landscape, missed clouds", [*before, missed], later, clouded.clouds, place):
                yield case


def landscape_nights() -> list[Night]:
    """Return eight nights of a landscape, five days apart, 35 % under clouds."""
    landscape = Landscape(_LANDSCAPE_SEEDS[0])
    return [landscape.night(day, 0.35) for day in range(0, 40, 5)]


class Landscape:
    """A synthetic cell."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._grid = Grid(600_000, 5_000_000, 10, SIDE, SIDE)
        fine = make_ground(self._grid, seed, 5_000_000 - SIDE * 5, None)
        self._ground = {10: fine, 20: coarsen(fine)}

    def night(self, day: int, cloud_share: float) -> Night:
        """Return what is seen of it: ripening, haze, an error of the atmospheric correction, and clouds.

        Args:
            day: of the season, from 0.
            cloud_share: share under clouds, 0 to 1.
        """
        sky = make_sky(self._grid.coarsened(), self._seed * 1000 + day, cloud_share, 0.0, Sun(155, 45), None)
        colours = palette(day, 1 + 0.0015 * (day - 30))
        bands = {
            name: reflectance(self._ground[BAND_BY_NAME[name].gsd], sky, colours, name, False) for name in BAND_NAMES
        }
        return _night(day, bands, classify(self._ground[20], sky, False))


def age_class(days: int) -> str:
    """Return the class of an age in days."""
    limits = (5, 15, 30, 60)
    return next((f"to {limit} days" for limit in limits if days <= limit), f"over {limits[-1]} days")
