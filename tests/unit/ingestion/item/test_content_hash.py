"""The content hash changes with the item, the rules and the chosen assets, and with nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.normalised import OWN_FILE, row_of
from support.stac_items import make_item

from ingestion.item.canonical_json import canonical_json
from ingestion.item.normalise import normalise
from ingestion.model import Origin, Received, StacItemRow


def test_the_content_hash_does_not_depend_on_the_order_of_members() -> None:
    item = make_item()
    turned = json.loads(json.dumps(dict(reversed(item.items()))))
    assert row_of(turned).content_hash == row_of(item).content_hash
    assert row_of(make_item(**{"eo:cloud_cover": 1.5})).content_hash != row_of(item).content_hash


def test_canonical_json_is_equal_for_equal_content_and_raises_on_non_json() -> None:
    assert (
        canonical_json({"b": [1, 1.5, None], "a": {"d": "é", "c": True}}) == '{"a":{"c":true,"d":"é"},"b":[1,1.5,null]}'
    )
    assert canonical_json({"null": 1}) == '{"null":1}'
    assert json.loads(canonical_json([2**70, "\ud800", -0.0, 1e300])) == [2**70, "\ud800", -0.0, 1e300]
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    assert canonical_json(deep) == "[" * 301 + "]" * 301
    for value in (float("nan"), [None, float("inf")], {"a": {"b": -float("inf")}}, {"a": object()}):
        with pytest.raises(ValueError, match=r"\w"):
            canonical_json(value)


def test_moving_an_archive_makes_new_versions_only_of_items_with_relative_hrefs() -> None:
    absolute, relative = make_item(), make_item()
    for asset in relative["assets"].values():
        asset["href"] = asset["href"].rpartition("/")[2]
    here, there = OWN_FILE, Origin("/moved/item.json", "/moved", is_own_file=True)
    assert row_of(absolute, here).content_hash == row_of(absolute, there).content_hash
    assert row_of(relative, here).content_hash != row_of(relative, there).content_hash
    assert row_of(relative, there).assets["red"].href == "/moved/B04.tif"


def test_new_rules_make_a_new_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = row_of(make_item()).content_hash
    monkeypatch.setattr("ingestion.item.normalise.RULES_VERSION", 99)
    assert row_of(make_item()).content_hash != before


def test_another_choice_of_assets_makes_another_version(tmp_path: Path) -> None:
    item = make_item()
    item["assets"]["blue-jp2"] = item["assets"]["blue"] | {"href": "https://h/B02.jp2", "type": "image/jp2"}
    item["assets"]["blue"] = item["assets"]["blue"] | {"href": "file:///data/other/B02.tif"}
    rows = [
        normalise(Received(item, None, Origin("items.json", str(tmp_path), allow_file_hrefs=allowed)))
        for allowed in (False, True)
    ]
    hrefs = [row.assets["blue"].href for row in rows if isinstance(row, StacItemRow)]
    assert hrefs == ["https://h/B02.jp2", "/data/other/B02.tif"]
    assert len({row.content_hash for row in rows}) == 2
