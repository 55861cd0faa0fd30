"""The chips of real scenes against a computation of their own: whole arrays, no grid, no Spark, no code shared.

Three dates of one tile: 69 % cloud, a swath edge, clear. A region in which both show is cut out of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from lakes import dbt, empty_lake, ingest_file, rows, snapshots
from numcodecs import blosc
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from chiplake.settings import Settings, get_settings

WEST, SOUTH, EAST, NORTH = 585_000, 5_010_000, 609_780, 5_030_000  # EPSG:32633
BANDS = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}
VALID = (2, 4, 5, 6, 7, 11)
CELL = 2560


@dataclass(frozen=True)
class Expected:
    """What the whole region should hold on one date, on the 10 m grid."""

    item_id: str
    acquired: np.datetime64
    dn: dict[str, NDArray[np.uint16]]
    scl: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    filled: dict[str, NDArray[np.uint16]]
    origin: NDArray[np.int8]  # index of the date a pixel comes from, -1: none


@pytest.fixture(scope="module")
def expected(sample_data: Path) -> list[Expected]:
    """The region by date, oldest first."""
    found: list[Expected] = []
    folders = sorted((sample_data / "sentinel-2" / "33TWL-120m").glob("S2*"), key=lambda path: path.name.split("_")[2])
    for index, folder in enumerate(folders):
        item = json.loads((folder / f"{folder.name}.json").read_text())
        assert item["properties"]["earthsearch:boa_offset_applied"]  # so digital numbers are reflectance x 10,000
        dn = {name: _region(folder / f"{code}.tif") for name, code in BANDS.items()}
        scl = _region(folder / "SCL.tif").astype(np.uint8)
        valid = np.isin(scl, VALID)
        for pixels in dn.values():
            valid &= pixels > 0
        origin = np.full(scl.shape, -1, np.int8)
        filled = {name: np.zeros_like(pixels) for name, pixels in dn.items()}
        if found:
            origin = found[-1].origin.copy()
            filled = {name: pixels.copy() for name, pixels in found[-1].filled.items()}
        origin[valid] = index
        for name, pixels in dn.items():
            filled[name][valid] = pixels[valid]
        acquired = np.datetime64(item["properties"]["datetime"].removesuffix("Z"), "us")
        found.append(Expected(folder.name, acquired, dn, scl, valid, filled, origin))
    return found


def _region(path: Path) -> NDArray[np.uint16]:
    """The region of one raster at 120 m, repeated to 10 m, in a frame of whole cells around it (0 outside)."""
    with rasterio.open(path) as dataset:
        small, west, north = dataset.read(1), dataset.transform.c, dataset.transform.f
    whole = small.repeat(12, axis=0).repeat(12, axis=1)
    rows_ = slice(round((north - NORTH) / 10), round((north - SOUTH) / 10))
    cut = whole[rows_, round((WEST - west) / 10) : round((EAST - west) / 10)]
    frame = np.zeros(((_top() - _bottom()) // 10, (_right() - _left()) // 10), np.uint16)
    y, x = (_top() - NORTH) // 10, (WEST - _left()) // 10
    frame[y : y + cut.shape[0], x : x + cut.shape[1]] = cut
    return frame


def _left() -> int:
    return WEST // CELL * CELL


def _right() -> int:
    return -(-EAST // CELL) * CELL


def _bottom() -> int:
    return SOUTH // CELL * CELL


def _top() -> int:
    return -(-NORTH // CELL) * CELL


@pytest.fixture(scope="module")
def built(
    sample_data: Path, spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SparkSession]:
    """The lake after a run on COGs of the region."""
    scenes = tmp_path_factory.mktemp("scenes")
    bounds = [str(value) for value in (WEST, SOUTH, EAST, NORTH)]
    tool = sample_data.parent / "tools" / "build_scenes.py"
    subprocess.run([sys.executable, tool, "--out", scenes, "--bounds", *bounds], check=True, capture_output=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHIPLAKE_BANDS", json.dumps(list(BANDS)))
        get_settings.cache_clear()
        empty_lake(spark, settings)
        ingest_file(scenes / "items.json", settings)
        dbt("run", "--select", "+fct_filled_chips")
        yield spark
    get_settings.cache_clear()


def _window(cell_id: str) -> tuple[slice, slice]:
    """Rows and columns of a cell in the frame."""
    _, col, row = map(int, cell_id.split("_"))
    top = (_top() - (row + 1) * CELL) // 10
    left = (col * CELL - _left()) // 10
    return slice(top, top + 256), slice(left, left + 256)


def _decode(frame: bytes, dtype: str, side: int) -> NDArray[np.generic]:
    return np.frombuffer(blosc.decompress(frame), dtype).reshape(side, side)


def test_every_cell_the_rasters_touch_has_a_chip_on_every_date(built: SparkSession, expected: list[Expected]) -> None:
    cells = {
        f"32633_{col}_{row}"
        for col in range(_left() // CELL, _right() // CELL)
        for row in range(_bottom() // CELL, _top() // CELL)
    }
    chips = rows(built, "fct_chips").values()
    assert {(chip.item_ids[0], chip.cell_id) for chip in chips} == {(e.item_id, c) for e in expected for c in cells}
    assert len(chips) == len(cells) * len(expected)


def test_chips_hold_the_pixels_and_fractions_of_the_whole_arrays(built: SparkSession, expected: list[Expected]) -> None:
    by_item = {one.item_id: one for one in expected}
    for chip in rows(built, "fct_chips").values():
        one, (y, x) = by_item[chip.item_ids[0]], _window(chip.cell_id)
        for name in BANDS:
            np.testing.assert_array_equal(_decode(chip[name], "<u2", 256), one.dn[name][y, x])
        np.testing.assert_array_equal(_decode(chip.scl, "u1", 128), one.scl[y, x][::2, ::2])
        holds = np.all([one.dn[name][y, x] > 0 for name in BANDS], axis=0) & (one.scl[y, x] != 0)
        assert chip.valid_fraction == one.valid[y, x].mean()
        assert chip.nodata_fraction == (~holds).mean()
        assert chip.cloud_fraction == np.isin(one.scl[y, x], (8, 9, 10)).mean()
        assert chip.is_complete == bool(holds.all())
        assert chip.error is None
        assert chip.rededge1 is None  # a band that was not asked for


def test_filled_chips_hold_the_newest_valid_pixels_and_their_origin(
    built: SparkSession, expected: list[Expected]
) -> None:
    index_of = {one.item_id: index for index, one in enumerate(expected)}
    chips = rows(built, "fct_filled_chips")
    date_of = {chip_id: index_of[chip.item_ids[0]] for chip_id, chip in chips.items()}
    assert len(chips) == len(rows(built, "fct_chips"))
    for chip_id, chip in chips.items():
        index, (y, x) = date_of[chip_id], _window(chip.cell_id)
        one = expected[index]
        origin = one.origin[y, x]
        for name in BANDS:
            np.testing.assert_array_equal(_decode(chip[name], "<u2", 256), one.filled[name][y, x])
        to_date = np.full(256, -2, np.int8)
        to_date[0], to_date[255] = index, -1
        for k, source in enumerate(chip.sources, start=1):
            to_date[k] = date_of[source.chip_id]
        np.testing.assert_array_equal(to_date[_decode(chip.source_index, "u1", 256)], origin)
        assert chip.complete_fraction == (origin >= 0).mean()
        assert chip.base_valid_fraction == one.valid[y, x].mean()
        assert chip.is_complete == bool((origin >= 0).all())
        ages = {
            date: (one.acquired - expected[date].acquired) / np.timedelta64(1, "D")
            for date in np.unique(origin[(origin >= 0) & (origin != index)])
        }
        assert chip.max_age_days == pytest.approx(max(ages.values()), rel=1e-12) if ages else chip.max_age_days is None
        if ages:
            weights = [(origin == date).sum() for date in ages]
            assert chip.mean_age_days == pytest.approx(np.average(list(ages.values()), weights=weights), rel=1e-12)


def test_clouds_and_the_swath_edge_are_in_the_region(expected: list[Expected]) -> None:
    shares = [one.valid.mean() for one in expected]
    assert shares[0] < 0.6  # clouds of 10 August
    assert np.mean(expected[1].dn["red"] == 0) > 0.1  # swath edge of 13 August
    assert (expected[1].origin == 0).any()  # pixels that were filled


def test_a_second_run_writes_no_snapshot(built: SparkSession) -> None:
    before = snapshots(built)
    said = dbt("run", "--select", "+fct_filled_chips")
    assert snapshots(built) == before
    assert said["fct_chips"] == said["fct_filled_chips"] == "nothing pending"
