"""Params of a run that somebody triggers by hand."""

from __future__ import annotations

from typing import Final

from airflow.sdk import Param

PARAMS: Final = {
    name: Param(None, type=["null", "string"], format="date", title=title, description=description)
    for name, title, description in (
        ("start_date", "First day", "First day of acquisition, UTC; default: as scheduled."),
        ("end_date", "Last day", "Last day of acquisition, UTC, included; default: as scheduled."),
    )
}
