"""The stages on this machine: commands of the project, and dbt through Cosmos, one JVM a stage.

In each dbt stage one task runs `dbt build` for the whole stage, and a task for each model waits for its model. If the
build is tried again, Cosmos has each of these tasks build its own model; the task `tested` then runs the tests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from airflow.sdk import TaskGroup
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestBehavior
from cosmos.dbt.selector import YamlSelectors
from typing_extensions import override

from chiplake_airflow.commands import DAYS, ingest_command
from chiplake_airflow.days import FIRST_DAY, LAST_DAY
from chiplake_airflow.environment import Environment
from chiplake_airflow.job_settings import PRODUCER, add_job_settings
from chiplake_airflow.operators.command import CommandOperator
from chiplake_airflow.operators.dbt import StageTestsOperator, raise_cause
from chiplake_airflow.runtimes.base import Runtime, Stage
from chiplake_airflow.stages import all_assets, outlets_of

# Tests that also read models of a later stage run with that stage.
STAGE_TESTS: Final = ("--indirect-selection", "buildable")


@dataclass(frozen=True)
class LocalRuntime(Runtime):
    """Runs the stages as processes of this machine, in the project's checkout. dbt's target is `local` or `thrift`."""

    environment: Environment
    selectors: YamlSelectors  # of the dbt manifest

    @classmethod
    def open(cls, environment: Environment) -> LocalRuntime:
        """Read the selectors of the dbt manifest.

        Raises:
            FileNotFoundError: the manifest is missing.
        """
        path = environment.manifest
        if not path.is_file():
            raise FileNotFoundError(f"no dbt manifest at {path}; run `dbt parse` in {environment.project}")
        manifest: dict[str, Any] = json.loads(path.read_text())
        return cls(environment, YamlSelectors.parse(manifest["selectors"], lax_parsing_enabled=False))

    @override
    def before_encoder(self) -> Stage:
        with TaskGroup("before_encoder", prefix_group_id=False) as group:
            ingest = self._chiplake("ingest", *ingest_command(from_files=True))
            chips = self._dbt_stage("chip_extraction")
            # First load the answers that an earlier run left, so that no chip is embedded twice.
            export = self._chiplake("export", "embed", "export", "--load-leftovers", *DAYS)
            ingest >> chips >> self._dbt_stage("temporal_merge") >> export
        # Nothing waits for this task: if it is red, the run goes on with the chips that could be read, and then fails.
        chips >> self._chiplake("unreadable", "status", "--check", *DAYS, retries=0)
        return group

    @override
    def batch_transform(self) -> Stage:
        return self._chiplake("batch_transform", "embed", "transform")

    @override
    def after_encoder(self) -> Stage:
        with TaskGroup("after_encoder", prefix_group_id=False) as group:
            changes = self._dbt_stage("change_detection")
            self._chiplake("load", "embed", "load") >> changes
            changes >> self._tests_and_docs()
        # Nothing waits for this task, either.
        changes >> self._command("freshness", self._dbt("source", "freshness"), retries=0)
        return group

    def _tests_and_docs(self) -> TaskGroup:
        """Add the tests on the whole lake and the docs, both when they are due, and the record of runs."""
        with TaskGroup("tests_and_docs", tooltip="the whole lake once a week or when the code has changed") as group:
            is_due = self._chiplake("is_due", "status", "--due", "tests")
            tests = self._command(
                "tests",
                self._dbt("test", "--resource-type", "test", "--selector", "tests"),
                stage="tests",
                inlets=all_assets(self.environment.target_schema),
            )
            docs = self._command("docs", self._dbt("docs", "generate", "--target-path", "target/docs"))
            # It reads the record of the tests, and is built also if they are not due or have failed.
            operations = self._command(
                "operations",
                self._dbt("build", *STAGE_TESTS, "--exclude-resource-type", "unit_test", "--selector", "operations"),
                stage="operations",
                outlets=outlets_of("operations", self.environment.target_schema),
                trigger_rule="all_done",
            )
            is_due >> tests >> [docs, operations]
        return group

    @override
    def maintain(self) -> Stage:
        return self._chiplake("maintain", "maintain")

    def _chiplake(self, task_id: str, *arguments: str, **kwargs: Any) -> CommandOperator:
        return self._command(task_id, (str(self.environment.bin / "chiplake"), *arguments), **kwargs)

    def _command(self, task_id: str, command: Sequence[str], **kwargs: Any) -> CommandOperator:
        schema = self.environment.target_schema
        return CommandOperator(task_id=task_id, command=command, cwd=self.environment.project, schema=schema, **kwargs)

    def _dbt(self, *arguments: str) -> tuple[str, ...]:
        folders = ("--project-dir", str(self.environment.project), "--profiles-dir", str(self._profiles.parent))
        program = (str(self.environment.bin / "dbt"), "--no-use-colors")
        return (*program, *arguments, *folders, "--target", self.environment.runtime)

    @property
    def _profiles(self) -> Path:
        return self.environment.project / "profiles" / "profiles.yml"

    def _dbt_stage(self, stage: str) -> TaskGroup:
        """Add the group of a dbt stage: `dbt build`, a task for each model, and the task `tested` after them."""
        group: TaskGroup = DbtTaskGroup(
            group_id=stage,
            project_config=ProjectConfig(
                dbt_project_path=self.environment.project,
                manifest_path=self.environment.manifest,
                project_name="chiplake",
                install_dbt_deps=False,
            ),
            profile_config=ProfileConfig(
                profile_name="chiplake", target_name=self.environment.runtime, profiles_yml_filepath=self._profiles
            ),
            render_config=self._render_config(stage),
            execution_config=ExecutionConfig(
                execution_mode=ExecutionMode.WATCHER,
                invocation_mode=InvocationMode.SUBPROCESS,
                dbt_executable_path=self.environment.bin / "dbt",
                setup_operator_args={"dbt_cmd_flags": ["--resource-type", "test", *STAGE_TESTS]},
            ),
            operator_args={
                "vars": {"start_date": FIRST_DAY, "end_date": LAST_DAY},
                "interceptors": [add_job_settings],
                "callback": raise_cause,
                # A waiting task leaves its slot to others and needs no triggerer. With a short interval, a busy
                # scheduler queues a task again before it has seen the task end, and Airflow takes that for a failure.
                "deferrable": False,
                "mode": "reschedule",
                "poke_interval": self.environment.poll_s,
            },
        )
        models = list(group.get_leaves())
        with group:
            models >> self._tested(stage)
        return group

    def _render_config(self, stage: str) -> RenderConfig:
        # Not `selector=`: Cosmos would then keep the selectors in an Airflow Variable, read whenever the DAG is parsed.
        selection = self.selectors.get_parsed(stage)
        return RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            invocation_mode=InvocationMode.SUBPROCESS,
            dbt_executable_path=self.environment.bin / "dbt",
            select=selection["select"] or [],
            exclude=selection["exclude"] or [],
            test_behavior=TestBehavior.NONE,  # `dbt build` runs the tests, not a task for each
            emit_datasets=False,  # the assets of `stages.py` have the same names in every runtime
            normalize_task_id=lambda node: node.name,
            normalize_task_display_name=lambda node: node.name,  # else Airflow's pages show `fct_chips_run`
        )

    def _tested(self, stage: str) -> StageTestsOperator:
        days = f'{{"start_date": "{FIRST_DAY}", "end_date": "{LAST_DAY}"}}'
        tests = self._dbt("test", *STAGE_TESTS, "--exclude-resource-type", "unit_test", "--vars", days)
        return StageTestsOperator(
            task_id="tested",
            producer=f"{stage}.{PRODUCER}",
            command=(*tests, "--selector", stage),
            stage=stage,
            cwd=self.environment.project,
            schema=self.environment.target_schema,
            outlets=outlets_of(stage, self.environment.target_schema),
        )
