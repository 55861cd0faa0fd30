"""Filled pixels are adjusted by how pixels like them have changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.peers_oracle import gains_of, group_table, times

from python_udfs.fill.peers import (
    BLOCKS,
    GAIN_ONE,
    GROUPS,
    MAX_GAIN,
    MIN_GAIN,
    Peers,
    adjusted,
    adjustment,
    coarse_chip,
    peers_of,
)

Array = NDArray[Any]
SIDES = {"blue": 256, "green": 256, "red": 256, "nir": 256, "nir08": 128, "swir16": 128}


def landscape(names: tuple[str, ...], rng: np.random.Generator, missing: float) -> tuple[dict[str, Array], Array]:
    """Make the bands and the valid pixels of a chip with fields of different spectra."""
    fields = rng.integers(0, 9, (16, 16)).repeat(8, 0).repeat(8, 1)
    bands = {}
    for name in names:
        level = rng.integers(200, 4000, 9)[fields]
        pixels = level if SIDES[name] == 128 else level.repeat(2, 0).repeat(2, 1)
        bands[name] = (pixels * rng.uniform(0.8, 1.2, pixels.shape)).astype(np.uint16)
    clear = (rng.random((16, 16)) >= missing).repeat(16, 0).repeat(16, 1)
    clear[0, :40] = False  # single 10 m pixels
    return bands, clear


def looked_at(bands: dict[str, Array], valid: Array) -> Peers:
    return peers_of(coarse_chip(bands, valid))


@pytest.mark.parametrize("names", [tuple(SIDES), ("blue", "nir"), ("red", "nir"), ("nir08",), ("green", "swir16")])
@pytest.mark.parametrize("missing", [0.1, 0.7])
def test_groups_and_gains_are_those_of_the_oracle(names: tuple[str, ...], missing: float) -> None:
    rng = np.random.default_rng(len(names))
    (source, source_valid), (target, target_valid) = (landscape(names, rng, missing) for _ in range(2))
    of_source, of_target = looked_at(source, source_valid), looked_at(target, target_valid)
    group = group_table(source, source_valid)
    assert [[group(row, col) for col in range(0, 128, 5)] for row in range(0, 128, 3)] == (
        of_source.groups[::3, ::5].tolist()
    )
    found = adjustment(of_source, of_target)
    expected = gains_of(source, source_valid, target, target_valid)
    assert found.peers == expected.peers
    assert dict(zip(found.bands, found.gains.tolist(), strict=True)) == expected.by_group
    assert dict(zip(found.bands, found.factors.tolist(), strict=True)) == expected.by_block
    assert (found.gains != GAIN_ONE).any()
    assert (found.factors != GAIN_ONE).any()


def test_the_gain_of_a_pixel_is_that_of_the_oracle() -> None:
    rng = np.random.default_rng(3)
    (source, source_valid), (target, target_valid) = (landscape(("red", "nir"), rng, 0.5) for _ in range(2))
    of_source = looked_at(source, source_valid)
    found = adjustment(of_source, looked_at(target, target_valid))
    expected = gains_of(source, source_valid, target, target_valid)
    places = [(row, col) for row in (*range(0, 128, 9), 127) for col in (*range(0, 128, 7), 127)]
    gains = found.at(of_source.groups, np.array([128 * row + col for row, col in places]))
    for name, of_band in zip(found.bands, gains.tolist(), strict=True):
        assert of_band == [expected.at(name, int(of_source.groups[place]), *place) for place in places]


def test_haze_over_a_part_of_the_chip_is_met_by_local_factors() -> None:
    bands, valid = landscape(("red", "nir"), np.random.default_rng(5), 0)
    haze = np.linspace(1.3, 1, 256)  # brighter in the west
    hazy = {name: np.rint(pixels * haze).astype(np.uint16) for name, pixels in bands.items()}
    of_source = looked_at(bands, valid)
    hole = valid.copy()
    hole[100:150, 30:90] = False
    gains = adjustment(of_source, looked_at(hazy, hole)).at(of_source.groups, np.arange(128 * 128))
    for name, of_band in zip(bands, gains, strict=True):
        filled = adjusted(bands[name], of_band.reshape(128, 128).repeat(2, 0).repeat(2, 1))
        inside = (slice(100, 150), slice(30, 90))
        error = np.abs(filled[inside] / hazy[name][inside].astype(float) - 1)
        assert error.mean() < 0.02  # without local factors 0.06


def test_a_band_that_one_chip_lacks_has_no_gains() -> None:
    rng = np.random.default_rng(1)
    source, target = landscape(("red", "nir", "swir16"), rng, 0), landscape(("red", "nir", "blue"), rng, 0)
    assert adjustment(looked_at(*source), looked_at(*target)).bands == ("red", "nir")


def test_too_few_peers_give_no_gains() -> None:
    bands, valid = landscape(("red", "nir"), np.random.default_rng(1), 0)
    few = np.zeros_like(valid)
    few[100 : 100 + 4 * 29 : 4, 100:102] = few[101 : 101 + 4 * 29 : 4, 100:102] = True
    assert adjustment(looked_at(bands, valid), looked_at(bands, few)).bands == ()
    few[40:42, 100:102] = True
    found = adjustment(looked_at(bands, valid), looked_at(bands, few))
    assert found.peers == 30
    assert found.bands == ("red", "nir")
    assert found.gains.tolist() == [[GAIN_ONE] * GROUPS] * 2
    assert found.factors.tolist() == [[[GAIN_ONE] * BLOCKS] * BLOCKS] * 2


def test_gains_are_limited() -> None:
    bands, valid = landscape(("red", "nir"), np.random.default_rng(1), 0)
    dark = {name: pixels // 10 + 1 for name, pixels in bands.items()}
    for source, target, gain in ((dark, bands, MAX_GAIN), (bands, dark, MIN_GAIN)):
        of_source = looked_at(source, valid)
        found = adjustment(of_source, looked_at(target, valid))
        assert (found.gains == gain).all()
        assert (found.at(of_source.groups, np.arange(128 * 128)) == gain).all()


def test_pixels_are_multiplied_as_by_the_oracle() -> None:
    pixels = np.array([0, 1, 2, 300, 9_999, 40_000, 65_535], np.uint16)
    for gain in (MIN_GAIN, 8_191, GAIN_ONE, 8_193, MAX_GAIN):
        expected = [times(int(pixel), gain) for pixel in pixels]
        assert adjusted(pixels, np.full(pixels.shape, gain, np.uint16)).tolist() == expected
