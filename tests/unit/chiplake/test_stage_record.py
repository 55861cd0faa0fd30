"""Stages record how they ended, and no record can stop a stage."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from chiplake import stage_record
from chiplake.dbt_failures import FailureReport
from chiplake.numbers import CutNumbers, EmbeddedNumbers, FilledNumbers, LakeNumbers
from chiplake.stage_record import columns_of_numbers, count_tests, new_run_id, recorded_stage, start_attempt
from lakehouse.catalog import ensure_sources, open_catalog
from lakehouse.days import Days
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.notices import forget_notices
from lakehouse.settings import Settings

AUGUST = Days(date(2023, 8, 1), date(2023, 8, 31))
RESULTS = {
    "results": [
        {"unique_id": "model.chiplake.fct_chips", "status": "success"},
        {"unique_id": "test.chiplake.a", "status": "pass"},
        {"unique_id": "test.chiplake.b", "status": "pass"},
        {"unique_id": "test.chiplake.c", "status": "warn"},
        {"unique_id": "test.chiplake.d", "status": "fail"},
        {"unique_id": "test.chiplake.e", "status": "error"},
        {"unique_id": "test.chiplake.f", "status": "skipped"},
    ]
}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    forget_notices()
    return Settings()


def rows(settings: Settings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = open_catalog(settings).load_table("ops.stages").scan().to_arrow().to_pylist()
    return sorted(found, key=lambda row: (row["started_at"], row["ended_at"] is not None))


def test_a_stage_has_a_row_of_its_start_and_one_of_its_end(lake: Settings) -> None:
    with recorded_stage(lake, "night-1", "chip_extraction", AUGUST, is_recompute=True):
        (row,) = rows(lake)
        assert (row["state"], row["ended_at"]) == ("running", None)
    start, end = rows(lake)
    assert start["attempt_id"] == end["attempt_id"]
    assert (end["run_id"], end["stage"], end["schema_name"]) == ("night-1", "chip_extraction", "chiplake")
    assert (end["state"], end["error"]) == ("done", None)
    assert end["ended_at"] >= end["started_at"] == start["started_at"]
    assert (end["start_date"], end["end_date"], end["is_recompute"]) == (AUGUST.start, AUGUST.end, True)
    assert end["chips_written"] == 0
    assert end["chips_cut"] is None, "there is no table to count in"
    assert (end["tests_passed"], end["dbt_results"]) == (None, None), "no dbt has run"


@pytest.mark.parametrize(
    ("error", "state", "line"),
    [
        (IncompleteError("2 chips could not be read"), "incomplete", "2 chips could not be read"),
        (ChiplakeError("no server answers"), "failed", "no server answers"),
        (OSError(28, "No space left on device"), "failed", "No space left on device"),
        (KeyboardInterrupt(), "failed", "KeyboardInterrupt"),
    ],
)
def test_a_stage_that_raises_is_recorded_with_its_cause(
    lake: Settings, error: BaseException, state: str, line: str
) -> None:
    with pytest.raises(type(error)), recorded_stage(lake, "night-1", "load", Days()):
        raise error
    end = rows(lake)[-1]
    assert (end["state"], end["error"]) == (state, line)


def test_chips_that_could_not_be_read_make_a_stage_incomplete(lake: Settings) -> None:
    catalog = ensure_sources(lake)
    scenes = pa.schema([("scene_id", pa.string()), ("acquired_at", pa.timestamp("us", tz="UTC"))])
    chips = scenes.append(pa.field("error", pa.string()))
    row = {"scene_id": "s", "acquired_at": datetime(2023, 8, 5, tzinfo=UTC)}
    catalog.create_table("chiplake.int_scenes", scenes).append(pa.Table.from_pylist([row], schema=scenes))
    table = catalog.create_table("chiplake.fct_chips", chips)
    table.append(pa.Table.from_pylist([row | {"error": "no such file"}, row | {"error": None}], schema=chips))
    largest_share = {"half": 0.5, "less": 0.49}
    for stage, days, share in (
        ("chip_extraction", AUGUST, "half"),
        ("chip_extraction", AUGUST, "less"),
        ("chip_extraction", Days(date(2023, 9, 1)), "less"),
        ("load", AUGUST, "less"),
    ):
        with recorded_stage(lake.replace(max_unreadable_fraction=largest_share[share]), "night-1", stage, days):
            pass
    ends = [(row["state"], row["chips_unreadable"], row["error"]) for row in rows(lake) if row["ended_at"]]
    assert ends == [
        ("incomplete", 1, "1 chips could not be read, see column error of fct_chips"),
        (
            "failed",
            1,
            "1 chips could not be read (50.0%, more than CHIPLAKE_MAX_UNREADABLE_FRACTION=0.49), "
            "see column error of fct_chips",
        ),
        ("done", 0, None),
        ("done", None, None),
    ]


def test_a_schedule_gets_a_report_of_each_stage(lake: Settings, tmp_path: Path) -> None:
    catalog = ensure_sources(lake)
    schema = pa.schema([("chip_id", pa.string())])
    tables = {name: catalog.create_table(f"chiplake.{name}", schema) for name in ("fct_a", "fct_b", "int_c")}
    tables["fct_b"].append(pa.table({"chip_id": ["older"]}))
    scheduled = lake.replace(schedule_report=str(tmp_path / "reports"))
    path = tmp_path / "reports" / "change_detection.json"
    with recorded_stage(scheduled, "night-1", "change_detection", Days()):
        running = json.loads(path.read_text())
        for name in ("fct_a", "int_c"):
            tables[name].append(pa.table({"chip_id": ["new"]}))
    ended = json.loads(path.read_text())
    assert (running["state"], running["marts_written"]) == ("running", [])
    assert (ended["state"], ended["error"], ended["marts_written"]) == ("done", None, ["fct_a"])
    assert (ended["run_id"], ended["stage"], ended["changes_written"]) == ("night-1", "change_detection", 0)


def test_the_report_of_a_later_attempt_counts_from_the_first_one_of_the_run(lake: Settings, tmp_path: Path) -> None:
    scheduled = lake.replace(schedule_report=str(tmp_path / "reports"))
    table = ensure_sources(lake).create_table("chiplake.fct_a", pa.schema([("chip_id", pa.string())]))
    path = tmp_path / "reports" / "temporal_merge.json"

    def fail_after_a_write() -> None:
        table.append(pa.table({"chip_id": ["new"]}))
        raise ChiplakeError("no memory")

    with pytest.raises(ChiplakeError), recorded_stage(scheduled, "night-1", "temporal_merge", Days()):
        fail_after_a_write()
    written = []
    for run_id in ("night-1", "night-1", "night-2"):
        with recorded_stage(scheduled, run_id, "temporal_merge", Days()):
            pass
        written.append(json.loads(path.read_text())["marts_written"])
    assert written == [["fct_a"], ["fct_a"], []]


def test_the_stage_that_reads_the_record_only_reports(lake: Settings, tmp_path: Path) -> None:
    scheduled = lake.replace(schedule_report=str(tmp_path / "reports"))
    error = ChiplakeError("no server answers")
    with pytest.raises(ChiplakeError), recorded_stage(scheduled, "night-1", "operations", Days()):
        raise error
    assert rows(lake) == []
    report = json.loads((tmp_path / "reports" / "operations.json").read_text())
    assert (report["state"], report["error"]) == ("failed", "no server answers")


def test_a_stage_without_a_run_is_not_recorded(lake: Settings) -> None:
    with recorded_stage(lake, "", "load", Days()) as attempt:
        assert attempt is None
    assert not lake.lake.home.exists()


def test_a_lake_that_cannot_be_written_stops_no_stage(
    lake: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/lake")

    monkeypatch.setattr(stage_record, "commit", refuse)
    done = []
    with recorded_stage(lake, "night-1", "load", Days()):
        done.append("load")
    assert done == ["load"]
    line = "warning: the stage load is not recorded in ops.stages: Permission denied: '/lake'\n"
    assert capsys.readouterr().err == line


def test_an_end_that_cannot_be_written_keeps_the_error_of_the_stage(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/lake")

    def fail() -> None:
        monkeypatch.setattr(stage_record, "commit", refuse)
        raise ChiplakeError("no server answers")

    with pytest.raises(ChiplakeError, match="no server answers"), recorded_stage(lake, "night-1", "load", Days()):
        fail()
    assert [row["state"] for row in rows(lake)] == ["running"]


def test_the_results_of_dbt_are_counted_and_kept(lake: Settings, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    attempt = start_attempt(lake, "scheduled__2026-01-01T00:00:00+00:00", "tests", Days(), is_recompute=False)
    (tmp_path / "target" / "run_results.json").write_text(json.dumps(RESULTS))
    FailureReport(attempt, is_quiet=True)(_stats_line())
    end = rows(lake)[-1]
    assert (end["tests_passed"], end["tests_warned"], end["tests_failed"]) == (2, 1, 2)
    with open_catalog(lake).load_table("ops.stages").io.new_input(end["dbt_results"]).open() as kept:
        assert json.loads(kept.read()) == RESULTS


def test_results_of_an_earlier_run_of_dbt_are_not_those_of_the_stage(lake: Settings, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "run_results.json").write_text(json.dumps(RESULTS))
    with recorded_stage(lake, "night-1", "load", Days()):
        pass
    assert rows(lake)[-1]["tests_passed"] is None


def test_the_failed_nodes_of_dbt_are_the_error_of_the_stage(lake: Settings) -> None:
    report = FailureReport(start_attempt(lake, "night-1", "chip_extraction", Days(), is_recompute=False), is_quiet=True)
    report.failed.append(("fct_chips", "Runtime Error\n  No space left on device"))
    report(_stats_line())
    end = rows(lake)[-1]
    assert end["state"] == "failed"
    assert end["error"] == "1 of dbt's nodes failed, first fct_chips: No space left on device"


def test_every_number_of_the_lake_has_its_column() -> None:
    numbers = LakeNumbers(
        cut=CutNumbers(scenes=2, chips=9, unreadable=1),
        filled=FilledNumbers(chips=9, complete=4, complete_fraction=0.75),
        embedded=EmbeddedNumbers(chips=3, not_embedded={"not yet": 5, "an error": 1}),
        written={"raw.stac_items": 2, "fct_chips": 10},
        bytes_written=1234,
    )
    columns = columns_of_numbers(numbers)
    assert (columns["scenes"], columns["chips_cut"], columns["chips_unreadable"]) == (2, 9, 1)
    assert (columns["chips_filled"], columns["chips_complete"], columns["complete_fraction"]) == (9, 4, 0.75)
    assert (columns["chips_embedded"], columns["chips_not_embedded"]) == (3, 6)
    assert json.loads(columns["not_embedded_reasons"]) == {"not yet": 5, "an error": 1}
    assert (columns["items_written"], columns["chips_written"], columns["bytes_written"]) == (2, 10, 1234)
    assert "pairs_compared" not in columns, "changes were not counted"


def test_skipped_tests_count_as_neither() -> None:
    assert count_tests(RESULTS) == {"tests_passed": 2, "tests_warned": 1, "tests_failed": 2}
    assert count_tests({"results": []}) == {"tests_passed": 0, "tests_warned": 0, "tests_failed": 0}


def test_ids_of_runs_differ() -> None:
    assert len({new_run_id() for _ in range(50)}) == 50


def _stats_line() -> Any:
    return SimpleNamespace(info=SimpleNamespace(name="StatsLine"), data=SimpleNamespace())
