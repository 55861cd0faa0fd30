"""How anomalies become events: states, growth, doubt about shadows and clouds, and what must not matter."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from python_udfs.change.anomaly import Evidence
from python_udfs.change.connected import connected_groups
from python_udfs.change.events import CellEvent, Observation, components, follow_cell
from python_udfs.change.rule import ChangeRule
from python_udfs.change.words import looks_like

RULE = ChangeRule(min_score=3.0)
BANDS = ("blue", "red", "nir", "swir16", "swir22")
START = datetime(2023, 5, 1, 10, tzinfo=UTC)
FELLED = (0.1, 0.6, -0.5, 0.3, 0.5)
PLACE = (40, 41, 72)


def night(
    number: int, scores: dict[int, float] | None = None, residual: tuple[float, ...] = FELLED, judged: bool = True
) -> Observation:
    """Return the observation of day 5 x number in which some patches are unusual."""
    patches = sorted(scores or {})
    turned = np.repeat(np.array(residual, np.float32)[:, None], len(patches), axis=1)
    evidence = Evidence(
        BANDS,
        np.full(1024, judged),
        np.array(patches, np.intp),
        np.array([(scores or {})[patch] for patch in patches], np.float32),
        turned,
        turned,
    )
    return Observation(START + timedelta(days=5 * number), f"chip{number}", evidence)


def high(score: float = 4.0, patches: tuple[int, ...] = PLACE) -> dict[int, float]:
    return dict.fromkeys(patches, score)


def day(number: int) -> datetime:
    return START + timedelta(days=5 * number)


def only(events: list[CellEvent]) -> CellEvent:
    assert len(events) == 1, events
    return events[0]


def test_an_anomaly_is_first_then_provisional_then_confirmed() -> None:
    nights = [night(0), night(1, high()), night(2, high(5)), night(3, high()), night(4, high())]
    event = only(follow_cell(RULE, nights[:2]))
    assert (event.state, event.first_seen_at, event.provisional_at, event.observations_for) == (
        "first",
        day(1),
        None,
        1,
    )
    event = only(follow_cell(RULE, nights[:3]))
    assert (event.state, event.first_seen_at, event.provisional_at) == ("provisional", day(1), day(2))
    event = only(follow_cell(RULE, nights))
    assert (event.state, event.confirmed_at, event.observations_for) == ("confirmed", day(4), 4)
    assert event.patches == set(PLACE)
    assert (event.chip_id_before, event.chip_id_after) == ("chip0", "chip2")
    assert event.looks_like == "barer and drier"


def test_an_anomaly_that_is_not_seen_again_is_reverted() -> None:
    event = only(follow_cell(RULE, [night(0), night(1, high()), night(2), night(3)]))
    assert (event.state, event.ended_at, event.observations_against) == ("reverted", day(3), 2)


def test_an_anomaly_in_another_direction_does_not_confirm() -> None:
    other = tuple(-value for value in FELLED)
    events = follow_cell(RULE, [night(0), night(1, high()), night(2, high(), other)])
    assert {event.provisional_at for event in events} == {None}


def test_the_next_but_one_observation_may_confirm() -> None:
    event = only(follow_cell(RULE, [night(0), night(1, high()), night(2), night(3, high())]))
    assert (event.state, event.first_seen_at, event.provisional_at) == ("provisional", day(1), day(3))


def test_a_confirmed_event_is_finished_when_three_observations_do_not_show_it() -> None:
    shown = [night(number, high()) for number in range(1, 6)]
    event = only(follow_cell(RULE, [night(0), *shown, night(6), night(7)]))
    assert event.state == "confirmed"
    event = only(follow_cell(RULE, [night(0), *shown, night(6), night(7), night(8)]))
    assert (event.state, event.ended_at, event.last_seen_at) == ("finished", day(8), day(5))


def test_without_an_observation_of_its_place_no_state_changes() -> None:
    nights = [night(0), night(1, high()), night(2, high())]
    before = follow_cell(RULE, nights)
    unseen = [night(number, judged=False) for number in range(3, 40)]
    assert follow_cell(RULE, nights + unseen) == before


def test_a_small_event_is_none_and_a_touching_patch_lets_an_event_grow() -> None:
    assert follow_cell(RULE, [night(0), night(1, high(9, (500,))), night(2, high(9, (500,)))]) == []
    grown = high(4, (*PLACE, 73))
    event = only(follow_cell(RULE, [night(0), night(1, high()), night(2, high()), night(3, grown), night(4, grown)]))
    assert event.patches == {*PLACE, 73}
    assert event.first_seen_at == day(1)


def test_two_places_are_two_events_until_they_touch() -> None:
    far = (44, 45)
    both = high() | high(4, far)
    events = follow_cell(RULE, [night(0), night(1, both), night(2, both)])
    assert [event.patches for event in events] == [set(PLACE), set(far)]
    joined = both | high(4, (42, 43))
    event = only(follow_cell(RULE, [night(0), night(1, both), night(2, both), night(3, joined), night(4, joined)]))
    assert event.patches == {*PLACE, *far, 42, 43}


@pytest.mark.parametrize(
    "doubtful",
    [(-0.3, -0.5, -0.9, -1.0, -1.0), (0.5, 0.4, 0.2, 0.1, 0.1)],
    ids=["shadow", "cloud"],
)
def test_what_may_be_a_shadow_or_a_cloud_must_be_seen_a_third_time(doubtful: tuple[float, ...]) -> None:
    nights = [night(0), *(night(number, high(), doubtful) for number in (1, 2, 3))]
    assert only(follow_cell(RULE, nights[:3])).state == "first"
    assert only(follow_cell(RULE, nights)).state == "provisional"


def test_the_order_of_observations_does_not_matter_to_events() -> None:
    chance = random.Random(5)
    nights = [
        night(number, {patch: chance.uniform(1.4, 6) for patch in chance.sample(range(96), chance.randrange(30))})
        for number in range(25)
    ]
    expected = follow_cell(RULE, nights)
    assert len(expected) > 5
    for _ in range(5):
        chance.shuffle(nights)
        assert follow_cell(RULE, nights) == expected


def test_components_are_patches_that_touch_also_at_corners() -> None:
    assert components([0, 33, 2, 31, 32, 1023]) == [{0, 32, 33, 2}, {31}, {1023}]
    assert components([]) == []


def test_groups_of_pairs_are_those_of_a_search() -> None:
    chance = random.Random(2)
    members = [f"m{number:02}" for number in range(40)]
    pairs = [tuple(chance.sample(members, 2)) for _ in range(25)]
    found = {row["member"]: row["group_id"] for row in connected_groups(pairs) or []}
    for start in found:
        reached, size = {start}, 0
        while len(reached) != size:
            size = len(reached)
            reached |= {member for pair in pairs if set(pair) & reached for member in pair}
        assert found[start] == min(reached)
    assert connected_groups(None) == []


@pytest.mark.parametrize(
    ("residual", "words"),
    [
        (FELLED, "barer and drier"),
        ((-0.1, 0.1, -0.9, -0.3, 0.4), "burnt"),
        ((0.0, -0.3, -1.5, -1.6, -1.6), "barer and darker"),
        ((0.3, 0.3, 0.3, 0.3, 0.3), "brighter"),
        ((-0.05, -0.4, 0.4, 0.1, 0.1), "greener and wetter"),
        ((0.01, 0.0, 0.02, 0.0, 0.0), "different"),
    ],
)
def test_words_name_the_strongest_differences(residual: tuple[float, ...], words: str) -> None:
    assert looks_like(BANDS, np.array(residual)) == words
