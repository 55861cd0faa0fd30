"""Table function `fill_chips`: gap filling as a fold over the chips of a cell, ordered in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M, CHIP_PIXELS_20M, CLOUD_DISTANCE, SCL
from python_udfs.codec import STILL_MISSING, decode_array, encode_array
from python_udfs.masks import Mask, any_of_four, class_table, data_mask

_DAY_US: Final = 86_400_000_000
_NEVER_SEEN: Final = -1  # in _State.seen_10m and .seen_20m

FILLED_LAYERS: Final = (*BAND_NAMES, SCL, "source_index")
# Few columns: Spark makes a batch of Arrow of each row that comes out, at a tenth of a millisecond a column.
FILLED_CHIP: Final = "chip string, layers array<binary>, measures string"


class FillRule(BaseModel):
    """By which a chip is filled, as `rule_version` of int_fill_inputs says it in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["newest-valid-v1"]
    max_age_days: int  # the oldest pixel that may fill a gap
    valid_scl_classes: tuple[int, ...]
    cloud_dilation_pixels: int  # pixels so near to a cloud or its shadow are not valid, 20 m pixels; 0: all are
    min_complete: float  # the least share of a complete chip; decides about no pixel

    def holds(self, scl: NDArray[np.uint8], cloud_distance: bytes) -> Mask:
        """Which 20 m pixels pass by their class and by how far they are from clouds."""
        passes: Mask = class_table(self.valid_scl_classes)[scl]
        if self.cloud_dilation_pixels > 0:
            passes &= decode_array(cloud_distance, "uint8", CHIP_PIXELS_20M) > self.cloud_dilation_pixels
        return passes


@dataclass
class _State:
    """The newest valid value of every pixel of a cell, and the chip it came from."""

    bands: dict[str, NDArray[np.uint16]] = field(default_factory=dict)  # those that the chip or one of its sources has
    scl: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((CHIP_PIXELS_20M,) * 2, np.uint8))
    # Index into `chips` of the chip that a pixel's value came from.
    seen_10m: NDArray[np.int32] = field(default_factory=lambda: np.full((CHIP_PIXELS_10M,) * 2, _NEVER_SEEN, np.int32))
    seen_20m: NDArray[np.int32] = field(default_factory=lambda: np.full((CHIP_PIXELS_20M,) * 2, _NEVER_SEEN, np.int32))
    chips: list[tuple[str, int]] = field(default_factory=list)  # (chip_id, acquired_us), oldest first

    def take_bands(self, bands: dict[str, NDArray[np.uint16]], valid: Mask, valid_20m: Mask) -> None:
        """Take the valid pixels of a chip, all bands together: a band that it lacks is missing there."""
        for name in bands:
            if name not in self.bands:
                self.bands[name] = np.zeros((BAND_BY_NAME[name].pixels,) * 2, np.uint16)
        for name, layer in self.bands.items():
            np.copyto(layer, bands.get(name, 0), where=valid if BAND_BY_NAME[name].gsd == 10 else valid_20m)
        # Which bands are null must not depend on chips too old to fill.
        self.bands = {name: layer for name, layer in self.bands.items() if name in bands or layer.any()}

    def drop_older_than(self, oldest_us: int) -> None:
        """Forget pixels whose value is older than `oldest_us`."""
        too_old = np.array([acquired < oldest_us for _, acquired in self.chips] + [True])  # last: never seen
        if not too_old[:-1].any():
            return
        for seen, gsd in ((self.seen_10m, 10), (self.seen_20m, 20)):
            gone = too_old[seen]
            seen[gone] = _NEVER_SEEN
            for name, layer in self.bands.items():
                if BAND_BY_NAME[name].gsd == gsd:
                    layer[gone] = 0
            if gsd == 20:
                self.scl[gone] = 0


# Spark makes a DataFrame and an Arrow batch of what a call yields: a millisecond, be it a row or many.
_ROWS_PER_BATCH: Final = 16


class FillChips:
    """Fill the missing pixels of a cell's chips from the newest earlier chip in which they are valid.

    Takes chips ordered by `cell_id`, `rule_version` (the JSON of a `FillRule`) and time; those that have the first two
    in common are a fold, and must all be in one partition. `role` says what each is for: `seed`, a filled chip from
    which to go on; `source`, a chip that only later ones need; `pending`, a chip to be filled. Gives one row a pending
    chip: `layers` in the order of FILLED_LAYERS, `measures` as JSON. Pixels that no chip within `max_age_days` can fill
    are 0, and 255 in `source_index`.
    """

    def __init__(self) -> None:
        self._fold: tuple[str, str] | None = None  # cell_id and rule_version
        self._state: _State
        self._rule: FillRule
        self._filled: list[tuple[Any, ...]] = []  # not yet handed out

    def eval(self, row: Any) -> Iterator[tuple[Any, ...]]:
        """Take the next chip of the cell, or the first of the next; fill it if it is pending, yield some now and then.

        Raises:
            ValueError: its rule is unknown.
        """
        if (row["cell_id"], row["rule_version"]) != self._fold:
            self._fold = (row["cell_id"], row["rule_version"])
            self._rule = FillRule.model_validate_json(row["rule_version"])
            self._state = _State()
        rule = self._rule
        if row["role"] == "seed":
            self._start_from(row)
            return
        state = self._state
        acquired_us = row["acquired_us"]
        state.drop_older_than(acquired_us - rule.max_age_days * _DAY_US)
        own = len(state.chips)
        state.chips.append((row["chip_id"], acquired_us))
        bands = _decode_bands(row)
        scl = decode_array(row[SCL], "uint8", CHIP_PIXELS_20M)
        valid = data_mask(bands, rule.holds(scl, row[CLOUD_DISTANCE]))
        valid_20m = any_of_four(valid)
        state.take_bands(bands, valid, valid_20m)
        np.copyto(state.scl, scl, where=valid_20m)
        state.seen_10m[valid] = own
        state.seen_20m[valid_20m] = own
        if row["role"] == "pending":
            self._filled.append(_filled_row(row["chip"], state, own))
        if len(self._filled) == _ROWS_PER_BATCH:
            yield from self.terminate()

    def terminate(self) -> Iterator[tuple[Any, ...]]:
        """Yield what is filled and not handed out yet."""
        yield from self._filled
        self._filled.clear()

    def _start_from(self, row: Any) -> None:
        """Take up the state that the fold had after a chip that is already filled."""
        older = [(source["chip_id"], source["acquired_us"]) for source in json.loads(row["sources"])]
        state = self._state
        state.chips = [*reversed(older), (row["chip_id"], row["acquired_us"])]
        own = len(older)
        source_index = decode_array(row["source_index"], "uint8", CHIP_PIXELS_10M)
        # Source k is the k-th newest, and 0 is the chip itself, the newest of all.
        to_seen = np.full(256, _NEVER_SEEN, np.int32)
        to_seen[: own + 1] = own - np.arange(own + 1)
        state.seen_10m = to_seen[source_index]
        # A 20 m pixel has the newest source of its four 10 m pixels.
        state.seen_20m = state.seen_10m.reshape(CHIP_PIXELS_20M, 2, CHIP_PIXELS_20M, 2).max(axis=(1, 3))
        state.bands = {name: pixels.copy() for name, pixels in _decode_bands(row).items()}
        state.scl = decode_array(row[SCL], "uint8", CHIP_PIXELS_20M).copy()


def _decode_bands(row: Any) -> dict[str, NDArray[np.uint16]]:
    names = [name for name in BAND_NAMES if row[name] is not None]
    return {name: decode_array(row[name], "uint16", BAND_BY_NAME[name].pixels) for name in names}


def _filled_row(chip: str, state: _State, own: int) -> tuple[Any, ...]:
    seen = state.seen_10m
    counts = np.bincount(seen.ravel() + 1, minlength=own + 2)[1:]  # pixels by chip, those never seen left out
    used = [index for index in np.flatnonzero(counts)[::-1] if index != own]  # newest first
    if len(used) >= STILL_MISSING:
        raise ValueError(f"{chip}: more than {STILL_MISSING - 1} sources; lower fill_max_age_days")
    to_source = np.full(own + 2, STILL_MISSING, np.uint8)  # the last stands for never seen (-1)
    to_source[own] = 0
    for position, index in enumerate(used, start=1):
        to_source[index] = position
    acquired_us = state.chips[own][1]
    ages = {index: (acquired_us - state.chips[index][1]) / _DAY_US for index in used}
    filled = sum(int(counts[index]) for index in used)
    sources = [{"chip_id": state.chips[index][0], "acquired_us": state.chips[index][1]} for index in used]
    layers = [encode_array(state.bands[name]) if name in state.bands else None for name in BAND_NAMES]
    measures = {
        "sources": sources,
        "base_valid_fraction": int(counts[own]) / seen.size,
        "complete_fraction": int(counts.sum()) / seen.size,
        "max_age_days": max(ages.values(), default=None),
        "mean_age_days": sum(ages[index] * int(counts[index]) for index in used) / filled if filled else None,
    }
    return chip, [*layers, encode_array(state.scl), encode_array(to_source[seen])], json.dumps(measures)
