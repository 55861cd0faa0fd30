"""The DAG of one file for AWS: every managed Airflow imports it alone, and finds the DAG of the package in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.airflow_home import MANAGED_BINS, Airflow, airflow_at

from scripts.write_single_dag import TARGET

pytestmark = pytest.mark.airflow

DAG = "sentinel_chip_processing"
RUNTIME = "CHIPLAKE_AIRFLOW_RUNTIME"


@pytest.fixture(scope="module", params=MANAGED_BINS)
def managed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """A managed Airflow whose environment says nothing of the project."""
    home = tmp_path_factory.mktemp("airflow")
    airflow = airflow_at(home, home / "none", MANAGED_BINS[request.param])
    of_airflow = {name: value for name, value in airflow.environment.items() if not name.startswith("CHIPLAKE_")}
    return Airflow(airflow.bin, {**of_airflow, "PYTHONPATH": ""})


def test_one_file_has_the_dag_of_the_package(managed: Airflow) -> None:
    environments = {
        "plain": {},
        "other": {RUNTIME: "aws", "CHIPLAKE_TARGET_SCHEMA": "dev_ann", "CHIPLAKE_AIRFLOW_POLL_S": "60"},
    }
    alone = managed.graphs(environments, TARGET.parent)
    package = Airflow(managed.bin, {**managed.environment, "PYTHONPATH": str(Path(__file__).parents[2])})
    whole = package.graphs({name: {RUNTIME: "aws"} | variables for name, variables in environments.items()})
    for name in environments:
        assert alone[name]["errors"] == {}
        assert list(alone[name]["dags"]) == [DAG]
        assert without_speed(alone[name]) == without_speed(whole[name])
    graph = alone["plain"]["dags"][DAG]
    assert graph["edges"]["batch_transform"] == ["after_encoder.job"]
    job = graph["templates"]["before_encoder.job"]["job"]
    assert job["AppSpecification"]["ContainerEntrypoint"] == ["smspark-submit", "chiplake"]
    stage = "before_encoder.chip_extraction"
    assert graph["outlets"][stage] == ["chiplake.chip_extraction"]
    assert alone["other"]["dags"][DAG]["outlets"][stage] == ["dev_ann.chip_extraction"]
    # The triggerer of Airflow imports a trigger by this name.
    classes = {trigger["class"] for trigger in alone["plain"]["triggers"]}
    assert classes == {"airflow.providers.amazon.aws.triggers.sagemaker.SageMakerTrigger"}


def without_speed(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "again_s"}
