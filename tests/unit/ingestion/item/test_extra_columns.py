"""Properties that the setting `stac_properties` names become columns."""

from __future__ import annotations

from datetime import UTC, datetime

from support.normalised import API, row_of
from support.stac_items import make_item

from ingestion.item.normalise import normalise
from ingestion.model import Received, StacItemRow


def test_properties_become_extra_columns_and_are_null_if_their_type_differs() -> None:
    kinds = {"a:text": "string", "a:number": "double", "a:whole": "long", "a:flag": "boolean", "a:time": "timestamp"}
    right = {"a:text": "x", "a:number": 2, "a:whole": 3.0, "a:flag": False, "a:time": "2024-01-01T00:00:00Z"}
    wrong = {"a:text": 1, "a:number": "2", "a:whole": 3.5, "a:flag": 0, "a:time": "soon"}
    for properties, expected in (
        (right, ["x", 2.0, 3, False, datetime(2024, 1, 1, tzinfo=UTC)]),
        (wrong, [None] * 5),
        ({}, [None] * 5),
    ):
        row = normalise(Received(make_item(**properties), None, API), None, kinds)
        assert isinstance(row, StacItemRow)
        assert row.extra == dict(zip(("a_text", "a_number", "a_whole", "a_flag", "a_time"), expected, strict=True))
        assert row.content_hash != row_of(make_item(**properties)).content_hash
        huge = normalise(Received(make_item(**{"a:whole": 2**63, "a:flag": True}), None, API), None, kinds)
        assert isinstance(huge, StacItemRow)
        assert (huge.extra["a_whole"], huge.extra["a_flag"]) == (None, True)
