"""What Variables say about the settings of jobs. Called when a task runs, never when the DAG is parsed."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import Variable


def job_settings() -> dict[str, str]:
    """Environment variables of a job: `chiplake_settings`, and the Variables that are settings by another name.

    Raises:
        ValueError: `chiplake_settings` is no JSON object of settings.
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


def add_job_settings(context: Any, operator: Any) -> None:
    """The same for an operator of Cosmos, before it builds its command."""
    operator.env = (operator.env or {}) | job_settings()
