"""The operator that runs the tests of a dbt stage."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

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
        else:
            self.log.info(
                "the state of dbt build is %s: its models were built one by one, so their tests run now", state
            )
            super().execute(context)
