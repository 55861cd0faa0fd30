"""The days of acquisition that a run takes in, UTC, both included. They are templates: read when a task runs."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from chiplake_airflow.variables import variable

_FIRST_DAY: Final = (
    f"first_day(dag_run, params, {variable('chiplake_lookback_days', '10')})"  # days; ingestion's overlap
)
_LAST_DAY: Final = "last_day(dag_run, params)"

FIRST_DAY: Final = f"{{{{ {_FIRST_DAY} }}}}"
LAST_DAY: Final = f"{{{{ {_LAST_DAY} }}}}"
RUN_KEY: Final = f"{{{{ run_key({_FIRST_DAY}, {_LAST_DAY}) }}}}"


def last_day(dag_run: Any, params: dict[str, Any]) -> str:
    """Last day of a run: the param, else the last of its data interval, or by hand that of its logical date."""
    if params.get("end_date"):
        return str(params["end_date"])
    if _is_by_hand(dag_run):
        return _own_day(dag_run).isoformat()
    # The interval ends where the next day begins.
    return str((dag_run.data_interval_end - timedelta(microseconds=1)).date())


def first_day(dag_run: Any, params: dict[str, Any], lookback_days: str | int) -> str:
    """First day of a run: the param, else so many days before its own, as scenes may be published late.

    Args:
        dag_run: the run.
        params: its params.
        lookback_days: how many days before its own.

    Raises:
        ValueError: it lies after the last day.
    """
    last = last_day(dag_run, params)
    if params.get("start_date"):
        first = str(params["start_date"])
    elif params.get("end_date"):
        first = str(date.fromisoformat(last) - timedelta(days=int(lookback_days)))
    else:
        own = _own_day(dag_run) if _is_by_hand(dag_run) else dag_run.data_interval_start.date()
        first = str(own - timedelta(days=int(lookback_days)))
    if first > last:
        raise ValueError(f"the first day {first} is after the last day {last}")
    return first


def _is_by_hand(dag_run: Any) -> bool:
    # Airflow gives a run by hand the last interval that is complete at its logical date: the day before.
    return dag_run.data_interval_end is None or str(getattr(dag_run.run_type, "value", dag_run.run_type)) not in (
        "scheduled",
        "backfill",
    )


def _own_day(dag_run: Any) -> date:
    day: date = (dag_run.logical_date or dag_run.run_after).date()
    return day


def run_key(first_day: str, last_day: str) -> str:
    """A name for the days of a run that S3 and SageMaker take: the same days are the same work, whoever asks for it."""
    return f"{first_day}-{last_day}".replace("-", "")


MACROS: Final = {"first_day": first_day, "last_day": last_day, "run_key": run_key}
