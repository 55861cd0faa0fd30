"""Ways to fill a hole: Chiplake's own, and medians of earlier nights."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from harness.floors import VALID
from harness.holes import Case, Night
from lakehouse.bands import BAND_BY_NAME
from python_udfs.fill.cell_fold import CellFold
from python_udfs.fill.fold import Source
from python_udfs.valid_pixels import BandPixels, Mask, any_of_four
from python_udfs.validity_rule import DecodedChip

Bands = Mapping[str, BandPixels]

NONE, PEERS, SUSPECTS, MEDIAN, COMPOSITE, TRUTH = (
    *("none", "peers", "peers, suspects"),
    *("median of 3", "composite", "truth"),
)
# `adjust` and `suspects` of the rule of each method that fills.
RULES: Final = {NONE: ("none", "none"), PEERS: ("peers", "none"), SUSPECTS: ("peers", "peers")}
METHODS: Final = (*RULES, MEDIAN, COMPOSITE)
COMPOSITE_DAYS: Final = 60  # a composite has the nights of so many days before
EPOCH: Final = datetime(2023, 1, 1, tzinfo=UTC)


def fills_of(case: Case) -> dict[str, Bands]:
    """Fill a hole by each method; a method that has too few nights is left out."""
    since = case.night.day - COMPOSITE_DAYS
    filled = {
        **{method: fill(case, method) for method in RULES},
        MEDIAN: median_of(case.earlier[-3:]),
        COMPOSITE: median_of([night for night in case.earlier if night.day >= since]),
    }
    return {method: bands for method, bands in filled.items() if bands is not None}


def fill(case: Case, method: str) -> Bands:
    """Fill the hole as fct_filled_chips does, and check that no valid pixel of the night has changed."""
    fold = CellFold(rule_of(method))
    for night in (*case.earlier, case.night):
        fold.take(source_of(night), DecodedChip(dict(night.bands), night.scl, night.valid))
    bands = fold.result().bands
    for name, pixels in case.night.bands.items():
        own = of_band(case.night.valid, name)
        if not np.array_equal(bands[name][own], pixels[own]):
            raise SystemExit(f"{case.series}: {method} changed valid pixels of {name}")
    return bands


def rule_of(method: str) -> str:
    """Return the rule of a method that fills, JSON."""
    adjust, suspects = RULES[method]
    return json.dumps(
        {
            "method": "newest-valid-v1",
            "max_age_days": 60,
            "valid_scl_classes": VALID,
            "cloud_dilation_pixels": 0,
            "adjust": adjust,
            "suspects": suspects,
            "min_complete": 1.0,
        }
    )


def median_of(nights: Sequence[Night]) -> Bands | None:
    """Return the median of the valid values of each pixel, as xarray would; None with fewer than three nights."""
    if len(nights) < 3:
        return None
    filled = {}
    for name in nights[-1].bands:
        seen = [of_band(night.valid, name) for night in nights]
        values = np.stack([night.bands[name] for night in nights]).astype(np.float32)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a pixel that is never valid
            middle = np.nanmedian(np.where(np.stack(seen), values, np.nan), axis=0)
        filled[name] = np.nan_to_num(middle).astype(np.uint16)
    return filled


def source_of(night: Night) -> Source:
    """Name a night."""
    return Source(f"day {night.day}", EPOCH + timedelta(days=night.day))


def of_band(mask: Mask, name: str) -> Mask:
    """Return a (256, 256) mask on the grid of a band."""
    return mask if BAND_BY_NAME[name].gsd == 10 else any_of_four(mask)
