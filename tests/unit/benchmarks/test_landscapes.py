from __future__ import annotations

import json
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from harness.landscapes import (
    FAMILIES,
    HALVES,
    NUISANCES,
    Landscape,
    Nuisances,
    load,
    make_landscape,
    read_landscape,
    save,
)
from harness.landscapes.events import plant
from harness.landscapes.families import TEST, TUNE
from harness.landscapes.landscape import KINDS
from harness.landscapes.mosaic import make_mosaic
from harness.landscapes.sky import make_passes, sun_at
from harness.landscapes.weather import make_weather
from harness.landscapes.years import make_year

from lakehouse.bands import BAND_NAMES, BANDS
from lakehouse.errors import ChiplakeError

SHORT = replace(TUNE, years=(1.75, 1.8), overcast=(0.7, 0.7), repeat=(0, 5))  # few nights
RED, NIR = BAND_NAMES.index("red"), BAND_NAMES.index("nir")


@cache
def a_landscape() -> Landscape:
    return make_landscape(SHORT, 3)


@cache
def a_plain_landscape() -> Landscape:
    return make_landscape(SHORT, 3, Nuisances.none())


def test_equal_seeds_give_equal_pixels_and_others_do_not() -> None:
    again = make_landscape(SHORT, 3)
    assert np.array_equal(again.bands, a_landscape().bands)
    assert np.array_equal(again.scl, a_landscape().scl)
    assert not np.array_equal(make_mosaic(SHORT, 3).label, make_mosaic(SHORT, 4).label)


def test_arrays_have_the_shapes_and_ranges_of_chips() -> None:
    landscape = a_landscape()
    nights = len(landscape.days)
    assert landscape.bands.shape == (nights, 10, 256, 256)
    assert landscape.bands.dtype == np.uint16
    assert landscape.bands.min() >= 1
    assert landscape.scl.shape == (nights, 128, 128)
    assert set(np.unique(landscape.scl)) <= set(range(2, 12))
    assert (np.diff(landscape.days) > 0).all()
    assert set(landscape.orbit) == {79, 122}


def test_pixels_of_20_m_bands_come_in_fours() -> None:
    for number, band in enumerate(BANDS):
        pixels = a_landscape().bands[5, number]
        fours = pixels[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)
        assert np.array_equal(pixels, fours) == (band.gsd == 20)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("number", [0, 7, 23])
def test_changes_are_of_1_to_50_ha_apart_and_have_15_months_before_them(half: str, number: int) -> None:
    family = FAMILIES[half]
    seed = family.seeds[number]
    passes = make_passes(family, seed, Nuisances())
    days = np.array([one.day for one in passes])
    weather = make_weather(family, seed, days[0], days[-1], Nuisances())
    mosaic = make_mosaic(family, seed)
    events = plant(family, seed, mosaic, make_year(family, seed, days, weather, Nuisances()))
    assert 4 <= len(events) <= 6
    assert np.sum([event.mask for event in events], axis=0).max() == 1
    for event in events:
        assert 100 <= event.mask.sum() <= 5_100
        assert days[0] + 455 <= event.start <= days[-1] - 149
        assert event.end > event.start
        assert event.kind in KINDS
        if event.kind in ("clear_cut", "dieback"):
            assert set(mosaic.cover_map[event.mask]) <= {"broadleaf", "needles", "mixed"}


def test_a_change_alters_the_ground_from_its_start_and_only_there() -> None:
    changed, still = a_plain_landscape(), make_landscape(replace(SHORT, changes=(0, 0)), 3, Nuisances.none())
    truth = changed.truth
    assert (len(still.truth.kind), len(truth.kind) >= 4) == (0, True)
    difference = np.abs(changed.bands.astype(np.int32) - still.bands).max(axis=1)
    assert difference[changed.days < truth.start_day.min()].max() == 0
    near = np.asarray(truth.mask.any(axis=0))
    for _ in range(3):  # the light of a pixel reaches its neighbours, and those of a 20 m band are four
        near[1:] |= near[:-1]
        near[:-1] |= near[1:]
        near[:, 1:] |= near[:, :-1]
        near[:, :-1] |= near[:, 1:]
    assert difference[:, ~near].max() == 0
    stays = truth.end < 0
    for mask, start in zip(truth.mask[stays], truth.start_day[stays], strict=True):
        assert np.median(difference[changed.days > start + 60][:, mask]) > 100


def test_leaves_come_in_spring_and_fall_in_autumn() -> None:
    landscape, cover = a_plain_landscape(), make_mosaic(SHORT, 3).cover_map
    woods = (cover == "broadleaf") & ~landscape.truth.mask.any(axis=0)
    red, nir = (landscape.bands[:, band][:, woods].astype(float).mean(axis=1) for band in (RED, NIR))
    greenness = (nir - red) / (nir + red)
    season = landscape.days % 365.25
    assert greenness[(season > 160) & (season < 230)].min() > 0.75
    assert greenness[(season > 340) | (season < 80)].max() < 0.6


def test_a_plain_world_has_no_clouds_no_snow_and_repeats_its_crops() -> None:
    scl = a_plain_landscape().scl
    assert not np.isin(scl, (3, 8, 9, 10, 11)).any()
    with_all = a_landscape().scl
    assert np.isin(with_all, (3, 8, 9, 10)).mean() > 0.05


@pytest.mark.parametrize("name", NUISANCES)
def test_each_nuisance_changes_pixels_and_not_the_truth(name: str) -> None:
    base, one = a_plain_landscape(), make_landscape(SHORT, 3, Nuisances.only(name))
    assert np.array_equal(base.days, one.days)
    assert np.array_equal(base.truth.mask, one.truth.mask)
    assert not np.array_equal(base.bands, one.bands)


def test_an_unknown_nuisance_is_named() -> None:
    with pytest.raises(ChiplakeError, match="there is no nuisance fog; there are phenology"):
        Nuisances.only("fog")


def test_the_halves_differ_in_parameters_and_share_no_seed() -> None:
    assert not set(TUNE.seeds) & set(TEST.seeds)
    assert min(len(TUNE.seeds), len(TEST.seeds)) >= 20
    differing = [field.name for field in fields(TUNE) if getattr(TUNE, field.name) != getattr(TEST, field.name)]
    assert len(differing) > 25


def test_the_sun_stands_as_high_as_the_almanac_says() -> None:
    # At 22 degrees before noon and 47.5 N: declination +23.4 on 21 June 2021 (day 18799), -23.4 on 21 December (18982).
    for day, declination in ((18_799, 23.44), (18_982, -23.44)):
        north, tilt, hour = np.radians([47.5, declination, 22])
        height = np.sin(north) * np.sin(tilt) + np.cos(north) * np.cos(tilt) * np.cos(hour)
        sun = sun_at(47.5, day)
        assert np.degrees(sun.zenith) == pytest.approx(90 - np.degrees(np.arcsin(height)), abs=0.5)
        assert 90 < np.degrees(sun.azimuth) < 180  # in the morning it stands in the south-east


def test_a_saved_landscape_is_read_back(tmp_path: Path) -> None:
    whole = a_landscape()
    few = replace(
        whole,
        **{name: getattr(whole, name)[:3] for name in ("days", "platform", "orbit", "baseline", "bands", "scl")},
    )
    save(few, tmp_path / "one")
    read = read_landscape(tmp_path / "one")
    assert np.array_equal(read.bands, few.bands)
    assert np.array_equal(read.scl, few.scl)
    assert read.days == pytest.approx(few.days, abs=1e-6)
    assert (list(read.orbit), list(read.platform)) == (list(few.orbit), list(few.platform))
    truth = load(tmp_path / "one")
    assert np.array_equal(truth.mask, few.truth.mask)
    assert (truth.origin, list(truth.kind)) == (few.truth.origin, list(few.truth.kind))
    items = json.loads((tmp_path / "one/items.json").read_text())["features"]
    assert all(asset["href"].startswith("./") for item in items for asset in item["assets"].values())


def test_a_folder_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChiplakeError, match=r"items.json is missing"):
        load(tmp_path)
