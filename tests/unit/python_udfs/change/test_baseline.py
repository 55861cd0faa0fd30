"""Seasons and anomalies against slow independent computations, and what must not matter to them."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from python_udfs.change.anomaly import Anomaly, Evidence, score_chip
from python_udfs.change.baseline import Baseline, fit_baseline
from python_udfs.change.functions import chip_anomaly, patch_baseline
from python_udfs.change.groups import common_residuals, members_of, robust_covariance
from python_udfs.change.patches import PatchFeatures
from python_udfs.change.rule import RULE
from python_udfs.codec import encode_array

BANDS = ("green", "red", "nir")
YEAR = 365.2425
FIRST = (date(2021, 1, 3) - date(1970, 1, 1)).days


def season(kind: int, day: float) -> NDArray[np.float64]:
    """Reflectance of three covers: fields, woods, bare ground."""
    green = max(0.0, np.sin(2 * np.pi * (day / YEAR - 0.25)))
    return np.array([[0.06, 0.07, 0.2 + 0.25 * green], [0.03, 0.03, 0.18 + 0.1 * green], [0.12, 0.15, 0.2]][kind])


def series(nights: int = 60, seed: int = 3) -> tuple[NDArray[np.float64], list[PatchFeatures]]:
    """Two years of 1,024 patches with noise, a haze a night and some clouds."""
    chance = np.random.default_rng(seed)
    days = np.asarray(FIRST + np.sort(chance.choice(730, nights, replace=False)) + 0.4, np.float64)
    kinds = np.arange(1024) % 3
    observations = []
    for day in days:
        truth = np.stack([season(int(kind), day) for kind in kinds], axis=1)
        seen = (truth + 0.01 * chance.random()) * chance.normal(1, 0.03, truth.shape)
        share = np.where(chance.random(1024) < 0.2, 0.3, 1.0).astype(np.float32)
        observations.append(PatchFeatures(BANDS, seen.astype(np.float32), share))
    return days, observations


@pytest.fixture(scope="module")
def fitted() -> tuple[NDArray[np.float64], list[PatchFeatures], Baseline]:
    days, observations = series()
    baseline = fit_baseline(RULE, days, observations)
    assert baseline is not None
    return days, observations, baseline


def test_the_season_is_a_weighted_ridge_fit(fitted: Any) -> None:
    """The penalised least squares of one patch, by lstsq on the rows of data and penalty, are those of the baseline."""
    days, observations, baseline = fitted
    angle = 2 * np.pi * days / YEAR
    terms = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], 1)
    logs = np.log(np.stack([one.features for one in observations]) + 0.02, dtype=np.float64)
    seen = np.stack([one.share for one in observations]) >= 0.75
    penalty = np.sqrt(np.diag([1e-6, 0.5, 0.5, 1, 1]))

    def fit(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (5, bands) of one patch."""
        rows = np.vstack([terms * np.sqrt(weights)[:, None], penalty])
        right = np.vstack([values * np.sqrt(weights)[:, None], np.zeros((5, 3))])
        return np.asarray(np.linalg.lstsq(rows, right, rcond=None)[0])

    first = np.stack([fit(logs[:, :, patch], seen[:, patch].astype(float)) for patch in range(1024)], axis=2)
    residual = logs - np.einsum("nt,tcp->ncp", terms, first)
    common = np.zeros_like(residual)
    for night in range(len(days)):
        for group in range(8):
            members = np.flatnonzero(baseline.group == group)
            sample = members[:: max(1, len(members) // 48)]
            chosen = sample[seen[night, sample]]
            if len(chosen) >= 12:
                common[night][:, members] = np.median(residual[night][:, chosen], axis=1)[:, None]
            else:
                every = np.arange(1024)[::21]
                chosen = every[seen[night, every]]
                common[night][:, members] = np.median(residual[night][:, chosen], axis=1)[:, None]
    cleared = logs - common
    residual = cleared - np.einsum("nt,tcp->ncp", terms, first)
    spread = np.sqrt((np.minimum(residual**2, 0.25) * seen[:, None]).sum(0) / seen.sum(0))
    for patch in (0, 1, 2, 517, 1023):
        unit = np.median(spread[:, baseline.group == baseline.group[patch]], axis=1) + 0.02
        distance = np.sqrt(((residual[:, :, patch] / unit) ** 2).mean(axis=1))
        weights = seen[:, patch] * np.minimum(1, 1.5 / distance) ** 2
        expected = fit(cleared[:, :, patch], weights)
        assert baseline.season[:, :, patch] == pytest.approx(expected, abs=2e-4)


def test_patches_of_one_cover_are_in_one_group(fitted: Any) -> None:
    _, _, baseline = fitted
    for kind in range(3):
        groups = set(baseline.group[np.arange(1024) % 3 == kind].tolist())
        others = set(baseline.group[np.arange(1024) % 3 != kind].tolist())
        assert not groups & others


def test_the_order_of_observations_does_not_matter() -> None:
    days, observations = series(nights=25)
    history = [
        (int(day * 86_400_000_000), f"chip{day}", one.encode()) for day, one in zip(days, observations, strict=True)
    ]
    in_order = patch_baseline(history)
    assert in_order == patch_baseline(history[::-1])
    assert in_order == patch_baseline([dict(zip("abc", one, strict=True)) for one in history[::2] + history[1::2]])


def test_a_baseline_needs_observations() -> None:
    days, observations = series(nights=9)
    assert fit_baseline(RULE, days, observations) is None
    assert fit_baseline(RULE, np.array([]), []) is None
    assert patch_baseline([]) is None


def test_observations_with_other_bands_than_the_last_are_left_out() -> None:
    days, observations = series(nights=40)
    other = [PatchFeatures(("red", "nir"), one.features[:2], one.share) for one in observations[:15]]
    found = fit_baseline(RULE, days, [*other, *observations[15:]])
    alone = fit_baseline(RULE, days[15:], observations[15:])
    assert found is not None
    assert alone is not None
    assert np.array_equal(found.season, alone.season)


def test_a_frame_of_a_baseline_keeps_what_scores_need(fitted: Any) -> None:
    days, observations, baseline = fitted
    read = Baseline.decode(baseline.encode())
    assert read.bands == baseline.bands
    assert np.array_equal(read.group, baseline.group)
    assert read.season == pytest.approx(baseline.season, abs=0.5 / 8192 + 1e-9)
    given = score_chip(RULE, baseline, days[-1], observations[-1])
    again = score_chip(RULE, read, days[-1], observations[-1])
    assert given is not None
    assert again is not None
    assert again.score == pytest.approx(given.score, rel=0.02, abs=0.01, nan_ok=True)


@pytest.mark.parametrize("numbers", [[], [7], [7, 8], [7, 300] * 5000, [7, 0] + [0] * 20000])
def test_a_damaged_baseline_is_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="frame"):
        Baseline.decode(encode_array(np.array(numbers, np.uint16)))


def score_of(baseline: Baseline, day: float, patches: PatchFeatures) -> Anomaly:
    found = score_chip(RULE, baseline, day, patches)
    assert found is not None
    return found


def test_a_changed_patch_stands_out_and_light_that_all_share_does_not(fitted: Any) -> None:
    days, observations, baseline = fitted
    given = observations[-1]
    share = np.ones(1024, np.float32)
    usual = score_of(baseline, days[-1], PatchFeatures(BANDS, given.features, share))
    changed = given.features.copy()
    changed[:, 400] = (0.12, 0.15, 0.2)  # bare ground, where patch 400 is woods
    felled = score_of(baseline, days[-1], PatchFeatures(BANDS, changed, share))
    assert felled.score[400] > 4 * usual.score[400]
    assert felled.score[400] == np.nanmax(felled.score)
    lit = (given.features + 0.02) * np.float32(1.3) - 0.02  # a gain of what the logarithm is taken of
    brighter = score_of(baseline, days[-1], PatchFeatures(BANDS, lit, share))
    assert brighter.score == pytest.approx(usual.score, rel=1e-2, abs=1e-2)


def test_unseen_patches_are_not_judged_and_change_no_other_score(fitted: Any) -> None:
    days, observations, baseline = fitted
    given = observations[-1]
    share = given.share.copy()
    assert (share < 0.75).any()
    wild = given.features.copy()
    wild[:, share < 0.75] = 0.9
    one, other = (
        score_of(baseline, days[-1], PatchFeatures(BANDS, values, share)) for values in (given.features, wild)
    )
    assert np.array_equal(np.isnan(one.score), share < 0.75)
    assert np.array_equal(one.score, other.score, equal_nan=True)


def test_a_chip_with_few_patches_or_without_a_baseline_is_not_judged(fitted: Any) -> None:
    days, observations, baseline = fitted
    few = PatchFeatures(BANDS, observations[-1].features, (np.arange(1024) < 19).astype(np.float32))
    assert score_chip(RULE, baseline, days[-1], few) is None
    time = int(days[-1] * 86_400_000_000)
    assert chip_anomaly(time, few.encode(), baseline.encode()) == {"judged_patches": 0}
    assert chip_anomaly(time, observations[-1].encode(), None) == {"judged_patches": 0}
    judged = chip_anomaly(time, observations[-1].encode(), baseline.encode())
    assert judged is not None
    assert judged["judged_patches"] == int((observations[-1].share >= 0.75).sum())


def test_evidence_keeps_the_unusual_patches(fitted: Any) -> None:
    days, observations, baseline = fitted
    changed = observations[-1].features.copy()
    changed[:, [7, 400]] *= 3
    anomaly = score_of(baseline, days[-1], PatchFeatures(BANDS, changed, np.ones(1024, np.float32)))
    evidence = Evidence.decode(anomaly.evidence(RULE).encode())
    assert evidence.bands == BANDS
    assert evidence.judged.all()
    assert {7, 400} <= set(evidence.patch.tolist())
    assert evidence.patch.tolist() == np.flatnonzero(anomaly.score >= RULE.evidence_score).tolist()
    assert evidence.score == pytest.approx(anomaly.score[evidence.patch], rel=1e-3)
    assert evidence.direction == pytest.approx(anomaly.direction[:, evidence.patch], rel=1e-3, abs=1e-3)
    with pytest.raises(ValueError, match="frame of evidence"):
        Evidence.decode(encode_array(np.array([7, 4, *range(80)], np.uint16)))


def test_common_residuals_are_medians_of_groups() -> None:
    residual = np.arange(60.0).reshape(1, 1, 60) ** 2
    seen = np.ones((1, 60), np.bool_)
    seen[0, 50:] = False
    group = np.where(np.arange(60) < 20, 0, 1)
    common = common_residuals(residual, seen, members_of(group, 3))
    assert np.array_equal(common[0, 0, :20], np.full(20, np.median(np.arange(20.0) ** 2)))
    assert np.array_equal(common[0, 0, 20:], np.full(40, np.median(np.arange(20.0, 50) ** 2)))
    assert not common_residuals(residual, np.zeros_like(seen), members_of(group, 3)).any()


def test_the_robust_covariance_ignores_a_few_outliers() -> None:
    chance = np.random.default_rng(0)
    truth = np.array([[1.0, 0.5], [0.5, 2.0]])
    values = chance.multivariate_normal([3, -1], truth, 5000).T
    values[:, :100] += 50
    assert robust_covariance(values) == pytest.approx(truth, abs=0.35)
