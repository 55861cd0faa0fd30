"""Chips to fill, the fold of a cell, and an oracle that fills one 20 m pixel at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from python_udfs.codec import decode_array, encode_array
from python_udfs.fill.cell_fold import CellFold
from support.peers_oracle import NONE_SUSPECT, Gains, gains_of, group_table, is_whole, times, total

DAY = 86_400_000_000  # microseconds
ALL_BANDS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
BANDS_10M, BANDS_20M = ("blue", "nir"), ("rededge1", "swir22")  # the bands of the chips here
BANDS = BANDS_10M + BANDS_20M
VALID_CLASSES = {2, 4, 5, 6, 7, 11}
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # the four 10 m pixels of a 20 m pixel
LAYERS = (*ALL_BANDS, "scl", "source_index", "suspect")
MEASURES = (
    *("sources", "adjustments", "base_valid_fraction", "complete_fraction"),
    *("max_age_days", "mean_age_days", "unadjusted_fraction", "suspect_fraction"),
)
NO_CLOUD = 16  # value of cloud_distance without a cloud within 15 pixels

Array = NDArray[Any]
Filled = dict[str, Any]  # a row of fct_filled_chips, the layers as frames


@dataclass(frozen=True)
class Rule:
    """The parameters of filling that pixels depend on."""

    max_age_days: int = 60
    classes: frozenset[int] = frozenset(VALID_CLASSES)
    dilation: int = 0
    adjust: str = "none"
    suspects: str = "none"

    def as_json(self) -> str:
        """Return the rule in the form of column rule_version."""
        return json.dumps(
            {
                "method": "newest-valid-v1",
                "max_age_days": self.max_age_days,
                "valid_scl_classes": sorted(self.classes),
                "cloud_dilation_pixels": self.dilation,
                "adjust": self.adjust,
                "suspects": self.suspects,
                "suspect_bright_ratio": 1.5,
                "suspect_bright_difference": 0.03,
                "suspect_dark_ratio": 0.6,
                "min_complete": 1.0,
            }
        )


@dataclass(frozen=True)
class Chip:
    """A chip before filling, as arrays; a band that is not in `bands` has no asset."""

    acquired_us: int  # microseconds since 1970
    scl: Array
    bands: dict[str, Array] = field(default_factory=dict)
    cloud_distance: Array = field(default_factory=lambda: np.full((128, 128), NO_CLOUD, np.uint8))

    @property
    def chip_id(self) -> str:
        """Identifier, unique within a test."""
        return f"chip-{self.acquired_us}"

    @property
    def acquired_at(self) -> datetime:
        """Time of acquisition."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.acquired_us)


@dataclass(frozen=True)
class Answer:
    """The expected result of the fold for one chip."""

    bands: dict[str, Array]
    scl: Array
    source_index: Array
    sources: list[Chip]
    base_valid_fraction: float
    complete_fraction: float
    max_age_days: float | None
    mean_age_days: float | None
    adjustments: list[Gains] | None
    unadjusted_fraction: float
    suspect: Array  # (128, 128)


def plain(day: float, value: int, bands: tuple[str, ...] = BANDS, scl: int = 4) -> Chip:
    """Make a chip of one class and one value."""
    sides = {name: 256 if name in ("green", "red", *BANDS_10M) else 128 for name in bands}
    return Chip(
        round(day * DAY),
        np.full((128, 128), scl, np.uint8),
        {name: np.full((side, side), value, np.uint16) for name, side in sides.items()},
    )


def noisy(seed: int, days: int) -> list[Chip]:
    """Make chips of random pixels, a third of which is cloudy, one a day."""
    rng = np.random.default_rng(seed)
    chips = [plain(day, day + 1, ("blue", "rededge1")) for day in range(days)]
    for chip in chips:
        chip.bands["blue"][:] = rng.integers(1, 9_000, (256, 256))
        chip.scl[:] = rng.choice([4, 5, 9], (128, 128))
    return chips


# --- The fold ---


def input_row(chip: Chip, role: str = "pending") -> dict[str, Any]:
    """Return a chip as a row of fct_chips, with its role in the fold."""
    return {
        "role": role,
        "chip_id": chip.chip_id,
        "acquired_at": chip.acquired_at,
        **{name: encode_array(chip.bands[name]) if name in chip.bands else None for name in ALL_BANDS},
        "scl": encode_array(chip.scl),
        "cloud_distance": encode_array(chip.cloud_distance),
    }


def contributors(chips: list[Chip], filled: Filled) -> list[dict[str, Any]]:
    """Return the rows with which the next run begins: the filled chip and those that it carries."""
    suspects = {one["chip_id"]: one["suspect"] for one in filled["carried_chips"]}
    suspects[filled["chip_id"]] = filled["suspect"]
    return [
        {**input_row(chip, "carried"), "suspect": suspects[chip.chip_id]} for chip in chips if chip.chip_id in suspects
    ]


def fold(rows: list[dict[str, Any]], rule: Rule = Rule(), version: str | None = None) -> list[Filled]:
    """Fill the chips of a cell by one rule, or its JSON; return the rows of the pending ones."""
    cell, filled = CellFold(version or rule.as_json()), []
    for row in rows:
        if row["role"] == "carried":
            cell.add_judged(row, row["suspect"])
        else:
            cell.add(row)
        if row["role"] == "pending":
            identity = {"chip_id": row["chip_id"], "acquired_at": row["acquired_at"]}
            filled.append({**dict.fromkeys(LAYERS), **cell.filled(identity)})
    return filled


def decoded(filled: Filled) -> dict[str, Any]:
    """Return the columns with layers as arrays."""
    arrays = {}
    for name in LAYERS:
        if filled[name] is not None:
            dtype = "uint16" if name in ALL_BANDS else "uint8"
            side = 256 if name in ("green", "red", "source_index", *BANDS_10M) else 128
            arrays[name] = decode_array(filled[name], dtype, side)
    return filled | arrays


# --- The oracle ---

# One 20 m pixel of one chip: SCL class, distance to clouds, values by band (four of a 10 m band, one of a 20 m band).
Pixel = tuple[int, int, dict[str, tuple[int, ...]]]


def is_valid(pixel: Pixel, corner: int, rule: Rule) -> bool:
    """Return whether the 10 m pixel at a corner is valid."""
    scl, distance, bands = pixel
    if scl not in rule.classes or 0 < rule.dilation >= distance:
        return False
    return all((values[corner] if name in BANDS_10M else values[0]) != 0 for name, values in bands.items())


def fill_pixel(pixels: list[Pixel], rule: Rule) -> tuple[list[int | None], dict[str, list[int]], int]:
    """Fill the last of `pixels` (oldest first, none too old); return the sources of the four, values by band, class."""

    def newest(corners: tuple[int, ...]) -> int | None:
        for index in reversed(range(len(pixels))):
            if any(is_valid(pixels[index], corner, rule) for corner in corners):
                return index
        return None

    def value(index: int | None, name: str, corner: int) -> int:
        return 0 if index is None else pixels[index][2].get(name, (0, 0, 0, 0))[corner]

    sources = [newest((corner,)) for corner in range(4)]
    source_20m = newest((0, 1, 2, 3))
    values = {name: [value(source, name, corner) for corner, source in enumerate(sources)] for name in BANDS_10M}
    values |= {name: [value(source_20m, name, 0)] for name in BANDS_20M}
    return sources, values, 0 if source_20m is None else pixels[source_20m][0]


def history_of_pixels(chips: list[Chip]) -> Array:
    """Return all values of each 20 m pixel in all chips, one row a pixel: (128 x 128, numbers)."""
    numbers = []
    for chip in chips:
        numbers += [chip.scl, chip.cloud_distance]
        for name, pixels in chip.bands.items():
            numbers += [pixels[i::2, j::2] for i, j in CORNERS] if name in BANDS_10M else [pixels]
    return np.stack(numbers, axis=-1).astype(np.uint16).reshape(128 * 128, -1)


def pixels_of(history: tuple[int, ...], chips: list[Chip]) -> list[Pixel]:
    """Return the pixel in each chip from a row of `history_of_pixels`."""
    numbers = iter(history)
    return [
        (
            next(numbers),
            next(numbers),
            {name: tuple(next(numbers) for _ in range(4 if name in BANDS_10M else 1)) for name in chip.bands},
        )
        for chip in chips
    ]


def answer(chips: list[Chip], rule: Rule) -> Answer:
    """Fill the last of `chips`; the others are all earlier chips of the cell."""
    last, seen = chips[-1], chips
    if rule.suspects == "peers":
        suspects = suspects_of(chips, [valid_pixels(chip, rule) for chip in chips], rule.max_age_days)
    else:
        suspects = [NONE_SUSPECT] * len(chips)
    near = [
        number for number, chip in enumerate(chips) if last.acquired_us - chip.acquired_us <= rule.max_age_days * DAY
    ]
    seen, suspects = [chips[number] for number in near], [suspects[number] for number in near]
    # A suspect pixel fills no other chip, as if it had no data; it stays in its own.
    chips = [without(chip, suspect) for chip, suspect in zip(seen[:-1], suspects[:-1], strict=True)] + [last]
    # Pixels with the same history have the same result.
    number_of: dict[tuple[int, ...], int] = {}
    which = [number_of.setdefault(tuple(history), len(number_of)) for history in history_of_pixels(chips).tolist()]
    answers = [fill_pixel(pixels_of(history, chips), rule) for history in number_of]

    def spread(numbers: list[list[int]]) -> Array:
        """Spread one number (20 m) or four numbers (10 m) of each history over the chip."""
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
        (last.acquired_us - chips[index].acquired_us) / DAY
        for index in came_from.ravel().tolist()
        if index not in (-1, len(chips) - 1)
    ]
    bands = {name: spread([values[name] for _, values, _ in answers]) for name in BANDS}
    counts = [np.count_nonzero(came_from == index) for index in used]
    adjustments, unadjusted = None, sum(counts)
    if rule.adjust == "peers":
        valid = [valid_pixels(chip, rule) for chip in seen]
        adjustments = [
            gains_of(seen[index].bands, valid[index], last.bands, valid[-1], suspects[index] | suspects[-1])
            for index in used
        ]
        unadjusted = sum(count for count, gains in zip(counts, adjustments, strict=True) if not gains.by_group)
        from_20m = spread([[newest_of_four(sources)] for sources, _, _ in answers])
        for index, gains in zip(used, adjustments, strict=True):
            group = cache(group_table(seen[index].bands, valid[index]))
            for name in gains.by_group:
                gain_at = gain_function(gains, name, group)
                parts = 2 if name in BANDS_10M else 1
                for row, col in np.argwhere((came_from if parts == 2 else from_20m) == index).tolist():
                    bands[name][row, col] = times(int(bands[name][row, col]), gain_at(row // parts, col // parts))
    return Answer(
        # A band is null if the chip has no asset of it and no pixel of it was filled.
        bands={name: pixels for name, pixels in bands.items() if name in last.bands or pixels.any()},
        scl=spread([[scl] for _, _, scl in answers]),
        source_index=np.vectorize(numbers.__getitem__)(came_from),
        sources=[chips[index] for index in used],
        base_valid_fraction=np.count_nonzero(came_from == len(chips) - 1) / 65_536,
        complete_fraction=1 - np.count_nonzero(came_from == -1) / 65_536,
        max_age_days=max(ages) if ages else None,
        mean_age_days=sum(ages) / len(ages) if ages else None,
        adjustments=adjustments,
        unadjusted_fraction=unadjusted / 65_536,
        suspect=suspects[-1],
    )


def without(chip: Chip, suspect: Array) -> Chip:
    """Return a chip that has no valid class at its suspect pixels."""
    return replace(chip, scl=np.where(suspect, 0, chip.scl).astype(np.uint8))


def suspects_of(chips: list[Chip], valid: list[Array], max_age_days: int) -> list[Array]:
    """Return the suspect pixels of each chip, (128, 128); `chips` are all chips of the cell up to the last one."""
    whole = [np.array([[is_whole(one, row, col) for col in range(128)] for row in range(128)]) for one in valid]
    found = []
    for number, chip in enumerate(chips):
        near = [i for i in range(number) if chip.acquired_us - chips[i].acquired_us <= max_age_days * DAY]
        gains = {i: gains_of(chips[i].bands, valid[i], chip.bands, valid[number]).by_group for i in near}
        groups = {i: cache(group_table(chips[i].bands, valid[i])) for i in near}
        suspect = np.zeros((128, 128), bool)
        for row, col in np.argwhere(whole[number] & (chip.scl != 6) & (chip.scl != 11)).tolist():
            earlier = [i for i in reversed(near) if whole[i][row, col]][:2]
            odd = [oddness(chips[i], chip, gains[i], groups[i](row, col), row, col) for i in earlier]
            suspect[row, col] = len(odd) == 2 and bool(odd[0] & odd[1])
        found.append(suspect)
    return found


def oddness(source: Chip, target: Chip, gains: dict[str, list[int]], group: int, row: int, col: int) -> set[str]:
    """Return in which ways a 20 m pixel is far from what an earlier chip lets expect."""
    expected = {name: total(source.bands[name], row, col) * of_band[group] for name, of_band in gains.items()}
    found = {name: total(target.bands[name], row, col) * 8192 for name in expected}
    ways = set()
    if "blue" in found:
        brighter_by = found["blue"] - expected["blue"]
        if found["blue"] > 1.5 * expected["blue"] and brighter_by > 0.03 * 40_000 * 8192:
            ways.add("bright")
    if "blue" in found and all(found[name] < 0.6 * expected[name] for name in found):
        ways.add("dark")
    return ways


def gain_function(gains: Gains, name: str, group: Callable[[int, int], int]) -> Callable[[int, int], int]:
    """Return a function of row and column of a 20 m pixel that gives its gain in one band."""
    return cache(lambda row, col: gains.at(name, group(row, col), row, col))


def newest_of_four(sources: list[int | None]) -> int:
    """Return the newest source of the four 10 m pixels of a 20 m pixel, or -1."""
    return max(-1 if source is None else source for source in sources)


def valid_pixels(chip: Chip, rule: Rule) -> Array:
    """Return the valid 10 m pixels of a chip."""
    valid = np.zeros((256, 256), bool)
    for place, history in enumerate(history_of_pixels([chip]).tolist()):
        (pixel,) = pixels_of(history, [chip])
        row, col = divmod(place, 128)
        for corner, (i, j) in enumerate(CORNERS):
            valid[2 * row + i, 2 * col + j] = is_valid(pixel, corner, rule)
    return valid


def assert_answers(filled: Filled, chips: list[Chip], rule: Rule) -> None:
    """Assert that the row equals the oracle's result for the last of `chips`."""
    got, expected = decoded(filled), answer(chips, rule)
    assert (got["chip_id"], got["acquired_at"]) == (chips[-1].chip_id, chips[-1].acquired_at)
    assert {name for name in ALL_BANDS if got[name] is not None} == set(expected.bands)
    for name, pixels in expected.bands.items():
        assert np.array_equal(got[name], pixels), name
    assert np.array_equal(got["scl"], expected.scl)
    assert np.array_equal(got["source_index"], expected.source_index)
    assert got["sources"] == [
        {"chip_id": source.chip_id, "acquired_at": source.acquired_at} for source in expected.sources
    ]
    assert got["base_valid_fraction"] == expected.base_valid_fraction
    assert got["complete_fraction"] == expected.complete_fraction
    assert got["max_age_days"] == expected.max_age_days
    assert got["unadjusted_fraction"] == expected.unadjusted_fraction
    assert np.array_equal(got["suspect"], expected.suspect) if expected.suspect.any() else got["suspect"] is None
    assert got["suspect_fraction"] == expected.suspect.mean()
    if expected.adjustments is None:
        assert got["adjustments"] is None
    else:
        assert got["adjustments"] == [
            {
                "chip_id": source.chip_id,
                "peer_pixels": gains.peers,
                "gains": [
                    {
                        "band": name,
                        "by_group": [gain / 8192 for gain in gains.by_group[name]],
                        "by_block": [factor / 8192 for row in gains.by_block[name] for factor in row],
                    }
                    for name in sorted(gains.by_group, key=ALL_BANDS.index)
                ],
            }
            for source, gains in zip(expected.sources, expected.adjustments, strict=True)
        ]
    if expected.mean_age_days is None:
        assert got["mean_age_days"] is None
    else:
        assert got["mean_age_days"] == pytest.approx(expected.mean_age_days, rel=1e-9)


# --- Sequences of chips: blocks of 32 x 32 pixels, and single pixels at the same places in all chips ---

SINGLES = ((0, 0), (0, 127), (127, 0), (5, 77), (31, 32), (100, 3))  # 20 m pixels, row and column
CLASSES = st.sampled_from([4, 5, 11, 6, 9, 0, 3, 200])
CLEAR_CLASSES = st.sampled_from([4, 4, 4, 5, 11, 9])
DISTANCES = st.sampled_from([NO_CLOUD, 0, 1, 2, 3, 14, 15])
RULES = st.builds(
    Rule,
    st.sampled_from([60, 2, 1]),
    st.sampled_from([frozenset(VALID_CLASSES), frozenset(VALID_CLASSES - {11})]),
    st.sampled_from([0, 1, 2, 15]),
    st.sampled_from(["none", "peers"]),
    st.sampled_from(["none", "peers"]),
)


def _flags(number: int, count: int) -> list[bool]:
    return [bool(number >> bit & 1) for bit in range(count)]


def _blocks(numbers: list[Any], size: int) -> Array:
    return np.array(numbers).reshape(4, 4).repeat(size, axis=0).repeat(size, axis=1)


@st.composite
def chips_at(draw: st.DrawFn, number: int, acquired_us: int) -> Chip:
    """Draw a chip with gaps in bands, and with any classes and distances to clouds; half of them are rather clear."""
    is_clear = draw(st.booleans())
    scl = _blocks(draw(st.lists(CLEAR_CLASSES if is_clear else CLASSES, min_size=16, max_size=16)), 32)
    for (row, col), scl_class in zip(SINGLES, draw(st.lists(CLASSES, min_size=6, max_size=6)), strict=True):
        scl[row, col] = scl_class
    distances = st.sampled_from([NO_CLOUD, 15]) if is_clear else DISTANCES
    distance = _blocks(draw(st.lists(distances, min_size=16, max_size=16)), 32)
    for (row, col), near in zip(SINGLES, draw(st.lists(DISTANCES, min_size=6, max_size=6)), strict=True):
        distance[row, col] = near
    bands = {}
    for name in sorted(draw(st.sets(st.sampled_from(BANDS), min_size=1))):
        fine = name in BANDS_10M
        # Each chip, band and block has its own value.
        value = 1_000 * (number + 1) + 100 * BANDS.index(name) + np.arange(16)
        missing = draw(st.integers(0, 2**16 - 1)) & draw(st.integers(0, 2**16 - 1))  # a quarter of the blocks
        if is_clear:
            missing &= draw(st.integers(0, 2**16 - 1)) & draw(st.integers(0, 2**16 - 1))
        has_data = _blocks(_flags(~missing, 16), 64 if fine else 32)
        corners = CORNERS if fine else ((0, 0),)
        lone = [(row * 2 + i, col * 2 + j) if fine else (row, col) for row, col in SINGLES for i, j in corners]
        for place, flips in zip(lone, _flags(draw(st.integers(0, 2 ** len(lone) - 1)), len(lone)), strict=True):
            has_data[place] ^= flips
        bands[name] = (_blocks(value.tolist(), 64 if fine else 32) * has_data).astype(np.uint16)
    # Some blocks are far brighter than in the other chips, and some darker.
    for factor in (5, 1 / 5):
        is_odd = _blocks(_flags(draw(st.integers(0, 2**16 - 1)) & draw(st.integers(0, 2**16 - 1)), 16), 32)
        for name, pixels in bands.items():
            where = is_odd.repeat(2, 0).repeat(2, 1) if name in BANDS_10M else is_odd
            bands[name] = np.where(where, pixels * factor, pixels).astype(np.uint16)
    return Chip(acquired_us, scl.astype(np.uint8), bands, distance.astype(np.uint8))


@st.composite
def sequences(draw: st.DrawFn, min_size: int = 1) -> tuple[list[Chip], Rule]:
    """Draw chips of a cell in order of time, and a rule; many gaps between them are close to its age limit."""
    rule = draw(RULES)
    limit = rule.max_age_days * DAY
    gaps = [1, limit // 4, limit // 2, limit // 2 + 1, limit - 1, limit, limit + 1]
    acquired_us = 1_700_000_000_123_456
    chips = []
    for number in range(draw(st.integers(min_size, 5))):
        acquired_us += draw(st.sampled_from(gaps))
        chips.append(draw(chips_at(number, acquired_us)))
    return chips, rule
