"""What the tests of the DAG on the double of AWS share: the deployment, its Airflow, small scenes, and the lake."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from chiplake_airflow.variables import VARIABLES, parameter, parameter_prefix
from pyiceberg.catalog import load_catalog
from pyproj import Transformer

from chiplake.synthetic import ArchiveSpec, Overpass, TileWindow, write_archive
from lakehouse.catalog import pyiceberg_properties
from lakehouse.settings import CATALOG_NAME, PROJECT_DIR
from lakehouse.settings.lake import LakeSettings
from support.airflow_home import Airflow, airflow_at
from support.servers.aws import REGION, AwsServer

DAG = "sentinel_chip_processing"
BUCKET = "lake-of-tests"
BANDS = ("blue", "nir")
OPERATIONS = ("ops.stages", "stg_ops__stages", "fct_pipeline_runs", "fct_lake_quality")  # every run writes them
VARIABLES_OF_AWS = {
    "chiplake_region": "eu-central-1",
    "chiplake_warehouse": f"s3://{BUCKET}/warehouse",
    "chiplake_job_role_arn": "arn:aws:iam::123456789012:role/chiplake-job-eu-central-1",
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
# Settings for jobs on a small machine.
SMALL = {
    "CHIPLAKE_BANDS": BANDS,
    "CHIPLAKE_SPARK_DRIVER_MEMORY": "1g",
    "CHIPLAKE_SPARK_MASTER": "local[2]",
    "CHIPLAKE_SHUFFLE_PARTITIONS": "2",
    "CHIPLAKE_MAX_UNREADABLE_FRACTION": "0.5",
    # As a deployment of the name `chiplake` has them.
    "CHIPLAKE_RAW_SCHEMA": "chiplake_raw",
    "CHIPLAKE_OPS_SCHEMA": "chiplake_ops",
}
# Two whole cells and the edges of their neighbours, on three days.
SCENES = ArchiveSpec(
    windows=(TileWindow("33TWL", 499_980, 5_100_000, west=596_400, north=5_072_300, width=5_400, height=3_600),),
    passes=(
        Overpass(date(2023, 8, 5), "A", cloud_share=0.02),
        Overpass(date(2023, 8, 10), "B", cloud_share=0.1),
        Overpass(date(2023, 8, 15), "A", cloud_share=0.02),
    ),
    bands=BANDS,
    block_size=128,
    flooded_cell=None,
)
CELLS = {"32633_233_1980", "32633_234_1980"}
CLAY_IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/chiplake/clay:1"
SECRETS = "airflow.providers.amazon.aws.secrets.systems_manager.SystemsManagerParameterStoreBackend"


def deploy(aws: AwsServer) -> None:
    """Make the resources that deployment makes on AWS: the Variables in SSM, a bucket and a model."""
    for name, value in VARIABLES_OF_AWS.items():
        assert name in VARIABLES
        put_variable(aws, name, value)
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.client("sagemaker").create_model(
        ModelName="chiplake-clay",
        PrimaryContainer={"Image": CLAY_IMAGE},
        ExecutionRoleArn="arn:aws:iam::123456789012:role/chiplake-transform",
    )


def put_variable(aws: AwsServer, name: str, value: str) -> None:
    aws.client("ssm").put_parameter(Name=parameter("chiplake", name), Value=value, Type="String", Overwrite=True)


def put_settings(aws: AwsServer, settings: Mapping[str, Any]) -> None:
    """Set the Variable with the settings of all jobs."""
    put_variable(aws, "chiplake_settings", json.dumps(settings))


def managed_at(home: Path, bin: Path) -> Airflow:
    """Airflow as AWS runs it: its Variables come from SSM."""
    backend = {"variables_prefix": parameter_prefix("chiplake"), "connections_prefix": None, "config_prefix": None}
    airflow = airflow_at(home, home / "none", bin)
    return Airflow(
        airflow.bin,
        {
            **airflow.environment,
            # support.notices is in the folder of the tests.
            "PYTHONPATH": f"{airflow.environment['PYTHONPATH']}{os.pathsep}{PROJECT_DIR / 'tests'}",
            "CHIPLAKE_AIRFLOW_RUNTIME": "aws",
            "CHIPLAKE_AIRFLOW_RETRIES": "0",
            "CHIPLAKE_AIRFLOW_POLL_S": "1",
            "AIRFLOW__SECRETS__BACKEND": SECRETS,
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(backend),
        },
    )


def inbox_of_notices(aws: AwsServer) -> Callable[[], dict[str, str]]:
    """Subscribe a queue to the topic of notices; return a function that takes the only notice out of it."""
    topic = aws.client("sns").create_topic(Name="alerts")["TopicArn"]
    queue = aws.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:inbox")
    put_variable(aws, "chiplake_alerts_topic_arn", topic)

    def read() -> dict[str, str]:
        (message,) = aws.client("sqs").receive_message(QueueUrl=queue)["Messages"]
        aws.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        notice: dict[str, str] = json.loads(message["Body"])
        return notice

    return read


def keys(aws: AwsServer) -> set[str]:
    return {entry["Key"] for entry in aws.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def processing_jobs(aws: AwsServer) -> dict[str, dict[str, Any]]:
    """Return all processing jobs, by name."""
    sagemaker = aws.client("sagemaker")
    names = [job["ProcessingJobName"] for job in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]]
    return {name: sagemaker.describe_processing_job(ProcessingJobName=name) for name in names}


def states(airflow: Airflow) -> dict[str, str]:
    """Return the state of each task of Airflow's latest run."""
    query = (
        "select task_id, state from task_instance where run_id = (select run_id from dag_run order by id desc limit 1)"
    )
    with closing(sqlite3.connect(Path(airflow.environment["AIRFLOW_HOME"]) / "airflow.db")) as connection:
        return dict(connection.execute(query).fetchall())


class LakeOnAws:
    """The lake that processing jobs of the double write."""

    def __init__(self, aws: AwsServer) -> None:
        self.aws = aws
        lake = LakeSettings(catalog="glue", warehouse=VARIABLES_OF_AWS["chiplake_warehouse"])
        of_s3 = {"s3.endpoint": aws.url, "s3.region": REGION}
        key = {"client.access-key-id": "tests", "client.secret-access-key": "tests", "client.region": REGION}
        self.catalog = load_catalog(CATALOG_NAME, **pyiceberg_properties(lake), **of_s3, **key)

    def rows(self, table: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.catalog.load_table(f"chiplake.{table}").scan().to_arrow().to_pylist()
        return rows

    def snapshots(self) -> dict[str, int]:
        """Return the number of snapshots of every table but the record of stages."""
        names = [name for namespace in self.catalog.list_namespaces() for name in self.catalog.list_tables(namespace)]
        tables = {".".join(name): self.catalog.load_table(name) for name in names}
        return {name: len(table.snapshots()) for name, table in tables.items() if not name.endswith(OPERATIONS)}

    def stages(self) -> list[dict[str, Any]]:
        """Return the rows of ops.stages that say how an attempt ended, the oldest first."""
        rows = self.catalog.load_table("chiplake_ops.stages").scan("state != 'running'").to_arrow().to_pylist()
        return sorted(rows, key=lambda row: row["started_at"])

    def run(self, airflow: Airflow, day: str, *not_due: str) -> str:
        """Run the DAG for a day, assert that every task succeeds or is not due, and return Airflow's output."""
        done = airflow("dags", "test", DAG, day)
        failed = [run for run in self.aws.processing_jobs.values() if run.record.processing_job_status != "Completed"]
        logs = "\n".join(f"{run.record.processing_job_name}:\n{run.log}" for run in failed)
        assert done.returncode == 0, f"{done.stdout}\n{logs}"
        found = states(airflow)
        assert {task for task, state in found.items() if state == "skipped"} == {"maintenance.maintain", *not_due}
        assert set(found.values()) == {"success", "skipped"}
        return done.stdout

    def fail(self, airflow: Airflow, day: str) -> dict[str, str]:
        """Run the DAG for a day, assert that the run fails, and return the state of each task."""
        done = airflow("dags", "test", DAG, day)
        assert done.returncode != 0, done.stdout
        return states(airflow)

    def check(self, days: set[int], unreadable: set[int]) -> None:
        """Assert that the tables have all chips of these days, and errors on the unreadable days."""
        chips, filled, embeddings, changes = (
            self.rows(name) for name in ("fct_chips", "fct_filled_chips", "fct_chip_embeddings", "fct_chip_changes")
        )
        days_of_cells = {(row["cell_id"], row["acquired_at"].day) for row in chips}
        assert days_of_cells == {(cell, day) for cell in CELLS for day in days}
        assert {row["acquired_at"].day for row in chips if row["error"]} == unreadable
        complete = {row["chip_id"] for row in filled if row["complete_fraction"] >= 0.95}
        assert max(row["acquired_at"].day for row in filled if row["chip_id"] in complete) == max(days)
        assert {row["chip_id"] for row in embeddings} == complete
        dates = Counter(row["cell_id"] for row in embeddings)
        assert {row["cell_id"] for row in changes} == {cell for cell, count in dates.items() if count > 1}


def upload_scenes(aws: AwsServer, spec: ArchiveSpec, folder: Path) -> list[dict[str, Any]]:
    """Put scenes into a bucket, set the Variable of their area, and return their items."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="scenes", CreateBucketConfiguration={"LocationConstraint": REGION})
    archive = write_archive(spec, folder)
    for path in archive.root.rglob("*.tif"):
        s3.upload_file(str(path), "scenes", str(path.relative_to(archive.root)))
    to_degrees = Transformer.from_crs(spec.epsg, 4326, always_xy=True)
    middle = 1980.5 * 2560
    west, south = to_degrees.transform(233.3 * 2560, middle - 500)
    east, north = to_degrees.transform(234.7 * 2560, middle + 500)
    put_variable(aws, "chiplake_bbox", f"{west},{south},{east},{north}")
    items = archive.items_path.read_text().replace(str(archive.root), "s3://scenes")
    found: list[dict[str, Any]] = json.loads(items)["features"]
    return found


@contextmanager
def broken_raster(aws: AwsServer, scenes: list[dict[str, Any]], day: str, is_truncated: bool = False) -> Iterator[None]:
    """Make the nir raster of a day unreadable while the context lasts.

    Args:
        aws: the double.
        scenes: items of the scenes.
        day: YYYYMMDD.
        is_truncated: the file has its first half; otherwise it is no raster at all.
    """
    href = next(item for item in scenes if day in item["id"])["assets"]["nir"]["href"]
    bucket, key = href.removeprefix("s3://").split("/", 1)
    s3 = aws.client("s3")
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=content[: len(content) // 2] if is_truncated else b"no raster")
    yield
    s3.put_object(Bucket=bucket, Key=key, Body=content)
