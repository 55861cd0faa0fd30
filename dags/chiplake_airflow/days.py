"""The days of acquisition that a run covers, UTC, first and last included.

FIRST_DAY, LAST_DAY and RUN_KEY are templates: Airflow renders them when a task runs.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from chiplake_airflow.variables import variable

_LOOKBACK_DAYS: Final = variable("chiplake_lookback_days", "10")
_FIRST_DAY: Final = f"first_day(dag_run, params, {_LOOKBACK_DAYS})"
_LAST_DAY: Final = "last_day(dag_run, params)"

FIRST_DAY: Final = f"{{{{ {_FIRST_DAY} }}}}"
LAST_DAY: Final = f"{{{{ {_LAST_DAY} }}}}"
RUN_KEY: Final = f"{{{{ run_key({_FIRST_DAY}, {_LAST_DAY}) }}}}"


def last_day(dag_run: Any, params: dict[str, Any]) -> str:
    """Return the last day of a run: the param `end_date`, else the day of the run.

    Args:
        dag_run: Airflow's run.
        params: params of the run.
    """
    if params.get("end_date"):
        return str(params["end_date"])
    if _is_manual(dag_run):
        return _logical_day(dag_run).isoformat()
    # The interval ends where the next day begins.
    return str((dag_run.data_interval_end - timedelta(microseconds=1)).date())


def first_day(dag_run: Any, params: dict[str, Any], lookback_days: str | int) -> str:
    """Return the first day of a run: the param `start_date`, else some days before the run's day.

    Args:
        dag_run: Airflow's run.
        params: params of the run.
        lookback_days: days before the run's day, for scenes that are published late.

    Raises:
        ValueError: the first day is after the last day.
    """
    last = last_day(dag_run, params)
    if params.get("start_date"):
        first = str(params["start_date"])
    elif params.get("end_date"):
        first = str(date.fromisoformat(last) - timedelta(days=int(lookback_days)))
    else:
        day = _logical_day(dag_run) if _is_manual(dag_run) else dag_run.data_interval_start.date()
        first = str(day - timedelta(days=int(lookback_days)))
    if first > last:
        raise ValueError(f"the first day {first} is after the last day {last}")
    return first


def run_key(first_day: str, last_day: str) -> str:
    """Name the days of a run in characters that S3 and SageMaker take. Runs of the same days share their jobs."""
    return f"{first_day}-{last_day}".replace("-", "")


def _is_manual(dag_run: Any) -> bool:
    # The interval of a manual run is the last one that was complete at its logical date: the day before.
    run_type = str(getattr(dag_run.run_type, "value", dag_run.run_type))
    return dag_run.data_interval_end is None or run_type not in ("scheduled", "backfill")


def _logical_day(dag_run: Any) -> date:
    day: date = (dag_run.logical_date or dag_run.run_after).date()
    return day


MACROS: Final = {"first_day": first_day, "last_day": last_day, "run_key": run_key}
