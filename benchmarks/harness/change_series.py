"""What rules for change see of a landscape: features and valid shares of its patches, night by night."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.change_scores import PATCH_PX, PATCHES
from harness.floors import VALID
from harness.landscapes import Landscape
from lakehouse.bands import VALUE_PER_REFLECTANCE
from python_udfs.valid_pixels import class_table


@dataclass(frozen=True)
class Series:
    """Patches of a landscape.

    Attributes:
        days: (n,) since 1970-01-01, in order.
        features: (n, 10, 1024) float32, mean reflectance of the valid pixels, NaN where none is.
        shares: (n, 1024) float32, share of the pixels that is valid.
    """

    days: NDArray[np.float64]
    features: NDArray[np.float32]
    shares: NDArray[np.float32]


def series_of(landscape: Landscape) -> Series:
    """Return the patches of all nights."""
    nights = [patch_means(bands, scl) for bands, scl in zip(landscape.bands, landscape.scl, strict=True)]
    return Series(landscape.days, np.stack([night[0] for night in nights]), np.stack([night[1] for night in nights]))


def patch_means(bands: NDArray[np.uint16], scl: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean reflectances, (10, 1024), and valid shares, (1024,), of the patches of a night.

    Args:
        bands: (10, 256, 256) reflectance x 10,000, 0 is nodata.
        scl: (128, 128).
    """
    valid = class_table(VALID)[scl].repeat(2, axis=0).repeat(2, axis=1) & (bands > 0).all(axis=0)
    shape = (PATCHES, PATCH_PX, PATCHES, PATCH_PX)
    count = valid.reshape(shape).sum(axis=(1, 3)).astype(np.float32)
    sums = np.where(valid, bands, 0).reshape(-1, *shape).sum(axis=(2, 4), dtype=np.float32)
    with np.errstate(invalid="ignore"):
        means = np.where(count > 0, sums / np.maximum(count, 1) / VALUE_PER_REFLECTANCE, np.nan)
    return means.reshape(len(bands), -1).astype(np.float32), (count / PATCH_PX**2).ravel()
