"""Which pixels have data, on cases small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from python_udfs.valid_pixels import any_of_four, class_table, data_mask, to_10m


def mask(*rows: str) -> NDArray[np.bool_]:
    """Make a mask in which `#` is true."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def band(*rows: str) -> NDArray[np.uint16]:
    """Make a band in which `.` is nodata and a digit is a value."""
    return np.array([[0 if pixel == "." else int(pixel) for pixel in row] for row in rows], np.uint16)


def test_a_class_table_is_true_only_at_its_classes() -> None:
    table = class_table([4, 11, 255])
    assert table.shape == (256,)
    assert [int(scl_class) for scl_class in np.flatnonzero(table)] == [4, 11, 255]
    assert not class_table([]).any()


def test_a_20_m_pixel_becomes_a_square_of_four() -> None:
    assert np.array_equal(to_10m(mask("#.", "..", ".#")), mask("##..", "##..", "....", "....", "..##", "..##"))


def test_one_of_four_is_enough_for_a_20_m_pixel() -> None:
    fine = mask("#...#.", "..#...", "......", ".....#")
    assert np.array_equal(any_of_four(fine), mask("###", "..#"))


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_each_of_the_four_counts(corner: tuple[int, int]) -> None:
    fine = np.zeros((2, 2), np.bool_)
    fine[corner] = True
    assert any_of_four(fine).tolist() == [[True]]


def test_a_10_m_pixel_is_missing_where_any_10_m_band_is() -> None:
    bands = {"blue": band("1.11", "1111"), "nir": band("111.", "9999")}
    assert np.array_equal(data_mask(bands, mask("##")), mask("#.#.", "####"))


def test_four_10_m_pixels_are_missing_where_a_20_m_band_is() -> None:
    bands = {"blue": band("1111", "1.11"), "swir16": band("5."), "nir08": band("77")}
    assert np.array_equal(data_mask(bands, mask("##")), mask("##..", "#..."))


def test_four_10_m_pixels_are_missing_where_scl_does_not_pass() -> None:
    assert np.array_equal(data_mask({"blue": band("1111", "1.11")}, mask(".#")), mask("..##", "..##"))


def test_without_bands_scl_alone_decides() -> None:
    assert np.array_equal(data_mask({}, mask("#.")), mask("##..", "##.."))


def test_the_arguments_are_not_changed() -> None:
    scl_passes = mask("##")
    bands = {"blue": band("1.11", "1111"), "swir16": band(".5")}
    data_mask(bands, scl_passes)
    assert scl_passes.all()
    assert np.array_equal(bands["swir16"], band(".5"))
