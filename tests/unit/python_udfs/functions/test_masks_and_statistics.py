"""Scalar functions over pixel columns, on values computed by hand and against plain loops."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numcodecs import blosc

from lakehouse.bands import BAND_BY_NAME
from python_udfs.codec import encode_array
from python_udfs.fill.source_index import STILL_MISSING
from python_udfs.functions.masks import chip_fraction, chip_mask, chip_valid
from python_udfs.functions.statistics import chip_mean, chip_normalized_difference, chip_pixel, chip_statistics

# 10 m bands and masks of 8 x 8 pixels, and 20 m ones of 4 x 4.
BANDS_10M = arrays(np.uint16, (8, 8), elements=st.sampled_from([0, 1, 2, 900, 65_535]))
BANDS_20M = arrays(np.uint16, (4, 4), elements=st.sampled_from([0, 1, 2, 900, 65_535]))
MASKS_10M = arrays(np.uint8, (8, 8), elements=st.sampled_from([0, 1, 255]))
MASKS_20M = arrays(np.uint8, (4, 4), elements=st.sampled_from([0, 1, 255]))


def band(*rows: list[int]) -> bytes:
    return encode_array(np.array(rows, np.uint16))


def layer(*rows: list[int]) -> bytes:
    return encode_array(np.array(rows, np.uint8))


def decoded(frame: bytes | None, dtype: str) -> np.ndarray[Any, Any]:
    assert frame is not None
    values = np.frombuffer(blosc.decompress(frame), dtype)
    side = int(len(values) ** 0.5)
    return values.reshape(side, side)


def test_the_mean_excludes_nodata() -> None:
    assert chip_mean(band([0, 100], [200, 400])) == pytest.approx(700 / 3)


def test_the_mean_of_large_values_does_not_overflow() -> None:
    assert chip_mean(encode_array(np.full((256, 256), 65_535, np.uint16))) == 65_535.0


@pytest.mark.parametrize("side", [128, 256])
def test_the_mean_takes_bands_of_both_resolutions(side: int) -> None:
    pixels = np.zeros((side, side), np.uint16)
    pixels[3, 5], pixels[-1, -1] = 10, 40
    assert chip_mean(encode_array(pixels)) == 25.0


def test_the_mean_of_no_pixels_is_null() -> None:
    assert chip_mean(band([0, 0], [0, 0])) is None
    assert chip_mean(None) is None


def test_the_normalized_difference_is_a_mean_over_pixels_of_both_bands() -> None:
    # (3000 - 1000) / 4000 = 0.5 and (1000 - 3000) / 4000 = -0.5 and (4000 - 1000) / 5000 = 0.6
    nir = band([3000, 1000], [4000, 9000])
    red = band([1000, 3000], [1000, 0])
    assert chip_normalized_difference(nir, red) == pytest.approx(0.2)
    assert chip_normalized_difference(red, nir) == pytest.approx(-0.2)


def test_the_normalized_difference_of_large_values_does_not_overflow() -> None:
    assert chip_normalized_difference(band([60_000]), band([20_000])) == 0.5


def test_the_normalized_difference_of_no_pixels_is_null() -> None:
    assert chip_normalized_difference(band([1, 0], [0, 0]), band([0, 1], [1, 1])) is None
    assert chip_normalized_difference(None, band([1])) is None
    assert chip_normalized_difference(band([1]), None) is None


def test_bands_of_two_resolutions_are_taken_on_the_finer_grid() -> None:
    # 20 m pixels: 1000, 3000 / 0, 500. 10 m pixels that count: 3000 over 1000, 1000 over 3000 twice, 1500 over 500.
    swir = band([1000, 3000], [0, 500])
    nir = band([3000, 0, 1000, 1000], [0, 0, 0, 0], [7, 7, 0, 0], [7, 7, 0, 1500])
    assert chip_normalized_difference(nir, swir) == pytest.approx((0.5 - 0.5 - 0.5 + 0.5) / 4)
    assert chip_normalized_difference(swir, nir) == pytest.approx(0.0)
    assert chip_normalized_difference(nir, swir, layer([0, 1], [1, 0])) == pytest.approx(-0.5)


def test_bands_without_a_common_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="4 and 1 pixels a side"):
        chip_normalized_difference(encode_array(np.ones((4, 4), np.uint16)), band([1]))


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
    [
        chip_mean,
        chip_statistics,
        lambda frame: chip_normalized_difference(frame, frame),
        lambda frame: chip_pixel(frame, 0, 0),
    ],
    ids=["chip_mean", "chip_statistics", "chip_normalized_difference", "chip_pixel"],
)
@pytest.mark.parametrize("frame", [b"", b"text, which is not a frame", band([1, 2])], ids=["empty", "text", "oblong"])
def test_anything_but_a_band_is_refused(function: Callable[[bytes], object], frame: bytes) -> None:
    with pytest.raises(ValueError, match="frame"):
        function(frame)


@given(BANDS_10M, MASKS_10M | MASKS_20M)
def test_a_10_m_pixel_counts_if_the_mask_is_set_there(pixels: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> None:
    factor = 8 // mask.shape[0]
    values = [
        int(pixels[row, col])
        for row in range(8)
        for col in range(8)
        if pixels[row, col] and mask[row // factor, col // factor]
    ]
    expected = statistics.fmean(values) if values else None
    assert chip_mean(encode_array(pixels), encode_array(mask)) == pytest.approx(expected)


@given(BANDS_20M, MASKS_10M | MASKS_20M)
def test_a_20_m_pixel_counts_if_the_mask_is_set_in_any_part(
    pixels: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]
) -> None:
    parts = mask.shape[0] // 4
    values = [
        int(pixels[row, col])
        for row in range(4)
        for col in range(4)
        if pixels[row, col] and any(mask[row * parts + i, col * parts + j] for i in range(parts) for j in range(parts))
    ]
    expected = statistics.fmean(values) if values else None
    assert chip_mean(encode_array(pixels), encode_array(mask)) == pytest.approx(expected)


def test_a_null_mask_differs_from_no_mask() -> None:
    assert chip_mean(band([5]), None) is None
    assert chip_statistics(band([5]), None) is None
    assert chip_normalized_difference(band([5]), band([5]), None) is None


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a mask of 1 pixels a side does not lie on the grid of bands of 4"):
        chip_mean(encode_array(np.ones((4, 4), np.uint16)), layer([1]))


def percentile(ordered: list[int], share: float) -> float:
    """Interpolate linearly between the two nearest values (Hyndman and Fan's type 7)."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@given(arrays(np.uint16, (8, 8)) | arrays(np.uint16, (4, 4), elements=st.integers(0, 3)))
def test_statistics_cover_the_values_that_are_not_nodata(pixels: np.ndarray[Any, Any]) -> None:
    values = sorted(int(value) for value in pixels.ravel() if value)
    found = chip_statistics(encode_array(pixels))
    assert found is not None
    assert found.pop("pixel_count") == len(values)
    if not values:
        assert set(found.values()) == {None}
        return
    assert found == pytest.approx(
        {
            "mean": statistics.fmean(values),
            "stddev": statistics.pstdev(values),
            "min": values[0],
            "max": values[-1],
            "p05": percentile(values, 0.05),
            "p25": percentile(values, 0.25),
            "p50": statistics.median(values),
            "p75": percentile(values, 0.75),
            "p95": percentile(values, 0.95),
        }
    )


def test_statistics_cover_the_pixels_of_the_mask() -> None:
    found = chip_statistics(band([10, 20], [30, 0]), layer([1, 0], [1, 1]))
    assert found is not None
    assert (found["pixel_count"], found["mean"], found["min"], found["max"]) == (2, 20.0, 10.0, 30.0)
    assert chip_statistics(None) is None


def test_a_mask_is_set_where_the_layer_has_one_of_the_values() -> None:
    scl = layer([4, 5], [9, 0])
    assert decoded(chip_mask(scl, [4, 0]), "u1").tolist() == [[1, 0], [0, 1]]
    assert decoded(chip_mask(scl, []), "u1").tolist() == [[0, 0], [0, 0]]
    assert decoded(chip_mask(layer([0, STILL_MISSING], [1, 0]), [STILL_MISSING]), "u1").tolist() == [[0, 1], [0, 0]]
    assert chip_fraction(chip_mask(scl, [4, 5, 9])) == 0.75
    assert chip_mask(None, [4]) is None
    assert chip_mask(scl, None) is None
    assert chip_fraction(None) is None


@pytest.mark.parametrize("values", [[256], [-1], [4, None]])
def test_an_impossible_layer_value_is_refused(values: list[Any]) -> None:
    with pytest.raises(ValueError, match="0 to 255"):
        chip_mask(layer([4]), values)


def test_a_mask_of_a_band_is_refused() -> None:
    with pytest.raises(ValueError, match="not a band"):
        chip_mask(band([4]), [4])


def test_valid_pixels_have_a_valid_class_and_all_bands() -> None:
    scl = np.full((128, 128), 9, np.uint8)
    scl[0, 0] = scl[0, 1] = scl[5, 5] = 4
    red = np.ones((256, 256), np.uint16)
    red[0, 0] = 0
    swir16 = np.ones((128, 128), np.uint16)
    swir16[5, 5] = 0
    bands = {"red": encode_array(red), "swir16": encode_array(swir16), "nir": None}
    valid = decoded(chip_valid(encode_array(scl), [4], bands), "u1")
    assert valid.shape == (256, 256)
    assert np.argwhere(valid).tolist() == [[0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [1, 2], [1, 3]]
    assert chip_valid(None, [4], bands) is None
    assert chip_valid(encode_array(scl), None, bands) is None
    assert chip_valid(encode_array(scl), [4], None) is None


def test_valid_pixels_of_an_unknown_band_are_refused() -> None:
    scl = encode_array(np.zeros((128, 128), np.uint8))
    with pytest.raises(ValueError, match=r"unknown bands \['infrared'\]; choose from blue"):
        chip_valid(scl, [4], {"infrared": encode_array(np.ones((256, 256), np.uint16))})
    with pytest.raises(ValueError, match=f"{BAND_BY_NAME['red'].pixels} x {BAND_BY_NAME['red'].pixels} uint16"):
        chip_valid(scl, [4], {"red": band([1])})
