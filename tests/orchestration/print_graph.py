"""Parses the DAG as a scheduler does, with nothing of the project's own environment in reach, and prints what it found.

Run by the Python of an environment with Airflow, in a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec

BLOCKED = {
    *("pyspark", "sedona", "torch", "dbt", "pyiceberg", "pyarrow", "rasterio", "numpy", "pandas"),
    *("chiplake", "embedding", "ingestion", "python_udfs"),
}
# What a runtime has no need of.
NOT_IN: dict[str, set[str]] = {"local": {"botocore", "boto3"}, "thrift": {"botocore", "boto3"}, "aws": set()}


class OutOfReach:
    """Lets an import of these packages fail, as in an environment without them."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.asked: set[str] = set()

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] in self.names:
            self.asked.add(name)
            raise ModuleNotFoundError(f"{name} is out of reach", name=name)
        return None


def main() -> None:
    blocked = OutOfReach(BLOCKED | NOT_IN[os.environ["CHIPLAKE_AIRFLOW_RUNTIME"]])
    sys.meta_path.insert(0, blocked)  # type: ignore[arg-type]
    import airflow

    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.0
        from airflow.models.dagbag import DagBag  # type: ignore[attr-defined, no-redef]

    folder = sys.argv[1]
    sys.path.insert(0, folder)  # as Airflow does with the root of a bundle
    bag = DagBag(folder)
    again = DagBag(folder)  # as a scheduler does all day: what it imports is there already
    print(
        json.dumps(
            {
                "airflow": airflow.__version__,
                "errors": {path.rsplit("/", 1)[-1]: words for path, words in bag.import_errors.items()},
                "first_s": sum(file.duration.total_seconds() for file in bag.dagbag_stats),
                "again_s": sum(file.duration.total_seconds() for file in again.dagbag_stats),
                "dags": {name: _described(dag) for name, dag in bag.dags.items()},
            }
        )
    )


def _described(dag: object) -> dict[str, object]:
    tasks = dag.tasks  # type: ignore[attr-defined]
    return {
        "catchup": dag.catchup,  # type: ignore[attr-defined]
        "start": dag.start_date.isoformat(),  # type: ignore[attr-defined]
        "max_active_runs": dag.max_active_runs,  # type: ignore[attr-defined]
        "doc": dag.doc_md,  # type: ignore[attr-defined]
        "edges": {task.task_id: sorted(task.downstream_task_ids) for task in tasks},
        "operators": {task.task_id: task.task_type for task in tasks},
        "owners": sorted({task.owner for task in tasks}),
        "retries": {task.task_id: task.retries for task in tasks},
        "timeouts_h": sorted(
            {task.execution_timeout.total_seconds() / 3600 for task in tasks if task.execution_timeout}
        ),
        "outlets": {task.task_id: sorted(asset.name for asset in task.outlets) for task in tasks if task.outlets},
        "deferrable": sorted(task.task_id for task in tasks if getattr(task, "deferrable", False)),
    }


if __name__ == "__main__":
    main()
