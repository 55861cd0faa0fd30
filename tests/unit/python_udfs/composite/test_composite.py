"""Composites against plain loops over pixels, and what holds for every composite."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.fill_oracle import NO_CLOUD, Chip, input_row, plain

from lakehouse.bands import BAND_BY_NAME
from python_udfs.codec import encode_array
from python_udfs.composite.composite import NO_CHIP, Composite, composite_of
from python_udfs.composite.medians import medians
from python_udfs.composite.rule import CompositeRule

BANDS = ("blue", "rededge1", "swir16")
SIDE = 6  # 10 m pixels that the loops look at, a side; all others of the chips are equal


def rule(method: str, dilation: int = 0) -> CompositeRule:
    return CompositeRule(method=method, valid_scl_classes=(4, 5), cloud_dilation_pixels=dilation)


def random_chips(count: int, seed: int, top: int = 9_000) -> list[Chip]:
    """Return chips in which a third of the pixels is cloudy, and some have no data."""
    rng = np.random.default_rng(seed)
    chips = [plain(day, day + 1, BANDS) for day in range(count)]
    for chip in chips:
        for name in BANDS:
            side = SIDE if BAND_BY_NAME[name].gsd == 10 else SIDE // 2
            values = rng.integers(1, top, (side, side))
            chip.bands[name][:side, :side] = np.where(rng.random((side, side)) < 0.1, 0, values)
        chip.scl[: SIDE // 2, : SIDE // 2] = rng.choice([4, 5, 9], (SIDE // 2,) * 2)
    return chips


def made(chips: list[Chip], method: str) -> Composite:
    return composite_of([input_row(chip) for chip in chips], rule(method))


def is_valid(chip: Chip, row: int, col: int) -> bool:
    """Say whether a 10 m pixel is valid: its class, and no band is nodata there."""
    values = [
        chip.bands[name][(row, col) if BAND_BY_NAME[name].gsd == 10 else (row // 2, col // 2)] for name in chip.bands
    ]
    return chip.scl[row // 2, col // 2] in (4, 5) and all(value > 0 for value in values)


def pixels_of(name: str, place: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the 10 m pixels of a pixel of a band."""
    if BAND_BY_NAME[name].gsd == 10:
        return [place]
    return [(2 * place[0] + down, 2 * place[1] + right) for down in (0, 1) for right in (0, 1)]


def places_of(name: str) -> list[tuple[int, int]]:
    side = SIDE if BAND_BY_NAME[name].gsd == 10 else SIDE // 2
    return [(row, col) for row in range(side) for col in range(side)]


def expected_median(chips: list[Chip], name: str, place: tuple[int, int]) -> int:
    values = [int(one.bands[name][place]) for one in chips if any(is_valid(one, *at) for at in pixels_of(name, place))]
    return int(median(values) + 0.5) if values else 0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 12, 17])
def test_medians_are_those_of_a_loop_over_pixels(count: int) -> None:
    chips = random_chips(count, seed=count)
    composite = made(chips, "median-v1")
    assert composite.source_number is None
    assert set(composite.bands) == set(BANDS)
    for name in BANDS:
        for place in places_of(name):
            assert composite.bands[name][place] == expected_median(chips, name, place), (name, place)
    for row, col in places_of("blue"):
        assert composite.observations[row, col] == sum(is_valid(chip, row, col) for chip in chips)


@pytest.mark.parametrize(("count", "top"), [(1, 9_000), (2, 9_000), (5, 9_000), (12, 9_000), (9, 3)])
def test_medoids_are_those_of_a_loop_over_pixels(count: int, top: int) -> None:
    chips = random_chips(count, seed=100 + count, top=top)  # with few values, many chips are equally near
    composite = made(chips, "medoid-v1")
    assert composite.source_number is not None
    for row, col in places_of("rededge1"):
        four = pixels_of("rededge1", (row, col))
        middle = {name: expected_median(chips, name, (row, col)) for name in BANDS if BAND_BY_NAME[name].gsd == 20}
        distances: list[tuple[float, int]] = []
        for index, chip in enumerate(chips):
            squares = [
                sum((int(chip.bands[name][row, col]) - value) ** 2 for name, value in middle.items())
                + (int(chip.bands["blue"][at]) - expected_median(chips, "blue", at)) ** 2
                for at in four
                if is_valid(chip, *at)
            ]
            if squares:
                distances.append((sum(squares) * (12 // len(squares)), index))
        if not distances:
            assert all(composite.source_number[at] == NO_CHIP and composite.bands["blue"][at] == 0 for at in four)
            assert all(composite.bands[name][row, col] == 0 for name in middle)
            continue
        chosen = min(distances)[1]
        for name in middle:
            assert composite.bands[name][row, col] == chips[chosen].bands[name][row, col]
        for at in four:
            valid = is_valid(chips[chosen], *at)
            assert composite.source_number[at] == (chosen if valid else NO_CHIP)
            assert composite.bands["blue"][at] == (chips[chosen].bands["blue"][at] if valid else 0)


@pytest.mark.parametrize("method", ["median-v1", "medoid-v1"])
def test_a_composite_of_equal_chips_is_that_chip(method: str) -> None:
    chips = random_chips(1, seed=7) * 5
    composite = made(chips, method)
    valid = composite.observations > 0
    assert np.array_equal(composite.bands["blue"], np.where(valid, chips[0].bands["blue"], 0))
    assert set(np.unique(composite.observations)) == {0, 5}


@pytest.mark.parametrize("method", ["median-v1", "medoid-v1"])
def test_a_composite_has_the_bands_of_all_its_chips(method: str) -> None:
    chips = [plain(0, 1, BANDS), plain(1, 2, ("blue", "swir16"))]
    assert set(made(chips, method).bands) == {"blue", "swir16"}


@pytest.mark.parametrize("method", ["median-v1", "medoid-v1"])
def test_a_period_without_a_valid_pixel_is_empty(method: str) -> None:
    chip = plain(0, 1, BANDS)
    chip.scl[:] = 9
    composite = made([chip], method)
    assert not composite.observations.any()
    assert not any(layer.any() for layer in composite.bands.values())
    if method == "medoid-v1":
        assert composite.source_number is not None
        assert (composite.source_number == NO_CHIP).all()


def test_pixels_near_clouds_do_not_count() -> None:
    chip = plain(0, 1, BANDS)
    chip.scl[64, 64] = 9
    from_cloud = np.abs(np.arange(128) - 64)
    chip.cloud_distance[:] = np.minimum(np.maximum.outer(from_cloud, from_cloud), NO_CLOUD)
    composite = composite_of([input_row(chip)], rule("median-v1", dilation=2))
    assert composite.observations.sum() == 256 * 256 - (2 * 5) ** 2


@given(st.lists(st.tuples(st.integers(0, 65_535), st.booleans()), min_size=1, max_size=40))
def test_medians_of_any_values(values: list[tuple[int, bool]]) -> None:
    layers = [np.array([[value]], np.uint16) for value, _ in values]
    masks: list[NDArray[Any]] = [np.array([[is_valid]]) for _, is_valid in values]
    counted = [value for value, is_valid in values if is_valid]
    assert medians(layers, masks)[0, 0] == (int(median(counted) + 0.5) if counted else 0)


@pytest.mark.parametrize("method", ["median-v1", "medoid-v1"])
def test_suspect_pixels_are_left_out_like_those_of_another_class(method: str) -> None:
    chips = random_chips(5, seed=9)
    suspect = np.zeros((128, 128), np.uint8)
    suspect[:2, 1:] = 1
    rows = [input_row(chip) for chip in chips]
    rows[2]["suspect"] = encode_array(suspect)
    with_suspects = composite_of(rows, rule(method))
    by_scl = int(made(chips, method).observations.sum())
    chips[2].scl[suspect == 1] = 9
    expected = made(chips, method)
    assert all(np.array_equal(with_suspects.bands[name], expected.bands[name]) for name in BANDS)
    assert np.array_equal(with_suspects.observations, expected.observations)
    if method == "medoid-v1":
        assert with_suspects.source_number is not None
        assert expected.source_number is not None
        assert np.array_equal(with_suspects.source_number, expected.source_number)
    assert with_suspects.suspect_fraction == 1 - int(expected.observations.sum()) / by_scl > 0
    assert expected.suspect_fraction == 0
