from __future__ import annotations

import numpy as np
import pytest
from harness.change_parts import score_by_season
from harness.change_series import Night, patches_of

from lakehouse.bands import BANDS
from python_udfs.change.baseline import Baseline
from python_udfs.change.patches import PatchFeatures
from python_udfs.change.rule import RULE


def night(day: float, value: int = 1000) -> Night:
    bands = {band.name: np.full((2560 // band.gsd,) * 2, value, np.uint16) for band in BANDS}
    return Night(day, bands, np.full((128, 128), 4, np.uint8))


def test_patches_have_the_mean_of_their_valid_pixels() -> None:
    one = night(18_000)
    for band in BANDS:
        one.bands[band.name][: 80 // band.gsd, : 40 // band.gsd] = 3000  # half of the first patch
    one.scl[:4, :1] = 9  # clouds over its western quarter
    one.scl[:4, 4:8] = 9  # and over all of the second
    series = patches_of([one])
    assert series.shares[0, :3].tolist() == [0.75, 0, 1]
    # 16 of the 48 valid pixels have 0.3, the others 0.1.
    assert series.features[0, :, 0] == pytest.approx(np.full(10, (16 * 0.3 + 32 * 0.1) / 48))
    assert np.isnan(series.features[0, :, 1]).all()


def test_suspects_do_not_count_but_are_valid() -> None:
    nights = [night(18_000 + 5 * number) for number in range(4)]
    for band in BANDS:
        nights[3].bands[band.name][: 160 // band.gsd, : 160 // band.gsd] = 6000  # four patches that SCL calls clear
    with_all, without = patches_of(nights, with_suspects=False), patches_of(nights)
    assert with_all.shares[3].min() == 1
    assert np.flatnonzero(without.shares[3] < 1).tolist() == [0, 1, 32, 33]
    assert without.valid[3].min() == 1


def test_the_score_by_season_is_the_whitened_distance() -> None:
    # One group of unit covariance less the expected noise: a residual of 0.3 in one band of two is 0.3 / sqrt(2).
    season = np.zeros((5, 2, 1024))
    season[0] = np.log(0.12)
    covariance = (np.eye(2) * (1 - RULE.noise**2))[None]
    baseline = Baseline(("red", "nir"), season, np.zeros(1024, np.intp), covariance, np.full(1024, 0.5))
    features = np.full((2, 1024), 0.1, np.float32)
    features[0, 7] = np.exp(np.log(0.12) + 0.3) - 0.02
    share = np.ones(1024, np.float32)
    share[9] = 0.5
    anomaly = score_by_season(RULE, baseline, 18_000, PatchFeatures(("red", "nir"), features, share))
    assert anomaly is not None
    assert anomaly.score[7] == pytest.approx(0.3 / np.sqrt(2) / 0.5, rel=1e-4)
    assert anomaly.score[8] == pytest.approx(0, abs=1e-4)
    assert np.isnan(anomaly.score[9])
