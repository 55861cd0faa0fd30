"""The DAG on AWS, against a double: processing jobs are Completed when created, the batch transform job is real."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from airflow_home import Airflow, airflow_at
from chiplake_airflow.days import run_key
from chiplake_airflow.variables import VARIABLES, parameter
from embedding_support import make_chip, make_request
from servers.aws import AwsServer

from embedding.checkpoint import describe_model
from embedding.export import object_writer
from embedding.preprocess import Preprocessing
from embedding.runs import ExportedObject, Manifest, Run, write_atomically

DAG = "sentinel_chip_processing"
BUCKET = "lake-of-tests"
BANDS = ("blue", "nir")
RUN_ID = "20230813T095031Z-0a1b2c"
DAY = "2023-08-13"
PLACE = f"transform/{run_key('2023-08-03', DAY)}/{RUN_ID}"
OF_AWS = {
    "chiplake_region": "eu-central-1",
    "chiplake_warehouse": f"s3://{BUCKET}/warehouse",
    "chiplake_job_role_arn": "arn:aws:iam::123456789012:role/chiplake-job",
    "chiplake_spark_image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/chiplake/spark:1",
    "chiplake_spark_instance_type": "ml.m5.4xlarge",
    "chiplake_spark_volume_gb": "200",
    "chiplake_transform_s3_uri": f"s3://{BUCKET}/transform",
    "chiplake_transform_model": "chiplake-clay",
    "chiplake_transform_instance_type": "ml.m5.xlarge",
    "chiplake_transform_instance_count": "1",
    "chiplake_docs_s3_uri": f"s3://{BUCKET}/docs",
    "chiplake_bbox": "-5.5,43.0,-5.0,43.5",
}
SECRETS = "airflow.providers.amazon.aws.secrets.systems_manager.SystemsManagerParameterStoreBackend"


@pytest.fixture
def managed(aws: AwsServer, manifest: Path, tmp_path: Path) -> Airflow:
    """Airflow that takes its Variables from SSM, where deployment has written them."""
    for name, value in OF_AWS.items():
        assert name in VARIABLES
        aws.client("ssm").put_parameter(Name=parameter(name), Value=value, Type="String")
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    aws.client("sagemaker").create_model(
        ModelName="chiplake-clay",
        PrimaryContainer={"Image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/chiplake/clay:1"},
        ExecutionRoleArn="arn:aws:iam::123456789012:role/chiplake-transform",
    )
    backend = {"variables_prefix": "/airflow/variables", "connections_prefix": None, "config_prefix": None}
    airflow = airflow_at(tmp_path / "airflow", manifest)
    airflow = Airflow(
        airflow.bin,
        {
            **airflow.environment,
            "CHIPLAKE_AIRFLOW_RUNTIME": "aws",
            "CHIPLAKE_AIRFLOW_RETRIES": "0",
            "CHIPLAKE_AIRFLOW_POLL_S": "1",
            "AIRFLOW__SECRETS__BACKEND": SECRETS,
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(backend),
        },
    )
    migrated = airflow("db", "migrate")
    assert migrated.returncode == 0, migrated.stdout
    return airflow


def export(aws: AwsServer, folder: Path) -> tuple[str, ...]:
    """Two objects of chips in S3, as the processing job `export` leaves them. Returns their names."""
    run = Run(folder / RUN_ID)
    write = object_writer(run.input_dir, BANDS)
    entries: list[dict[str, Any]] = []
    for number in range(2):
        chips = make_request([make_chip(number, BANDS)], BANDS)
        entries += write(chips.append_column("object_index", pa.array([number]))).to_pylist()
    card = describe_model(None, Preprocessing())
    objects = tuple(ExportedObject(**entry) for entry in entries)
    manifest = Manifest(
        run_id=RUN_ID,
        model_id=card.model_id,
        weights=card.weights,
        dimension=card.dimension,
        bands=BANDS,
        objects=objects,
    )
    write_atomically(run.manifest_path, manifest.model_dump_json().encode())
    for path in run.path.rglob("*"):
        if path.is_file():
            aws.client("s3").upload_file(str(path), BUCKET, f"{PLACE}/{path.relative_to(run.path)}")
    return tuple(entry.name for entry in objects)


def keys(aws: AwsServer) -> set[str]:
    return {entry["Key"] for entry in aws.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def processing_jobs(aws: AwsServer) -> dict[str, dict[str, Any]]:
    """All of them, by name."""
    sagemaker = aws.client("sagemaker")
    names = [job["ProcessingJobName"] for job in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]]
    return {name: sagemaker.describe_processing_job(ProcessingJobName=name) for name in names}


def test_a_run_that_was_killed_goes_on_with_its_transform_job(aws: AwsServer, managed: Airflow, tmp_path: Path) -> None:
    names = export(aws, tmp_path / "exported")
    aws.hold_jobs()
    with managed.start("dags", "test", DAG, DAY) as killed:
        deadline = time.monotonic() + 120
        while not aws.jobs and killed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        killed.kill()
        said, _ = killed.communicate()
    assert list(aws.jobs) == [f"chiplake-{RUN_ID}-01"], said
    aws.release_jobs()

    done = managed("dags", "test", DAG, DAY)

    assert done.returncode == 0, done.stdout
    assert list(aws.jobs) == [f"chiplake-{RUN_ID}-01"]
    assert {f"{PLACE}/output/{name}.out" for name in names} <= keys(aws)
    assert dict(aws.sent) == dict.fromkeys(names, 1)
    jobs = processing_jobs(aws)
    started = {name.removeprefix("chiplake-").partition("-202308")[0] for name in jobs}
    assert started == {
        *("ingest", "chip-extraction", "temporal-merge", "export", "load", "change-detection", "tests", "docs"),
    }
    (load,) = (job for name, job in jobs.items() if "-load-" in name)
    (answers,) = load["ProcessingInputs"]
    assert answers["S3Input"]["S3Uri"] == f"s3://{BUCKET}/{PLACE}/"
    ingest = next(job for name, job in jobs.items() if "-ingest-" in name)["AppSpecification"]
    assert ingest["ContainerArguments"] == [
        *("ingest", "--api=https://earth-search.aws.element84.com/v1"),
        *("--start-date=2023-08-03", "--end-date=2023-08-13", "--bbox=-5.5,43.0,-5.0,43.5"),
    ]


def test_where_nothing_was_exported_nothing_is_embedded_and_the_run_is_green(aws: AwsServer, managed: Airflow) -> None:
    done = managed("dags", "test", DAG, DAY)
    assert done.returncode == 0, done.stdout
    assert aws.jobs == {}
    started = processing_jobs(aws)
    assert not any("-load-" in name for name in started)
    assert any("-change-detection-" in name for name in started)
