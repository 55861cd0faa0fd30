"""The scalar functions over band columns, on values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from python_udfs.codec import encode_array
from python_udfs.pixels import chip_mean, chip_normalized_difference, chip_pixel


def band(*rows: list[int]) -> bytes:
    return encode_array(np.array(rows, np.uint16))


def test_the_mean_leaves_nodata_out() -> None:
    assert chip_mean(band([0, 100], [200, 400])) == pytest.approx(700 / 3)


def test_the_mean_of_large_values_does_not_overflow() -> None:
    assert chip_mean(encode_array(np.full((256, 256), 65_535, np.uint16))) == 65_535.0


@pytest.mark.parametrize("side", [128, 256])
def test_the_mean_takes_bands_of_both_resolutions(side: int) -> None:
    pixels = np.zeros((side, side), np.uint16)
    pixels[3, 5], pixels[-1, -1] = 10, 40
    assert chip_mean(encode_array(pixels)) == 25.0


def test_the_mean_of_nothing_is_null() -> None:
    assert chip_mean(band([0, 0], [0, 0])) is None
    assert chip_mean(None) is None


def test_the_normalized_difference_is_the_mean_over_pixels_that_both_have() -> None:
    # (3000 - 1000) / 4000 = 0.5 and (1000 - 3000) / 4000 = -0.5 and (4000 - 1000) / 5000 = 0.6
    nir = band([3000, 1000], [4000, 9000])
    red = band([1000, 3000], [1000, 0])
    assert chip_normalized_difference(nir, red) == pytest.approx(0.2)
    assert chip_normalized_difference(red, nir) == pytest.approx(-0.2)


def test_the_normalized_difference_of_large_values_does_not_overflow() -> None:
    assert chip_normalized_difference(band([60_000]), band([20_000])) == 0.5


def test_the_normalized_difference_of_nothing_is_null() -> None:
    assert chip_normalized_difference(band([1, 0], [0, 0]), band([0, 1], [1, 1])) is None
    assert chip_normalized_difference(None, band([1])) is None
    assert chip_normalized_difference(band([1]), None) is None


def test_bands_of_two_resolutions_have_no_normalized_difference() -> None:
    with pytest.raises(ValueError, match="one resolution"):
        chip_normalized_difference(band([1, 1], [1, 1]), band([1]))


def test_a_pixel_is_found_by_row_and_column() -> None:
    chip = band([1, 2, 3], [4, 5, 6], [7, 8, 0])
    assert [chip_pixel(chip, 0, 2), chip_pixel(chip, 2, 0), chip_pixel(chip, 1, 1)] == [3, 7, 5]
    assert chip_pixel(chip, 2, 2) == 0


@pytest.mark.parametrize(("row", "col"), [(-1, 0), (0, -1), (2, 0), (0, 2)])
def test_a_pixel_outside_the_chip_is_null(row: int, col: int) -> None:
    assert chip_pixel(band([1, 2], [3, 4]), row, col) is None


def test_null_in_gives_null_out() -> None:
    assert chip_pixel(None, 0, 0) is None
    assert chip_pixel(band([1]), None, 0) is None
    assert chip_pixel(band([1]), 0, None) is None


@pytest.mark.parametrize(
    "function",
    [chip_mean, lambda frame: chip_normalized_difference(frame, frame), lambda frame: chip_pixel(frame, 0, 0)],
    ids=["chip_mean", "chip_normalized_difference", "chip_pixel"],
)
@pytest.mark.parametrize("frame", [b"", b"no frame at all, only words", band([1, 2])], ids=["empty", "words", "oblong"])
def test_what_is_no_band_is_refused(function: Callable[[bytes], object], frame: bytes) -> None:
    with pytest.raises(ValueError, match="frame"):
        function(frame)
