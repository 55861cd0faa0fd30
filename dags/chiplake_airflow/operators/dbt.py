"""The operator that runs the tests of a dbt stage, and the errors of its other tasks, which are Cosmos' operators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typing_extensions import override

from chiplake_airflow.causes import cause_of_nodes
from chiplake_airflow.operators.command import CommandOperator


class StageTestsOperator(CommandOperator):
    """The last task of a dbt stage: it runs the tests that `dbt build` did not run, and publishes the assets.

    Args:
        producer: task that runs `dbt build` for the whole stage.
    """

    def __init__(self, *, producer: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.producer = producer

    @override
    def execute(self, context: Any) -> None:
        """Run the tests, unless `dbt build` has run them in this run."""
        task, run_id = context["ti"], context["run_id"]
        states = task.get_task_states(dag_id=task.dag_id, task_ids=[self.producer], run_ids=[run_id])
        state = states.get(run_id, {}).get(self.producer)
        if state == "success":
            self.log.info("dbt build ran the tests of this stage; see the log of %s", self.producer)
            self.publish(context)
        else:
            self.log.info(
                "the state of dbt build is %s: its models were built one by one, so their tests run now", state
            )
            super().execute(context)


def raise_cause(project_dir: str, **_context: Any) -> None:
    """End a task of Cosmos with the cause of its failure, where Cosmos would name the exit code only.

    It is a callback of Cosmos, which calls it after each command of dbt.

    Args:
        project_dir: folder in which dbt ran.

    Raises:
        RuntimeError: a node of dbt failed.
    """
    path = Path(project_dir) / "target" / "run_results.json"
    results = json.loads(path.read_text())["results"] if path.is_file() else []
    failed = [
        (result["unique_id"].split(".")[2], result["message"] or "")
        for result in results
        if result["status"] in ("error", "fail", "runtime error")
    ]
    if failed:
        raise RuntimeError(cause_of_nodes(failed))
