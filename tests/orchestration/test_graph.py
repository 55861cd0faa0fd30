"""The DAG as a scheduler parses it: without Spark, torch or AWS, with the same stages in every runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chiplake_airflow.environment import Environment
from chiplake_airflow.stages import MARTS_OF_DBT_STAGES, asset_of
from support.airflow_home import Airflow, airflow_at

from chiplake.jobs import JOBS
from lakehouse.settings import PROJECT_DIR

pytestmark = pytest.mark.airflow

DAG = "sentinel_chip_processing"
# What follows what in the local runtimes: groups of tasks, and tasks without a group.
LOCAL_STAGES = {
    "ingest": {"chip_extraction"},
    "chip_extraction": {"temporal_merge", "unreadable"},
    "unreadable": set(),
    "temporal_merge": {"export"},
    "export": {"batch_transform"},
    "batch_transform": {"load"},
    "load": {"change_detection"},
    "change_detection": {"freshness", "tests_and_docs"},
    "freshness": set(),
    "tests_and_docs": {"maintenance"},
    "maintenance": set(),
}
# On AWS, two jobs run the stages, and a task shows each of them. Nothing waits for these.
AWS_EDGES = {
    "before_encoder.job": {
        "batch_transform",
        *(f"before_encoder.{stage}" for stage in ("ingest", "chip_extraction", "temporal_merge", "export")),
    },
    **{f"before_encoder.{stage}": set() for stage in ("ingest", "chip_extraction", "temporal_merge", "export")},
    "batch_transform": {"after_encoder.job"},
    "after_encoder.job": {
        "maintenance.is_due",
        *(f"after_encoder.{stage}" for stage in ("load", "change_detection", "tests", "freshness", "operations")),
    },
    **{f"after_encoder.{stage}": set() for stage in ("load", "change_detection", "tests", "freshness", "operations")},
    "maintenance.is_due": {"maintenance.maintain"},
    "maintenance.maintain": set(),
}
RUNTIMES = ("local", "thrift", "aws")
# Environments with an error, and a part of its message.
WRONG_ENVIRONMENTS = {
    "no number": (
        {"CHIPLAKE_AIRFLOW_RUNTIME": "aws", "CHIPLAKE_AIRFLOW_RETRIES": "many"},
        "CHIPLAKE_AIRFLOW_RETRIES=many",
    ),
    "no day": ({"CHIPLAKE_AIRFLOW_START": "yesterday"}, "CHIPLAKE_AIRFLOW_START=yesterday"),
    "no manifest": ({"CHIPLAKE_AIRFLOW_MANIFEST": "/nonexistent/manifest.json"}, "dbt parse"),
}
ENVIRONMENTS: dict[str, dict[str, str]] = {runtime: {"CHIPLAKE_AIRFLOW_RUNTIME": runtime} for runtime in RUNTIMES}
# The project's own code reads these; the version of Airflow makes no difference.
OTHER_ENVIRONMENTS: dict[str, dict[str, str]] = {
    "started": {"CHIPLAKE_AIRFLOW_START": "2023-08-01"},
    "limited": {
        "CHIPLAKE_AIRFLOW_RUNTIME": "aws",
        "CHIPLAKE_AIRFLOW_TASK_HOURS": "3",
        "CHIPLAKE_AIRFLOW_RUN_HOURS": "8",
    },
    **{name: environment for name, (environment, _) in WRONG_ENVIRONMENTS.items()},
}

Graph = dict[str, Any]


@pytest.fixture(scope="session")
def parsed(airflow: Airflow) -> dict[str, Graph]:
    """The graphs that a scheduler of each version of Airflow finds in each of the environments."""
    return airflow.graphs(ENVIRONMENTS)


@pytest.fixture(scope="session")
def others(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Graph]:
    """What the Airflow version of the project finds in the other environments."""
    return airflow_at(tmp_path_factory.mktemp("others"), manifest).graphs(OTHER_ENVIRONMENTS)


@pytest.fixture(scope="session")
def graph_of(parsed: dict[str, Graph]) -> Callable[[str], Graph]:
    """The DAG in an environment without an error."""
    return lambda environment: only_dag(parsed[environment])


@pytest.mark.parametrize("runtime", ["local", "thrift"])
def test_stages_follow_each_other_on_one_machine(graph_of: Callable[[str], Graph], runtime: str) -> None:
    edges = graph_of(runtime)["edges"]
    followers: dict[str, set[str]] = {}
    for task, downstream in edges.items():
        stages = {stage_of(follower) for follower in downstream} - {stage_of(task)}
        followers.setdefault(stage_of(task), set()).update(stages)
    assert followers == LOCAL_STAGES


def test_two_jobs_run_the_stages_on_aws(graph_of: Callable[[str], Graph]) -> None:
    edges = graph_of("aws")["edges"]
    assert {task: set(downstream) for task, downstream in edges.items()} == AWS_EDGES


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_dag_is_parsed_again_within_a_second(graph_of: Callable[[str], Graph], runtime: str) -> None:
    assert graph_of(runtime)["again_s"] < 1


@pytest.mark.parametrize("runtime", ["local", "aws"])
def test_every_stage_of_dbt_publishes_what_it_has_written(graph_of: Callable[[str], Graph], runtime: str) -> None:
    outlets = graph_of(runtime)["outlets"]
    stages = {alias: task.split(".") for task, aliases in outlets.items() for alias in aliases}
    assert set(stages) == {f"chiplake.{stage}" for stage in MARTS_OF_DBT_STAGES}
    assert all(alias.removeprefix("chiplake.") in path for alias, path in stages.items())


@pytest.mark.parametrize(("runtime", "task"), [("local", "tests_and_docs.tests"), ("aws", "after_encoder.tests")])
def test_airflow_knows_all_marts_as_what_the_tests_read(
    graph_of: Callable[[str], Graph], runtime: str, task: str
) -> None:
    marts = sorted(f"chiplake.{mart}" for marts in MARTS_OF_DBT_STAGES.values() for mart in marts)
    assert len(marts) == 12
    assert graph_of(runtime)["inlets"] == {task: marts}


def test_assets_have_the_schema_of_the_models() -> None:
    assert Environment.read({}).target_schema == "chiplake"
    schema = Environment.read({"CHIPLAKE_TARGET_SCHEMA": "dev_ann"}).target_schema
    asset = asset_of("fct_chips", schema)
    assert (asset.name, asset.uri) == ("dev_ann.fct_chips", "x-iceberg://lake/dev_ann/fct_chips")


def test_the_dbt_stages_are_the_selectors_and_their_marts(manifest: Path) -> None:
    project = json.loads(manifest.read_text())
    marts = {
        node["name"]: Path(node["original_file_path"])
        for node in project["nodes"].values()
        if node["resource_type"] == "model" and node["name"].startswith(("dim_", "fct_"))
    }
    assert {mart for of_stage in MARTS_OF_DBT_STAGES.values() for mart in of_stage} == marts.keys()
    assert MARTS_OF_DBT_STAGES.keys() <= project["selectors"].keys() <= JOBS.keys()
    for stage, selector in project["selectors"].items():
        folders = [one["value"] for one in selector["definition"]["union"] if one.get("method") == "path"]
        built = {name for name, path in marts.items() if any(path.is_relative_to(folder) for folder in folders)}
        assert set(MARTS_OF_DBT_STAGES.get(stage, ())) == built


def test_one_task_builds_a_stage_and_one_shows_each_model(graph_of: Callable[[str], Graph]) -> None:
    operators = graph_of("local")["operators"]
    stage = {task.partition(".")[2]: kind for task, kind in operators.items() if stage_of(task) == "chip_extraction"}
    assert stage.pop("dbt_producer_watcher") == "DbtProducerWatcherOperator"
    assert stage.pop("dbt_producer_watcher_done") == "EmptyOperator"
    assert stage.pop("tested") == "StageTestsOperator"
    # Ephemeral models are part of the models that read them.
    steps = {"stg_stac__boa_offset_overrides", "int_item_radiometry", "int_item_rasters", "int_scene_parts"}
    assert {stage.pop(step) for step in steps} == {"EmptyOperator"}
    assert set(stage.values()) == {"DbtRunWatcherOperator"}
    assert set(stage) == {
        *("stg_stac__items", "int_item_headers", "int_scenes", "int_datatakes", "int_scene_cells", "dim_grid_cells"),
        *("int_chip_inputs", "fct_chips"),
    }


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_pages_show_tasks_by_the_names_that_logs_and_commands_have(
    graph_of: Callable[[str], Graph], runtime: str
) -> None:
    labels = graph_of(runtime)["labels"]
    # Inside a group, a page leaves out the name of the group.
    assert labels == {task: task.rpartition(".")[2] for task in labels}


def test_every_model_is_built_by_one_stage(graph_of: Callable[[str], Graph]) -> None:
    operators = graph_of("local")["operators"]
    # A user's models, and those that one task builds at the end.
    others = tuple(PROJECT_DIR / "models" / folder for folder in ("own", "operations"))
    paths = (PROJECT_DIR / "models").rglob("*.sql")
    models = sorted(path.stem for path in paths if not any(path.is_relative_to(other) for other in others))
    shown = [task.partition(".")[2] for task in operators]
    assert sorted(task for task in shown if task in models) == models


def test_on_aws_jobs_wait_without_a_worker_and_stages_are_shown(graph_of: Callable[[str], Graph]) -> None:
    graph = graph_of("aws")
    operators = graph["operators"]
    jobs = {task for task, kind in operators.items() if kind == "ProcessingJobOperator"}
    assert jobs == {"before_encoder.job", "after_encoder.job", "maintenance.maintain"}
    assert operators["batch_transform"] == "TransformJobOperator"
    assert {
        kind for task, kind in operators.items() if task not in {*jobs, "batch_transform", "maintenance.is_due"}
    } == {"StageOperator"}
    assert set(graph["deferrable"]) == {*jobs, "batch_transform"}


def test_on_aws_a_retry_waits_for_a_running_job(parsed: dict[str, Graph]) -> None:
    triggers = parsed["aws"]["triggers"]
    assert len(triggers) == 4
    for trigger in triggers:
        assert (trigger["job_name"], trigger["job_type"], trigger["aws_conn_id"]) == ("the-job-01", "Processing", None)
        # Every 30 seconds for twelve hours; the versions of the provider name these arguments differently.
        names = (
            ("waiter_delay", "waiter_max_attempts") if "waiter_delay" in trigger else ("poke_interval", "max_attempts")
        )
        assert tuple(trigger[name] for name in names) == (30, 1440)


def test_tasks_have_retries_and_a_timeout(graph_of: Callable[[str], Graph]) -> None:
    for runtime in ("local", "aws"):
        graph = graph_of(runtime)
        # Another try of these would see the same.
        retries = {task: number for task, number in graph["retries"].items() if task not in ("unreadable", "freshness")}
        assert set(retries.values()) == {2}
        assert (graph["timeouts_h"], graph["run_timeout_h"]) == ([12], 24)
        assert graph["owners"] == ["chiplake"]
        assert graph["max_active_runs"] == 1
        assert "error" in graph["doc"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_maintenance_runs_also_when_tests_and_docs_are_skipped(graph_of: Callable[[str], Graph], runtime: str) -> None:
    assert graph_of(runtime)["trigger_rules"]["maintenance.is_due"] == "none_failed"


def test_time_limits_are_chosen_by_the_environment(others: dict[str, Graph]) -> None:
    limited = only_dag(others["limited"])
    assert (limited["timeouts_h"], limited["run_timeout_h"]) == ([3], 8)
    for trigger in others["limited"]["triggers"]:
        assert 360 in (trigger.get("waiter_max_attempts"), trigger.get("max_attempts"))


def test_without_a_start_day_the_dag_does_not_catch_up(graph_of: Callable[[str], Graph]) -> None:
    assert not graph_of("local")["catchup"]


def test_with_a_start_day_the_dag_catches_up(others: dict[str, Graph]) -> None:
    started = only_dag(others["started"])
    assert (started["catchup"], started["start"]) == (True, "2023-08-01T00:00:00+00:00")


@pytest.mark.parametrize("name", WRONG_ENVIRONMENTS)
def test_a_wrong_environment_variable_is_the_import_error(others: dict[str, Graph], name: str) -> None:
    _, message = WRONG_ENVIRONMENTS[name]
    assert others[name]["dags"] == {}
    assert message in others[name]["errors"]["sentinel_chip_processing.py"]


def only_dag(found: Graph) -> Graph:
    """Return the only DAG of a folder that is parsed without an error."""
    assert found["errors"] == {}
    assert list(found["dags"]) == [DAG]
    return {**found["dags"][DAG], "again_s": found["again_s"]}


def stage_of(task: str) -> str:
    """Return the stage of a task: its group, or the task itself."""
    return task.partition(".")[0]
