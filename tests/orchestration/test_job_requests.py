"""Requests of jobs on AWS, and the exports that they process."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

from chiplake_airflow import stage_reports
from chiplake_airflow.exported_run import newest_run
from chiplake_airflow.operators import command
from chiplake_airflow.processing_request import JobOptions, processing_request, s3_output
from chiplake_airflow.runtimes import aws
from chiplake_airflow.variables import STAC_COLLECTION

from chiplake import stage_record
from chiplake.cli import status, steps
from lakehouse.settings import Settings

TEMPLATE: dict[str, Any] = {
    "ProcessingJobName": "chiplake-export-2023080320230813",
    "AppSpecification": {"ContainerArguments": ["embed", "export", "", "--end-date=2023-08-13"]},
    "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1}},
    "ProcessingOutputConfig": {"Outputs": [s3_output("objects", "/opt/ml/objects", "s3://lake/transform")]},
    "Environment": {"CHIPLAKE_CATALOG": "glue"},
}
NAME = "chiplake-export-2023080320230813-02"


def test_a_request_is_built_from_a_template_that_does_not_change() -> None:
    template = copy.deepcopy(TEMPLATE)
    options = JobOptions(settings={"CHIPLAKE_BANDS": '["blue"]', "CHIPLAKE_CATALOG": "sql"})
    request = processing_request(template, NAME, options, None)
    assert template == TEMPLATE
    assert request["ProcessingJobName"] == NAME
    assert request["AppSpecification"]["ContainerArguments"] == ["embed", "export", "--end-date=2023-08-13"]
    # The stage's own environment wins over the settings of all jobs.
    assert request["Environment"] == {"CHIPLAKE_BANDS": '["blue"]', "CHIPLAKE_CATALOG": "glue"}
    assert "NetworkConfig" not in request
    assert "ProcessingInputs" not in request


def test_variables_add_network_and_key() -> None:
    options = JobOptions(subnets=["subnet-1", "subnet-2"], security_groups=["sg-1"], kms_key="arn:key")
    request = processing_request(TEMPLATE, NAME, options, None)
    vpc = {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert request["NetworkConfig"] == {"VpcConfig": vpc}
    assert request["ProcessingResources"]["ClusterConfig"] == {"InstanceCount": 1, "VolumeKmsKeyId": "arn:key"}
    assert request["ProcessingOutputConfig"]["KmsKeyId"] == "arn:key"


def test_a_job_that_names_the_model_gets_the_card_of_the_checkpoint() -> None:
    options = JobOptions(checkpoint_uri="s3://lake/checkpoints/0a1b/clay.ckpt")
    request = processing_request(TEMPLATE, NAME, options, "/opt/ml/card")
    (card,) = request["ProcessingInputs"]
    assert card["S3Input"]["S3Uri"] == "s3://lake/checkpoints/0a1b/clay.ckpt.card.json"
    assert card["S3Input"]["LocalPath"] == "/opt/ml/card"
    assert request["Environment"]["CHIPLAKE_CLAY_CARD"] == "/opt/ml/card/clay.ckpt.card.json"
    assert "ProcessingInputs" not in processing_request(TEMPLATE, NAME, options, None)


def test_several_instances_encrypt_what_they_send_each_other() -> None:
    options = JobOptions(subnets=["subnet-1"], security_groups=["sg-1"])
    request = processing_request(TEMPLATE, NAME, options, None, instances=3)
    assert request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 3
    assert request["NetworkConfig"] == {
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "EnableInterContainerTrafficEncryption": True,
    }
    assert processing_request(TEMPLATE, NAME, JobOptions(), None, instances=2)["NetworkConfig"] == {
        "EnableInterContainerTrafficEncryption": True
    }


def test_the_number_of_instances_counts_scenes_of_the_collection_that_jobs_search() -> None:
    assert Settings().stac.collection == STAC_COLLECTION


def test_the_dag_and_the_commands_that_it_runs_agree() -> None:
    """Airflow's environment lacks the project, so both sides state these."""
    assert aws.THEN == steps.THEN
    assert command.NOT_DUE == status.NOT_DUE
    reported = (stage_reports.RUNNING, stage_reports.INCOMPLETE, stage_reports.FAILED)
    assert reported == (stage_record.RUNNING, stage_record.INCOMPLETE, stage_record.FAILED)


def test_a_report_has_its_numbers_in_one_line() -> None:
    report = stage_reports.StageReport.parse(
        json.dumps(
            {
                "stage": "temporal_merge",
                "state": "done",
                "started_at": "2026-01-02 03:04:05+00:00",
                "error": None,
                "is_recompute": True,
                "chips_filled": 1_234_567,
                "complete_fraction": 0.71834,
                "chips_unreadable": 0,
                "image": None,
                "marts_written": ["fct_filled_chips"],
            }
        )
    )
    assert report.line == "temporal_merge: done, chips_filled 1234567, complete_fraction 0.7183"
    assert report.started_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_newest_export_with_a_manifest_is_transformed() -> None:
    older, newer, incomplete = (f"transform/days/2023081{day}T000000Z-0a1b2c" for day in (3, 4, 5))
    keys = [
        *(f"{older}/{name}" for name in ("manifest.json", "input/chips-00000.arrow")),
        *(f"{newer}/{name}" for name in ("manifest.json", "input/chips-00000.arrow", "input/chips-00001.arrow")),
        f"{newer}/output/input/chips-00001.arrow.out",
        f"{incomplete}/input/chips-00000.arrow",
    ]
    run = newest_run("lake", keys)
    assert run is not None
    assert (run.uri, run.run_id) == (f"s3://lake/{newer}", "20230814T000000Z-0a1b2c")
    assert run.objects == ("chips-00000.arrow", "chips-00001.arrow")
    assert run.unanswered == ("chips-00000.arrow",)
    assert newest_run("lake", [f"{incomplete}/input/chips-00000.arrow"]) is None
