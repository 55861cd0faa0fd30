"""A stated value is understood in every form in which tools write it, or it rejects the item. It is never left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from support.normalised import changed, reject_of, row_of
from support.stac_items import make_item

from ingestion.item.values import parse_time
from ingestion.model import Reason

FLAG = "earthsearch:boa_offset_applied"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in (True, "true", "True", " TRUE ", "yes", "1", 1, 1.0)),
        *((value, False) for value in (False, "false", "no", "0", 0)),
        (None, None),
    ],
)
def test_a_flag_may_be_text_or_a_number(value: object, expected: bool | None) -> None:
    row = row_of(make_item(**{FLAG: value, "deprecated": value}))
    assert (row.is_boa_offset_applied, row.is_deprecated) == (expected, expected)


@pytest.mark.parametrize("value", ["partly", "", 2, 0.5, [], {"value": True}])
def test_a_flag_that_is_neither_true_nor_false_rejects_the_item(value: object) -> None:
    for name in (FLAG, "deprecated"):
        reject = reject_of(make_item(**{name: value}))
        assert reject.reason is Reason.UNREADABLE_VALUE
        assert f"{name} is {value!r}" in reject.detail


def test_flags_that_contradict_each_other_reject_the_item() -> None:
    reject = reject_of(make_item(**{FLAG: True, "sentinel:boa_offset_applied": "false"}))
    assert FLAG in reject.detail
    assert "contradict" in reject.detail
    assert row_of(make_item(**{"mine:boa_offset_applied": "true"})).is_boa_offset_applied is True


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("raster:bands", [{"offset": "minus a tenth"}], ("offset of asset red", "minus a tenth")),
        ("raster:bands", [{"scale": True}], ("scale of asset red", "True")),
        ("raster:offset", "-0,1", ("raster:offset of asset red", "-0,1")),
        ("raster:bands", "offset=-0.1", ("raster:bands of asset red", "offset=-0.1")),
        ("raster:bands", {"offset": -0.1}, ("raster:bands of asset red",)),
        ("raster:bands", [-0.1], ("raster:bands of asset red",)),
        ("raster:bands", [{"nodata": "none"}], ("nodata of asset red", "none")),
        ("nodata", [0], ("nodata of asset red", "[0]")),
        ("bands", "B04", ("bands of asset red",)),
        ("raster:offset", 0, ("offset of asset red is -0.1 and 0", "contradict")),
        ("proj:transform", "north-up", ("proj:transform of asset red", "north-up")),
        ("proj:transform", [10, 0, "west", 0, -10, 5100000], ("proj:transform of asset red", "west")),
        ("proj:shape", "large", ("proj:shape of asset red", "large")),
        ("proj:shape", [10980], ("proj:shape of asset red",)),
    ],
)
def test_a_value_of_an_asset_that_cannot_be_understood_rejects_the_item(
    name: str, value: object, words: tuple[str, ...]
) -> None:
    reject = reject_of(changed(("assets", "red", name), value))
    assert reject.reason is Reason.UNREADABLE_VALUE
    for word in words:
        assert word in reject.detail


def test_a_value_of_an_asset_without_a_band_of_chips_rejects_nothing() -> None:
    item = make_item()
    item["assets"]["thumbnail"] = {"href": "https://x.com/p.jpg", "raster:bands": "none", "proj:shape": "small"}
    assert "red" in row_of(item).assets


def test_empty_lists_and_nulls_state_nothing() -> None:
    item = make_item()
    item["assets"]["red"] |= {"raster:bands": [], "bands": None, "proj:transform": [], "proj:shape": None}
    red = row_of(item).assets["red"]
    assert (red.scale, red.offset, red.transform, red.shape) == (None, None, None, None)


def as_texts(entries: dict[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in entries.items()}


def test_lists_and_objects_may_be_json_in_text() -> None:
    expected = row_of(make_item())
    item = make_item()
    texts = item | {"assets": {key: as_texts(asset) for key, asset in item["assets"].items()}}
    for one in (texts, as_texts(texts)):
        row = row_of(one | {"properties": item["properties"]})
        assert (row.assets, row.geometry, row.epsg) == (expected.assets, expected.geometry, expected.epsg)
    assert row_of(as_texts(texts)).assets["red"].offset == -0.1


def test_numbers_of_a_grid_may_be_text() -> None:
    item = changed(("assets", "red", "proj:transform"), ["10", "0", "499980", "0", "-10", "5100000"])
    assert row_of(item).assets["red"].transform == (10, 0, 499980, 0, -10, 5100000)


def test_a_cloud_cover_may_be_text() -> None:
    assert row_of(make_item(**{"eo:cloud_cover": "12.5"})).cloud_cover == 12.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-01-15t10:06:41z", datetime(2023, 1, 15, 10, 6, 41, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31 23:59:60.5Z", datetime(2017, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("2017-01-01T00:59:60+01:00", datetime(2017, 1, 1, tzinfo=UTC)),
        ("20161231T235960Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2023-01-15T10:06:41.123456789Z", datetime(2023, 1, 15, 10, 6, 41, 123456, tzinfo=UTC)),
        ("2023-01-15T10:60:41Z", None),
        ("2023-01-15T10:06:61Z", None),
    ],
)
def test_times_may_have_small_letters_and_leap_seconds(text: str, expected: datetime | None) -> None:
    assert parse_time(text) == expected


def test_a_datetime_that_cannot_be_read_is_not_replaced_by_the_start() -> None:
    reject = reject_of(make_item(datetime="noon", start_datetime="2023-08-01T09:58:11Z"))
    assert (reject.reason, reject.detail) == (Reason.NO_DATETIME, "datetime is 'noon'")


@pytest.mark.parametrize(
    "name",
    ["earthsearch:boa_offset_applied", "boa_offset_applied", "s2:BOA_ADD_OFFSET_APPLIED", "my-api:boa-offset-applied"],
)
def test_a_flag_is_known_by_its_name_in_the_item_and_in_its_assets(name: str) -> None:
    assert row_of(make_item(**{name: True})).is_boa_offset_applied is True
    item = make_item()
    item["assets"]["red"][name] = "true"
    assert row_of(item).is_boa_offset_applied is True
    item["assets"]["blue"][name] = False
    assert "contradict each other" in reject_of(item).detail


@pytest.mark.parametrize("name", ["raster:bands", "bands"])
def test_bands_among_the_properties_speak_for_all_assets(name: str) -> None:
    item = make_item(**{name: [{"scale": 0.0001, "offset": 0, "name": "B02"}, {"scale": 0.0001, "offset": 0}]})
    for asset in item["assets"].values():
        del asset["raster:bands"]
    assert {(asset.scale, asset.offset) for band, asset in row_of(item).assets.items() if band != "scl"} == {
        (0.0001, 0)
    }
    item["properties"][name][1]["offset"] = -0.1
    assert "0 and -0.1, which contradict each other" in reject_of(item).detail
    item["properties"][name] = "not JSON"
    assert f"{name} of the item is 'not JSON'" in reject_of(item).detail


@pytest.mark.parametrize(
    ("value", "expected"),
    [("uint16", "uint16"), ("UInt16", "uint16"), ("<u2", "uint16"), ("double", "float64"), ("other", None)],
)
def test_a_data_type_has_one_name(value: str, expected: str | None) -> None:
    item = make_item()
    item["assets"]["red"]["raster:bands"][0]["data_type"] = value
    assert row_of(item).assets["red"].data_type == expected


@pytest.mark.parametrize("value", ["unit16", "", 16, "bool", "cfloat32"])
def test_a_data_type_that_cannot_be_understood_rejects_the_item(value: object) -> None:
    item = make_item()
    item["assets"]["red"]["raster:bands"][0]["data_type"] = value
    assert f"data_type of asset red is {value!r}" in reject_of(item).detail


@pytest.mark.parametrize("value", ["yesterday", "", 20230801])
def test_an_update_time_that_cannot_be_read_rejects_the_item(value: object) -> None:
    assert f"updated is {value!r}, not a time" in reject_of(make_item(updated=value)).detail
    assert row_of(make_item(updated=None)).updated_at is None
