"""The days that a run covers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from chiplake_airflow.days import first_day, last_day, run_key
from chiplake_airflow.variables import VARIABLES

from lakehouse.settings import PROJECT_DIR


def run(run_type: str, start: str | None, end: str | None, logical: str | None = None) -> Any:
    def moment(text: str | None) -> datetime | None:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None

    return SimpleNamespace(
        run_type=run_type,
        data_interval_start=moment(start),
        data_interval_end=moment(end),
        logical_date=moment(logical),
        run_after=moment("2023-09-01T06:00"),
    )


SCHEDULED = run("scheduled", "2023-08-13", "2023-08-14", "2023-08-13")


@pytest.mark.parametrize(
    ("dag_run", "params", "lookback", "days"),
    [
        (SCHEDULED, {}, "0", ("2023-08-13", "2023-08-13")),
        (SCHEDULED, {}, "10", ("2023-08-03", "2023-08-13")),
        (run("backfill", "2023-08-13", "2023-08-14", "2023-08-13"), {}, "0", ("2023-08-13", "2023-08-13")),
        # `airflow dags test DAG 2023-08-13`: Airflow says that the interval is the day before.
        (run("manual", "2023-08-12", "2023-08-13", "2023-08-13"), {}, "0", ("2023-08-13", "2023-08-13")),
        (run("manual", None, None), {}, "1", ("2023-08-31", "2023-09-01")),
        (SCHEDULED, {"start_date": "2023-01-01", "end_date": "2023-02-01"}, "10", ("2023-01-01", "2023-02-01")),
        (SCHEDULED, {"end_date": "2023-02-01"}, "1", ("2023-01-31", "2023-02-01")),
        (SCHEDULED, {"start_date": "2023-01-01"}, "1", ("2023-01-01", "2023-08-13")),
    ],
)
def test_days_of_a_run(dag_run: Any, params: dict[str, str], lookback: str, days: tuple[str, str]) -> None:
    assert (first_day(dag_run, params, lookback), last_day(dag_run, params)) == days


def test_a_first_day_after_the_last_is_refused() -> None:
    with pytest.raises(ValueError, match="2023-08-14 is after the last day 2023-08-13"):
        first_day(SCHEDULED, {"start_date": "2023-08-14"}, "0")


def test_runs_of_the_same_days_have_the_same_key() -> None:
    key = run_key("2023-08-03", "2023-08-13")
    assert key == "2023080320230813"
    assert len(f"chiplake-change-detection-{key}-01") <= 63  # limit of the name of a SageMaker job


def test_every_variable_that_is_read_is_in_the_list() -> None:
    code = "\n".join(
        path.read_text()
        for path in (PROJECT_DIR / "dags" / "chiplake_airflow").rglob("*.py")
        if path.name != "variables.py"
    )
    read = set(re.findall(r"[\"'](chiplake_[a-z0-9_]+)[\"']", code)) - {"chiplake_airflow"}
    assert read == set(VARIABLES)
