"""Functions for the Variables `chiplake_on_failure` and `chiplake_on_success` that write notices to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FILE_VARIABLE = "NOTICES_FILE"  # environment variable with the path of the file


def failure(context: Any) -> None:
    """Write the task that failed."""
    _write(f"failed: {context['ti'].task_id}")


def success(context: Any) -> None:
    """Write the DAG whose run succeeded."""
    _write(f"succeeded: {context['dag'].dag_id}")


def _write(line: str) -> None:
    with Path(os.environ[FILE_VARIABLE]).open("a") as file:
        file.write(f"{line}\n")
