"""Filled pixels are adjusted by how pixels like them have changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.peers_oracle import gains_of, group_table, times

from python_udfs.fill.peers import GAIN_ONE, GROUPS, adjusted, adjustment, peers_of

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


@pytest.mark.parametrize("names", [tuple(SIDES), ("blue", "nir"), ("red", "nir"), ("nir08",), ("green", "swir16")])
@pytest.mark.parametrize("missing", [0.1, 0.7])
def test_groups_and_gains_are_those_of_the_oracle(names: tuple[str, ...], missing: float) -> None:
    rng = np.random.default_rng(len(names))
    (source, source_valid), (target, target_valid) = (landscape(names, rng, missing) for _ in range(2))
    of_source, of_target = peers_of(source, source_valid), peers_of(target, target_valid)
    group = group_table(source, source_valid)
    assert [[group(row, col) for col in range(0, 128, 5)] for row in range(0, 128, 3)] == (
        of_source.groups[::3, ::5].tolist()
    )
    found = adjustment(of_source, of_target)
    peers, gains = gains_of(source, source_valid, target, target_valid)
    assert found.peers == peers
    assert {name: values.tolist() for name, values in found.gains.items()} == gains
    assert any(gain != GAIN_ONE for values in gains.values() for gain in values)


def test_a_band_that_one_chip_lacks_has_no_gains() -> None:
    rng = np.random.default_rng(1)
    source, target = landscape(("red", "nir", "swir16"), rng, 0), landscape(("red", "nir", "blue"), rng, 0)
    assert set(adjustment(peers_of(*source), peers_of(*target)).gains) == {"red", "nir"}


def test_too_few_peers_give_no_gains() -> None:
    bands, valid = landscape(("red", "nir"), np.random.default_rng(1), 0)
    few = np.zeros_like(valid)
    few[100 : 100 + 4 * 29 : 4, 100:102] = few[101 : 101 + 4 * 29 : 4, 100:102] = True
    assert adjustment(peers_of(bands, valid), peers_of(bands, few)).gains == {}
    few[40:42, 100:102] = True
    found = adjustment(peers_of(bands, valid), peers_of(bands, few))
    assert found.peers == 30
    assert set(found.gains) == {"red", "nir"}
    assert all(gains.tolist() == [GAIN_ONE] * GROUPS for gains in found.gains.values())


def test_gains_are_limited() -> None:
    bands, valid = landscape(("red", "nir"), np.random.default_rng(1), 0)
    for factor, gain in ((5, 2.5), (0.1, 0.4)):
        other = {name: np.maximum(pixels * factor, 1).astype(np.uint16) for name, pixels in bands.items()}
        gains = adjustment(peers_of(bands, valid), peers_of(other, valid)).gains
        assert all((values == round(gain * GAIN_ONE)).all() for values in gains.values())


def test_pixels_are_multiplied_as_by_the_oracle() -> None:
    pixels = np.array([0, 1, 2, 300, 9_999, 40_000, 65_535], np.uint16)
    for gain in (3_277, 8_191, GAIN_ONE, 8_193, 20_480):
        expected = [times(int(pixel), gain) for pixel in pixels]
        assert adjusted(pixels, np.full(pixels.shape, gain, np.uint16)).tolist() == expected
