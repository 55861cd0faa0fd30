"""An item becomes a row with all columns, or a reject with its reason. No JSON makes normalising raise."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.normalised import ALL_BANDS, API, changed, outcomes, reject_of, row_of
from support.provider_items import in_stac_1_1
from support.stac_items import NORTH, WEST, make_asset, make_item

from ingestion.item.normalise import normalise
from ingestion.model import Origin, Reason, Received, Reject, StacItemRow


def test_a_usable_item_becomes_a_row_with_every_column() -> None:
    row = row_of(make_item(14))
    assert (row.collection, row.item_id, row.source) == ("sentinel-2-l2a", "S2A_33TWL_20230815_14_L2A", API.source)
    assert row.acquired_at == datetime(2023, 8, 15, 9, 58, 11, 662000, tzinfo=UTC)
    assert row.updated_at == datetime(2023, 8, 15, 21, 18, 57, 67000, tzinfo=UTC)
    assert (row.platform, row.mgrs_tile, row.epsg) == ("sentinel-2a", "33TWL", 32633)
    assert row.product_id == "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057"
    assert (row.datatake_id, row.processing_baseline, row.relative_orbit) == ("S2A_20230815T095031", "05.09", 79)
    assert row.datastrip_id == "S2A_OPER_MSI_L2A_DS_2APS_20230815T155057_S20230815T095630_N05.09"
    assert (row.xmin, row.ymin, row.xmax, row.ymax) == (15.0, 45.06, 16.42, 46.05)
    assert row.geometry_source == "geometry"
    assert set(row.assets) == ALL_BANDS
    assert row.assets["scl"].transform == (20, 0, WEST, 0, -20, NORTH)
    assert row.assets["nir"].shape == (10980, 10980)
    assert json.loads(row.item) == make_item(14)
    assert row.extra == {}


def test_a_stac_0_8_item_becomes_a_row() -> None:
    item = make_item(**{"s2:product_type": None, "s2:processing_baseline": None, "grid:code": None, "updated": None})
    item["properties"] |= {"sentinel:utm_zone": 33, "sentinel:latitude_band": "T", "sentinel:grid_square": "WL"}
    item["properties"]["sentinel:boa_offset_applied"] = False
    item |= {"stac_version": "0.8.1", "collection": "sentinel-s2-l2a-cogs"}
    item["assets"] = {"SCL": item["assets"]["scl"], "B02": item["assets"]["blue"]}
    row = row_of(item)
    assert (row.mgrs_tile, row.is_boa_offset_applied, set(row.assets)) == ("33TWL", False, {"scl", "blue"})


def test_a_json_list_of_items_becomes_rows(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([make_item(0), make_item(1)]))
    assert [type(outcome) for outcome in outcomes(path).values()] == [StacItemRow, StacItemRow]


def test_an_item_in_stac_1_0_and_in_1_1_gives_the_same_values() -> None:
    old, new = row_of(make_item()), row_of(in_stac_1_1(make_item()))
    assert new.key == old.key
    assert new.content_hash != old.content_hash  # two versions of one item
    assert (new.assets, new.epsg) == (old.assets, old.epsg)


def test_a_wrong_offset_flag_is_kept_with_the_values_that_contradict_it() -> None:
    """The flag says that the offset was applied, the rasters that it was not. A user can decide by an override."""
    row = row_of(make_item(**{"earthsearch:boa_offset_applied": True}))
    assert (row.is_boa_offset_applied, row.assets["blue"].offset, row.processing_baseline) == (True, -0.1, "05.09")


def test_an_item_without_collection_gets_the_default_collection() -> None:
    item = make_item() | {"collection": None}
    assert row_of(item).collection == "unknown"
    named = normalise(Received(item, None, API), default_collection="mine")
    assert isinstance(named, StacItemRow)
    assert named.collection == "mine"


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, Reason.NOT_AN_ITEM),
        ([], Reason.NOT_AN_ITEM),
        ("text", Reason.NOT_AN_ITEM),
        ({"type": "Collection"}, Reason.NOT_AN_ITEM),
        (changed(("assets",), None), Reason.NOT_AN_ITEM),
        (changed(("properties", "eo:cloud_cover"), float("nan")), Reason.INVALID_JSON),
        (changed(("id",), None), Reason.NO_ID),
        (changed(("id",), ""), Reason.NO_ID),
        (changed(("properties", "platform"), "sentinel-1a"), Reason.NOT_SENTINEL_2),
        (changed(("properties", "platform"), "landsat-8"), Reason.NOT_SENTINEL_2),
        (changed(("properties", "s2:product_type"), "S2MSI1C"), Reason.NOT_LEVEL_2A),
        (changed(("properties", "datetime"), None), Reason.NO_DATETIME),
        (changed(("properties", "datetime"), "yesterday"), Reason.NO_DATETIME),
        (changed(("properties", "proj:epsg"), None), Reason.NO_PROJECTION),
        (changed(("properties", "proj:epsg"), 4326), Reason.NO_PROJECTION),
        (changed(("assets",), {"blue": make_asset()}), Reason.NO_SCL),
        (changed(("assets",), {"blue": make_asset(), "SCL_60m": make_asset()}), Reason.NO_SCL),
        (changed(("assets",), {"scl": make_asset("SCL", 20)}), Reason.NO_BAND),
        (changed(("assets", "red", "href"), "ftp://example.com/B04.tif"), Reason.UNSUPPORTED_HREF),
        (changed(("assets", "red", "href"), "/etc/passwd"), Reason.UNSUPPORTED_HREF),
        (changed(("assets", "red", "href"), "B04.tif"), Reason.UNSUPPORTED_HREF),
        (changed(("assets", "red", "href"), None), Reason.UNSUPPORTED_HREF),
        (changed(("assets", "red", "proj:transform"), [10, 0, WEST + 5, 0, -10, NORTH]), Reason.OFF_LATTICE),
        (changed(("assets", "red", "proj:transform"), [10, 1, WEST, 1, -10, NORTH]), Reason.OFF_LATTICE),
        (changed(("assets", "red", "proj:transform"), [20, 0, WEST, 0, -20, NORTH]), Reason.OFF_LATTICE),
        (changed(("assets", "red", "proj:transform"), [WEST, 10, 0, NORTH, 0, -10]), Reason.OFF_LATTICE),
    ],
)
def test_an_unusable_item_is_rejected_with_its_reason(item: Any, reason: Reason) -> None:
    assert reject_of(item).reason is reason


def test_a_reject_keeps_the_received_text_and_its_position() -> None:
    reject = reject_of({"type": "Feature", "properties": {}, "assets": {}})
    assert (reject.item_id, reject.collection) == ("items.json#0", "unknown")
    assert json.loads(reject.item) == {"type": "Feature", "properties": {}, "assets": {}}
    assert len(reject.content_hash) == 64
    unplaced = normalise(Received({}, None, API))
    assert unplaced.item_id.startswith("sha256:")


def signed(item: dict[str, Any], signature: str) -> dict[str, Any]:
    for asset in item["assets"].values():
        asset["href"] += f"?sv=1&se=2024-01-01&sig={signature}"
        asset["alternate"] = {"https": {"href": f'https://me:{signature}@example.com/a"é?x=1&token={signature}'}}
    item["links"] = [{"rel": "self", "href": f"https://example.com/item.json?subscription-key={signature}"}]
    item["properties"]["note"] = f"see https://example.com/?Signature={signature} for more"
    return item


def test_no_secret_is_stored_and_a_new_signature_is_not_a_new_version() -> None:
    first, second = row_of(signed(make_item(), "S3CRET1")), row_of(signed(make_item(), "S3CRET2"))
    assert first == second
    assert "S3CRET" not in repr(first)
    assert first.assets["red"].href == make_item()["assets"]["red"]["href"]
    stored = json.loads(first.item)
    assert stored["assets"]["red"]["alternate"]["https"]["href"] == 'https://example.com/a"é?x=1'
    assert stored["properties"]["note"] == "see https://example.com/ for more"


@pytest.mark.parametrize(
    "href", ["ftp://example.com/a.tif?sig=S3CRET", "ftp://me:S3CRET@example.com/a.tif", "gs://a?key=S3CRET"]
)
def test_no_secret_is_stored_with_a_reject(href: str) -> None:
    item = signed(make_item(), "S3CRET")
    item["assets"]["red"] |= {"href": href, "alternate": {"other": {"href": href}}}
    reject = reject_of(item, Origin("https://me:S3CRET@example.com/?token=S3CRET"))
    assert reject.reason is Reason.UNSUPPORTED_HREF
    assert "S3CRET" not in repr(reject)
    broken = '{"href": "https://example.com/a?x=1\\u0026sig=S3CRET", "b": "https://example.com/a?token=S3CRET"'
    unread = normalise(Received(broken, "a.json#1", API, "line 1: it ends too early"))
    assert "S3CRET" not in repr(unread)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda values: st.lists(values, max_size=7) | st.dictionaries(st.text(max_size=8), values, max_size=4),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_normalising_any_json_raises_nothing(value: Any) -> None:
    assert isinstance(normalise(Received(value, None, API)), Reject)


@settings(max_examples=examples(300))
@given(st.data(), JSON_VALUES)
def test_normalising_any_damaged_item_raises_nothing(data: st.DataObject, value: Any) -> None:
    item = copy.deepcopy(make_item())
    place: Any = item
    while True:
        name = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[name]
        if not inner or not isinstance(inner, dict | list) or data.draw(st.booleans()):
            place[name] = value
            break
        place = inner
    outcome = normalise(Received(item, None, API))
    assert isinstance(outcome, StacItemRow | Reject)
    if isinstance(outcome, StacItemRow):
        assert shapely.from_wkb(outcome.geometry).is_valid
        assert -180 <= outcome.xmin <= 180
        assert -180 <= outcome.xmax <= 180
        assert 0 < (outcome.xmax - outcome.xmin) % 360 < 60


def test_urls_nested_in_urls_take_bounded_time() -> None:
    value = "x"
    for _ in range(300):
        value = "%3fa=" + value.replace("%", "%25")[:20_000]
    assert isinstance(normalise(Received(make_item(0, note=f"https://b.com/?a={value}"), None, API)), StacItemRow)
