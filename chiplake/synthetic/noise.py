"""Deterministic noise on pixel grids.

Each value depends on its coordinates and a seed alone, never on the window that is asked for, so tiles that overlap
have equal pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Float = NDArray[np.float32]
Hashes = NDArray[np.uint32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """A north-up pixel grid in UTM."""

    west: int  # edge, metres
    north: int  # edge, metres
    gsd: int  # pixel side, metres
    rows: int
    cols: int

    @property
    def eastings(self) -> NDArray[np.float64]:
        """Eastings of the pixel centres, (1, cols), metres."""
        return np.arange(self.cols, dtype=np.float64)[None, :] * self.gsd + (self.west + self.gsd / 2)

    @property
    def northings(self) -> NDArray[np.float64]:
        """Northings of the pixel centres, (rows, 1), metres."""
        return (self.north - self.gsd / 2) - np.arange(self.rows, dtype=np.float64)[:, None] * self.gsd

    def moved(self, east: int, north: int) -> Grid:
        """Return the grid moved by metres to the east and to the north."""
        return Grid(self.west + east, self.north + north, self.gsd, self.rows, self.cols)

    def coarsened(self) -> Grid:
        """Return the grid of pixels twice as wide over the same extent; rows and cols must be even."""
        return Grid(self.west, self.north, self.gsd * 2, self.rows // 2, self.cols // 2)


def hashed(seed: int, *parts: NDArray[Any]) -> Hashes:
    """Hash integers to 32 bits.

    Args:
        seed: equal seeds give equal hashes.
        *parts: arrays of integers of any size, which broadcast against each other.
    """

    def mix(state: Hashes, part: NDArray[Any]) -> Hashes:
        word = state ^ part.astype(np.int64).astype(np.uint32)
        word ^= word >> np.uint32(16)
        word *= np.uint32(0x7FEB352D)
        word ^= word >> np.uint32(15)
        word *= np.uint32(0x846CA68B)
        return word ^ (word >> np.uint32(16))

    start = np.full((1,) * max(part.ndim for part in parts), (seed * 0x9E3779B9) & 0xFFFFFFFF, dtype=np.uint32)
    return reduce(mix, parts, start)


def uniform(hashes: Hashes) -> Float:
    """Turn hashes into numbers from 0 to below 1."""
    return (hashes >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def smooth_step(x: Float) -> Float:
    """Interpolate from 0 to 1 without a kink at either end; x is from 0 to 1."""
    return x * x * (3 - 2 * x)


def _lattice_steps(coordinates: NDArray[np.float64], scale: float) -> tuple[Ints, Ints, Float]:
    """Indices of the lattice around the coordinates, each coordinate's position among them, and its smooth fraction."""
    scaled = coordinates.ravel() / scale
    floors = np.floor(scaled).astype(np.int64)
    first = int(floors.min())
    lattice = np.arange(first, int(floors.max()) + 2, dtype=np.int64)
    return lattice, floors - first, smooth_step((scaled - floors).astype(np.float32))


def noise(grid: Grid, seed: int, scale: float, octaves: int = 1) -> Float:
    """Make smooth noise from 0 to 1, (rows, cols).

    Args:
        grid: the pixels.
        seed: equal seeds give equal noise.
        scale: width of the coarsest features, metres.
        octaves: number of layers; the features of each are half as wide as those of the layer before.
    """
    total = np.zeros((grid.rows, grid.cols), dtype=np.float32)
    for octave in range(octaves):
        xs, x, fx = _lattice_steps(grid.eastings, scale / 2**octave)
        ys, y, fy = _lattice_steps(grid.northings, scale / 2**octave)
        values = uniform(hashed(seed + octave, ys[:, None], xs[None, :]))
        lines = values[y] + (values[y + 1] - values[y]) * fy[:, None]
        left = lines[:, x]
        total += (left + (lines[:, x + 1] - left) * fx) * np.float32(0.5**octave)
    return total / np.float32(2 - 0.5 ** (octaves - 1))


def blocks(grid: Grid, seed: int, spacing: float) -> tuple[Hashes, Float]:
    """Return each pixel's Voronoi block as a hash, and the pixel's distance to the edge of the block, metres.

    Args:
        grid: the pixels.
        seed: equal seeds give equal blocks.
        spacing: mean width of a block, metres.
    """
    x, y = np.floor(grid.eastings / spacing), np.floor(grid.northings / spacing)
    # Offsets inside a lattice cell are small, so that float32 rounds them in the same way in every window.
    in_x = (grid.eastings / spacing - x).astype(np.float32)
    in_y = (grid.northings / spacing - y).astype(np.float32)
    xs = np.arange(x.min() - 1, x.max() + 2)
    ys = np.arange(y.min() - 1, y.max() + 2)
    hashes = hashed(seed, ys[:, None], xs[None, :])
    point_x = 0.1 + np.float32(0.8) * uniform(hashed(1, hashes))
    point_y = 0.1 + np.float32(0.8) * uniform(hashed(2, hashes))
    first_x, first_y = (x.ravel() - x.min()).astype(np.int64), (y.ravel() - y.min()).astype(np.int64)

    nearest = np.full((grid.rows, grid.cols), np.inf, dtype=np.float32)
    second = nearest.copy()
    owner = np.zeros((grid.rows, grid.cols), dtype=np.uint32)
    for step_y in range(3):
        for step_x in range(3):
            pick = np.ix_(first_y + step_y, first_x + step_x)
            distance = np.hypot(point_x[pick] + (step_x - 1) - in_x, point_y[pick] + (step_y - 1) - in_y)
            second = np.minimum(second, np.maximum(distance, nearest))
            owner = np.where(distance < nearest, hashes[pick], owner)
            nearest = np.minimum(distance, nearest)
    return owner, (second - nearest) * np.float32(spacing)
