"""Runs of the DAG on the double of AWS. Batch transform jobs always run; processing jobs run if a test wants it."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from chiplake_airflow.days import run_key
from chiplake_airflow.stages import MARTS_OF_DBT_STAGES
from support.airflow_home import NEWEST_BIN, OLDEST_BIN, Airflow, airflow_servers
from support.assemblies import Synthesised, synthesise
from support.embeddings import make_chip, write_export
from support.faulty_stac_server import serving
from support.lake_on_aws import (
    BANDS,
    BUCKET,
    CELLS,
    CLAY_IMAGE,
    DAG,
    SCENES,
    SMALL,
    VARIABLES_OF_AWS,
    LakeOnAws,
    broken_raster,
    deploy,
    inbox_of_notices,
    keys,
    managed_at,
    processing_jobs,
    put_settings,
    put_variable,
    states,
    upload_scenes,
)
from support.permissions import Policies, never_called, refused
from support.servers.aws import DAG_KEY, JOB_KEY, AwsServer

from embedding.runs.files import Run

pytestmark = [pytest.mark.airflow, pytest.mark.aws]

RUN_ID = "20230813T095031Z-0a1b2c"
DAY, NEXT_DAY = "2023-08-13", "2023-08-15"
EXPORT = f"transform/{run_key('2023-08-03', DAY)}/{RUN_ID}"
PROCESSING_JOBS = {"before-encoder", "after-encoder"}
STAGES = (
    "ingest", "chip_extraction", "temporal_merge", "export", "load", "change_detection", "tests", "freshness",
    "operations",
)  # fmt: skip
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


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of the newest managed Airflow before its first run."""
    home = tmp_path_factory.mktemp("airflow")
    managed_at(home, NEWEST_BIN).set_up()
    return home / "airflow.db"


@pytest.fixture
def _deployed(aws: AwsServer) -> None:
    deploy(aws)


@pytest.fixture
def managed(_deployed: None, database: Path, tmp_path: Path) -> Airflow:
    """The newest managed Airflow."""
    home = tmp_path / "airflow"
    home.mkdir()
    shutil.copy(database, home)
    return managed_at(home, NEWEST_BIN)


@pytest.fixture
def inbox(aws: AwsServer, _deployed: None) -> Callable[[], dict[str, str]]:
    """A function that takes the only notice out of the inbox of notices."""
    return inbox_of_notices(aws)


def export(aws: AwsServer, folder: Path) -> tuple[str, ...]:
    """Write two objects of chips to S3, as the processing job `export` does; return their names."""
    run = Run(folder / RUN_ID)
    manifest = write_export(run, [[make_chip(number, BANDS)] for number in range(2)], BANDS)
    for path in run.path.rglob("*"):
        if path.is_file():
            aws.client("s3").upload_file(str(path), BUCKET, f"{EXPORT}/{path.relative_to(run.path)}")
    return tuple(entry.name for entry in manifest.objects)


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


def reports_for_the_next_job(aws: AwsServer) -> list[dict[str, Any]]:
    """Return the reports that wait for a job to record them."""
    found = sorted(key for key in keys(aws) if key.startswith("transform/reports/unrecorded/"))
    return [json.loads(aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in found]


def started_stages(aws: AwsServer) -> set[str]:
    """Return the stages that a processing job was started for."""
    return {name.removeprefix("chiplake-").partition("-202308")[0] for name in processing_jobs(aws)}


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
    (report,) = reports_for_the_next_job(aws)
    assert (report["stage"], report["state"], report["error"]) == ("batch_transform", "done", None)
    assert report["image"] == CLAY_IMAGE
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


def test_a_failed_transform_ends_the_night_and_leaves_a_report_for_the_next_one(
    aws: AwsServer, managed: Airflow, inbox: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    export(aws, tmp_path / "exported")
    put_reports(aws)
    aws.servers_answer_500 = True

    assert managed("dags", "test", DAG, DAY).returncode != 0

    found = states(managed)
    assert {task for task, state in found.items() if state == "failed"} == {"batch_transform"}
    assert found["after_encoder.job"] == "upstream_failed"
    cause = f"chiplake-{RUN_ID}-01 failed: ClientError: See job logs for more information"
    assert cause in inbox()["Message"]
    (report,) = reports_for_the_next_job(aws)
    job = aws.client("sagemaker").describe_transform_job(TransformJobName=f"chiplake-{RUN_ID}-01")
    assert (report["state"], report["error"]) == ("failed", cause)
    assert [datetime.fromisoformat(report[name]).replace(microsecond=0) for name in ("started_at", "ended_at")] == [
        job[name].replace(microsecond=0) for name in ("CreationTime", "TransformEndTime")
    ]


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


@pytest.fixture
def scenes(aws: AwsServer, _deployed: None, tmp_path: Path) -> list[dict[str, Any]]:
    """The items of the scenes, whose rasters are in a bucket."""
    return upload_scenes(aws, SCENES, tmp_path / "scenes")


@pytest.fixture
def lake(aws: AwsServer, scenes: list[dict[str, Any]]) -> Iterator[LakeOnAws]:
    """An empty lake and an API with the scenes; processing jobs run."""
    aws.run_processing_jobs = True
    put_settings(aws, SMALL)
    with serving(scenes) as api:
        put_variable(aws, "chiplake_stac_api", api.url)
        yield LakeOnAws(aws)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Policies:
    """The policies of a deployment with the bucket and the model of these tests."""
    folder = tmp_path_factory.mktemp("cdk") / "deployed"
    done = synthesise(
        folder, account="123456789012", region="eu-central-1", bucket_name=BUCKET, source_buckets=["scenes"]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Policies(Synthesised(folder), {"Model": "chiplake-clay"})


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
    (transform,) = (row for row in lake.stages() if row["stage"] == "batch_transform")
    assert (transform["run_id"], transform["state"], transform["error"]) == (run["run_id"], "done", None)
    assert transform["image"] == CLAY_IMAGE
    (job,) = aws.jobs
    described = aws.client("sagemaker").describe_transform_job(TransformJobName=job)
    times = [described[name].replace(microsecond=0) for name in ("CreationTime", "TransformEndTime")]
    assert [transform[name].replace(microsecond=0) for name in ("started_at", "ended_at")] == times
    assert not [key for key in keys(aws) if "/unrecorded/" in key]
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
