from __future__ import annotations

import numpy as np
import pytest
from harness.change_peers import Breaks, former_scores, rises, sccd_breaks, square_means

from embedding.model.clay_bands import STATISTICS
from lakehouse.bands import BAND_NAMES


def test_sccd_confirms_a_step_with_the_third_observation() -> None:
    days = 18_000 + np.arange(0, 960, 8.0)
    noise = np.random.default_rng(0).normal(0, 20, (len(days), 4, 1, 2))
    season = 300 * np.sin(days / 365.25 * 2 * np.pi)
    bands = (1500 + season[:, None, None, None] + noise).astype(np.uint16)
    bands[80:, :, 0, 1] += 700
    scl = np.full((len(days), 1, 2), 4, np.uint8)
    breaks = sccd_breaks(bands, scl, days)
    assert (breaks.row.tolist(), breaks.column.tolist()) == ([0], [1])
    assert (breaks.first[0], breaks.confirmed[0]) == (days[80], days[82])


def test_an_area_changes_when_enough_pixels_have_changed_within_30_days() -> None:
    confirmed = np.array([10.0, 20.0, 45.0, 100.0, 101.0, 102.0])
    breaks = Breaks(np.zeros(6, np.intp), np.zeros(6, np.intp), confirmed - 9, confirmed)
    chosen = np.ones(6, np.bool_)
    # Of 40 pixels, 5 % are two: on day 20 with day 10, on 45 with 20, on 101; it is one rise until it is over.
    assert rises(breaks, chosen, 40, 0.05) == [(20.0, 1.0), (101.0, 91.0)]
    assert rises(breaks, chosen, 40, 0.075) == [(102.0, 91.0)]


def test_the_former_score_is_robust() -> None:
    spread = np.array([STATISTICS[name].std for name in BAND_NAMES]) / 10_000
    places = np.cumsum([0, 1, 3, 2, 10.0])  # distances 1, 3, 2 and 10 in units of the bands' spread
    vectors = places[:, None] * spread / np.sqrt(10)
    scores = former_scores(vectors.astype(np.float32))
    # The third distance, 2, equals the median of 1 and 3. The fourth: (10 - 2) / (1.4826 x 1).
    assert [place for place, _ in scores] == [3, 4]
    assert scores[0][1] == pytest.approx(0, abs=1e-3)
    assert scores[1][1] == pytest.approx(8 / 1.4826, rel=1e-3)


def test_means_of_squares_weigh_patches_by_their_valid_pixels() -> None:
    features = np.full((1, 10, 32, 32), 0.2, np.float32)
    shares = np.ones((1, 32, 32), np.float32)
    features[0, :, 0, 0], shares[0, 0, 0] = 0.8, 0.5
    features[0, :, 0, 8], shares[0, 0, 8] = np.nan, 0
    means = square_means(features.reshape(1, 10, 1024), shares.reshape(1, 1024))
    assert means.shape == (1, 16, 10)
    assert means[0, 0] == pytest.approx(np.full(10, (63 * 0.2 + 0.5 * 0.8) / 63.5))
    assert means[0, 1] == pytest.approx(np.full(10, 0.2))
