"""What a run by hand can be given."""

from __future__ import annotations

from typing import Final

from airflow.sdk import Param

PARAMS: Final = {
    name: Param(None, type=["null", "string"], format="date", title=title, description=words)
    for name, title, words in (
        ("start_date", "First day", "First day of acquisition, UTC; default: as scheduled."),
        ("end_date", "Last day", "Last day of acquisition, UTC, included; default: as scheduled."),
    )
}
