"""A real series: 140 dates of a beech forest in Romania, 2015 to 2021, the package data of nrt 0.2.1, and its fellings.

    pip download --no-deps nrt==0.2.1 && unzip nrt-0.2.1-*.whl -d FOLDER

Nobody mapped the fellings. They are taken from the bands that rules see as well: a pixel was felled before a summer if
the median of its NDVI from June to September fell by more than 0.05 since the summer before, while its short-wave
infrared rose by more than 0.025. So the counts say more of false alarms than of what is found.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from harness.floors import VALID
from harness.landscapes.landscape import date_of, day_of
from lakehouse.errors import ChiplakeError

# Bands that the cubes have, each with the pixel size of its file and its name there.
CUBE_BANDS: Final = {
    **{name: (10, code) for name, code in (("blue", "B2"), ("green", "B3"), ("red", "B4"), ("nir", "B8"))},
    **{name: (20, code) for name, code in (("nir08", "B8A"), ("swir16", "B11"))},
}
YEARS: Final = range(2017, 2021)
SQUARE_PX: Final = 20  # of 10 m: a square of 200 m, 25 in all
FELLED_SHARE, TOUCHED_SHARE = 0.02, 0.005  # of a square
_FILE: Final = "nrt/data/sentinel2_cube_subset_romania_{}m.nc"
_SUMMER: Final = (6, 9)
_NDVI_FALL, _SWIR_RISE = 0.05, 250
_LAST_MONTH: Final = 8  # of detections that belong to their own year; later ones belong to the next


@dataclass(frozen=True)
class Cube:
    """The series.

    Attributes:
        days: (140,) since 1970-01-01, in order.
        bands: name to (140, 100, 100) or (140, 50, 50) uint16, reflectance x 10,000, 0 is nodata.
        scl: (140, 100, 100) uint8.
    """

    days: NDArray[np.float64]
    bands: dict[str, NDArray[np.uint16]]
    scl: NDArray[np.uint8]

    def fine(self, name: str) -> NDArray[np.uint16]:
        """Return a band, (140, 100, 100)."""
        pixels = self.bands[name]
        times = self.scl.shape[1] // pixels.shape[1]
        return pixels.repeat(times, axis=1).repeat(times, axis=2)


@dataclass(frozen=True)
class ForestCounts:
    """Fellings found, all fellings, false alarms: each a square in a year."""

    found: int
    felled: int
    false: int


def read_cube(folder: Path) -> Cube:
    """Read the cubes of the unpacked wheel.

    Raises:
        ChiplakeError: they are not there.
    """
    if not (folder / _FILE.format(10)).is_file():
        raise ChiplakeError(f"{folder} has no {_FILE.format(10)}: unpack the wheel of nrt 0.2.1 there")
    layers, days = {}, np.array([])
    for name, (gsd, code) in {**CUBE_BANDS, "scl": (10, "SCL")}.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(f"netcdf:{folder / _FILE.format(gsd)}:{code}") as dataset:
                layers[name] = np.nan_to_num(dataset.read())
                days = _days(dataset.tags())
    return Cube(days, {name: layers[name].astype(np.uint16) for name in CUBE_BANDS}, layers["scl"].astype(np.uint8))


def in_chip(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """Lay pixels into the north-western corner of a square of 0.

    Args:
        pixels: (rows, columns), not more than the square's.
        side: of the square, pixels.
    """
    whole = np.zeros((side, side), pixels.dtype)
    whole[: pixels.shape[0], : pixels.shape[1]] = pixels
    return whole


def _days(tags: dict[str, str]) -> NDArray[np.float64]:
    """Return the days of a netCDF file since 1970-01-01."""
    first = date.fromisoformat(tags["time#units"].removeprefix("days since ")[:10])
    numbers = [int(number) for number in tags["NETCDF_DIM_time_VALUES"].strip("{}").split(",")]
    return np.array([day_of(first + timedelta(days=number)) for number in numbers], np.float64)


def felled_shares(cube: Cube) -> NDArray[np.float64]:
    """Return the share of each square that was felled before each summer, (4 years, 25 squares in order of rows)."""
    summers = {year: _summer(cube, year) for year in range(YEARS.start - 1, YEARS.stop)}
    shares = []
    for year in YEARS:
        (greenness, swir), (before, swir_before) = summers[year], summers[year - 1]
        lost = (before - greenness > _NDVI_FALL) & (swir - swir_before > _SWIR_RISE)
        count = lost.shape[0] // SQUARE_PX
        shares.append(lost.reshape(count, SQUARE_PX, count, SQUARE_PX).mean(axis=(1, 3)).ravel())
    return np.array(shares)


def _summer(cube: Cube, year: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return medians of NDVI and of short-wave infrared of the clear pixels of a summer, (100, 100) each."""
    dates = [date_of(day) for day in cube.days]
    chosen = np.array([one.year == year and _SUMMER[0] <= one.month <= _SUMMER[1] for one in dates])
    clear = np.isin(cube.scl[chosen], VALID)
    values: dict[str, NDArray[Any]] = {
        name: np.where(clear, cube.fine(name)[chosen], np.nan) for name in ("red", "nir", "swir16")
    }
    ndvi = (values["nir"] - values["red"]) / (values["nir"] + values["red"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pixel without a clear date has no median
        return np.nanmedian(ndvi, axis=0), np.nanmedian(values["swir16"], axis=0)


def count(shares: NDArray[np.float64], detections: Iterable[tuple[int, float]]) -> ForestCounts:
    """Count fellings that were found, and false alarms.

    A detection of August or before belongs to its year, a later one to the next. A felling of at least 2 % of a square
    is found by a detection of its year or of the next. A detection is false if less than 0.5 % of the square were
    felled in its year and in the year before; without labels, which only exist for 2017 to 2020, nothing was felled.

    Args:
        shares: from `felled_shares`.
        detections: number of the square, and day since 1970-01-01.
    """
    years: dict[int, list[int]] = {}
    for square, day in detections:
        when = date_of(day)
        years.setdefault(square, []).append(when.year + (when.month > _LAST_MONTH))
    found = felled = false = 0
    for square in range(shares.shape[1]):
        share = dict(zip(YEARS, shares[:, square], strict=True))
        detected = years.get(square, [])
        for year, lost in share.items():
            if lost >= FELLED_SHARE:
                felled += 1
                found += year in detected or year + 1 in detected
        false += sum(1 for year in detected if max(share.get(year, 0), share.get(year - 1, 0)) < TOUCHED_SHARE)
    return ForestCounts(found, felled, false)
