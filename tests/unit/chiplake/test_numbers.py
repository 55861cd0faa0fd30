"""The numbers at the end of a job, counted in a small lake of PyIceberg's."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog

from chiplake.numbers import ChangeNumbers, Counter, CutNumbers, EmbeddedNumbers, FilledNumbers, LakeNumbers
from lakehouse.catalog import ensure_sources
from lakehouse.days import Days
from lakehouse.settings import Settings

EARLY, LATE = (datetime(2023, 8, day, 9, 50, tzinfo=UTC) for day in (5, 10))
AUGUST_10 = Days(date(2023, 8, 10), date(2023, 8, 10))
OPEN = "less complete than CHIPLAKE_EMBED_MIN_COMPLETE=0.95"
TIME = pa.timestamp("us", tz="UTC")


def add(catalog: Catalog, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    table = catalog.create_table_if_not_exists(f"chiplake.{name}", schema)
    table.append(pa.Table.from_pylist(rows, schema=schema))


def add_chips(catalog: Catalog) -> None:
    """Two scenes with four chips: one unreadable, one less complete, one with an error of the model, one embedded."""
    fields = [("acquired_at", TIME)]
    scenes = [{"scene_id": "s1", "acquired_at": EARLY}, {"scene_id": "s2", "acquired_at": LATE}]
    add(catalog, "int_scenes", scenes, pa.schema([("scene_id", pa.string()), *fields]))
    chips = [
        {"chip_id": "a", "acquired_at": EARLY, "error": None},
        {"chip_id": "b", "acquired_at": EARLY, "error": None},
        {"chip_id": "c", "acquired_at": LATE, "error": None},
        {"chip_id": "d", "acquired_at": LATE, "error": "red: no such file"},
    ]
    add(catalog, "fct_chips", chips, pa.schema([("chip_id", pa.string()), ("error", pa.string()), *fields]))
    keyed = [("chip_id", pa.string()), ("input_hash", pa.string()), *fields]
    filled = [
        {"chip_id": "a", "input_hash": "1", "acquired_at": EARLY, "complete_fraction": 1.0, "is_complete": True},
        {"chip_id": "b", "input_hash": "1", "acquired_at": EARLY, "complete_fraction": 0.25, "is_complete": False},
        {"chip_id": "c", "input_hash": "1", "acquired_at": LATE, "complete_fraction": 1.0, "is_complete": True},
    ]
    of_filled = pa.schema([*keyed, ("complete_fraction", pa.float64()), ("is_complete", pa.bool_())])
    add(catalog, "fct_filled_chips", filled, of_filled)
    wanted = [
        {name: row[name] for name in ("chip_id", "input_hash", "acquired_at")} for row in filled if row["is_complete"]
    ]
    add(catalog, "int_embedding_inputs", wanted, pa.schema(keyed))
    pairs = [
        {"chip_id": "c", "acquired_at": LATE, "is_change": True},
        {"chip_id": "a", "acquired_at": EARLY, "is_change": False},
    ]
    add(catalog, "fct_chip_changes", pairs, pa.schema([("chip_id", pa.string()), ("is_change", pa.bool_()), *fields]))
    events = [
        {"event_id": "e", "state": "provisional", "last_seen_at": LATE},
        {"event_id": "f", "state": "confirmed", "last_seen_at": LATE},
        {"event_id": "g", "state": "provisional", "last_seen_at": EARLY},
    ]
    of_events = [("event_id", pa.string()), ("state", pa.string()), ("last_seen_at", TIME)]
    add(catalog, "fct_change_events", events, pa.schema(of_events))


def add_answers(catalog: Catalog, *answers: tuple[str, str, str | None]) -> None:
    table = catalog.load_table("raw.clay_embeddings")
    rows = [{"chip_id": chip, "model_id": "m", "input_hash": digest, "error": error} for chip, digest, error in answers]
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings().replace(home=tmp_path)


@pytest.fixture
def catalog(settings: Settings) -> Catalog:
    return ensure_sources(settings)


def test_a_night_counts_what_is_in_the_lake_and_what_it_wrote(settings: Settings, catalog: Catalog) -> None:
    counter = Counter.start(settings)
    add_chips(catalog)
    add_answers(catalog, ("a", "1", None), ("c", "1", "out of memory"), ("a", "0", None))
    numbers = counter.numbers("nightly", Days())
    assert numbers.cut == CutNumbers(scenes=2, chips=3, unreadable=1)
    assert numbers.filled == FilledNumbers(chips=3, complete=2, complete_fraction=0.75)
    assert numbers.embedded == EmbeddedNumbers(1, {OPEN: 1, "an error, see column error of raw.clay_embeddings": 1})
    assert numbers.changed == ChangeNumbers(2, 1, {"confirmed": 1, "provisional": 2})
    assert list(numbers.rows()) == [
        ("scenes", "2", "2"),
        ("chips cut", "3", "4"),
        ("chips unreadable", "1", ""),
        ("chips filled", "3", "3"),
        ("chips complete", "2", ""),
        ("completeness", "75.0%", ""),
        ("chips embedded", "1", "3"),
        (f"not embedded: {OPEN}", "1", ""),
        ("not embedded: an error, see column error of raw.clay_embeddings", "1", ""),
        ("pairs compared", "2", "2"),
        ("changes", "1", ""),
        ("events: confirmed", "1", ""),
        ("events: provisional", "2", ""),
    ]


def test_a_second_run_has_written_nothing(settings: Settings, catalog: Catalog) -> None:
    add_chips(catalog)
    numbers = Counter.start(settings).numbers("nightly", Days())
    assert set(numbers.written.values()) == {0}
    assert numbers.cut == CutNumbers(scenes=2, chips=3, unreadable=1)


def test_days_limit_the_numbers(settings: Settings, catalog: Catalog) -> None:
    add_chips(catalog)
    numbers = Counter.start(settings).numbers("nightly", AUGUST_10)
    assert numbers.cut == CutNumbers(scenes=1, chips=1, unreadable=1)
    assert numbers.filled == FilledNumbers(chips=1, complete=1, complete_fraction=1.0)
    assert numbers.embedded == EmbeddedNumbers(0, {"not yet": 1})
    assert numbers.changed == ChangeNumbers(1, 1, {"confirmed": 1, "provisional": 1})


def test_chips_outside_of_the_box_of_the_embedding_are_named(settings: Settings, catalog: Catalog) -> None:
    add_chips(catalog)
    catalog.load_table("chiplake.int_embedding_inputs").delete("chip_id = 'a'")
    with_box = settings.replace(embed_bbox=(0.0, 0.0, 1.0, 1.0))
    embedded = Counter.start(with_box).numbers("embedding_generation", Days()).embedded
    assert embedded == EmbeddedNumbers(0, {OPEN: 1, "outside of CHIPLAKE_EMBED_BBOX": 1, "not yet": 1})


def test_a_job_has_the_numbers_of_its_own_tables(settings: Settings, catalog: Catalog) -> None:
    add_chips(catalog)
    counter = Counter.start(settings)
    parts = {
        job: [name for name in ("cut", "filled", "embedded", "changed") if getattr(counter.numbers(job, Days()), name)]
        for job in ("chip_extraction", "temporal_merge", "embedding_generation", "change_detection")
    }
    assert list(parts.values()) == [["cut"], ["filled"], ["embedded"], ["changed"]]


def test_a_new_lake_has_no_numbers(settings: Settings) -> None:
    numbers = Counter.start(settings).numbers("nightly", Days())
    assert list(numbers.rows()) == []
    assert numbers == LakeNumbers(written=numbers.written)
