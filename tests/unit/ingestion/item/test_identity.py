"""Tile, datatake, datastrip and processing baseline are found in every place where providers state them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.normalised import row_of
from support.stac_items import make_item


def test_two_parts_of_a_pass_share_the_datatake_and_differ_in_the_datastrip() -> None:
    first = row_of(make_item(7))
    second = make_item(7, **{"s2:datastrip_id": "S2A_OPER_MSI_L2A_DS_ATOS_20230808T184259_S20230808T105906_N05.09"})
    part = row_of(second | {"id": "S2A_33TWL_20230808_1_L2A"})
    assert part.datatake_id == first.datatake_id == "S2A_20230808T095031"
    assert first.datastrip_started_at == datetime(2023, 8, 8, 9, 56, 30, tzinfo=UTC)
    assert part.datastrip_started_at == datetime(2023, 8, 8, 10, 59, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("properties", "item_id", "tile"),
    [
        ({"grid:code": "MGRS-1CCV"}, "x", "01CCV"),
        ({"grid:code": None, "s2:mgrs_tile": "33TWL"}, "x", "33TWL"),
        (
            {"grid:code": None, "mgrs:utm_zone": 5, "mgrs:latitude_band": "Q", "mgrs:grid_square": "KB"},
            "S2A_x_L2A",
            "05QKB",
        ),
        ({"grid:code": None}, "x", "33TWL"),
        ({"grid:code": None, "s2:product_uri": None}, "S2A_33TWL_20230815_0_L2A", "33TWL"),
        ({"grid:code": None, "s2:product_uri": None}, "S2A_T33TWL_20230815T095630_L2A", "33TWL"),
    ],
)
def test_the_tile_is_found_under_every_name_and_in_ids(properties: dict[str, Any], item_id: str, tile: str) -> None:
    assert row_of(make_item(**properties) | {"id": item_id}).mgrs_tile == tile


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, "S2A_20230801T095031"),
        ({"s2:datatake_id": None, "eopf:datatake_id": "GS2C_20230801T095033_1_N05.09"}, "S2C_20230801T095033"),
        ({"s2:datatake_id": None}, "S2A_20230801T095031"),
        ({"s2:datatake_id": None, "s2:product_uri": None}, "S2A_20230801T095811"),
    ],
)
def test_the_datatake_id_is_equal_from_every_source(properties: dict[str, Any], expected: str) -> None:
    assert row_of(make_item(**properties)).datatake_id == expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"s2:processing_baseline": None, "processing:version": "05.00"}, "05.00"),
        ({"s2:processing_baseline": 5.1}, "05.10"),
        ({"s2:processing_baseline": "4.0"}, "04.00"),
        ({"s2:processing_baseline": None}, "05.09"),
        ({"s2:processing_baseline": None, "s2:product_uri": None}, "05.09"),
        (
            {"s2:processing_baseline": None, "s2:product_uri": None, "s2:datatake_id": None, "s2:datastrip_id": None},
            None,
        ),
    ],
)
def test_the_baseline_has_one_format_from_every_source(properties: dict[str, Any], expected: str | None) -> None:
    assert row_of(make_item(**properties)).processing_baseline == expected


def test_a_collection_1_id_gives_the_start_of_the_datastrip() -> None:
    item = make_item(**{"s2:datastrip_id": None}) | {"id": "S2A_T33TWL_20230815T095630_L2A"}
    assert row_of(item).datastrip_started_at == datetime(2023, 8, 15, 9, 56, 30, tzinfo=UTC)
    assert row_of(make_item(**{"s2:datastrip_id": None})).datastrip_started_at is None
