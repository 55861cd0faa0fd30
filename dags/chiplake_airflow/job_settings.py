"""Settings of the jobs, from Airflow Variables. Tasks read them when they run; parsing the DAG reads no Variable."""

from __future__ import annotations

import json
from typing import Any, Final

from airflow.sdk import Variable

from chiplake_airflow.stage_reports import local_folder

PRODUCER: Final = "dbt_producer_watcher"  # Cosmos' name of the task that runs dbt


def job_settings() -> dict[str, str]:
    """Read the settings of a job: the Variable `chiplake_settings`, and Variables that set one setting.

    Returns:
        Environment variables `CHIPLAKE_…` by name.

    Raises:
        ValueError: `chiplake_settings` is not a JSON object of settings.
    """
    text = Variable.get("chiplake_settings", default="{}")
    try:
        given = json.loads(text)
        if not isinstance(given, dict) or not all(str(name).startswith("CHIPLAKE_") for name in given):
            raise ValueError(text)
    except ValueError as error:
        raise ValueError('Variable chiplake_settings: expected a JSON object {"CHIPLAKE_...": "value"}') from error
    settings = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    if bbox := Variable.get("chiplake_bbox", default=""):
        settings.setdefault("CHIPLAKE_BBOX", f"[{bbox}]")
    if collection := Variable.get("chiplake_stac_collection", default=""):
        settings.setdefault("CHIPLAKE_STAC_COLLECTION", collection)
    return settings


def settings_of_stage(run_id: str, reports: str, stage: str = "") -> dict[str, str]:
    """Return the settings by which a command records itself in ops.stages, and reports to its task.

    Args:
        run_id: of the DAG run.
        reports: folder of the run's reports.
        stage: name of the stage, for a command of dbt; commands of the project know theirs.
    """
    # All, also if empty: `dags test` runs all tasks in one process, whose environment keeps what Cosmos puts there.
    return {
        "CHIPLAKE_SCHEDULE_RUN_ID": run_id,
        "CHIPLAKE_SCHEDULE_REPORT": reports,
        "CHIPLAKE_SCHEDULE_STAGE": stage,
    }


def add_job_settings(context: Any, operator: Any) -> None:
    """Give the settings to an operator of Cosmos before it builds its command (a Cosmos interceptor).

    The task that runs `dbt build` for a whole stage records the stage; a task that builds one model again does not.
    """
    stage, _, task = operator.task_id.rpartition(".")
    run_id = context["run_id"]
    record = settings_of_stage(run_id, str(local_folder(run_id)), stage if task == PRODUCER else "")
    operator.env = (operator.env or {}) | job_settings() | record
