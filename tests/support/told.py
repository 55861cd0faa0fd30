"""Functions for the Variables `chiplake_on_failure` and `chiplake_on_success`: note in a file what they are told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def failure(context: Any) -> None:
    """Note the task that failed."""
    _note(f"failed: {context['ti'].task_id}")


def success(context: Any) -> None:
    """Note the run that succeeded."""
    _note(f"succeeded: {context['dag'].dag_id}")


def _note(line: str) -> None:
    with Path(os.environ["TOLD"]).open("a") as file:
        file.write(f"{line}\n")
