"""Gap filling against an oracle that answers for one 20 m pixel at a time, from the rules of the design."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.examples import examples

from python_udfs.codec import decode_array, encode_array
from python_udfs.fill.table_function import FILLED_CHIP, FILLED_LAYERS, FillChips

DAY = 86_400_000_000  # microseconds
ALL_BANDS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
FINE, COARSE = ("blue", "nir"), ("rededge1", "swir22")  # the bands used here: of 10 m and of 20 m
BANDS = FINE + COARSE
VALID_CLASSES = {2, 4, 5, 6, 7, 11}
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of a 20 m pixel: its four 10 m pixels
FRACTIONS = ("base_valid_fraction", "complete_fraction")
OUTPUT = ("chip", *ALL_BANDS, "scl", "source_index", "sources", *FRACTIONS, "max_age_days", "mean_age_days")
FAR = 16  # in cloud_distance: no cloud is near

Array = NDArray[Any]
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Rule:
    """The parameters of filling that decide about pixels."""

    max_age_days: int = 60
    classes: frozenset[int] = frozenset(VALID_CLASSES)
    dilation: int = 0

    def as_json(self) -> str:
        return json.dumps(
            {
                "method": "newest-valid-v1",
                "max_age_days": self.max_age_days,
                "valid_scl_classes": sorted(self.classes),
                "cloud_dilation_pixels": self.dilation,
                "min_complete": 1.0,
            }
        )


@dataclass(frozen=True)
class Chip:
    """A chip before it is filled, as arrays; a band that is not in `bands` has no asset."""

    acquired_us: int
    scl: Array
    bands: dict[str, Array] = field(default_factory=dict)
    cloud_distance: Array = field(default_factory=lambda: np.full((128, 128), FAR, np.uint8))

    @property
    def chip_id(self) -> str:
        return f"chip-{self.acquired_us}"


@dataclass(frozen=True)
class Answer:
    """What the fold should give for one chip."""

    bands: dict[str, Array]
    scl: Array
    source_index: Array
    sources: list[Chip]
    base_valid_fraction: float
    complete_fraction: float
    max_age_days: float | None
    mean_age_days: float | None


# --- The pipeline, driven as Spark drives it ---


def input_row(chip: Chip, role: str = "pending") -> dict[str, Any]:
    return {
        "cell_id": "32633_1_1",
        "role": role,
        "chip": json.dumps({"chip_id": chip.chip_id}),
        "chip_id": chip.chip_id,
        "acquired_us": chip.acquired_us,
        **{name: encode_array(chip.bands[name]) if name in chip.bands else None for name in ALL_BANDS},
        "scl": encode_array(chip.scl),
        "cloud_distance": encode_array(chip.cloud_distance),
        "source_index": None,
        "sources": None,
    }


def seed_row(chip: Chip, filled: Row) -> dict[str, Any]:
    """The filled chip as the next run reads it from the table."""
    columns = dict(zip(OUTPUT, filled, strict=False))
    row = input_row(chip, "seed") | {"chip": None, "cloud_distance": None}
    return row | {name: columns[name] for name in (*ALL_BANDS, "scl", "source_index", "sources")}


def fold(rows: list[dict[str, Any]], rule: Rule = Rule(), fill: FillChips | None = None) -> list[Row]:
    fill = fill or FillChips()
    rows_out = [filled for row in rows for filled in fill.eval(row | {"rule_version": rule.as_json()})]
    return [columns_of(*filled) for filled in (*rows_out, *fill.terminate())]


def columns_of(chip: str, layers: list[bytes | None], measures: str) -> Row:
    """The columns that SQL makes of a row, in the order of OUTPUT."""
    sources, *rest = json.loads(measures).values()
    return (chip, *layers, json.dumps(sources), *rest)


def decoded(filled: Row) -> dict[str, Any]:
    columns = dict(zip(OUTPUT, filled, strict=True))
    for name in ALL_BANDS:
        if columns[name] is not None:
            columns[name] = decode_array(columns[name], "uint16", 256 if name in ("green", "red", *FINE) else 128)
    columns["scl"] = decode_array(columns["scl"], "uint8", 128)
    columns["source_index"] = decode_array(columns["source_index"], "uint8", 256)
    columns["sources"] = json.loads(columns["sources"])
    return columns


# --- The oracle ---

# One chip at one 20 m pixel: its class, how far a cloud is, and its values by band: four of a 10 m band, one of a 20 m
# band.
Pixel = tuple[int, int, dict[str, tuple[int, ...]]]


def is_valid(pixel: Pixel, corner: int, rule: Rule) -> bool:
    scl, distance, bands = pixel
    if scl not in rule.classes or 0 < rule.dilation >= distance:
        return False
    return all((values[corner] if name in FINE else values[0]) != 0 for name, values in bands.items())


def fill_pixel(pixels: list[Pixel], rule: Rule) -> tuple[list[int | None], dict[str, list[int]], int]:
    """Fill the last of `pixels` (oldest first, none too old): sources of the four, values by band, class."""

    def newest(corners: tuple[int, ...]) -> int | None:
        for index in reversed(range(len(pixels))):
            if any(is_valid(pixels[index], corner, rule) for corner in corners):
                return index
        return None

    def value(index: int | None, name: str, corner: int) -> int:
        return 0 if index is None else pixels[index][2].get(name, (0, 0, 0, 0))[corner]

    sources = [newest((corner,)) for corner in range(4)]
    source_20m = newest((0, 1, 2, 3))
    values = {name: [value(source, name, corner) for corner, source in enumerate(sources)] for name in FINE}
    values |= {name: [value(source_20m, name, 0)] for name in COARSE}
    return sources, values, 0 if source_20m is None else pixels[source_20m][0]


def history_of_pixels(chips: list[Chip]) -> Array:
    """All that is known of each 20 m pixel, in a row each: (128 x 128, numbers)."""
    numbers = []
    for chip in chips:
        numbers += [chip.scl, chip.cloud_distance]
        for name, pixels in chip.bands.items():
            numbers += [pixels[i::2, j::2] for i, j in CORNERS] if name in FINE else [pixels]
    return np.stack(numbers, axis=-1).astype(np.uint16).reshape(128 * 128, -1)


def pixels_of(history: tuple[int, ...], chips: list[Chip]) -> list[Pixel]:
    numbers = iter(history)
    return [
        (
            next(numbers),
            next(numbers),
            {name: tuple(next(numbers) for _ in range(4 if name in FINE else 1)) for name in chip.bands},
        )
        for chip in chips
    ]


def answer(chips: list[Chip], rule: Rule) -> Answer:
    """Fill the last of `chips`, of which the others are all that came before it."""
    own = chips[-1]
    chips = [chip for chip in chips if own.acquired_us - chip.acquired_us <= rule.max_age_days * DAY]
    # Pixels that have the same history have the same answer.
    number_of: dict[tuple[int, ...], int] = {}
    which = [number_of.setdefault(tuple(history), len(number_of)) for history in history_of_pixels(chips).tolist()]
    answers = [fill_pixel(pixels_of(history, chips), rule) for history in number_of]

    def spread(numbers: list[list[int]]) -> Array:
        """One number, or four, for each history: laid out over the chip."""
        of_pixels = np.array(numbers)[which].reshape(128, 128, -1)
        if of_pixels.shape[-1] == 1:
            return of_pixels[..., 0]
        fine = np.empty((256, 256), of_pixels.dtype)
        for corner, (i, j) in enumerate(CORNERS):
            fine[i::2, j::2] = of_pixels[..., corner]
        return fine

    came_from = spread([[-1 if source is None else source for source in sources] for sources, _, _ in answers])
    used = [index for index in reversed(range(len(chips) - 1)) if (came_from == index).any()]
    numbers = {-1: 255, len(chips) - 1: 0} | {index: position for position, index in enumerate(used, start=1)}
    ages = [
        (own.acquired_us - chips[index].acquired_us) / DAY
        for index in came_from.ravel().tolist()
        if index not in (-1, len(chips) - 1)
    ]
    bands = {name: spread([values[name] for _, values, _ in answers]) for name in BANDS}
    return Answer(
        # A band that the chip has no asset of, and no pixel was filled in of, is null.
        bands={name: pixels for name, pixels in bands.items() if name in own.bands or pixels.any()},
        scl=spread([[scl] for _, _, scl in answers]),
        source_index=np.vectorize(numbers.__getitem__)(came_from),
        sources=[chips[index] for index in used],
        base_valid_fraction=np.count_nonzero(came_from == len(chips) - 1) / 65_536,
        complete_fraction=1 - np.count_nonzero(came_from == -1) / 65_536,
        max_age_days=max(ages) if ages else None,
        mean_age_days=sum(ages) / len(ages) if ages else None,
    )


def assert_answers(filled: Row, chips: list[Chip], rule: Rule) -> None:
    got, expected = decoded(filled), answer(chips, rule)
    assert json.loads(got["chip"]) == {"chip_id": chips[-1].chip_id}
    assert {name for name in ALL_BANDS if got[name] is not None} == set(expected.bands)
    for name, pixels in expected.bands.items():
        assert np.array_equal(got[name], pixels), name
    assert np.array_equal(got["scl"], expected.scl)
    assert np.array_equal(got["source_index"], expected.source_index)
    assert got["sources"] == [
        {"chip_id": source.chip_id, "acquired_us": source.acquired_us} for source in expected.sources
    ]
    assert got["base_valid_fraction"] == expected.base_valid_fraction
    assert got["complete_fraction"] == expected.complete_fraction
    assert got["max_age_days"] == expected.max_age_days
    if expected.mean_age_days is None:
        assert got["mean_age_days"] is None
    else:
        assert got["mean_age_days"] == pytest.approx(expected.mean_age_days, rel=1e-9)


# --- Sequences of chips: coarse blocks of 32 x 32, and single pixels that lie where other chips have theirs ---

SINGLES = ((0, 0), (0, 127), (127, 0), (5, 77), (31, 32), (100, 3))  # 20 m pixels, row and column
CLASSES = st.sampled_from([4, 5, 11, 6, 9, 0, 3, 200])
DISTANCES = st.sampled_from([FAR, 0, 1, 2, 3, 14, 15])
RULES = st.builds(
    Rule,
    st.sampled_from([60, 2, 1]),
    st.sampled_from([frozenset(VALID_CLASSES), frozenset(VALID_CLASSES - {11})]),
    st.sampled_from([0, 1, 2, 15]),
)


def flags(number: int, count: int) -> list[bool]:
    return [bool(number >> bit & 1) for bit in range(count)]


def blocks(numbers: list[Any], size: int) -> Array:
    return np.array(numbers).reshape(4, 4).repeat(size, axis=0).repeat(size, axis=1)


@st.composite
def chips_at(draw: st.DrawFn, number: int, acquired_us: int) -> Chip:
    scl = blocks(draw(st.lists(CLASSES, min_size=16, max_size=16)), 32)
    for (row, col), scl_class in zip(SINGLES, draw(st.lists(CLASSES, min_size=6, max_size=6)), strict=True):
        scl[row, col] = scl_class
    distance = blocks(draw(st.lists(DISTANCES, min_size=16, max_size=16)), 32)
    for (row, col), near in zip(SINGLES, draw(st.lists(DISTANCES, min_size=6, max_size=6)), strict=True):
        distance[row, col] = near
    bands = {}
    for name in sorted(draw(st.sets(st.sampled_from(BANDS), min_size=1))):
        fine = name in FINE
        # Values say whose they are: which chip, which band, which block.
        value = 1_000 * (number + 1) + 100 * BANDS.index(name) + np.arange(16)
        missing = draw(st.integers(0, 2**16 - 1)) & draw(st.integers(0, 2**16 - 1))  # a quarter of the blocks
        has_data = blocks(flags(~missing, 16), 64 if fine else 32)
        corners = CORNERS if fine else ((0, 0),)
        lone = [(row * 2 + i, col * 2 + j) if fine else (row, col) for row, col in SINGLES for i, j in corners]
        for place, flips in zip(lone, flags(draw(st.integers(0, 2 ** len(lone) - 1)), len(lone)), strict=True):
            has_data[place] ^= flips
        bands[name] = (blocks(value.tolist(), 64 if fine else 32) * has_data).astype(np.uint16)
    return Chip(acquired_us, scl.astype(np.uint8), bands, distance.astype(np.uint8))


@st.composite
def sequences(draw: st.DrawFn, min_size: int = 1) -> tuple[list[Chip], Rule]:
    """Chips of a cell ordered by time, and a rule, with whose limit of age the gaps between them play."""
    rule = draw(RULES)
    limit = rule.max_age_days * DAY
    gaps = [1, limit // 4, limit // 2, limit // 2 + 1, limit - 1, limit, limit + 1]
    acquired_us = 1_700_000_000_123_456
    chips = []
    for number in range(draw(st.integers(min_size, 5))):
        acquired_us += draw(st.sampled_from(gaps))
        chips.append(draw(chips_at(number, acquired_us)))
    return chips, rule


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


def test_chips_of_which_no_two_pixels_are_alike_are_filled_as_the_rules_say() -> None:
    rng = np.random.default_rng(7)
    chips = []
    for number in range(3):
        sides = {name: 256 if name in FINE else 128 for name in BANDS}
        bands = {
            name: (rng.integers(1, 65_536, (side, side)) * (rng.random((side, side)) < 0.8)).astype(np.uint16)
            for name, side in sides.items()
        }
        chips.append(Chip(number * DAY, rng.integers(0, 13, (128, 128)).astype(np.uint8), bands))
    for number, row in enumerate(fold([input_row(chip) for chip in chips]), start=1):
        assert_answers(row, chips[:number], Rule())


@thorough
@given(sequences(min_size=2), st.data())
def test_going_on_from_a_filled_chip_gives_the_same_bytes(
    sequence: tuple[list[Chip], Rule], data: st.DataObject
) -> None:
    chips, rule = sequence
    at_once = fold([input_row(chip) for chip in chips], rule)
    split = data.draw(st.integers(1, len(chips) - 1), label="split")
    rest = [input_row(chip) for chip in chips[split:]]
    gone_on = fold([seed_row(chips[split - 1], at_once[split - 1]), *rest], rule)
    assert gone_on == at_once[split:]


@thorough
@given(sequences(min_size=2))
def test_one_chip_a_night_gives_the_same_bytes(sequence: tuple[list[Chip], Rule]) -> None:
    chips, rule = sequence
    at_once = fold([input_row(chip) for chip in chips], rule)
    nightly = fold([input_row(chips[0])], rule)
    for before, chip in pairwise(chips):
        nightly += fold([seed_row(before, nightly[-1]), input_row(chip)], rule)
    assert nightly == at_once


@thorough
@given(sequences(min_size=2), st.data())
def test_only_chips_that_are_young_enough_matter(sequence: tuple[list[Chip], Rule], data: st.DataObject) -> None:
    chips, rule = sequence
    at_once = fold([input_row(chip) for chip in chips], rule)
    number = data.draw(st.integers(1, len(chips) - 1), label="chip")
    oldest = chips[number].acquired_us - rule.max_age_days * DAY
    sources = [input_row(chip, "source") for chip in chips[:number] if chip.acquired_us >= oldest]
    assert fold([*sources, input_row(chips[number])], rule) == [at_once[number]]


# --- Single promises ---


def plain(day: float, value: int, bands: tuple[str, ...] = BANDS, scl: int = 4) -> Chip:
    """A chip of one class and one value."""
    sides = {name: 256 if name in FINE else 128 for name in bands}
    return Chip(
        round(day * DAY),
        np.full((128, 128), scl, np.uint8),
        {name: np.full((side, side), value, np.uint16) for name, side in sides.items()},
    )


def test_columns_are_those_that_sql_is_told() -> None:
    fill = FillChips()
    assert list(fill.eval(input_row(plain(0, 1)) | {"rule_version": Rule().as_json()})) == []
    (filled,) = fill.terminate()
    assert [column.split()[0] for column in FILLED_CHIP.split(", ")] == ["chip", "layers", "measures"]
    assert ("chip", *FILLED_LAYERS, *json.loads(filled[2])) == OUTPUT
    assert [len(column) if isinstance(column, list) else 1 for column in filled] == [1, len(FILLED_LAYERS), 1]


def test_a_chip_without_gaps_stays_as_it_is() -> None:
    chips = [plain(0, 1), plain(1, 2)]
    row = input_row(chips[1])
    filled = dict(zip(OUTPUT, fold([input_row(chips[0]), row])[1], strict=False))
    assert {name: filled[name] for name in (*ALL_BANDS, "scl")} == {name: row[name] for name in (*ALL_BANDS, "scl")}
    assert not decode_array(filled["source_index"], "uint8", 256).any()
    assert (filled["sources"], filled["complete_fraction"]) == ("[]", 1.0)
    assert (filled["max_age_days"], filled["mean_age_days"]) == (None, None)


def test_a_pixel_exactly_as_old_as_the_limit_fills_and_an_older_one_does_not() -> None:
    clear, cloudy = plain(0, 7), plain(60, 9, scl=9)
    later = Chip(cloudy.acquired_us + 1, cloudy.scl, cloudy.bands)
    _, at_limit, beyond = (decoded(row) for row in fold([input_row(chip) for chip in (clear, cloudy, later)]))
    assert (at_limit["blue"] == 7).all()
    assert (at_limit["complete_fraction"], at_limit["max_age_days"]) == (1.0, 60.0)
    assert not beyond["blue"].any()
    assert not beyond["scl"].any()
    assert (beyond["source_index"] == 255).all()
    assert (beyond["complete_fraction"], beyond["max_age_days"], beyond["sources"]) == (0.0, None, [])


def test_sources_are_counted_from_the_newest() -> None:
    oldest, newer, cloudy = plain(0, 1), plain(2, 2), plain(5, 3, scl=8)
    newer.scl[:64] = 3  # its northern half is in shadow
    newer.scl[0, 0] = 5
    got = decoded(fold([input_row(chip) for chip in (oldest, newer, cloudy)])[-1])
    assert [source["chip_id"] for source in got["sources"]] == [newer.chip_id, oldest.chip_id]
    assert got["source_index"][0, :3].tolist() == [1, 1, 2]
    assert got["source_index"][127:129, 9].tolist() == [2, 1]
    assert got["max_age_days"] == 5.0
    assert got["mean_age_days"] == pytest.approx(4 - 8 / 65_536)  # half 3 days, half 5; four pixels 3, not 5


def test_a_20_m_pixel_is_the_newest_of_its_four() -> None:
    older, newer, cloudy = plain(0, 1), plain(1, 2), plain(2, 3, scl=9)
    newer.bands["blue"][0:2, 0:2] = [[0, 0], [0, 2]]
    newer.scl[:] = 5
    got = decoded(fold([input_row(chip) for chip in (older, newer, cloudy)])[-1])
    assert got["blue"][0:2, 0:2].tolist() == [[1, 1], [1, 2]]
    assert got["nir"][0:2, 0:2].tolist() == [[1, 1], [1, 2]]  # all bands together
    assert got["source_index"][0:2, 0:2].tolist() == [[2, 2], [2, 1]]
    assert (got["swir22"][0, 0], got["scl"][0, 0]) == (2, 5)


def test_a_pixel_has_all_its_bands_from_one_chip() -> None:
    with_swir, without, cloudy = plain(0, 1), plain(1, 2, ("blue", "nir", "rededge1")), plain(2, 3, scl=9)
    for filled in fold([input_row(chip) for chip in (with_swir, without, cloudy)])[1:]:
        got = decoded(filled)
        assert (got["blue"] == 2).all()
        assert got["swir22"] is None or not got["swir22"].any()


def test_a_band_that_no_chip_young_enough_has_is_null() -> None:
    chips = [plain(0, 1), plain(61, 2, ("blue",), scl=9)]
    got = decoded(fold([input_row(chip) for chip in chips])[-1])
    assert [name for name in ALL_BANDS if got[name] is not None] == ["blue"]
    assert not got["blue"].any()


def test_a_source_gives_no_row_but_fills() -> None:
    clear, cloudy = plain(0, 7), plain(1, 9, scl=9)
    filled = fold([input_row(clear, "source"), input_row(cloudy)])
    assert filled == fold([input_row(clear), input_row(cloudy)])[1:]
    assert (decoded(filled[0])["blue"] == 7).all()


def test_a_later_chip_fills_nothing() -> None:
    cloudy, clear = plain(0, 9, scl=9), plain(1, 7)
    first, _ = fold([input_row(cloudy), input_row(clear)])
    assert [first] == fold([input_row(cloudy)])
    assert decoded(first)["complete_fraction"] == 0.0


def test_a_fully_cloudy_chip_may_come_first_and_be_gone_on_from() -> None:
    cloudy, clear, again = plain(0, 9, scl=9), plain(1, 7), plain(2, 8, scl=0)
    at_once = fold([input_row(chip) for chip in (cloudy, clear, again)])
    assert fold([seed_row(cloudy, at_once[0]), input_row(clear), input_row(again)]) == at_once[1:]


def test_cells_do_not_share_what_they_have_seen() -> None:
    here = [input_row(chip) for chip in (plain(0, 1), plain(1, 2, scl=9))]
    there = [input_row(plain(day, 3, ("blue",), scl=9)) | {"cell_id": "32633_1_2"} for day in (0, 1)]
    assert fold(here + there) == fold(here) + fold(there)
    assert fold(there + here) == fold(there) + fold(here)


def test_what_was_given_out_does_not_change_when_the_fold_goes_on() -> None:
    fill = FillChips()
    (first,) = fold([input_row(plain(0, 1))], fill=fill)
    before = decoded(first)
    fold([input_row(plain(1, 2))], fill=fill)
    assert (before["blue"] == 1).all()
    assert (decoded(first)["blue"] == 1).all()


def test_many_chips_are_handed_out_in_batches_and_none_is_kept_back_or_given_twice() -> None:
    rows = [input_row(plain(day, day + 1, ("rededge1",))) for day in range(37)]
    fill, calls = FillChips(), []
    for row in rows:
        calls.append(list(fill.eval(row | {"rule_version": Rule().as_json()})))
    calls.append(list(fill.terminate()))
    assert max(map(len, calls)) < len(rows)
    assert [columns_of(*filled) for call in calls for filled in call] == fold(rows)
    assert list(fill.terminate()) == []


def many_sources(count: int) -> list[dict[str, Any]]:
    """`count` chips that are valid in one 20 m pixel each, and one that is valid nowhere."""
    rows = []
    for number in range(count):
        chip = plain(number / 10, number + 1, ("rededge1",), scl=9)
        chip.scl.ravel()[number] = 4
        rows.append(input_row(chip, "source"))
    return [*rows, input_row(plain(count / 10, 1, ("rededge1",), scl=9))]


def test_254_sources_are_told_apart() -> None:
    got = decoded(fold(many_sources(254))[0])
    assert len(got["sources"]) == 254
    assert got["source_index"][0, 0:508:2][:128].tolist() == list(range(254, 126, -1))
    assert got["rededge1"][0].tolist() == list(range(1, 129))
    assert got["complete_fraction"] == 254 * 4 / 65_536


def test_more_than_254_sources_give_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="more than 254 sources; lower fill_max_age_days"):
        fold(many_sources(255))


def test_a_damaged_frame_is_refused() -> None:
    row = input_row(plain(0, 1))
    with pytest.raises(ValueError, match="frame"):
        fold([row | {"nir": row["nir"][:-1]}])
    with pytest.raises(ValueError, match="holds 32768 bytes where 256 x 256"):
        fold([row | {"nir": row["swir22"]}])


def test_with_dilation_what_is_near_a_cloud_is_filled_and_fills_nothing() -> None:
    older, newer, cloudy = plain(0, 1), plain(1, 2), plain(2, 3)
    newer.cloud_distance[:, :3] = [0, 2, 3]
    cloudy.cloud_distance[:, :4] = 2
    rule = Rule(dilation=2)
    got = decoded(fold([input_row(chip) for chip in (older, newer, cloudy)], rule)[-1])
    assert got["blue"][0, 0:10:2].tolist() == [1, 1, 2, 2, 3]
    assert got["swir22"][0, :5].tolist() == [1, 1, 2, 2, 3]
    assert (got["base_valid_fraction"], got["complete_fraction"]) == (124 / 128, 1.0)


def test_the_widest_dilation_leaves_what_no_cloud_is_near() -> None:
    chip = plain(0, 1)
    chip.cloud_distance[0, :2] = [15, 16]
    got = decoded(fold([input_row(chip)], Rule(dilation=15))[0])
    assert got["source_index"][0, 0:4:2].tolist() == [255, 0]
    assert got["base_valid_fraction"] == 1 - 4 / 65_536


def test_without_dilation_the_distance_to_clouds_does_not_matter() -> None:
    chip = plain(0, 1)
    chip.cloud_distance[:] = 0
    assert decoded(fold([input_row(chip)])[0])["base_valid_fraction"] == 1.0


def test_snow_is_filled_where_its_class_is_not_valid() -> None:
    green, snow = plain(0, 1), plain(1, 2, scl=11)
    rows = [input_row(green), input_row(snow)]
    assert (decoded(fold(rows)[-1])["blue"] == 2).all()
    without_snow = decoded(fold(rows, Rule(classes=frozenset(VALID_CLASSES - {11})))[-1])
    assert (without_snow["blue"] == 1).all()
    assert (without_snow["scl"] == 4).all()
    assert (without_snow["base_valid_fraction"], without_snow["complete_fraction"]) == (0.0, 1.0)


def test_folds_by_different_rules_do_not_share_what_they_have_seen() -> None:
    rows = [input_row(chip) for chip in (plain(0, 1), plain(1, 2, scl=9))]
    short, long = Rule(max_age_days=1), Rule(max_age_days=9)
    fill = FillChips()
    assert fold(rows, short, fill) + fold(rows, long, fill) == fold(rows, short) + fold(rows, long)


def test_a_rule_that_is_not_known_is_refused() -> None:
    row = input_row(plain(0, 1))
    rule = json.loads(Rule().as_json())
    for unknown in ({"method": "median"}, {"max_age_days": None}, {"feather": 3}):
        with pytest.raises(ValueError, match=next(iter(unknown))):
            list(FillChips().eval(row | {"rule_version": json.dumps(rule | unknown)}))
