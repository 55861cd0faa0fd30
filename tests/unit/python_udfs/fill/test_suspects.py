"""Valid pixels that are far brighter or darker than similar ones let expect stay in their chip, and fill no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.fill_oracle import (
    BANDS,
    BANDS_10M,
    Chip,
    Filled,
    Rule,
    assert_answers,
    contributors,
    decoded,
    fold,
    input_row,
    plain,
)

RULE = Rule(adjust="peers", suspects="peers")
PLACE = (slice(40, 60), slice(70, 90))  # 20 m pixels
PLACE_10M = tuple(slice(2 * part.start, 2 * part.stop) for part in PLACE)
# Reflectance x 10,000 of fields, forest and soil.
SPECTRA = {"blue": (400, 300, 900), "nir": (4_000, 2_500, 2_200), "rededge1": (1_200, 900, 1_700)}
SPECTRA["swir22"] = (1_100, 700, 2_400)
KINDS = np.random.default_rng(1).integers(0, 3, (16, 16)).repeat(8, 0).repeat(8, 1)
CLOUD = {"blue": 5_000, "nir": 5_500, "rededge1": 5_200, "swir22": 3_000}


def night(day: float, light: float = 1.0) -> Chip:
    """Make a clear chip: kinds of ground, noise, and a night's own light."""
    chip, rng = plain(day, 1), np.random.default_rng(round(100 + day))
    for name, pixels in chip.bands.items():
        ground = np.array(SPECTRA[name])[KINDS]
        ground = ground.repeat(2, 0).repeat(2, 1) if name in BANDS_10M else ground
        pixels[:] = ground * light * rng.uniform(0.95, 1.05, pixels.shape)
    return chip


def part(name: str) -> tuple[slice, ...]:
    return PLACE_10M if name in BANDS_10M else PLACE


def scaled(chip: Chip, **factors: float) -> Chip:
    """Multiply bands at the place."""
    for name, factor in factors.items():
        chip.bands[name][part(name)] = chip.bands[name][part(name)] * factor
    return chip


def clouded(chip: Chip) -> Chip:
    for name in BANDS:
        chip.bands[name][part(name)] = CLOUD[name]
    return chip


def shaded(chip: Chip) -> Chip:
    return scaled(chip, **dict.fromkeys(BANDS, 0.3))


def classed(chip: Chip, scl: int) -> Chip:
    chip.scl[PLACE] = scl
    return chip


def fill(chips: list[Chip], rule: Rule = RULE) -> list[Filled]:
    return fold([input_row(chip) for chip in chips], rule)


def share_at_place(filled: Filled) -> float:
    """Return the share of the place that is suspect; nothing else may be."""
    suspect = np.zeros((128, 128)) if filled["suspect"] is None else decoded(filled)["suspect"]
    assert not np.delete(suspect, np.r_[PLACE[0]], axis=0).any()
    assert not np.delete(suspect, np.r_[PLACE[1]], axis=1).any()
    assert filled["suspect_fraction"] == suspect.mean()
    return float(suspect[PLACE].mean())


@pytest.mark.parametrize(("spoilt", "adjust"), [(clouded, "peers"), (shaded, "none")])
def test_missed_clouds_and_shadows_stay_in_their_chip_and_fill_no_other(spoilt: Any, adjust: str) -> None:
    rule = Rule(adjust=adjust, suspects="peers")
    hole = night(10)
    hole.scl[30:80, 50:100] = 9
    chips = [night(-3), night(0, 0.9), spoilt(night(5, 1.1)), hole, night(15)]
    first, _, missed, filled, _ = rows = fill(chips, rule)
    assert [share_at_place(row) for row in rows] == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert all(missed[name] == input_row(chips[2])[name] for name in BANDS)
    numbers: NDArray[np.uint8] = decoded(filled)["source_index"]
    assert (numbers[PLACE_10M] == 2).all()
    assert (numbers[60:80, 100:200] == 1).all()
    for number in (3, 4):
        assert_answers(rows[number - 1], chips[:number], rule)
    nightly = [first]
    for chip in chips[1:]:
        nightly += fold([*contributors(chips, nightly[-1]), input_row(chip)], rule)
    assert nightly == rows


def test_a_rule_without_suspects_fills_from_every_valid_pixel() -> None:
    chips = [night(-3), night(0), clouded(night(5)), classed(night(10), 9)]
    _, _, missed, filled = fill(chips, Rule(adjust="peers"))
    assert (missed["suspect"], missed["suspect_fraction"]) == (None, 0.0)
    assert (decoded(filled)["source_index"][PLACE_10M] == 1).all()


def test_haze_and_light_over_the_whole_chip_make_nothing_suspect() -> None:
    hazy = night(5, 1.3)
    hazy.bands["blue"] += 600
    assert share_at_place(fill([night(-3), night(0), hazy])[2]) == 0


@pytest.mark.parametrize(
    ("change", "share"),
    [
        # Burnt: near infrared falls, short-wave infrared does not.
        ({"blue": 0.7, "nir": 0.3, "rededge1": 0.5, "swir22": 1.2}, 0.0),
        # Flooded: infrared is absorbed, muddy water is bright in blue.
        ({"blue": 1.3, "nir": 0.2, "rededge1": 0.6, "swir22": 0.1}, 0.0),
        # Felled or harvested: brighter, in blue by less than 0.03.
        ({"blue": 1.6, "nir": 0.6, "rededge1": 1.5, "swir22": 2.0}, 0.0),
        # Snow of which SCL says vegetation: like a cloud.
        ({"blue": 15.0, "nir": 2.0, "rededge1": 6.0, "swir22": 0.3}, 1.0),
    ],
)
def test_a_change_of_the_ground_is_suspect_once_at_most(change: dict[str, float], share: float) -> None:
    chips = [night(day) for day in (-3, 0, 5, 10)]
    for chip in chips:
        for name in BANDS:
            chip.bands[name][part(name)] = SPECTRA[name][1]
    rows = fill([*chips[:2], *(scaled(chip, **change) for chip in chips[2:])])
    assert [share_at_place(row) for row in rows] == [0.0, 0.0, share, 0.0]


@pytest.mark.parametrize("scl", [6, 11])
def test_water_and_snow_are_not_judged(scl: int) -> None:
    assert share_at_place(fill([night(-3), night(0), classed(clouded(night(5)), scl)])[2]) == 0


def test_one_earlier_value_judges_nothing() -> None:
    """Either of the two chips may be the cloud."""
    rows = fill([night(0), clouded(night(5)), classed(night(10), 9)])
    assert [share_at_place(row) for row in rows] == [0.0, 0.0, 0.0]
    rows = fill([clouded(night(0)), night(5), classed(night(10), 9)])
    assert [share_at_place(row) for row in rows] == [0.0, 0.0, 0.0]


def test_both_earlier_values_must_lie_within_the_age_limit() -> None:
    for age, share in ((60, 1.0), (60.001, 0.0)):
        rows = fill([night(0), night(5), clouded(night(age))])
        assert share_at_place(rows[2]) == share, age


def test_a_filled_chip_depends_on_chips_of_twice_the_age_limit() -> None:
    """A chip of 119 days ago says that a pixel of 60 days ago is suspect; without it, that pixel fills."""
    chips = [night(0), night(1), clouded(night(60)), classed(night(119), 9)]
    *_, whole = fill(chips)
    *_, without_first = fill(chips[1:])
    assert whole["sources"] == []
    assert without_first["complete_fraction"] == 1
    assert_answers(whole, chips, RULE)


def test_darkness_is_judged_by_blue_too() -> None:
    chips = [night(-3), night(0), shaded(night(5))]
    for chip in chips:
        del chip.bands["blue"]
    assert share_at_place(fill(chips)[2]) == 0


def test_a_band_that_no_pixel_has_left_is_null() -> None:
    chips = [night(-3), night(0), clouded(night(5))]
    del chips[2].bands["nir"]
    filled = fill(chips)[2]
    assert share_at_place(filled) == 1
    assert filled["nir"] is None
    assert_answers(filled, chips, RULE)


def test_too_few_pixels_of_both_chips_judge_none() -> None:
    before, first, second = night(-3), night(0), clouded(night(5))
    for chip in (before, first):
        chip.scl[:] = 9
        chip.scl[PLACE] = 4
    second.scl[:] = 9
    second.scl[45:50, 75:80] = 4
    assert share_at_place(fill([before, first, second])[2]) == 0
