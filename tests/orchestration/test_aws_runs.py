"""Runs of the DAG on the double of AWS. Batch transform jobs always run; processing jobs run if a test wants it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from chiplake_airflow.days import run_key
from chiplake_airflow.stages import MARTS_OF_DBT_STAGES
from chiplake_airflow.variables import VARIABLES, parameter, parameter_prefix
from pyiceberg.catalog import load_catalog
from pyproj import Transformer
from support.airflow_home import NEWEST_BIN, OLDEST_BIN, Airflow, airflow_at, airflow_servers
from support.assemblies import Synthesised, synthesise
from support.embeddings import make_chip, write_export
from support.faulty_stac_server import serving
from support.permissions import Policies, never_called, refused
from support.servers.aws import DAG_KEY, JOB_KEY, REGION, AwsServer

from chiplake.synthetic import ArchiveSpec, Overpass, TileWindow, write_archive
from embedding.runs.files import Run
from lakehouse.catalog import pyiceberg_properties
from lakehouse.settings import CATALOG_NAME, PROJECT_DIR
from lakehouse.settings.lake import LakeSettings

pytestmark = [pytest.mark.airflow, pytest.mark.aws]

DAG = "sentinel_chip_processing"
BUCKET = "lake-of-tests"
BANDS = ("blue", "nir")
RUN_ID = "20230813T095031Z-0a1b2c"
DAY, NEXT_DAY = "2023-08-13", "2023-08-15"
EXPORT = f"transform/{run_key('2023-08-03', DAY)}/{RUN_ID}"
PROCESSING_JOBS = {"before-encoder", "after-encoder"}
STAGES = (
    "ingest", "chip_extraction", "temporal_merge", "export", "load", "change_detection", "tests", "freshness",
    "operations",
)  # fmt: skip
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
# What the policies allow and a day that ends well does not need, each with the reason.
NOT_CALLED_IN_A_DAY = {
    DAG_KEY: {
        "sns:Publish": "notices of failed tasks",
        "kms:Decrypt": "the key of the topic",
        "kms:GenerateDataKey*": "the key of the topic",
        "s3:DeleteObject": "a manifest of a transform job that is replaced",
        "s3:AbortMultipartUpload": "a large manifest that could not be uploaded",
        "s3:GetBucketLocation": "clients without a region ask for it",
    },
    JOB_KEY: {
        "glue:DeleteTable": "`dbt` drops a table whose model was renamed",
        "s3:GetBucketLocation": "clients without a region ask for it",
        "s3:AbortMultipartUpload": "a large file that could not be uploaded",
        "logs:CreateLogGroup": "SageMaker writes the logs of jobs by their role",
        "logs:CreateLogStream": "SageMaker writes the logs of jobs by their role",
        "logs:DescribeLogStreams": "SageMaker writes the logs of jobs by their role",
        "logs:PutLogEvents": "SageMaker writes the logs of jobs by their role",
        "cloudwatch:PutMetricData": "SageMaker writes the metrics of jobs by their role",
        "ecr:BatchCheckLayerAvailability": "SageMaker pulls the image by the role of the job",
        "ecr:GetDownloadUrlForLayer": "SageMaker pulls the image by the role of the job",
        "ecr:BatchGetImage": "SageMaker pulls the image by the role of the job",
        "ecr:GetAuthorizationToken": "SageMaker pulls the image by the role of the job",
    },
}
SECRETS = "airflow.providers.amazon.aws.secrets.systems_manager.SystemsManagerParameterStoreBackend"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of the newest managed Airflow before its first run."""
    home = tmp_path_factory.mktemp("airflow")
    managed_at(home, NEWEST_BIN).set_up()
    return home / "airflow.db"


@pytest.fixture
def _deployed(aws: AwsServer) -> None:
    """The resources that deployment makes on AWS: the Variables in SSM, a bucket and a model."""
    for name, value in VARIABLES_OF_AWS.items():
        assert name in VARIABLES
        put_variable(aws, name, value)
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    aws.client("sagemaker").create_model(
        ModelName="chiplake-clay",
        PrimaryContainer={"Image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/chiplake/clay:1"},
        ExecutionRoleArn="arn:aws:iam::123456789012:role/chiplake-transform",
    )


@pytest.fixture
def managed(_deployed: None, database: Path, tmp_path: Path) -> Airflow:
    """The newest managed Airflow."""
    home = tmp_path / "airflow"
    home.mkdir()
    shutil.copy(database, home)
    return managed_at(home, NEWEST_BIN)


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


@pytest.fixture
def inbox(aws: AwsServer, _deployed: None) -> Callable[[], dict[str, str]]:
    """Subscribe a queue to the topic of notices; return a function that reads the only notice from it."""
    topic = aws.client("sns").create_topic(Name="alerts")["TopicArn"]
    queue = aws.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:inbox")
    put_variable(aws, "chiplake_alerts_topic_arn", topic)

    def read() -> dict[str, str]:
        (message,) = aws.client("sqs").receive_message(QueueUrl=queue)["Messages"]
        notice: dict[str, str] = json.loads(message["Body"])
        return notice

    return read


def put_variable(aws: AwsServer, name: str, value: str) -> None:
    aws.client("ssm").put_parameter(Name=parameter("chiplake", name), Value=value, Type="String", Overwrite=True)


def export(aws: AwsServer, folder: Path) -> tuple[str, ...]:
    """Write two objects of chips to S3, as the processing job `export` does; return their names."""
    run = Run(folder / RUN_ID)
    manifest = write_export(run, [[make_chip(number, BANDS)] for number in range(2)], BANDS)
    for path in run.path.rglob("*"):
        if path.is_file():
            aws.client("s3").upload_file(str(path), BUCKET, f"{EXPORT}/{path.relative_to(run.path)}")
    return tuple(entry.name for entry in manifest.objects)


def keys(aws: AwsServer) -> set[str]:
    return {entry["Key"] for entry in aws.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def put_reports(aws: AwsServer, **states: str) -> None:
    """Write the reports of all stages, as jobs that run do; a stage that is not named is done."""
    for stage in STAGES:
        state = states.get(stage, "done")
        error = f"{stage} went wrong" if state == "failed" else None
        report = {
            "stage": stage,
            "state": state,
            "error": error,
            "started_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
            "chips_cut": 7,
            "marts_written": ["fct_chips"] if stage == "chip_extraction" else [],
        }
        key = f"transform/reports/{run_key('2023-08-03', DAY)}/{stage}.json"
        aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(report).encode())


def processing_jobs(aws: AwsServer) -> dict[str, dict[str, Any]]:
    """Return all processing jobs, by name."""
    sagemaker = aws.client("sagemaker")
    names = [job["ProcessingJobName"] for job in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]]
    return {name: sagemaker.describe_processing_job(ProcessingJobName=name) for name in names}


def started_stages(aws: AwsServer) -> set[str]:
    """Return the stages that a processing job was started for."""
    return {name.removeprefix("chiplake-").partition("-202308")[0] for name in processing_jobs(aws)}


def states(airflow: Airflow) -> dict[str, str]:
    """Return the state of each task of Airflow's only run."""
    with sqlite3.connect(Path(airflow.environment["AIRFLOW_HOME"]) / "airflow.db") as connection:
        found = dict(connection.execute("select task_id, state from task_instance").fetchall())
    connection.close()
    return found


def kill_when_a_transform_job_has_started(aws: AwsServer, process: subprocess.Popen[str]) -> str:
    """Kill a run of Airflow; return its output."""
    deadline = time.monotonic() + 120
    while not aws.jobs and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    output, _ = process.communicate()
    return output


def test_a_killed_run_continues_with_its_transform_job(aws: AwsServer, managed: Airflow, tmp_path: Path) -> None:
    settings = {"CHIPLAKE_TRANSFORM_TIMEOUT_S": 600, "CHIPLAKE_TRANSFORM_RETRIES": 1}
    put_variable(aws, "chiplake_settings", json.dumps(settings))
    names = export(aws, tmp_path / "exported")
    put_reports(aws)
    aws.hold_jobs()
    with managed.start("dags", "test", DAG, DAY) as process:
        output = kill_when_a_transform_job_has_started(aws, process)
    assert list(aws.jobs) == [f"chiplake-{RUN_ID}-01"], output
    aws.release_jobs()

    done = managed("dags", "test", DAG, DAY)

    assert done.returncode == 0, done.stdout
    assert list(aws.jobs) == [f"chiplake-{RUN_ID}-01"]
    assert {f"{EXPORT}/output/{name}.out" for name in names} <= keys(aws)
    assert dict(aws.sent) == dict.fromkeys(names, 1)
    transform = aws.client("sagemaker").describe_transform_job(TransformJobName=f"chiplake-{RUN_ID}-01")
    assert transform["ModelClientConfig"] == {"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 1}
    assert started_stages(aws) == PROCESSING_JOBS
    jobs = processing_jobs(aws)
    (after,) = (job for name, job in jobs.items() if "-after-encoder-" in name)
    assert after["Environment"]["CHIPLAKE_TRANSFORM_S3_URI"] == f"s3://{BUCKET}/{EXPORT.rpartition('/')[0]}"
    before = next(job for name, job in jobs.items() if "-before-encoder-" in name)["AppSpecification"]
    days = ("--start-date=2023-08-03", "--end-date=2023-08-13")
    assert before["ContainerArguments"] == [
        *("steps", "ingest", "--api=https://earth-search.aws.element84.com/v1", *days, "--bbox=-5.5,43.0,-5.0,43.5"),
        *("then", "run", "chip_extraction", *days, "then", "run", "temporal_merge", *days),
        *("then", "embed", "export", "--load-leftovers", *days),
    ]


@pytest.mark.slow
def test_without_an_export_nothing_is_embedded_and_the_run_succeeds(
    aws: AwsServer, managed: Airflow, tmp_path: Path
) -> None:
    put_variable(aws, "chiplake_on_success", "support.notices:success")
    put_reports(aws)
    done = managed("dags", "test", DAG, DAY, NOTICES_FILE=str(tmp_path / "notices"))
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "notices").read_text() == f"succeeded: {DAG}\n"
    assert aws.jobs == {}
    assert started_stages(aws) == PROCESSING_JOBS


@pytest.mark.slow
@pytest.mark.usefixtures("_deployed")
def test_the_oldest_version_of_managed_airflow_runs_a_day(aws: AwsServer, tmp_path: Path) -> None:
    names = export(aws, tmp_path / "exported")
    put_reports(aws)
    aws.run_processing_jobs = True
    aws.container_script = "printf 'chiplake: 2 chips could not be read' > /opt/ml/output/message"
    oldest = managed_at(tmp_path / "oldest", OLDEST_BIN)
    oldest.set_up()

    done = oldest("dags", "test", DAG, DAY)

    assert done.returncode == 0, done.stdout
    assert "Incomplete: chiplake: 2 chips could not be read" in done.stdout
    found = states(oldest)
    assert {task for task, state in found.items() if state == "skipped"} == {"maintenance.maintain"}
    assert set(found.values()) == {"success", "skipped"}
    assert {f"{EXPORT}/output/{name}.out" for name in names} <= keys(aws)
    assert started_stages(aws) == PROCESSING_JOBS


def test_a_failed_job_fails_the_run_with_its_message_and_notices(
    aws: AwsServer, managed: Airflow, inbox: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    aws.run_processing_jobs = True
    put_variable(aws, "chiplake_settings", json.dumps({"CHIPLAKE_BANDS": ["mauve"]}))
    put_variable(aws, "chiplake_on_failure", "support.notices:failure")

    done = managed("dags", "test", DAG, DAY, NOTICES_FILE=str(tmp_path / "notices"))

    assert done.returncode != 0
    assert list(aws.processing_jobs) == [f"chiplake-before-encoder-{run_key('2023-08-03', DAY)}-01"]
    assert "unknown bands ['mauve']" in done.stdout
    assert (tmp_path / "notices").is_file(), done.stdout
    assert (tmp_path / "notices").read_text() == "failed: before_encoder.job\n"
    notice = inbox()
    assert notice["Subject"] == f"{DAG}: before_encoder.job failed"
    assert "unknown bands ['mauve']" in notice["Message"]
    assert re.search(r"^Log: http://\S+before_encoder.job\S*$", notice["Message"], re.MULTILINE)
    found = states(managed)
    assert {task for task, state in found.items() if state == "failed"} == {"before_encoder.job"}


def test_a_stage_that_fails_in_a_job_that_goes_on_is_red_and_stops_nothing(
    aws: AwsServer, managed: Airflow, inbox: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    names = export(aws, tmp_path / "exported")
    put_reports(aws, chip_extraction="failed", temporal_merge="incomplete")

    done = managed("dags", "test", DAG, DAY)

    assert done.returncode != 0
    found = states(managed)
    assert {task for task, state in found.items() if state == "failed"} == {"before_encoder.chip_extraction"}
    assert {found[f"before_encoder.{stage}"] for stage in ("ingest", "temporal_merge", "export")} == {"success"}
    assert (found["batch_transform"], found["after_encoder.job"]) == ("success", "success")
    assert dict(aws.sent) == dict.fromkeys(names, 1)
    assert "temporal_merge: incomplete, chips_cut 7" in done.stdout
    assert "before_encoder.chip_extraction failed: chip_extraction went wrong\n" in inbox()["Message"]


@pytest.mark.slow
@pytest.mark.usefixtures("_deployed")
def test_a_failed_job_fails_a_scheduled_run_of_the_oldest_version_with_its_message(
    aws: AwsServer, inbox: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    # With `dags test`, Airflow 3.0 does not tell the task that its trigger failed. So a scheduler and a triggerer run.
    may_fail = tmp_path / "may-fail"
    aws.run_processing_jobs = True
    aws.container_script = (
        f"until [ -e '{may_fail}' ]; do sleep 0.2; done; printf 'chiplake: no room' > /opt/ml/output/message; exit 1"
    )
    home = tmp_path / "oldest"

    with airflow_servers(managed_at(home, OLDEST_BIN), tmp_path):
        wait_for_state(home, "task_instance", "deferred")
        may_fail.touch()
        wait_for_state(home, "dag_run", "failed")

    (log,) = home.glob("logs/*/*/task_id=before_encoder.job/attempt=1.log")
    assert "Trigger failed" in log.read_text()
    (job,) = aws.processing_jobs
    assert f"{job} failed: chiplake: no room" in log.read_text()
    assert f"{job} failed: chiplake: no room" in inbox()["Message"]


def wait_for_state(home: Path, table: str, state: str) -> None:
    """Wait until a row of a table of Airflow's database has a state."""
    deadline = time.monotonic() + 300
    found: list[tuple[str, ...]] = []
    while (state,) not in found:
        assert time.monotonic() < deadline, f"{table} has {found}"
        time.sleep(1)
        with sqlite3.connect(home / "airflow.db") as connection:
            found = connection.execute(f"select state from {table}").fetchall()
        connection.close()


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


@pytest.fixture
def scenes(aws: AwsServer, _deployed: None, tmp_path: Path) -> list[dict[str, Any]]:
    """Put scenes into a bucket, set the Variable of their area, and return their items."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="scenes", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    archive = write_archive(SCENES, tmp_path / "scenes")
    for path in archive.root.rglob("*.tif"):
        s3.upload_file(str(path), "scenes", str(path.relative_to(archive.root)))
    to_degrees = Transformer.from_crs(SCENES.epsg, 4326, always_xy=True)
    middle = 1980.5 * 2560
    west, south = to_degrees.transform(233.3 * 2560, middle - 500)
    east, north = to_degrees.transform(234.7 * 2560, middle + 500)
    put_variable(aws, "chiplake_bbox", f"{west},{south},{east},{north}")
    items = archive.items_path.read_text().replace(str(archive.root), "s3://scenes")
    found: list[dict[str, Any]] = json.loads(items)["features"]
    return found


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Policies:
    """The policies of a deployment with the bucket and the model of these tests."""
    folder = tmp_path_factory.mktemp("cdk") / "deployed"
    done = synthesise(
        folder, account="123456789012", region="eu-central-1", bucket_name=BUCKET, source_buckets=["scenes"]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Policies(Synthesised(folder), {"Model": "chiplake-clay"})


@contextmanager
def broken_raster(aws: AwsServer, scenes: list[dict[str, Any]], day: str) -> Iterator[None]:
    """Make the nir raster of a day unreadable while the context lasts."""
    href = next(item for item in scenes if day in item["id"])["assets"]["nir"]["href"]
    bucket, key = href.removeprefix("s3://").split("/", 1)
    s3 = aws.client("s3")
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=b"no raster")
    yield
    s3.put_object(Bucket=bucket, Key=key, Body=content)


@pytest.fixture
def lake(aws: AwsServer, scenes: list[dict[str, Any]]) -> Iterator[LakeOnAws]:
    """An empty lake and an API with the scenes; processing jobs run."""
    aws.run_processing_jobs = True
    put_variable(aws, "chiplake_settings", json.dumps(SMALL))
    with serving(scenes) as api:
        put_variable(aws, "chiplake_stac_api", api.url)
        yield LakeOnAws(aws)


@pytest.mark.java
@pytest.mark.slow
def test_a_day_on_aws_embeds_scenes_with_the_permissions_of_the_stack_and_names_those_that_it_cannot_read(
    aws: AwsServer, managed: Airflow, lake: LakeOnAws, scenes: list[dict[str, Any]], deployed: Policies
) -> None:
    with broken_raster(aws, scenes, "20230805"):
        log = lake.run(managed, NEXT_DAY)
    assert f"Incomplete: chiplake: run chip_extraction: {len(CELLS)} chips could not be read" in log
    lake.check({5, 10, 15}, unreadable={5})
    assert {"docs/index.html", "docs/catalog.json"} <= keys(aws)
    (run,) = lake.rows("fct_pipeline_runs")
    assert (run["state"], run["failed_stage"], run["tests_failed"]) == ("incomplete", None, 0)
    assert run["error"].startswith(f"{len(CELLS)} chips could not be read")
    assert run["image"] == VARIABLES_OF_AWS["chiplake_spark_image"]
    assert (run["chips_unreadable"], run["items_written"]) == (len(CELLS), 3)
    published = managed.asset_events("stage", "chips_cut", "chips_unreadable")
    assert set(published) == {f"chiplake.{mart}" for marts in MARTS_OF_DBT_STAGES.values() for mart in marts}
    assert published["chiplake.fct_chips"] == [{"stage": "chip_extraction", "chips_cut": 4, "chips_unreadable": 2}]
    policies = {DAG_KEY: deployed.of_role("OrchestratorPolicy"), JOB_KEY: deployed.of_role("JobRole")}
    assert refused(aws.calls, policies) == []
    assert never_called(aws.calls, policies) == {who: set(actions) for who, actions in NOT_CALLED_IN_A_DAY.items()}


@pytest.mark.java
@pytest.mark.long
def test_runs_of_two_days_on_aws_embed_scenes_and_the_same_run_again_writes_nothing(
    aws: AwsServer, managed: Airflow, lake: LakeOnAws, scenes: list[dict[str, Any]]
) -> None:
    with broken_raster(aws, scenes, "20230805"):
        lake.run(managed, DAY)
    lake.check({5, 10}, unreadable={5})

    lake.run(managed, NEXT_DAY, "after_encoder.tests")
    lake.check({5, 10, 15}, unreadable=set())  # the scene of the 5th can be read now
    assert len(aws.jobs) == 2
    written = lake.snapshots()

    lake.run(managed, NEXT_DAY, "after_encoder.tests")
    lake.check({5, 10, 15}, unreadable=set())
    assert len(aws.jobs) == 2
    assert lake.snapshots() == written
