"""Spectral indices, on reflectances with results computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lakehouse.bands import BAND_BY_NAME
from python_udfs.codec import encode_array
from python_udfs.functions.indices import INDICES, chip_index

# A pixel of vegetation; reflectance x 10,000.
LEAF = {"blue": 200, "green": 600, "red": 400, "rededge1": 1000, "nir": 4000, "swir16": 2000, "swir22": 1000}


def bands(**values: int | list[list[int]] | None) -> dict[str, bytes | None]:
    return {
        name: None if value is None else encode_array(np.array(np.atleast_2d(value), np.uint16))
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndvi", 3600 / 4400),
        ("ndre", 3000 / 5000),
        ("ndwi", -3400 / 4600),
        ("mndwi", -1400 / 2600),
        ("ndmi", 2000 / 6000),
        ("ndbi", -2000 / 6000),
        ("nbr", 3000 / 5000),
        ("evi", 2.5 * 0.36 / (0.4 + 0.24 - 0.15 + 1)),
        ("evi2", 2.5 * 0.36 / (0.4 + 0.096 + 1)),
        ("savi", 1.5 * 0.36 / (0.4 + 0.04 + 0.5)),
        ("bsi", (0.24 - 0.42) / (0.24 + 0.42)),
    ],
)
def test_an_index_follows_its_authors_formula(name: str, expected: float) -> None:
    assert chip_index(name, bands(**LEAF)) == pytest.approx(expected)
    assert chip_index(name.upper(), bands(**LEAF)) == pytest.approx(expected)


def test_every_index_has_a_source_and_known_bands() -> None:
    assert set(INDICES) == {"ndvi", "ndre", "ndwi", "mndwi", "ndmi", "ndbi", "nbr", "evi", "evi2", "savi", "bsi"}
    for index in INDICES.values():
        assert set(index.bands) <= set(BAND_BY_NAME)
        assert any(character.isdigit() for character in index.source)


def test_the_mean_covers_the_counted_pixels() -> None:
    pixels = bands(red=[[1000, 1000], [0, 2000]], nir=[[3000, 4000], [9000, 2000]])
    mask = encode_array(np.array([[1, 1], [1, 0]], np.uint8))
    assert chip_index("ndvi", pixels) == pytest.approx((0.5 + 0.6 + 0.0) / 3)
    assert chip_index("ndvi", pixels, mask) == pytest.approx((0.5 + 0.6) / 2)


def test_20_m_bands_are_repeated_to_10_m() -> None:
    pixels = bands(nir=[[3000, 1000], [500, 0]], swir16=[[1000]])
    assert chip_index("ndmi", pixels) == pytest.approx((0.5 + 0.0 - 1 / 3) / 3)


def test_pixels_without_a_defined_index_do_not_count() -> None:
    # 0.125 + 6 x 0.0625 - 7.5 x 0.2 + 1 = 0 in the first column.
    undefined = bands(nir=[[1250, 4000]] * 2, red=[[625, 400]] * 2, blue=[[2000, 200]] * 2)
    assert 0.125 + 6 * 0.0625 - 7.5 * 0.2 + 1 == 0
    assert chip_index("evi", undefined) == pytest.approx(2.5 * 0.36 / (0.4 + 0.24 - 0.15 + 1))
    assert chip_index("evi", bands(nir=1250, red=625, blue=2000)) is None


def test_no_pixels_give_null() -> None:
    assert chip_index("ndvi", bands(red=0, nir=1000)) is None
    assert chip_index("ndvi", bands(red=None, nir=1000)) is None
    assert chip_index(None, bands(**LEAF)) is None
    assert chip_index("ndvi", None) is None
    assert chip_index("ndvi", bands(**LEAF), None) is None


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("nvdi", bands(**LEAF), "unknown index 'nvdi'; choose from ndvi, "),
        (
            "ndvi",
            bands(nir=1, green=1),
            r"the struct has no red: write chip_index\('ndvi', struct\(nir, red\)\)",
        ),
        ("ndvi", b"a frame", r"struct\(red, nir\)"),
    ],
)
def test_the_error_names_what_is_missing(name: str, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chip_index(name, given)
