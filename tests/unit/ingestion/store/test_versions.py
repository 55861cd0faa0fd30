"""The current version of an item is the one updated last. A version without update time is newer than those before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.normalised import row_of
from support.stac_items import make_item

from ingestion.model import StacItemRow
from ingestion.store.items import Version, current_version, decide, newest_of_batch

START = datetime(2023, 8, 1, tzinfo=UTC)
ROW = row_of(make_item())


def version(name: str, updated: int | None, ingested: int) -> Version:
    return Version(name, None if updated is None else START + timedelta(updated), START + timedelta(ingested))


def row(name: str, updated: int | None) -> StacItemRow:
    return replace(ROW, content_hash=name, updated_at=None if updated is None else START + timedelta(updated))


@pytest.mark.parametrize(
    ("updates", "current"),
    [
        ((1, 2), 1),
        ((2, 1), 0),
        ((None, None), 1),
        ((1, None), 1),
        ((None, 1), 1),
        ((2, None, 1), 1),
        ((2, None, 2), 2),
        ((1, None, 3, None), 3),
        ((), None),
    ],
)
def test_a_version_without_update_time_is_newer_than_those_before_it(
    updates: tuple[int | None, ...], current: int | None
) -> None:
    stored = [version(str(number), updated, number) for number, updated in enumerate(updates)]
    found, _ = current_version(reversed(stored))
    assert found == (None if current is None else stored[current])
    rows = [row(str(number), updated) for number, updated in enumerate(updates)]
    newest, others = newest_of_batch(rows)
    assert (newest, others) == (([], 0) if current is None else ([rows[current]], len(rows) - 1))


@pytest.mark.parametrize(("updated", "is_written"), [(None, True), (2, True), (3, True), (1, False)])
def test_a_row_is_written_unless_it_is_older_than_the_current_version(updated: int | None, is_written: bool) -> None:
    stored = {ROW.key: [version("first", 2, 0), version("silent", None, 1)]}
    decision = decide([row("new", updated)], stored)
    assert (len(decision.write), decision.superseded) == ((1, 0) if is_written else (0, 1))


def test_an_item_that_states_only_its_creation_states_no_update() -> None:
    assert row_of(make_item(updated=None, created="2023-08-01T20:00:00Z")).updated_at is None
