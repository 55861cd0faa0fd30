"""Settings of the jobs, from Airflow Variables. Tasks read them when they run; parsing the DAG reads no Variable."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import Variable


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


def add_job_settings(_context: Any, operator: Any) -> None:
    """Give the settings to an operator of Cosmos before it builds its command (a Cosmos interceptor)."""
    operator.env = (operator.env or {}) | job_settings()
