"""Parses the DAG as a scheduler does, once in each of several environments, and prints the graphs as JSON.

Usage: python print_graph.py DAGS_FOLDER < environments.json

Standard input has a JSON object of environments, each an object of environment variables. The script needs the Python
of an environment with Airflow. Packages that Airflow's environment may lack cannot be imported.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

BLOCKED = {
    *("pyspark", "sedona", "torch", "dbt", "pyiceberg", "pyarrow", "rasterio", "numpy", "pandas"),
    *("chiplake", "embedding", "ingestion", "python_udfs", "lakehouse"),
}
ALLOWED = {"lakehouse", "lakehouse.transform_job"}  # deployment copies them beside the DAG
# Packages that a runtime does not need.
BLOCKED_IN_RUNTIME: dict[str, set[str]] = {
    "local": {"botocore", "boto3", "lakehouse"},
    "thrift": {"botocore", "boto3", "lakehouse"},
    "aws": set(),
}


class BlockedPackages:
    """Makes the import of some packages fail, as in an environment without them."""

    def __init__(self, names: set[str], allowed: set[str]) -> None:
        self.names = names
        self.allowed = allowed

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name.partition(".")[0] in self.names and name not in self.allowed:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
        return None


def main() -> None:
    folder = sys.argv[1]
    environments: dict[str, dict[str, str]] = json.load(sys.stdin)
    sys.meta_path.insert(0, BlockedPackages(BLOCKED, ALLOWED))
    import airflow

    sys.path.insert(0, folder)  # as Airflow does with the root of a bundle
    # A process for each environment, which has imported Airflow already.
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        graphs = pool.starmap(parse, [(folder, variables) for variables in environments.values()], chunksize=1)
    found = {"airflow": airflow.__version__, "graphs": dict(zip(environments, graphs, strict=True))}
    print(json.dumps(found, default=str))


def parse(folder: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Parse the DAGs of a folder several times with these environment variables."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.0
        from airflow.models.dagbag import DagBag

    os.environ.update(variables)
    blocked = BLOCKED_IN_RUNTIME[os.environ.get("CHIPLAKE_AIRFLOW_RUNTIME", "aws")]  # the one file needs no variable
    sys.meta_path.insert(0, BlockedPackages(blocked, set()))
    bag = DagBag(folder)
    again = [DagBag(folder) for _ in range(3)]  # a scheduler parses all day: it has imported everything already
    return {
        "errors": {Path(path).name: message for path, message in bag.import_errors.items()},
        "again_s": min(sum(file.duration.total_seconds() for file in one.dagbag_stats) for one in again),
        "dags": {name: describe(dag) for name, dag in bag.dags.items()},
        "triggers": [describe_trigger(task) for dag in bag.dags.values() for task in dag.tasks if is_deferrable(task)],
    }


def is_deferrable(task: Any) -> bool:
    return bool(getattr(task, "deferrable", False))


def describe_trigger(task: Any) -> dict[str, Any]:
    """Return the arguments of the trigger with which a task waits for the job that an earlier try started."""
    # In the DAG of one file, the function is beside the operator.
    module: Any = sys.modules.get("chiplake_airflow.compatibility") or sys.modules[type(task).__module__]
    path, arguments = module.make_sagemaker_trigger(task, "the-job-01", "Processing").serialize()
    return {"class": path, **arguments}


def describe(dag: Any) -> dict[str, object]:
    """Describe a DAG in types of JSON."""
    tasks = dag.tasks
    return {
        "catchup": dag.catchup,
        "start": dag.start_date.isoformat(),
        "run_timeout_h": dag.dagrun_timeout.total_seconds() / 3600,
        "max_active_runs": dag.max_active_runs,
        "doc": dag.doc_md,
        "edges": {task.task_id: sorted(task.downstream_task_ids) for task in tasks},
        "operators": {task.task_id: task.task_type for task in tasks},
        "labels": {task.task_id: task.label for task in tasks},
        "owners": sorted({task.owner for task in tasks}),
        "retries": {task.task_id: task.retries for task in tasks},
        "trigger_rules": {task.task_id: str(getattr(task.trigger_rule, "value", task.trigger_rule)) for task in tasks},
        "timeouts_h": sorted(
            {task.execution_timeout.total_seconds() / 3600 for task in tasks if task.execution_timeout}
        ),
        "inlets": {task.task_id: sorted(asset.name for asset in task.inlets) for task in tasks if task.inlets},
        "outlets": {task.task_id: sorted(asset.name for asset in task.outlets) for task in tasks if task.outlets},
        "deferrable": sorted(task.task_id for task in tasks if is_deferrable(task)),
        "templates": {task.task_id: {name: getattr(task, name) for name in task.template_fields} for task in tasks},
    }


if __name__ == "__main__":
    main()
