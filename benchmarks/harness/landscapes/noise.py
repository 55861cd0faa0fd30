"""Random fields on a square of pixels, and generators of random numbers by purpose."""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import CHIP_PIXELS_10M

Field = NDArray[np.float32]
SIDE = CHIP_PIXELS_10M


def chance_of(family: str, seed: int, purpose: str) -> np.random.Generator:
    """Return a generator that depends on these alone: what one purpose draws does not change what another draws."""
    return np.random.default_rng([crc32(family.encode()), seed, crc32(purpose.encode())])


@lru_cache(maxsize=2)
def _frequency(side: int) -> Field:
    """Cycles a pixel, (side, side // 2 + 1)."""
    rows = np.fft.fftfreq(side)[:, None]
    columns = np.fft.rfftfreq(side)[None, :]
    return np.asarray(np.hypot(rows, columns), np.float32)


def smooth(chance: np.random.Generator, length: float, side: int = SIDE) -> Field:
    """Return Gaussian noise of mean 0 and standard deviation 1, smoothed by a Gaussian.

    Args:
        chance: random numbers.
        length: standard deviation of the Gaussian, pixels.
        side: of the square, pixels.
    """
    return _shaped(chance, np.asarray(np.exp(-2 * (np.pi * length * _frequency(side)) ** 2), np.float32), side)


def fractal(chance: np.random.Generator, slope: float, side: int = SIDE) -> Field:
    """Return noise of mean 0 and standard deviation 1 with a power spectrum that falls with frequency ** -slope."""
    frequency = np.maximum(_frequency(side), 1 / (2 * side))
    return _shaped(chance, np.asarray(frequency ** (-slope / 2), np.float32), side)


def _shaped(chance: np.random.Generator, amplitude: Field, side: int) -> Field:
    spectrum = np.fft.rfft2(chance.standard_normal((side, side), dtype=np.float32)) * amplitude.astype(np.float32)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (side, side)).astype(np.float32)
    return np.asarray(field / max(float(field.std()), 1e-9), np.float32)


def halve(field: NDArray[np.float32]) -> Field:
    """Return means of 2 x 2 pixels: (…, h, w) to (…, h / 2, w / 2)."""
    sums = field[..., 0::2, :] + field[..., 1::2, :]
    return np.asarray((sums[..., 0::2] + sums[..., 1::2]) * np.float32(0.25), np.float32)


def double(field: NDArray[np.float32]) -> Field:
    """Repeat each pixel into four: (…, h, w) to (…, 2 h, 2 w)."""
    return np.asarray(field.repeat(2, axis=-2).repeat(2, axis=-1), np.float32)
