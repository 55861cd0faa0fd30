"""What rules for change see of a landscape: the patches of its nights, as fct_chip_patches has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.fills import SUSPECTS, rule_of
from harness.floors import VALID
from harness.landscapes import Landscape
from lakehouse.bands import BANDS
from python_udfs.change.patches import PATCH, SIDE, PatchFeatures, patch_features
from python_udfs.fill.peers import coarse_chip, peers_of
from python_udfs.fill.rule import FillRule
from python_udfs.fill.suspects import Look, Reference
from python_udfs.valid_pixels import BandPixels, Mask, class_table, data_mask, to_10m

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Night:
    """A night's pixels of a chip.

    Attributes:
        day: since 1970-01-01.
        bands: band name to (256, 256) or (128, 128) reflectance x 10,000, 0 = nodata.
        scl: (128, 128).
    """

    day: float
    bands: Mapping[str, BandPixels]
    scl: NDArray[np.uint8]


@dataclass(frozen=True)
class Series:
    """Patches of a landscape.

    Attributes:
        days: (n,) since 1970-01-01, in order.
        features: (n, bands, 1024) float32, mean reflectance of the pixels that were seen, NaN where none was.
        shares: (n, 1024) float32, share of the pixels that was seen: valid and not suspect.
        valid: (n, 1024) float32, share of the pixels that is valid by SCL.
    """

    days: NDArray[np.float64]
    features: NDArray[np.float32]
    shares: NDArray[np.float32]
    valid: NDArray[np.float32]


def series_of(landscape: Landscape, with_suspects: bool = True) -> Series:
    """Return the patches of all nights.

    Args:
        landscape: its nights.
        with_suspects: whether pixels that filling suspects to be missed clouds or shadows are left out.
    """
    return patches_of(_nights(landscape), with_suspects)


def _nights(landscape: Landscape) -> Iterator[Night]:
    for day, pixels, scl in zip(landscape.days, landscape.bands, landscape.scl, strict=True):
        bands = {
            band.name: image if band.gsd == 10 else image[::2, ::2] for band, image in zip(BANDS, pixels, strict=True)
        }
        yield Night(float(day), bands, scl)


def patches_of(nights: Iterable[Night], with_suspects: bool = True) -> Series:
    """Return the patches of nights, which are in order of time; see `series_of`."""
    days, seen, valid = list[float](), list[PatchFeatures](), list[NDArray[np.float32]]()
    rule, reference = FillRule.model_validate_json(rule_of(SUSPECTS)), Reference()
    for number, night in enumerate(nights):
        counted = data_mask(night.bands, class_table(VALID)[night.scl])
        valid.append(_shares(counted))
        if with_suspects:
            counted &= ~to_10m(_suspects(reference, rule, number, night, counted))
        days.append(night.day)
        seen.append(patch_features(night.bands, counted))
    return Series(
        np.array(days), np.stack([one.features for one in seen]), np.stack([one.share for one in seen]), np.stack(valid)
    )


def _shares(counted: Mask) -> NDArray[np.float32]:
    """Return the share of each patch that counts, (1024,)."""
    return np.asarray(counted.reshape(SIDE, PATCH, SIDE, PATCH).mean(axis=(1, 3)).ravel(), np.float32)


def _suspects(reference: Reference, rule: FillRule, number: int, night: Night, counted: Mask) -> Mask:
    """Return the suspect pixels of the next night, (128, 128), as filling finds them, and let it be a reference."""
    moment = EPOCH + timedelta(days=night.day)
    coarse = coarse_chip(night.bands, counted)
    look = Look(coarse, peers_of(coarse), night.scl)
    reference.drop_older_than(moment - timedelta(days=rule.max_age_days))
    suspects = reference.suspects(look, rule)
    reference.add(number, moment, look)
    return suspects
