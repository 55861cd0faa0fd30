"""The program ends with one line and the right exit code; its global options work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
import typer

from chiplake import jobs
from chiplake.cli.main import main
from chiplake.cli.options import usage_errors
from chiplake.version import project_version
from lakehouse.errors import ChiplakeError, IncompleteError
from lakehouse.settings import get_settings

RunMain = Callable[..., int]


@pytest.fixture(autouse=True)
def _own_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch) -> RunMain:
    """Runs the program in this process and returns its exit code."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["chiplake", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the job change_detection raise an error."""

    def job(_window: jobs.Window, _on_line: jobs.OnLine) -> None:
        raise error

    monkeypatch.setitem(jobs.JOBS, "change_detection", job)


def test_the_version_is_the_one_that_pyproject_states(run_main: RunMain, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--version") == 0
    assert capsys.readouterr().out == f"chiplake {project_version()}\n"
    assert project_version()[0].isdigit()


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ChiplakeError("no such lake;\nmake one"), 1, "chiplake: no such lake; make one"),
        (IncompleteError("4 chips failed"), 3, "chiplake: 4 chips failed"),
        (ZeroDivisionError("by 0"), 1, "chiplake: ZeroDivisionError: by 0 (chiplake --debug … shows where)"),
        (
            RuntimeError(
                "An exception was thrown from the Python worker.\nTraceback (most recent call last):\n"
                '  File "a.py", line 1, in write\n    1 / 0\nOSError: [Errno 27] File too large\n'
            ),
            1,
            "chiplake: File too large (chiplake --debug … shows where)",
        ),
    ],
)
def test_an_error_gives_one_line_and_an_exit_code(
    run_main: RunMain,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    line: str,
) -> None:
    fail_with(monkeypatch, error)
    assert run_main("run", "change_detection") == code
    assert capsys.readouterr().err.splitlines() == [line]


def test_debug_lets_the_traceback_through(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ChiplakeError("no such lake"))
    monkeypatch.setattr(sys, "argv", ["chiplake", "--debug", "run", "change_detection"])
    with pytest.raises(ChiplakeError, match="no such lake"):
        main()


def test_debug_is_an_option_of_the_program_and_not_of_a_command(
    run_main: RunMain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("run", "change_detection", "--debug") == 2
    assert "No such option" in capsys.readouterr().err


def test_days_of_acquisition_reach_the_job(run_main: RunMain, monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[jobs.Window] = []
    monkeypatch.setitem(jobs.JOBS, "change_detection", lambda window, _on_line: windows.append(window))
    assert run_main("run", "change_detection", "--start-date", "2023-08-01", "--end-date", "2023-08-31") == 0
    assert windows == [jobs.Window(date(2023, 8, 1), date(2023, 8, 31))]


@pytest.mark.parametrize("error", [ChiplakeError("is no address"), ValueError("is no address")])
def test_a_wrong_value_of_an_option_is_wrong_usage(error: Exception) -> None:
    with pytest.raises(typer.BadParameter, match="is no address") as refused, usage_errors("--api"):
        raise error
    assert refused.value.param_hint == "--api"
