from __future__ import annotations

import math

import numpy as np
import pytest
from harness.change_scores import Counts, Detection, evaluate, observed_squares, squares_of_events
from harness.landscapes import Truth

ORIGIN = 18_262  # 1 January 2020
NIGHTS = ORIGIN + np.arange(0, 1000, 10.0)
ALL_SEEN = np.ones((len(NIGHTS), 16), np.bool_)


def truth_of(*events: tuple[tuple[int, int], float, float]) -> Truth:
    """One event of 10 x 10 pixels at each corner (row, column), from day to day of the origin."""
    mask = np.zeros((len(events), 256, 256), np.bool_)
    for number, ((row, column), _, _) in enumerate(events):
        mask[number, row : row + 10, column : column + 10] = True
    start, end = (np.array([event[place] for event in events], float) for place in (1, 2))
    return Truth(ORIGIN, mask, start, end, np.array(["burn"] * len(events)))


def detection(day: float, *patches: tuple[int, int], first_seen: float | None = None) -> Detection:
    where = np.zeros((32, 32), np.bool_)
    for patch in patches:
        where[patch] = True
    return Detection(ORIGIN + day, ORIGIN + (day if first_seen is None else first_seen), where)


def counts_of(truth: Truth, *detections: Detection) -> Counts:
    return evaluate(truth, detections, NIGHTS, ALL_SEEN)


def test_a_detection_after_the_start_finds_the_change() -> None:
    counts = counts_of(truth_of(((10, 10), 600, -1)), detection(625, (1, 1)))
    assert (counts.right, counts.false, counts.recall, counts.precision) == (1, 0, 1.0, 1.0)
    assert counts.delay_days == 25


@pytest.mark.parametrize(
    ("day", "right", "false", "found"),
    [(599, 0, 1, False), (600, 1, 0, True), (720, 1, 0, True), (721, 1, 0, False)],
)
def test_a_change_is_found_within_120_days_and_explains_later_detections(
    day: float, right: int, false: int, found: bool
) -> None:
    counts = counts_of(truth_of(((10, 10), 600, -1)), detection(day, (1, 1)))
    assert (counts.right, counts.false, bool(counts.found[0])) == (right, false, found)


@pytest.mark.parametrize(("first_seen", "right"), [(680, 1), (681, 0)])
def test_a_change_explains_what_is_first_seen_60_days_after_its_end(first_seen: float, right: int) -> None:
    counts = counts_of(truth_of(((10, 10), 600, 620)), detection(700, (1, 1), first_seen=first_seen))
    assert (counts.right, counts.false) == (right, 1 - right)


def test_a_detection_counts_once_in_each_square_that_it_touches() -> None:
    # Squares are 8 patches wide. The change lies in the first; a patch of the third is too far from it.
    counts = counts_of(truth_of(((10, 10), 600, -1)), detection(610, (1, 1), (2, 2), (1, 20)))
    assert (counts.right, counts.false) == (1, 1)


def test_a_change_reaches_one_patch_beyond_its_square() -> None:
    # 8 pixels are a patch, 64 a square: pixels 65 to 71 lie in the second square, and within a patch of the first.
    mask = np.zeros((2, 256, 256), np.bool_)
    mask[0, 10, 71] = mask[1, 10, 72] = True
    near = squares_of_events(mask)
    assert np.flatnonzero(near[0]).tolist() == [0, 1]
    assert np.flatnonzero(near[1]).tolist() == [1]


def test_repeats_within_60_days_count_once() -> None:
    nothing = truth_of()
    repeats = [detection(day, (1, 1)) for day in (500, 560, 561, 622)]
    # 560 repeats 500; 561 is more than 60 days after 500; 622 more than 60 after 561.
    assert counts_of(nothing, *repeats).false == 3


def test_a_false_alarm_does_not_hide_a_right_one() -> None:
    counts = counts_of(truth_of(((10, 10), 600, -1)), detection(590, (1, 1)), detection(610, (1, 1)))
    assert (counts.right, counts.false, counts.delay_days) == (1, 1, 10)


def test_the_first_year_is_history() -> None:
    counts = counts_of(truth_of(), detection(364, (1, 1)), detection(365, (20, 20)))
    assert counts.false == 1
    nights = int((NIGHTS >= ORIGIN + 365).sum())
    assert counts.observations == 16 * nights
    assert counts.square_years == pytest.approx(16 * (990 - 365) / 365.25)


def test_rates_of_false_alarms() -> None:
    counts = counts_of(truth_of(), detection(500, (1, 1)))
    assert counts.false_per_10000 == pytest.approx(10_000 / (16 * 63))
    # A chip has 6.5536 km².
    assert counts.false_per_1000_km2_year == pytest.approx(1000 / (6.5536 * 625 / 365.25))
    assert math.isnan(counts.recall)
    assert counts.figures("former_")["former_recall"] is None


def test_a_square_is_observed_from_half_of_it() -> None:
    shares = np.zeros((1, 32, 32), np.float32)
    shares[0, :8, :4] = 1  # half of the first square
    shares[0, :8, 8:12] = 0.98
    assert observed_squares(shares)[0].tolist() == [True] + [False] * 15


def test_totals_add_and_keep_each_change() -> None:
    one = counts_of(truth_of(((10, 10), 600, -1)), detection(620, (1, 1)))
    other = counts_of(
        truth_of(((10, 10), 600, -1), ((100, 100), 700, -1)), detection(640, (1, 1)), detection(500, (30, 1))
    )
    total = Counts.total([one, other])
    assert (total.right, total.false, total.delay_days) == (2, 1, 30)
    assert total.recall == pytest.approx(2 / 3)
    assert total.recall_of(np.array([True, True, False])) == 1
    assert total.recall_of(np.array([False, False, True])) == 0
