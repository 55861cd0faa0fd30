"""A night without news does nothing; whatever a night depends on makes the next one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from chiplake import jobs
from chiplake.jobs import Window, run_job
from chiplake.night_record import record_complete_night, was_complete
from lakehouse.catalog import ensure_sources, open_catalog
from lakehouse.days import Days
from lakehouse.errors import IncompleteError
from lakehouse.settings import Settings, get_settings

CHIPS = pa.schema([("chip_id", pa.string())])
QUIET = "nothing has changed since the last complete night"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A lake with one table of models and a checkpoint beside it, in the environment."""
    (tmp_path / "clay.ckpt").write_bytes(b"weights")
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIPLAKE_CLAY_CHECKPOINT", str(tmp_path / "clay.ckpt"))
    get_settings.cache_clear()
    settings = get_settings()
    ensure_sources(settings)
    catalog = open_catalog(settings)
    catalog.create_namespace_if_not_exists("chiplake")
    catalog.create_table("chiplake.fct_chips", CHIPS)
    yield settings
    get_settings.cache_clear()


def add_item(settings: Settings) -> None:
    table = open_catalog(settings).load_table("raw.stac_items")
    empty = table.schema().as_arrow().empty_table()
    table.append(empty)  # a snapshot, as an ingest makes


def rewrite_chips(settings: Settings) -> None:
    rows = pa.Table.from_pylist([{"chip_id": "a"}], schema=CHIPS)
    open_catalog(settings).load_table("chiplake.fct_chips").append(rows)


def replace_checkpoint(settings: Settings) -> None:
    assert settings.clay.checkpoint is not None
    settings.clay.checkpoint.write_bytes(b"other weights")


@pytest.mark.parametrize(
    "change",
    [
        add_item,
        rewrite_chips,
        replace_checkpoint,
        lambda lake: open_catalog(lake).create_table("chiplake.fct_own", CHIPS),
        lambda lake: open_catalog(lake).drop_table("chiplake.fct_chips"),
    ],
)
def test_a_changed_lake_or_checkpoint_needs_a_night(lake: Settings, change: Callable[[Settings], object]) -> None:
    assert not was_complete(lake, Days())
    record_complete_night(lake, Days())
    assert was_complete(lake, Days())
    change(lake)
    assert not was_complete(lake, Days())


def test_other_days_and_other_settings_need_a_night(lake: Settings) -> None:
    record_complete_night(lake, Days())
    assert not was_complete(lake, Days(start=date(2023, 8, 1)))
    assert not was_complete(lake.replace(change_min_score=7.0), Days())
    assert was_complete(lake, Days())


def test_another_schema_has_nights_of_its_own(lake: Settings) -> None:
    other = lake.replace(target_schema="dev_ann")
    record_complete_night(other, Days())
    assert was_complete(other, Days())
    assert not was_complete(lake, Days())


def test_recording_makes_no_snapshot(lake: Settings) -> None:
    table = open_catalog(lake).load_table("raw.lake_settings")
    before = table.metadata.current_snapshot_id
    record_complete_night(lake, Days())
    assert table.refresh().metadata.current_snapshot_id == before


class Nights:
    """Counts the nights that really run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran = 0
        self.lines: list[str] = []
        self.warning = ""
        self.error: IncompleteError | None = None
        monkeypatch.setitem(jobs.JOBS, "nightly", self._run)

    def _run(self, _window: Window, on_line: jobs.OnLine) -> None:
        self.ran += 1
        if self.warning:
            on_line(self.warning)
        if self.error:
            raise self.error

    def next(self, recompute: bool = False) -> str:
        """Run a night; return its last line."""
        self.lines = [""]
        run_job("nightly", Window(recompute=recompute), self.lines.append)
        return self.lines[-1]


@pytest.mark.usefixtures("lake")
def test_the_second_night_only_says_that_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    nights = Nights(monkeypatch)
    assert nights.next() == ""
    assert nights.next() == QUIET
    assert nights.ran == 1
    assert nights.next(recompute=True) == ""
    with monkeypatch.context() as patch:
        patch.setenv("CHIPLAKE_COMPARE_ALWAYS", "true")
        get_settings.cache_clear()
        assert nights.next() == ""
    assert nights.ran == 3


@pytest.mark.usefixtures("lake")
def test_a_night_with_a_warning_or_a_failed_chip_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nights = Nights(monkeypatch)
    nights.warning = "warning of rows_follow_the_rules_in_force: 4 rows"
    assert nights.next() == nights.warning
    nights.error, nights.warning = IncompleteError("4 chips failed"), ""
    with pytest.raises(IncompleteError):
        nights.next()
    nights.error = None
    assert nights.next() == ""
    assert nights.ran == 3
    assert nights.next() == QUIET
