"""Tile, datatake, datastrip and processing baseline are found in every place where providers state them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.normalised import reject_of, row_of
from support.stac_items import make_item

from ingestion.model import Reason


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


NO_NAME: dict[str, Any] = {"s2:product_uri": None}
NO_TRACE = NO_NAME | dict.fromkeys(("s2:processing_baseline", "s2:datatake_id", "s2:datastrip_id"))


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        # The product's name decides.
        ({}, "05.09"),
        ({"s2:processing_baseline": None}, "05.09"),
        ({"s2:processing_baseline": "03.01"}, "05.09"),
        ({"s2:processing_baseline": "five"}, "05.09"),
        ({"s2:processing_baseline": None, "processing:version": "2.11"}, "05.09"),
        ({"s2:processing_baseline": None, "processing:version": "05.00"}, "05.09"),
        ({"s2:product_uri": "S2A_MSIL2A_20170815T095031_N9999_R079_T33TWL_20170815T155057.SAFE"}, "99.99"),
        # Then properties, in every form.
        (NO_TRACE | {"s2:processing_baseline": "05.11"}, "05.11"),
        (NO_TRACE | {"s2:processing_baseline": "N0509"}, "05.09"),
        (NO_TRACE | {"s2:processing_baseline": "n05.09"}, "05.09"),
        (NO_TRACE | {"s2:processing_baseline": " 0509 "}, "05.09"),
        (NO_TRACE | {"s2:processing_baseline": 5.1}, "05.10"),
        (NO_TRACE | {"s2:processing_baseline": 5.09}, "05.09"),
        (NO_TRACE | {"s2:processing_baseline": 5}, "05.00"),
        (NO_TRACE | {"s2:processing_baseline": "4.0"}, "04.00"),
        (NO_TRACE | {"sentinel:processing_baseline": "02.12"}, "02.12"),
        (NO_TRACE | {"s2:processing_baseline": "99.99", "s2:datatake_id": "GS2A_20230801T095031_1_N05.09"}, "99.99"),
        # Then datatake and datastrip.
        (NO_NAME | {"s2:processing_baseline": None}, "05.09"),
        (NO_NAME | {"s2:processing_baseline": None, "s2:datatake_id": None}, "05.09"),
        # Then a version that has the form of a baseline; others are of the software.
        (NO_TRACE | {"processing:version": "05.00"}, "05.00"),
        (NO_TRACE | {"processing:version": "N0509"}, "05.09"),
        (NO_TRACE | {"processing:version": "2.11"}, None),
        (NO_TRACE | {"processing:version": "02.11.00"}, None),
        (NO_TRACE | {"processing:version": "1.4"}, None),
        (NO_TRACE, None),
    ],
)
def test_the_baseline_comes_from_the_name_first_and_has_one_format(
    properties: dict[str, Any], expected: str | None
) -> None:
    assert row_of(make_item(**properties)).processing_baseline == expected


@pytest.mark.parametrize(
    "name",
    [
        "{}.SAFE",
        "{}.SAFE/",
        "/eodata/Sentinel-2/MSI/L2A/2023/08/15/{}.SAFE",
        "s3://eodata/{}.SAFE.zip",
        "{}.tar.gz",
        " {} ",
    ],
)
def test_a_product_may_be_named_by_its_path_or_its_archive(name: str) -> None:
    product = "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057"
    for written in (product, product.lower()):
        row = row_of(make_item(**NO_TRACE | {"s2:product_uri": name.format(written)}))
        assert (row.product_id, row.processing_baseline) == (product, "05.09")


@pytest.mark.parametrize("value", ["five", "5.9", "509", "05.9", "V5.09", "05.09.1", True, [5], {"value": "05.09"}, ""])
def test_a_baseline_that_cannot_be_understood_rejects_an_item_without_a_name(value: object) -> None:
    reject = reject_of(make_item(**NO_TRACE | {"s2:processing_baseline": value}))
    assert reject.reason is Reason.UNREADABLE_VALUE
    assert f"s2:processing_baseline is {value!r}" in reject.detail


def test_baselines_on_both_sides_of_the_offset_reject_an_item_without_a_name() -> None:
    reject = reject_of(make_item(**NO_NAME | {"s2:processing_baseline": "03.01"}))
    assert reject.reason is Reason.UNREADABLE_VALUE
    assert "s2:processing_baseline says processing baseline 03.01" in reject.detail
    assert "s2:datatake_id says processing baseline 05.09" in reject.detail
    assert row_of(make_item(**NO_NAME | {"s2:processing_baseline": "05.10"})).processing_baseline == "05.10"


def test_a_collection_1_id_gives_the_start_of_the_datastrip() -> None:
    item = make_item(**{"s2:datastrip_id": None}) | {"id": "S2A_T33TWL_20230815T095630_L2A"}
    assert row_of(item).datastrip_started_at == datetime(2023, 8, 15, 9, 56, 30, tzinfo=UTC)
    assert row_of(make_item(**{"s2:datastrip_id": None})).datastrip_started_at is None
