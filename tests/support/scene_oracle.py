"""The expected chips of real scenes, from whole arrays of a tile, without Spark or code of the pipeline.

Each scene is laid into a frame of whole cells, and each cell is a slice of the frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numcodecs import blosc
from numpy.typing import NDArray

from support.peers_oracle import gains_of, group_table, times

BANDS = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}  # all of 10 m
NOT_CUT = ("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22")
VALID = (2, 4, 5, 6, 7, 11)
CLOUDS = (8, 9, 10)
HIGHEST_CLASS = 11  # snow
CELL = 2560
EPSG = 32633
MAX_AGE = np.timedelta64(60, "D")
NOWHERE = -1  # value of Expected.origin where no date has a valid pixel
DAY_US = 86_400_000_000

Window = tuple[slice, slice]
Chip = Mapping[str, Any]


@dataclass(frozen=True)
class Frame:
    """The whole cells around a rectangle, metres."""

    left: int
    bottom: int
    right: int
    top: int

    @classmethod
    def around(cls, west: int, south: int, east: int, north: int) -> Frame:
        return cls(west // CELL * CELL, south // CELL * CELL, -(-east // CELL) * CELL, -(-north // CELL) * CELL)

    @property
    def cell_ids(self) -> set[str]:
        return {
            f"{EPSG}_{col}_{row}"
            for col in range(self.left // CELL, self.right // CELL)
            for row in range(self.bottom // CELL, self.top // CELL)
        }

    def window(self, cell_id: str, gsd: int = 10) -> Window:
        """Return the rows and columns of a cell."""
        _, col, row = map(int, cell_id.split("_"))
        top, left, side = (self.top - (row + 1) * CELL) // gsd, (col * CELL - self.left) // gsd, CELL // gsd
        return slice(top, top + side), slice(left, left + side)

    def lay(self, pixels: NDArray[Any], west: int, north: int, gsd: int) -> NDArray[Any]:
        """Lay a raster into the frame, with 0 around it."""
        frame = np.zeros(((self.top - self.bottom) // gsd, (self.right - self.left) // gsd), pixels.dtype)
        y, x = (self.top - north) // gsd, (west - self.left) // gsd
        frame[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        return frame


@dataclass(frozen=True)
class Expected:
    """The expected content of the frame on one date."""

    item_id: str
    acquired: np.datetime64
    boa_offset: int
    band: Callable[[str], NDArray[np.uint16]]  # 10 m, reflectance x 10,000
    scl: NDArray[np.uint8]  # 20 m
    holds: NDArray[np.bool_]  # 10 m, true where the pixel has data
    valid: NDArray[np.bool_]  # 10 m, true where it has data and a valid SCL class
    origin: NDArray[np.int8]  # 10 m, index of the date that a pixel is filled from


ReadLayer = Callable[[str, str], NDArray[Any]]  # item id and name of a file to digital numbers in the frame


def expected_dates(items: Sequence[dict[str, Any]], read: ReadLayer) -> list[Expected]:
    """Compute all dates, oldest first, each filled from earlier ones."""
    dates: list[Expected] = []
    for item in sorted(items, key=lambda item: str(item["properties"]["datetime"])):
        offset = 0 if item["properties"]["earthsearch:boa_offset_applied"] else -1000
        acquired = np.datetime64(item["properties"]["datetime"].removesuffix("Z"), "us")
        band = _band_of(item["id"], offset, read)
        scl = read(item["id"], "SCL").astype(np.uint8)
        scl[scl > HIGHEST_CLASS] = 0  # real scenes have a few pixels of 12, which is no class
        holds = doubled(scl != 0)
        for name in BANDS:
            holds &= band(name) > 0
        valid = holds & doubled(np.isin(scl, VALID))
        origin = np.full(valid.shape, NOWHERE, np.int8)
        # Oldest first: newer dates overwrite.
        for index, earlier in enumerate(dates):
            if acquired - earlier.acquired <= MAX_AGE:
                origin[earlier.valid] = index
        origin[valid] = len(dates)
        dates.append(Expected(item["id"], acquired, offset, band, scl, holds, valid, origin))
    return dates


def _band_of(item_id: str, offset: int, read: ReadLayer) -> Callable[[str], NDArray[np.uint16]]:
    def band(name: str) -> NDArray[np.uint16]:
        dn = read(item_id, BANDS[name])
        if not offset:
            return dn
        pixels = np.maximum(dn, 1 - offset)  # a pixel with data never becomes 0, which is nodata
        pixels -= np.uint16(-offset)
        pixels[dn == 0] = 0
        return pixels

    return band


def doubled(layer: NDArray[Any]) -> NDArray[Any]:
    """Repeat 20 m pixels to the 10 m grid."""
    return layer.repeat(2, axis=0).repeat(2, axis=1)


def read_raster(path: Path, frame: Frame, gsd: int, bounds: tuple[int, int, int, int] | None = None) -> NDArray[Any]:
    """Read a raster, repeat its pixels to `gsd`, crop it to west, south, east, north, and lay it into the frame."""
    with rasterio.open(path) as dataset:
        pixels = dataset.read(1)
        side, west, north = round(dataset.transform.a), round(dataset.transform.c), round(dataset.transform.f)
    if side != gsd:
        pixels = pixels.repeat(side // gsd, axis=0).repeat(side // gsd, axis=1)
    if bounds is not None:
        left, bottom, right, top = bounds
        pixels = pixels[(north - top) // gsd : (north - bottom) // gsd, (left - west) // gsd : (right - west) // gsd]
        west, north = left, top
    return frame.lay(pixels, west, north, gsd)


def items_of(folder: Path) -> list[dict[str, Any]]:
    """Return the items of the sample scenes."""
    return [json.loads((path / f"{path.name}.json").read_text()) for path in folder.glob("S2*")]


def decode(frame: bytes, dtype: str, side: int) -> NDArray[Any]:
    return np.frombuffer(blosc.decompress(frame), dtype).reshape(side, side)


def assert_band(frame: bytes, expected: NDArray[np.uint16], where: str) -> None:
    np.testing.assert_array_equal(decode(frame, "<u2", 256), expected, where)


def sources_of(origin: NDArray[np.int8], index: int) -> list[int]:
    """Return the earlier dates that a chip of a date has pixels of, newest first."""
    return [date for date in reversed(range(index)) if (origin == date).any()]


def assert_filled_band(chip: Chip, name: str, layers: Sequence[NDArray[np.uint16]], origin: NDArray[np.int8]) -> None:
    """Assert that own pixels are as acquired, and filled ones those of their date, where they are not adjusted.

    Args:
        chip: columns of fct_filled_chips: chip_id, adjustments and the band.
        name: the band.
        layers: acquired pixels of the cell by date, the chip's own date last.
        origin: index of the date that each pixel is from.
    """
    pixels, index = decode(chip[name], "<u2", 256), len(layers) - 1
    expected = np.where(origin == index, layers[index], 0)
    used = sources_of(origin, index)
    for date, adjustment in zip(used, chip["adjustments"], strict=True):
        where = origin == date
        if adjustment["gains"]:
            ratio = pixels[where] / layers[date][where]
            assert ratio.min() > 0.1, chip["chip_id"]  # gains from 1/8 to 8, and a rounded pixel
            assert ratio.max() < 8.5, chip["chip_id"]
            expected[where] = pixels[where]
        else:
            expected[where] = layers[date][where]
    np.testing.assert_array_equal(pixels, expected, f"{chip['chip_id']} {name}")


def assert_adjusted(
    chip: Chip, dates: Sequence[Expected], index: int, frame: Frame, suspects: Sequence[NDArray[np.bool_]]
) -> None:
    """Assert the gains of each source of a chip, and some of the pixels that it fills.

    Args:
        chip: a row of fct_filled_chips.
        dates: of the frame.
        index: of the chip's date.
        frame: of the scenes.
        suspects: suspect pixels of the cell by date, (128, 128).
    """
    window = frame.window(chip["cell_id"])
    origin = dates[index].origin[window]
    used = sources_of(origin, index)
    pixels = {date: {name: dates[date].band(name)[window] for name in BANDS} for date in (*used, index)}
    target = pixels[index], dates[index].valid[window]
    for date, adjustment in zip(used, chip["adjustments"], strict=True):
        source = pixels[date], dates[date].valid[window]
        gains, group = gains_of(*source, *target, suspects[date] | suspects[index]), group_table(*source)
        found = {gain["band"]: gain for gain in adjustment["gains"]}
        assert (adjustment["peer_pixels"], set(found)) == (gains.peers, set(gains.by_group))
        places = np.argwhere(origin == date)
        for name, gain in found.items():
            assert gain["by_group"] == [value / 8192 for value in gains.by_group[name]]
            assert gain["by_block"] == [value / 8192 for row in gains.by_block[name] for value in row]
            filled = decode(chip[name], "<u2", 256)
            for row, col in places[:: 1 + len(places) // 100].tolist():
                half = row // 2, col // 2
                expected = times(int(pixels[date][name][row, col]), gains.at(name, group(*half), *half))
                assert filled[row, col] == expected, (chip["chip_id"], name, row, col)


def assert_cut(chip: Chip, one: Expected, frame: Frame) -> None:
    """Assert that all columns of fct_chips except bands are as expected."""
    window, window_20m = frame.window(chip["cell_id"]), frame.window(chip["cell_id"], 20)
    scl, holds = one.scl[window_20m], one.holds[window]
    np.testing.assert_array_equal(decode(chip["scl"], "u1", 128), scl, chip["chip_id"])
    assert chip["valid_fraction"] == one.valid[window].mean(), chip["chip_id"]
    assert chip["nodata_fraction"] == (~holds).mean(), chip["chip_id"]
    assert chip["cloud_fraction"] == np.isin(scl, CLOUDS).mean(), chip["chip_id"]
    assert chip["is_complete"] == bool(holds.all()), chip["chip_id"]
    assert_about(chip, one)


def assert_about(chip: Chip, one: Expected) -> None:
    assert (chip["item_ids"], chip["boa_offsets"]) == ([one.item_id], [one.boa_offset])
    assert chip["error"] is None, chip["chip_id"]
    assert not any(chip[name] for name in NOT_CUT)  # bands that are not cut


def assert_filled(chip: Chip, dates: Sequence[Expected], index: int, date_of: Mapping[str, int], frame: Frame) -> None:
    """Assert that all columns of fct_filled_chips except bands are as expected; `date_of` has the date of each chip."""
    one, window = dates[index], frame.window(chip["cell_id"])
    origin = one.origin[window]
    used = sources_of(origin, index)
    counts = {date: int(np.count_nonzero(origin == date)) for date in used}
    assert [date_of[source["chip_id"]] for source in chip["sources"]] == used, chip["chip_id"]
    for source in chip["sources"]:
        assert source["chip_id"].startswith(f"{chip['cell_id']}_"), chip["chip_id"]
        assert as_utc(source["acquired_at"]) == dates[date_of[source["chip_id"]]].acquired, chip["chip_id"]
    source_index = np.full(origin.shape, 255, np.uint8)
    for k, date in enumerate([index, *used]):
        source_index[origin == date] = k
    np.testing.assert_array_equal(decode(chip["source_index"], "u1", 256), source_index, chip["chip_id"])
    # A 20 m pixel has the newest date of its four 10 m pixels; here SCL is the only 20 m layer.
    of_four = np.maximum.reduce([origin[i::2, j::2] for i in (0, 1) for j in (0, 1)])
    scl = np.zeros(of_four.shape, np.uint8)
    for date in range(index + 1):
        scl[of_four == date] = dates[date].scl[frame.window(chip["cell_id"], 20)][of_four == date]
    np.testing.assert_array_equal(decode(chip["scl"], "u1", 128), scl, chip["chip_id"])
    assert chip["cloud_fraction"] == np.isin(one.scl[frame.window(chip["cell_id"], 20)], CLOUDS).mean(), chip["chip_id"]
    assert chip["nodata_fraction"] == (~one.holds[window]).mean(), chip["chip_id"]
    assert chip["complete_fraction"] == (origin >= 0).mean(), chip["chip_id"]
    assert chip["base_valid_fraction"] == one.valid[window].mean(), chip["chip_id"]
    assert chip["is_complete"] == bool((origin >= 0).all()), chip["chip_id"]
    ages = {date: Fraction(int((one.acquired - dates[date].acquired).astype("int64")), DAY_US) for date in used}
    assert chip["max_age_days"] == (float(max(ages.values())) if ages else None), chip["chip_id"]
    if not ages:
        assert chip["mean_age_days"] is None, chip["chip_id"]
    else:
        mean = sum(ages[date] * counts[date] for date in used) / sum(counts[date] for date in used)
        # A sum of doubles has a rounding error.
        assert chip["mean_age_days"] == pytest.approx(float(mean), rel=1e-15 * (len(used) + 1)), chip["chip_id"]
    assert_about(chip, one)


def as_utc(moment: Any) -> np.datetime64:
    """Convert a timestamp of a table, which is UTC with or without a time zone."""
    return np.datetime64(moment.replace(tzinfo=None), "us")
