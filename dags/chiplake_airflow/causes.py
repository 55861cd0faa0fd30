"""Why a task failed, in one line.

`lakehouse.causes` finds the cause. It is imported when a task has failed, so that a local Airflow without the project
on its path still runs the DAG; it then shows messages as they are.
"""

from __future__ import annotations

from collections.abc import Sequence


def cause_of(error: BaseException | str | None) -> str:
    """Return the root cause of a task's error; None if Airflow knows of no error."""
    if error is None:
        return "its log says why"
    try:
        from lakehouse.causes import root_cause
    except ModuleNotFoundError:
        return str(error)
    return root_cause(error)


def cause_of_nodes(failed: Sequence[tuple[str, str]]) -> str:
    """Return the number of dbt's nodes that failed and the cause of the first one.

    Args:
        failed: name and message of each node that failed; at least one.
    """
    try:
        from lakehouse.causes import failures_line
    except ModuleNotFoundError:
        return f"{len(failed)} of dbt's nodes failed, first {failed[0][0]}: {failed[0][1]}"
    return failures_line(failed)
