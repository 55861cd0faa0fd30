"""The operator that runs a command of the project."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator
from typing_extensions import override

from chiplake_airflow.commands import without_empty
from chiplake_airflow.compatibility import AirflowSkipException
from chiplake_airflow.job_settings import job_settings, settings_of_stage
from chiplake_airflow.stage_reports import StageReport, add_asset_events, local_folder, read_local

NOT_DUE: Final = 99  # of `chiplake status --due`
INCOMPLETE: Final = 3  # CHIPLAKE_INCOMPLETE_EXIT_CODE: the command did everything except for some chips


class CommandOperator(BaseOperator):
    """Runs a program in the project's environment. The task's log has the program's output.

    Airflow's environment does not need the program's packages. A program that ends as incomplete gives a warning in the
    log: what failed is in rows with an error, and the next run tries it again.

    Args:
        command: the program and its arguments; arguments that are rendered to nothing are dropped.
        cwd: folder of the project.
        stage: name of the stage in ops.stages, for a command of dbt; empty: dbt records nothing.
        schema: schema of the models, for a command that publishes marts.
    """

    template_fields: Sequence[str] = ("command",)
    ui_color = "#e8f0e4"

    def __init__(self, *, command: Sequence[str], cwd: Path, stage: str = "", schema: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = list(command)
        self.cwd = str(cwd)
        self.stage = stage
        self.schema = schema
        self._hook: SubprocessHook | None = None

    @override
    def execute(self, context: Any) -> None:
        """Run the program to its end.

        Raises:
            AirflowSkipException: the program said that the work is not due.
            RuntimeError: the program failed; the message has its last line.
        """
        self._hook = SubprocessHook()
        run_id = context["run_id"]
        record = settings_of_stage(run_id, str(local_folder(run_id)), self.stage)
        environment = os.environ | job_settings() | record | {"CHIPLAKE_INCOMPLETE_EXIT_CODE": str(INCOMPLETE)}
        done = self._hook.run_command(without_empty(self.command), env=environment, cwd=self.cwd)
        if done.exit_code == NOT_DUE:
            raise AirflowSkipException(done.output)
        if done.exit_code == INCOMPLETE:
            self.log.warning("Incomplete: %s", done.output)
        elif done.exit_code != 0:
            raise RuntimeError(f"exit code {done.exit_code}: {done.output}")
        self.publish(context)

    def publish(self, context: Any) -> None:
        """Log the numbers of the stage, and publish the marts that it has written."""
        for report in self.reports(context):
            self.log.info(report.line)
            for alias in self.outlets:
                add_asset_events(report, context, alias, self.schema)

    def reports(self, context: Any) -> list[StageReport]:
        """Return what the stage of this task has reported in this run: one report, or none."""
        report = read_local(context["run_id"], self.stage or self.task_id)
        return [] if report is None else [report]

    @override
    def on_kill(self) -> None:
        """Stop the program together with the task."""
        if self._hook is not None:
            self._hook.send_sigterm()  # type: ignore[no-untyped-call]
