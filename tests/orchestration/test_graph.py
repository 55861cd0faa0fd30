"""The DAG as a scheduler sees it: parsed without Spark, torch or AWS, the same stages in the same order everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.airflow_home import Airflow

from lakehouse.settings import PROJECT_DIR

pytestmark = pytest.mark.airflow

DAG = "sentinel_chip_processing"
STAGES = (
    "ingest", "chip_extraction", "temporal_merge", "export", "batch_transform", "load", "change_detection",
    "tests_and_docs", "maintenance",
)  # fmt: skip
MARTS = {
    f"chiplake.{model.stem}" for kind in ("dim", "fct") for model in (PROJECT_DIR / "models").rglob(f"{kind}_*.sql")
}

Graph = dict[str, Any]


@pytest.fixture(scope="session")
def graph_of(airflow: Airflow) -> Callable[[str], Graph]:
    """The DAG of a runtime, parsed once."""
    found: dict[str, Graph] = {}

    def graph(runtime: str) -> Graph:
        if runtime not in found:
            said = airflow.graph(CHIPLAKE_AIRFLOW_RUNTIME=runtime)
            assert said["errors"] == {}
            assert list(said["dags"]) == [DAG]
            found[runtime] = said["dags"][DAG] | {"again_s": said["again_s"]}
        return found[runtime]

    return graph


@pytest.mark.parametrize("runtime", ["local", "thrift", "aws"])
def test_stages_follow_each_other_in_every_runtime(graph_of: Callable[[str], Graph], runtime: str) -> None:
    edges = graph_of(runtime)["edges"]
    followers: dict[str, set[str]] = {}
    for task, downstream in edges.items():
        stages = {stage_of(follower) for follower in downstream} - {stage_of(task)}
        followers.setdefault(stage_of(task), set()).update(stages)
    assert followers == dict(zip(STAGES, [{stage} for stage in STAGES[1:]] + [set()], strict=True))


@pytest.mark.parametrize("runtime", ["local", "thrift", "aws"])
def test_a_parsed_dag_is_parsed_again_within_a_second(graph_of: Callable[[str], Graph], runtime: str) -> None:
    assert graph_of(runtime)["again_s"] < 1


@pytest.mark.parametrize("runtime", ["local", "aws"])
def test_every_mart_is_an_asset_of_the_stage_that_makes_it(graph_of: Callable[[str], Graph], runtime: str) -> None:
    outlets = graph_of(runtime)["outlets"]
    assert {asset for assets in outlets.values() for asset in assets} == MARTS
    assert {asset: stage_of(task) for task, assets in outlets.items() for asset in assets} == {
        "chiplake.dim_grid_cells": "chip_extraction",
        "chiplake.fct_chips": "chip_extraction",
        "chiplake.fct_filled_chips": "temporal_merge",
        "chiplake.fct_chip_statistics": "temporal_merge",
        "chiplake.fct_chip_embeddings": "change_detection",
        "chiplake.fct_chip_changes": "change_detection",
    }


def test_one_task_builds_a_stage_and_one_shows_each_model(graph_of: Callable[[str], Graph]) -> None:
    operators = graph_of("local")["operators"]
    stage = {task.partition(".")[2]: kind for task, kind in operators.items() if stage_of(task) == "chip_extraction"}
    assert stage.pop("dbt_producer_watcher") == "DbtProducerWatcherOperator"
    assert stage.pop("dbt_producer_watcher_done") == "EmptyOperator"
    assert stage.pop("tested") == "TestedOperator"
    assert stage.pop("unreadable") == "CommandOperator"
    assert set(stage.values()) == {"DbtRunWatcherOperator"}
    assert set(stage) == {
        *("stg_stac__items", "int_scenes", "int_datatakes", "int_scene_cells", "dim_grid_cells"),
        *("int_chip_inputs", "fct_chips"),
    }


def test_every_model_is_built_by_one_stage(graph_of: Callable[[str], Graph]) -> None:
    operators = graph_of("local")["operators"]
    shown = [task.partition(".")[2] for task, kind in operators.items() if kind == "DbtRunWatcherOperator"]
    models = sorted(model.stem for model in (PROJECT_DIR / "models").rglob("*.sql"))
    assert sorted(shown) == models


def test_on_aws_every_stage_is_a_job(graph_of: Callable[[str], Graph]) -> None:
    graph = graph_of("aws")
    operators = {task: kind for task, kind in graph["operators"].items() if task != "maintenance.is_due"}
    assert operators.pop("batch_transform") == "TransformJobOperator"
    assert set(operators.values()) == {"ProcessingJobOperator"}
    assert set(graph["deferrable"]) == {*operators, "batch_transform"}


def test_tasks_are_tried_again_and_end_in_time(graph_of: Callable[[str], Graph]) -> None:
    for runtime in ("local", "aws"):
        graph = graph_of(runtime)
        assert set(graph["retries"].values()) == {2}
        assert graph["timeouts_h"] == [6]
        assert graph["owners"] == ["chiplake"]
        assert graph["max_active_runs"] == 1
        assert "error" in graph["doc"]


def test_a_start_day_makes_it_catch_up(airflow: Airflow) -> None:
    started = airflow.graph(CHIPLAKE_AIRFLOW_START="2023-08-01")["dags"][DAG]
    assert (started["catchup"], started["start"]) == (True, "2023-08-01T00:00:00+00:00")
    assert not airflow.graph()["dags"][DAG]["catchup"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CHIPLAKE_AIRFLOW_RUNTIME": "aws", "CHIPLAKE_AIRFLOW_RETRIES": "many"}, "CHIPLAKE_AIRFLOW_RETRIES=many"),
        ({"CHIPLAKE_AIRFLOW_START": "yesterday"}, "CHIPLAKE_AIRFLOW_START=yesterday"),
        ({"CHIPLAKE_AIRFLOW_MANIFEST": "/nonexistent/manifest.json"}, "dbt parse"),
    ],
)
def test_what_cannot_be_parsed_is_said(airflow: Airflow, environment: dict[str, str], words: str) -> None:
    said = airflow.graph(**environment)
    assert said["dags"] == {}
    assert words in said["errors"]["sentinel_chip_processing.py"]


def stage_of(task: str) -> str:
    return task.partition(".")[0]
