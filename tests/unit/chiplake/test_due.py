"""Which stages that run now and then are due, by the record of stages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chiplake import due, stage_record
from chiplake.cli.main import app
from chiplake.due import is_due
from chiplake.stage_record import recorded_stage
from lakehouse.days import Days
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings, get_settings


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    get_settings.cache_clear()
    return get_settings()


def end_well(lake: Settings, stage: str = "tests") -> None:
    with recorded_stage(lake, "night-1", stage, Days()):
        pass


def test_a_stage_is_due_until_it_has_ended_well(lake: Settings) -> None:
    assert is_due(lake, "tests")
    with pytest.raises(ChiplakeError), recorded_stage(lake, "night-1", "tests", Days()):
        raise ChiplakeError("1 of dbt's nodes failed")
    end_well(lake, "chip_extraction")
    end_well(lake.replace(target_schema="dev_ann"))
    assert is_due(lake, "tests")
    end_well(lake)
    assert not is_due(lake, "tests")


def test_a_stage_is_due_every_night_with_zero_days(lake: Settings) -> None:
    end_well(lake)
    assert is_due(lake.replace(tests_every_days=0), "tests")


@pytest.mark.parametrize(("hours", "expected"), [(6 * 24, False), (7 * 24 - 1, True)])
def test_a_stage_is_due_after_a_week_of_nights(
    lake: Settings, monkeypatch: pytest.MonkeyPatch, hours: int, expected: bool
) -> None:
    end_well(lake)

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(hours=hours)

    monkeypatch.setattr(due, "datetime", Later)
    assert is_due(lake, "tests") == expected


def test_a_stage_is_due_when_the_code_has_changed(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stage_record, "code_digest", lambda *_: "older code")
        end_well(lake)
    assert is_due(lake, "tests")


def test_commands_say_what_is_not_due(lake: Settings) -> None:
    assert CliRunner().invoke(app, ["status", "--due", "tests"]).exit_code == 0
    end_well(lake)
    done = CliRunner().invoke(app, ["status", "--due", "tests"])
    assert (done.exit_code, done.stdout) == (99, "tests: not due\n")
    done = CliRunner().invoke(app, ["run", "tests", "--if-due"])
    assert (done.exit_code, done.stdout) == (0, "tests: not due\n")
    for command in (["status", "--due", "nightly"], ["run", "nightly", "--if-due"]):
        wrong = CliRunner().invoke(app, command)
        assert wrong.exit_code == 2
        assert "'nightly' runs every night" in " ".join(wrong.stderr.replace("│", " ").split())
