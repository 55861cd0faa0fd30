"""Rasters that cannot be those of a Sentinel-2 product are rejected."""

from __future__ import annotations

from typing import Any

import pytest
from support.normalised import API, reject_of, row_of, without_grid
from support.stac_items import make_item

from ingestion.item.normalise import normalise
from ingestion.model import Reason, Received, Reject


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raster:bands": [{"scale": 0, "offset": 0}]}, "asset red has the scale 0"),
        ({"raster:bands": [{"scale": 1, "offset": -1000}]}, "asset red has the scale 1"),
        ({"raster:bands": [{"scale": 1, "offset": -0.1}]}, "asset red has the scale 1"),
        ({"raster:bands": [{"scale": 0.0001, "offset": -1000}]}, "asset red has the offset -1000"),
        ({"raster:bands": [{"scale": 0.0001, "offset": 0}]}, "assets differ in offset: blue has -0.1, red has 0.0"),
        (
            {"raster:bands": [{"scale": 0.001, "offset": -0.1}]},
            "assets differ in scale: blue has 0.0001, red has 0.001",
        ),
        ({"proj:shape": [20000, 10980]}, "asset red is 200000 m wide or high"),
    ],
)
def test_scales_offsets_and_extents_that_cannot_be_right_are_rejected(changes: dict[str, Any], message: str) -> None:
    item = make_item()
    item["assets"]["red"] |= changes
    reject = reject_of(item)
    assert reject.reason is Reason.IMPLAUSIBLE_RASTER
    assert message in reject.detail


def test_a_footprint_without_grid_that_is_larger_than_a_tile_is_rejected() -> None:
    reject = reject_of(without_grid() | {"bbox": [10, 40, 16, 46]})
    assert (reject.reason, reject.detail) == (Reason.IMPLAUSIBLE_RASTER, "the footprint covers 26.3 square degrees")


def test_a_raster_of_billions_of_pixels_is_rejected_at_once() -> None:
    item = make_item()
    for asset in item["assets"].values():
        asset["proj:shape"] = [2_147_483_000, 2_147_483_000]
    item["geometry"] = None
    reject = normalise(Received(item, None, API))
    assert isinstance(reject, Reject)
    assert reject.reason in (Reason.IMPLAUSIBLE_RASTER, Reason.NO_GEOMETRY)


def test_a_band_that_copies_gdals_defaults_does_not_contradict_the_others() -> None:
    item = make_item()
    item["assets"]["red"]["raster:bands"] = [{"scale": 1, "offset": 0}]
    assert (row_of(item).assets["red"].scale, row_of(item).assets["blue"].scale) == (1, 0.0001)
