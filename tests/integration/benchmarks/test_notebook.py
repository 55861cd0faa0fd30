"""odc-stac and xarray fill the holes of real scenes forwards in time exactly as `none` does."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from harness import notebook
from harness.fills import NONE, PEERS, fill
from harness.holes import tile_cases

# odc-geo calls what newer releases of affine and shapely advise against.
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::DeprecationWarning")

SOURCES = {"clear": (13,), "cloudy": (10,), "both": (10, 13)}


@pytest.fixture(scope="module")
def tile(sample_data: Path) -> Path:
    return sample_data / "sentinel-2" / "33TWL-120m"


@pytest.fixture(scope="module")
def items(tile: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return notebook.write_items(tile, tmp_path_factory.mktemp("tile"), copies=1)


@pytest.fixture(scope="module")
def scenes(items: list[Path]) -> xr.Dataset:
    return notebook.load(items, notebook.corner_geobox())


def test_holes_filled_forwards_have_the_pixels_of_none(tile: Path, scenes: xr.Dataset) -> None:
    for name, days in SOURCES.items():
        found = notebook.Agreement()
        for case in islice(tile_cases(tile, {name: days}), 2):
            forwards = notebook.filled_forwards(notebook.scenes_of(case, scenes)).isel(time=-1)
            found.add(fill(case, NONE), notebook.bands_of(forwards), ~case.night.valid)
        assert found.compared > 10_000, name
        assert found.different == found.by_one == 0, name


def test_chips_from_files_have_the_pixels_of_none_and_not_those_of_peers(items: list[Path]) -> None:
    area = notebook.whole_cells(copies=1)
    forwards = notebook.filled_forwards(notebook.load(items, area.geobox))
    cells = notebook.cut(items, area)
    as_none, as_peers = (
        notebook.agreement_of_files(notebook.fold(cells, method), forwards, area) for method in (NONE, PEERS)
    )
    assert area.cells == len(cells) == 6
    assert as_none.compared > 0.7 * area.cells * 3 * 4 * 256**2
    assert as_none.different == as_none.by_one == 0
    assert as_peers.different > 10_000


def test_agreement_tells_other_values_from_pixels_that_only_one_way_has() -> None:
    one, other = np.zeros((256, 256), np.uint16), np.zeros((256, 256), np.uint16)
    one[0, :4], other[0, :4] = (5, 5, 5, 0), (5, 6, 0, 7)
    where = np.ones((256, 256), np.bool_)
    found = notebook.Agreement()
    found.add({"red": one}, {"red": other}, where)
    assert found == notebook.Agreement(compared=2, different=1, by_one=2)
    where[0, 1] = False
    found.add({"red": one}, {"red": other}, where)
    assert found == notebook.Agreement(compared=3, different=1, by_one=4)
