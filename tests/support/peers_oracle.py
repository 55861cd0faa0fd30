"""An oracle of the adjustment of filled pixels: one pixel at a time, with sorted lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SIDE = 128  # 20 m pixels of a chip
SAMPLED = [(row, col) for row in range(0, SIDE, 2) for col in range(0, SIDE, 2)]
LEAST_PEERS = 30


def total(pixels: Array, row: int, col: int) -> int:
    """Return the sum of a 20 m pixel's four parts."""
    if len(pixels) == SIDE:
        return 4 * int(pixels[row, col])
    return sum(int(pixels[2 * row + i, 2 * col + j]) for i in (0, 1) for j in (0, 1))


def is_whole(valid: Array, row: int, col: int) -> bool:
    """Return whether all parts of a 20 m pixel are valid."""
    return all(valid[2 * row + i, 2 * col + j] for i in (0, 1) for j in (0, 1))


def group_table(bands: Mapping[str, Array], valid: Array) -> Callable[[int, int], int]:
    """Return a function of row and column that gives the group."""
    whole = [place for place in SAMPLED if is_whole(valid, *place)]

    def ndvi(row: int, col: int) -> np.float32:
        red, nir = total(bands["red"], row, col), total(bands["nir"], row, col)
        return (np.float32(nir) - np.float32(red)) / np.float32(max(red + nir, 1))

    def limits(values: list[Any], count: int) -> list[Any]:
        values = sorted(values)
        return [values[len(values) * part // count] for part in range(1, count)]

    has_ndvi = {"red", "nir"} <= set(bands)
    by_ndvi = limits([ndvi(*place) for place in whole], 5) if has_ndvi and whole else []

    def first(row: int, col: int) -> int:
        return sum(ndvi(row, col) >= limit for limit in by_ndvi) if by_ndvi else 0

    second = next((name for name in ("swir16", "green", "blue") if name in bands), None)
    by_second: dict[int, list[int]] = {}
    if second is not None:
        for number in range(5):
            inside = [total(bands[second], *place) for place in whole if first(*place) == number]
            by_second[number] = limits(inside, 3) if inside else []

    def group(row: int, col: int) -> int:
        one = int(first(row, col))
        if second is None or not whole:
            return one
        value = total(bands[second], row, col)
        return 3 * one + sum(value >= limit for limit in by_second[one])

    return group


def gains_of(
    source: Mapping[str, Array], source_valid: Array, target: Mapping[str, Array], target_valid: Array
) -> tuple[int, dict[str, list[int]]]:
    """Return the number of peers, and by band the gain of each group in units of 1 / 8192."""
    group = group_table(source, source_valid)
    both = [place for place in SAMPLED if is_whole(source_valid, *place) and is_whole(target_valid, *place)]
    names = [name for name in source if name in target]
    if len(both) < LEAST_PEERS or not names:
        return len(both), {}
    gains: dict[str, list[int]] = {}
    for name in names:
        ratios: dict[int, list[np.float32]] = {number: [] for number in range(15)}
        for place in both:
            ratio = np.float32(total(target[name], *place)) / np.float32(total(source[name], *place))
            ratios[group(*place)].append(ratio)
        whole_cell = sorted(ratio for some in ratios.values() for ratio in some)
        gains[name] = []
        for number in range(15):
            some = sorted(ratios[number]) if len(ratios[number]) >= LEAST_PEERS else whole_cell
            median = some[(len(some) - 1) // 2]
            gains[name].append(int(min(max(np.rint(median * np.float32(8192)), 3277), 20480)))
    return len(both), gains


def times(pixel: int, gain: int) -> int:
    """Return a pixel times a gain."""
    return 0 if pixel == 0 else min(max((pixel * gain + 4096) // 8192, 1), 65_535)
