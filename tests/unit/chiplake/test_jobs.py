"""The jobs, the models that dbt builds in each, and reports of chips that failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from dbt.cli import main as dbt

from chiplake import jobs
from chiplake.jobs import JOBS, RECOMPUTING_JOBS, Window, check_job, dbt_build, nightly
from lakehouse.catalog import open_catalog
from lakehouse.errors import AttentionError, ChiplakeError, IncompleteError
from lakehouse.settings import PROJECT_DIR, Settings, get_settings

ALL_DAYS = Window()


def forget(_line: str) -> None:
    """Ignore a line."""


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An empty lake, which dbt does not build."""
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path))
    monkeypatch.setattr(jobs, "operations", forget_job)
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


def forget_job(_window: Window, _on_line: jobs.OnLine) -> None:
    """Do nothing."""


def recorded(settings: Settings) -> list[tuple[str, str]]:
    """Return stage and state of each end in ops.stages, in order, and check that all are of one run."""
    rows = open_catalog(settings).load_table("ops.stages").scan().to_arrow().to_pylist()
    assert len({row["run_id"] for row in rows}) == 1
    ends = sorted((row["ended_at"], row["stage"], row["state"]) for row in rows if row["ended_at"])
    return [(stage, state) for _, stage, state in ends]


def test_each_job_that_runs_dbt_has_a_selector_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    monkeypatch.setattr(jobs, "dbt_build", lambda selector, _window, _on_line: built.append(selector))
    monkeypatch.setattr("chiplake.status.raise_if_unreadable", lambda *_: None)
    commands: list[list[str]] = []
    monkeypatch.setattr(jobs, "_run_dbt", lambda command, *_: commands.append(command))
    dbt_jobs = [name for name in JOBS if name not in ("embedding_generation", "nightly", "tests", "freshness")]
    for name in dbt_jobs:
        JOBS[name](ALL_DAYS, forget)
    assert built == dbt_jobs
    assert commands == []
    selectors = yaml.safe_load((PROJECT_DIR / "selectors.yml").read_text())["selectors"]
    assert set(built) <= {selector["name"] for selector in selectors}
    JOBS["tests"](ALL_DAYS, forget)
    assert [command[:1] for command in commands] == [["test"], ["docs"]]
    assert commands[0][-1] in {selector["name"] for selector in selectors}


def test_the_night_continues_after_failed_chips_and_reports_them_all(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def job(name: str, error: str = "") -> jobs.Job:
        def run(_window: Window, _on_line: jobs.OnLine) -> None:
            done.append(name)
            if error:
                raise IncompleteError(error)

        run.__name__ = name
        return run

    monkeypatch.setattr(jobs, "NIGHTLY_JOBS", (job("cut", "4 chips"), job("fill"), job("embed", "2 objects")))
    with pytest.raises(IncompleteError, match=r"^4 chips; 2 objects$"):
        nightly(ALL_DAYS, forget)
    assert done == ["cut", "fill", "embed"]
    assert recorded(lake) == [("cut", "incomplete"), ("fill", "done"), ("embed", "incomplete")]


def test_the_night_ends_with_the_first_job_that_fails(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_window: Window, _on_line: jobs.OnLine) -> None:
        raise ChiplakeError("no Java")

    monkeypatch.setattr(jobs, "NIGHTLY_JOBS", (fail, lambda *_: pytest.fail("it went on")))
    with pytest.raises(ChiplakeError, match="no Java"):
        nightly(ALL_DAYS, forget)
    assert recorded(lake) == [("fail", "failed")]


@pytest.mark.usefixtures("lake")
def test_a_night_that_failed_keeps_its_error_if_its_record_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: str) -> jobs.Job:
        def run(_window: Window, _on_line: jobs.OnLine) -> None:
            raise ChiplakeError(error)

        return run

    lines: list[str] = []
    monkeypatch.setattr(jobs, "NIGHTLY_JOBS", (fail("no Java"),))
    monkeypatch.setattr(jobs, "operations", fail("no Java either"))
    with pytest.raises(ChiplakeError, match=r"^no Java$"):
        nightly(ALL_DAYS, lines.append)
    assert lines == ["fct_pipeline_runs lacks this night: no Java either"]


def test_an_unknown_job_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(ChiplakeError, match=r"no job 'night'; choose from chip_extraction, .*, nightly"):
        check_job("night", recompute=False)


@pytest.mark.parametrize("name", sorted(JOBS))
def test_only_jobs_that_make_chips_recompute(name: str) -> None:
    if name in RECOMPUTING_JOBS:
        check_job(name, recompute=True)
    else:
        with pytest.raises(ChiplakeError, match=f"'{name}' makes no chips; recompute with chip_extraction"):
            check_job(name, recompute=True)


def test_a_window_becomes_dbt_variables() -> None:
    assert ALL_DAYS.dbt_vars() == {}
    window = Window(date(2023, 8, 1), date(2023, 8, 31), recompute=True)
    assert window.dbt_vars() == {"start_date": "2023-08-01", "end_date": "2023-08-31", "recompute": True}


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ChiplakeError, match="the start date 2023-08-02 is after the end date 2023-08-01"):
        Window(date(2023, 8, 2), date(2023, 8, 1))


@pytest.mark.parametrize(
    ("done", "message"),
    [
        (
            SimpleNamespace(
                exception=None,
                success=False,
                result=SimpleNamespace(
                    results=[
                        SimpleNamespace(status="success", message="ok", node=SimpleNamespace(name="int_scenes")),
                        SimpleNamespace(
                            status="error",
                            message="Runtime Error in model fct_chips\n\n  Python worker exited\n  at org",
                            node=SimpleNamespace(name="fct_chips"),
                        ),
                    ]
                ),
            ),
            "1 of dbt's nodes failed, first fct_chips: Python worker exited",
        ),
        (
            SimpleNamespace(
                exception=None,
                success=False,
                result=SimpleNamespace(
                    results=[
                        SimpleNamespace(
                            status="error", message=None, age=31.5 * 86_400, node=SimpleNamespace(name="stac_items")
                        )
                    ]
                ),
            ),
            "1 of dbt's nodes failed, first stac_items: the newest row of the source is 31.5 days old",
        ),
        (SimpleNamespace(exception=None, success=False, result=None), "--selector temporal_merge failed; see logs/dbt"),
        (SimpleNamespace(exception=ValueError("no profile"), success=False, result=None), "cannot run: no profile"),
    ],
)
def test_a_failed_build_names_the_first_node_and_its_reason(
    monkeypatch: pytest.MonkeyPatch, done: SimpleNamespace, message: str
) -> None:
    monkeypatch.setattr(dbt, "dbtRunner", lambda **_: SimpleNamespace(invoke=lambda _arguments: done))
    with pytest.raises(ChiplakeError, match=message):
        dbt_build("temporal_merge", ALL_DAYS, forget)


@pytest.mark.parametrize("job", ["freshness", "tests"])
def test_a_stale_source_and_a_failed_test_need_somebody_and_stop_no_other_job(
    monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    failed = SimpleNamespace(status="fail", message="Got 2 results", node=SimpleNamespace(name="a_test"))
    done = SimpleNamespace(exception=None, success=False, result=SimpleNamespace(results=[failed]))
    monkeypatch.setattr(dbt, "dbtRunner", lambda **_: SimpleNamespace(invoke=lambda _arguments: done))
    with pytest.raises(AttentionError, match="1 of dbt's nodes failed, first a_test: Got 2 results"):
        JOBS[job](ALL_DAYS, forget)


def test_a_command_of_dbt_that_cannot_run_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    done = SimpleNamespace(exception=ValueError("no profile"), success=False, result=None)
    monkeypatch.setattr(dbt, "dbtRunner", lambda **_: SimpleNamespace(invoke=lambda _arguments: done))
    with pytest.raises(ChiplakeError, match="dbt source freshness cannot run: no profile") as error:
        JOBS["freshness"](ALL_DAYS, forget)
    assert not isinstance(error.value, AttentionError)
