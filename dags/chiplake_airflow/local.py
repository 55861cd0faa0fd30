"""The stages on this machine: commands of the project, and dbt through Cosmos, one JVM a stage.

Of each stage of dbt, one task runs `dbt build` for all, and a task for each model waits for that model. When the build
is tried again, Cosmos lets each of these build its own model; tests are then made up for by the task `tested`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from airflow.sdk import TaskGroup
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestBehavior

from chiplake_airflow.assets import assets_of
from chiplake_airflow.commands import DAYS, CommandOperator, ingest_command
from chiplake_airflow.days import FIRST_DAY, LAST_DAY
from chiplake_airflow.layout import Layout
from chiplake_airflow.stages import Stage
from chiplake_airflow.values import add_job_settings

PRODUCER = "dbt_producer_watcher"  # Cosmos' name of the task that runs dbt
# Tests that also read models of a later stage wait for that stage.
TESTS_OF_STAGE = ("--indirect-selection", "buildable")


class TestedOperator(CommandOperator):
    """The last task of a stage of dbt: makes up for the tests where the build was tried again, and publishes assets."""

    __test__ = False  # not one of pytest's

    def __init__(self, *, producer: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.producer = producer

    def execute(self, context: Any) -> None:
        """Run the tests, unless the build has."""
        task, run_id = context["ti"], context["run_id"]
        states = task.get_task_states(dag_id=task.dag_id, task_ids=[self.producer], run_ids=[run_id])
        state = states.get(run_id, {}).get(self.producer)
        if state == "success":
            self.log.info("dbt build ran the tests of this stage; see the log of %s", self.producer)
        else:
            self.log.info("dbt build is %s: its models were built one by one, so now their tests", state)
            super().execute(context)


@dataclass(frozen=True)
class OnThisMachine:
    """Work of this machine's processes, on the project's checkout."""

    layout: Layout
    target: str  # of dbt: local or thrift

    def __post_init__(self) -> None:
        if not self.layout.manifest.is_file():
            raise FileNotFoundError(f"{self.layout.manifest} is not there; run `dbt parse` in {self.layout.project}")

    def ingest(self) -> Stage:
        """STAC items to raw.stac_items."""
        return self._chiplake("ingest", *ingest_command(from_files=True))

    def chip_extraction(self) -> Stage:
        """raw.stac_items to fct_chips. Chips that could not be read are said in a task of their own."""
        return self._dbt_stage("chip_extraction", then=("unreadable", "failures", *DAYS))

    def temporal_merge(self) -> Stage:
        """fct_chips to fct_filled_chips."""
        return self._dbt_stage("temporal_merge")

    def export(self) -> Stage:
        """fct_filled_chips to objects of chips."""
        return self._chiplake("export", "embed", "export", "--load-leftovers", *DAYS)

    def batch_transform(self) -> Stage:
        """Objects of chips to answers of the encoder. A retry sends what has no answer yet."""
        return self._chiplake("batch_transform", "embed", "transform")

    def load(self) -> Stage:
        """Answers to raw.clay_embeddings."""
        return self._chiplake("load", "embed", "load")

    def change_detection(self) -> Stage:
        """raw.clay_embeddings to fct_chip_changes."""
        return self._dbt_stage("change_detection")

    def tests_and_docs(self) -> Stage:
        """Every test on the whole lake, then the docs."""
        with TaskGroup("tests_and_docs", tooltip="every test on the whole lake, then the docs") as group:
            tests = self._command("tests", *self._dbt("test", "--exclude-resource-type", "unit_test"))
            docs = self._command("docs", *self._dbt("docs", "generate", "--target-path", "target/docs"))
            tests >> docs
        return group

    def maintain(self) -> Stage:
        """Small files merged, old snapshots expired."""
        return self._chiplake("maintain", "maintain")

    def _chiplake(self, task_id: str, *arguments: str, **kwargs: Any) -> CommandOperator:
        return self._command(task_id, str(self.layout.bin / "chiplake"), *arguments, **kwargs)

    def _command(self, task_id: str, *command: str, **kwargs: Any) -> CommandOperator:
        return CommandOperator(task_id=task_id, command=command, cwd=self.layout.project, **kwargs)

    def _dbt(self, *arguments: str) -> Sequence[str]:
        places = ("--project-dir", str(self.layout.project), "--profiles-dir", str(self._profiles.parent))
        return (str(self.layout.bin / "dbt"), "--no-use-colors", *arguments, *places, "--target", self.target)

    @property
    def _profiles(self) -> Path:
        return self.layout.project / "profiles" / "profiles.yml"

    def _selection(self, stage: str) -> list[str]:
        """What selectors.yml says of a stage; Cosmos takes a selector's name only where dbt may run while parsing."""
        selectors = yaml.safe_load((self.layout.project / "selectors.yml").read_text())["selectors"]
        (definition,) = (selector["definition"] for selector in selectors if selector["name"] == stage)
        return [definition] if isinstance(definition, str) else list(definition["union"])

    def _dbt_stage(self, name: str, then: tuple[str, ...] | None = None) -> Stage:
        group = DbtTaskGroup(
            group_id=name,
            project_config=ProjectConfig(
                dbt_project_path=self.layout.project,
                manifest_path=self.layout.manifest,
                project_name="chiplake",
                install_dbt_deps=False,
            ),
            profile_config=ProfileConfig(
                profile_name="chiplake", target_name=self.target, profiles_yml_filepath=self._profiles
            ),
            render_config=RenderConfig(
                load_method=LoadMode.DBT_MANIFEST,
                invocation_mode=InvocationMode.SUBPROCESS,
                dbt_executable_path=self.layout.bin / "dbt",
                select=self._selection(name),
                test_behavior=TestBehavior.NONE,  # no task for each test: the build runs them
                emit_datasets=False,  # ours have the same names in every runtime
                normalize_task_id=lambda node: node.name,
            ),
            execution_config=ExecutionConfig(
                execution_mode=ExecutionMode.WATCHER,
                invocation_mode=InvocationMode.SUBPROCESS,
                dbt_executable_path=self.layout.bin / "dbt",
                setup_operator_args={
                    "dbt_cmd_flags": ["--resource-type", "test", *TESTS_OF_STAGE],
                },
            ),
            operator_args={
                "vars": {"start_date": FIRST_DAY, "end_date": LAST_DAY},
                "interceptors": [add_job_settings],
                # A task that waits leaves its slot to others, and no triggerer is needed. It must not be queued again
                # before a busy scheduler has seen that it ended: Airflow takes that for a failure.
                "deferrable": False,
                "mode": "reschedule",
                "poke_interval": self.layout.poll_s,
            },
        )
        built = list(group.get_leaves())
        with group:
            days = f'{{"start_date": "{FIRST_DAY}", "end_date": "{LAST_DAY}"}}'
            tests = self._dbt("test", *TESTS_OF_STAGE, "--exclude-resource-type", "unit_test", "--vars", days)
            tested = TestedOperator(
                task_id="tested",
                producer=f"{name}.{PRODUCER}",
                command=(*tests, "--selector", name),
                cwd=self.layout.project,
                outlets=assets_of(name),
            )
            built >> tested
            if then:
                tested >> self._chiplake(*then)
        return group
