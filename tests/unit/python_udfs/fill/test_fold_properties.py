"""Properties of filling, for any sequence of chips."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.fill_oracle import (
    BANDS,
    BANDS_10M,
    DAY,
    Chip,
    Rule,
    assert_answers,
    contributors,
    fold,
    input_row,
    sequences,
)

thorough = settings(
    max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@thorough
@given(sequences())
def test_each_chip_is_filled_as_the_rules_say(sequence: tuple[list[Chip], Rule]) -> None:
    chips, rule = sequence
    filled = fold([input_row(chip) for chip in chips], rule)
    assert len(filled) == len(chips)
    for number, row in enumerate(filled, start=1):
        assert_answers(row, chips[:number], rule)


def test_chips_of_random_pixels_are_filled_as_the_rules_say() -> None:
    rng = np.random.default_rng(7)
    chips = []
    for number in range(3):
        sides = {name: 256 if name in BANDS_10M else 128 for name in BANDS}
        bands = {
            name: (rng.integers(1, 65_536, (side, side)) * (rng.random((side, side)) < 0.8)).astype(np.uint16)
            for name, side in sides.items()
        }
        chips.append(Chip(number * DAY, rng.integers(0, 13, (128, 128)).astype(np.uint8), bands))
    for number, row in enumerate(fold([input_row(chip) for chip in chips]), start=1):
        assert_answers(row, chips[:number], Rule())


@thorough
@given(sequences(min_size=2), st.data())
def test_a_fold_from_a_filled_chips_sources_gives_the_same_bytes(
    sequence: tuple[list[Chip], Rule], data: st.DataObject
) -> None:
    chips, rule = sequence
    at_once = fold([input_row(chip) for chip in chips], rule)
    split = data.draw(st.integers(1, len(chips) - 1), label="split")
    rest = [input_row(chip) for chip in chips[split:]]
    assert fold([*contributors(chips, at_once[split - 1]), *rest], rule) == at_once[split:]


@thorough
@given(sequences(min_size=2))
def test_one_chip_a_night_gives_the_same_bytes(sequence: tuple[list[Chip], Rule]) -> None:
    chips, rule = sequence
    at_once = fold([input_row(chip) for chip in chips], rule)
    nightly = fold([input_row(chips[0])], rule)
    for chip in chips[1:]:
        nightly += fold([*contributors(chips, nightly[-1]), input_row(chip)], rule)
    assert nightly == at_once


@thorough
@given(sequences(min_size=2), st.data())
def test_only_chips_of_the_history_matter(sequence: tuple[list[Chip], Rule], data: st.DataObject) -> None:
    chips, rule = sequence
    at_once = fold([input_row(chip) for chip in chips], rule)
    number = data.draw(st.integers(1, len(chips) - 1), label="chip")
    history_days = rule.max_age_days * (2 if rule.suspects == "peers" else 1)
    oldest = chips[number].acquired_us - history_days * DAY
    sources = [input_row(chip, "source") for chip in chips[:number] if chip.acquired_us >= oldest]
    assert fold([*sources, input_row(chips[number])], rule) == [at_once[number]]
