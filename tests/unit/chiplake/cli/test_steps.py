"""Several commands in one process: their order, and how the program ends after a failure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chiplake import jobs
from chiplake.cli.main import main
from lakehouse.errors import AttentionError, ChiplakeError, IncompleteError
from lakehouse.settings import get_settings

STEPS = (
    "steps run chip_extraction --start-date=2023-08-01 then run temporal_merge then settings then run change_detection"
)


@pytest.fixture(autouse=True)
def _own_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
def ran() -> list[str]:
    """The jobs that ran, each with its first day."""
    return []


def run(monkeypatch: pytest.MonkeyPatch, ran: list[str], command: str, **errors: Exception) -> int:
    """Run the program, where jobs only note that they ran, and some raise an error; return its exit code."""

    def job(name: str) -> jobs.Job:
        def do(window: jobs.Window, _on_line: jobs.OnLine) -> None:
            ran.append(f"{name} {window.start}")
            if name in errors:
                raise errors[name]

        return do

    for name in jobs.JOBS:
        monkeypatch.setitem(jobs.JOBS, name, job(name))
    monkeypatch.setattr(sys, "argv", ["chiplake", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_commands_run_in_order_with_their_own_options(
    monkeypatch: pytest.MonkeyPatch, ran: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, ran, STEPS) == 0
    assert ran == ["chip_extraction 2023-08-01", "temporal_merge None", "change_detection None"]
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step:")]
    assert said == [
        "step: run chip_extraction",
        "step: run temporal_merge",
        "step: settings",
        "step: run change_detection",
    ]


def test_a_step_that_fails_is_the_last_and_is_named(
    monkeypatch: pytest.MonkeyPatch, ran: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, ran, STEPS, temporal_merge=ChiplakeError("no server answers")) == 1
    assert ran == ["chip_extraction 2023-08-01", "temporal_merge None"]
    assert capsys.readouterr().err.splitlines()[-1] == "chiplake: run temporal_merge: no server answers"


def test_steps_that_are_incomplete_stop_nothing(
    monkeypatch: pytest.MonkeyPatch, ran: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    errors = {
        "chip_extraction": AttentionError("5 chips could not be read (50.0%)"),
        "temporal_merge": IncompleteError("1 chip is not filled"),
    }
    assert run(monkeypatch, ran, STEPS, **errors) == 3
    assert len(ran) == 3
    assert capsys.readouterr().err.splitlines()[-1] == (
        "chiplake: run chip_extraction: 5 chips could not be read (50.0%); run temporal_merge: 1 chip is not filled"
    )


def test_the_debug_option_is_for_all_steps(monkeypatch: pytest.MonkeyPatch, ran: list[str]) -> None:
    with pytest.raises(ChiplakeError, match=r"^run temporal_merge: no server answers$"):
        run(monkeypatch, ran, f"--debug {STEPS}", temporal_merge=ChiplakeError("no server answers"))


def test_a_wrong_step_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, ran: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, ran, "steps run chip_extraction --start-date=soon") == 2
    assert run(monkeypatch, ran, "steps run chip_extraction then") == 2
    assert run(monkeypatch, ran, "steps then run chip_extraction") == 2
    assert run(monkeypatch, ran, "steps") == 2
    assert ran == []
    assert "no command beside a `then`" in capsys.readouterr().err
