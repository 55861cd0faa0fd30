"""An oracle of the adjustment of filled pixels: one pixel at a time, with sorted lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SIDE = 128  # 20 m pixels of a chip
SAMPLED = [(row, col) for row in range(0, SIDE, 2) for col in range(0, SIDE, 2)]
LEAST_PEERS = 30
LEAST_GAIN, GREATEST_GAIN = 1_024, 65_535


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


@dataclass(frozen=True)
class Gains:
    """What a source's pixels are multiplied by, in units of 1 / 8192."""

    peers: int
    by_group: dict[str, list[int]]  # of each band; none with too few peers
    by_block: dict[str, list[list[int]]]

    def at(self, name: str, group: int, row: int, col: int) -> int:
        """Return the gain of a 20 m pixel."""
        blocks = self.by_block[name]
        parts = [
            (down * right, blocks[block_row][block_col])
            for block_row, down in ways(row)
            for block_col, right in ways(col)
        ]
        factor = (sum(weight * value for weight, value in parts) + 512) // 1024
        return min(max((self.by_group[name][group] * factor + 4096) // 8192, LEAST_GAIN), GREATEST_GAIN)


def ways(pixel: int) -> list[tuple[int, int]]:
    """Return the blocks before and after a row or column of 20 m pixels, with their weights out of 32."""
    middles = [16 * block + 8 for block in range(8)]
    at = pixel + Fraction(1, 2)
    if at <= middles[0]:
        return [(0, 32)]
    if at >= middles[-1]:
        return [(7, 32)]
    before = max(block for block in range(8) if middles[block] <= at)
    after_weight = (at - middles[before]) * 2
    return [(before, int(32 - after_weight)), (before + 1, int(after_weight))]


NONE_SUSPECT = np.zeros((SIDE, SIDE), bool)


def gains_of(
    source: Mapping[str, Array],
    source_valid: Array,
    target: Mapping[str, Array],
    target_valid: Array,
    suspect: Array = NONE_SUSPECT,
) -> Gains:
    """Return what the pixels of a source are multiplied by; pixels that are suspect in one of both are no peers."""
    group = group_table(source, source_valid)
    both = [place for place in SAMPLED if is_whole(source_valid, *place) and is_whole(target_valid, *place)]
    both = [place for place in both if not suspect[place]]
    names = [name for name in source if name in target]
    if len(both) < LEAST_PEERS or not names:
        return Gains(len(both), {}, {})
    by_group: dict[str, list[int]] = {}
    by_block: dict[str, list[list[int]]] = {}
    for name in names:
        ratios: dict[int, list[np.float32]] = {number: [] for number in range(15)}
        for place in both:
            ratio = np.float32(total(target[name], *place)) / np.float32(total(source[name], *place))
            ratios[group(*place)].append(ratio)
        whole_cell = sorted(ratio for some in ratios.values() for ratio in some)
        by_group[name] = []
        for number in range(15):
            some = sorted(ratios[number]) if len(ratios[number]) >= LEAST_PEERS else whole_cell
            median = some[(len(some) - 1) // 2]
            by_group[name].append(int(min(max(np.rint(median * np.float32(8192)), LEAST_GAIN), GREATEST_GAIN)))
        contrasts = {}
        for place in both:
            found = total(target[name], *place) * 8192
            expected = total(source[name], *place) * by_group[name][group(*place)]
            contrast = float(found - expected) / float(found + expected)
            contrasts[place] = round(min(max(contrast, -0.25), 0.25) * 2**20)
        by_block[name] = [[factor(mean) for mean in row] for row in means(contrasts, 8)]
    return Gains(len(both), by_group, by_block)


def means(contrasts: Mapping[tuple[int, int], int], blocks: int) -> list[list[int]]:
    """Return the mean of each block, drawn to the mean of what is around it."""
    wider = means(contrasts, blocks // 2) if blocks > 1 else [[0]]
    side = SIDE // blocks
    rows = []
    for row in range(blocks):
        rows.append(list[int]())
        for col in range(blocks):
            inside = [c for (i, j), c in contrasts.items() if i // side == row and j // side == col]
            around = wider[0][0] if blocks == 1 else between(wider, row, col)
            rows[-1].append((sum(inside) + 4 * around) // (len(inside) + 4))
    return rows


def between(wider: list[list[int]], row: int, col: int) -> int:
    """Return the mean around a block of half the size: nine parts its own large block, the rest its neighbours."""
    last = len(wider) - 1

    def near(place: int) -> int:
        return min(max(place // 2 + (1 if place % 2 else -1), 0), last)

    own, neighbour = (row // 2, col // 2), (near(row), near(col))
    return (
        9 * wider[own[0]][own[1]]
        + 3 * wider[neighbour[0]][own[1]]
        + 3 * wider[own[0]][neighbour[1]]
        + wider[neighbour[0]][neighbour[1]]
    ) // 16


def factor(mean: int) -> int:
    """Return the factor of a mean contrast."""
    return round((2**20 + mean) / (2**20 - mean) * 8192)


def times(pixel: int, gain: int) -> int:
    """Return a pixel times a gain."""
    return 0 if pixel == 0 else min(max((pixel * gain + 4096) // 8192, 1), 65_535)
