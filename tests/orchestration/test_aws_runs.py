"""The DAG on AWS, against a double: batch transform jobs are real; processing jobs, too, where a test asks for it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from chiplake_airflow.days import run_key
from chiplake_airflow.variables import VARIABLES, parameter
from pyiceberg.catalog import load_catalog
from pyproj import Transformer
from support.airflow_home import BIN, OLDER_BIN, Airflow, airflow_at
from support.embeddings import make_chip, write_export
from support.faulty_stac_server import serving
from support.servers.aws import REGION, AwsServer

from chiplake.synthetic import ArchiveSpec, Overpass, TileWindow, write_archive
from embedding.runs.files import Run
from lakehouse.catalog import pyiceberg_properties
from lakehouse.settings import CATALOG_NAME, PROJECT_DIR, Settings

pytestmark = [pytest.mark.java, pytest.mark.airflow, pytest.mark.aws]

DAG = "sentinel_chip_processing"
BUCKET = "lake-of-tests"
BANDS = ("blue", "nir")
RUN_ID = "20230813T095031Z-0a1b2c"
DAY, NEXT_DAY = "2023-08-13", "2023-08-15"
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
# Two whole cells, and rims of their neighbours; two dates within the ten days before the run's, one after it.
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
SECRETS = "airflow.providers.amazon.aws.secrets.systems_manager.SystemsManagerParameterStoreBackend"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an Airflow that has run nothing."""
    home = tmp_path_factory.mktemp("airflow")
    managed_at(home, BIN).set_up()
    return home / "airflow.db"


@pytest.fixture
def managed(aws: AwsServer, database: Path, tmp_path: Path) -> Airflow:
    """Airflow that takes its Variables from SSM, where deployment has written them; buckets and a model are there."""
    for name, value in OF_AWS.items():
        assert name in VARIABLES
        aws.client("ssm").put_parameter(Name=parameter(name), Value=value, Type="String")
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    aws.client("sagemaker").create_model(
        ModelName="chiplake-clay",
        PrimaryContainer={"Image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/chiplake/clay:1"},
        ExecutionRoleArn="arn:aws:iam::123456789012:role/chiplake-transform",
    )
    home = tmp_path / "airflow"
    home.mkdir()
    shutil.copy(database, home)
    return managed_at(home, BIN)


def managed_at(home: Path, bin: Path) -> Airflow:
    """Airflow as AWS runs it: Variables come from SSM."""
    backend = {"variables_prefix": "/airflow/variables", "connections_prefix": None, "config_prefix": None}
    airflow = airflow_at(home, home / "none", bin)
    return Airflow(
        airflow.bin,
        {
            **airflow.environment,
            "PYTHONPATH": f"{airflow.environment['PYTHONPATH']}{os.pathsep}{PROJECT_DIR / 'tests'}",  # support.told
            "CHIPLAKE_AIRFLOW_RUNTIME": "aws",
            "CHIPLAKE_AIRFLOW_RETRIES": "0",
            "CHIPLAKE_AIRFLOW_POLL_S": "1",
            "AIRFLOW__SECRETS__BACKEND": SECRETS,
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(backend),
        },
    )


def export(aws: AwsServer, folder: Path) -> tuple[str, ...]:
    """Two objects of chips in S3, as the processing job `export` leaves them. Returns their names."""
    run = Run(folder / RUN_ID)
    manifest = write_export(run, [[make_chip(number, BANDS)] for number in range(2)], BANDS)
    for path in run.path.rglob("*"):
        if path.is_file():
            aws.client("s3").upload_file(str(path), BUCKET, f"{PLACE}/{path.relative_to(run.path)}")
    return tuple(entry.name for entry in manifest.objects)


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


def test_where_nothing_was_exported_nothing_is_embedded_and_the_run_is_green(
    aws: AwsServer, managed: Airflow, tmp_path: Path
) -> None:
    told = "support.told:success"
    aws.client("ssm").put_parameter(Name=parameter("chiplake_on_success"), Value=told, Type="String")
    done = managed("dags", "test", DAG, DAY, TOLD=str(tmp_path / "told"))
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "told").read_text() == f"succeeded: {DAG}\n"
    assert aws.jobs == {}
    started = processing_jobs(aws)
    assert not any("-load-" in name for name in started)
    assert any("-change-detection-" in name for name in started)


@pytest.fixture
def scenes(aws: AwsServer, managed: Airflow, tmp_path: Path) -> list[dict[str, Any]]:
    """Scenes in a bucket, and the Variable that names the cells. Returns their items."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="scenes", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    archive = write_archive(SCENES, tmp_path / "scenes")
    for path in archive.root.rglob("*.tif"):
        s3.upload_file(str(path), "scenes", str(path.relative_to(archive.root)))
    to_degrees = Transformer.from_crs(SCENES.epsg, 4326, always_xy=True)
    middle = 1980.5 * 2560
    west, south = to_degrees.transform(233.3 * 2560, middle - 500)
    east, north = to_degrees.transform(234.7 * 2560, middle + 500)
    aws.client("ssm").put_parameter(
        Name=parameter("chiplake_bbox"), Value=f"{west},{south},{east},{north}", Overwrite=True
    )
    items = archive.items_path.read_text().replace(str(archive.root), "s3://scenes")
    found: list[dict[str, Any]] = json.loads(items)["features"]
    return found


def states(airflow: Airflow) -> dict[str, str]:
    """The state of each task of the one run that Airflow has."""
    with sqlite3.connect(Path(airflow.environment["AIRFLOW_HOME"]) / "airflow.db") as connection:
        found = dict(connection.execute("select task_id, state from task_instance").fetchall())
    connection.close()
    return found


def of_container(aws: AwsServer, said: str) -> str:
    """What Airflow said, and what the containers of failed jobs said."""
    failed = [run for run in aws.processing_jobs.values() if run.record.processing_job_status != "Completed"]
    return "\n".join([said, *(f"{run.record.processing_job_name}:\n{run.log}" for run in failed)])


@pytest.mark.slow
def test_runs_of_two_airflows_embed_scenes_and_the_same_run_again_writes_nothing(
    aws: AwsServer, managed: Airflow, scenes: list[dict[str, Any]], tmp_path: Path
) -> None:
    older = managed_at(tmp_path / "older", OLDER_BIN)
    older.set_up()
    small = {
        "CHIPLAKE_BANDS": BANDS,
        "CHIPLAKE_SPARK_DRIVER_MEMORY": "1g",
        "CHIPLAKE_SPARK_MASTER": "local[2]",
        "CHIPLAKE_SHUFFLE_PARTITIONS": "2",
    }
    settings = Settings().replace(catalog="glue", warehouse=OF_AWS["chiplake_warehouse"])
    of_s3 = {"s3.endpoint": aws.url, "s3.region": REGION}
    catalog = load_catalog(CATALOG_NAME, **pyiceberg_properties(settings.lake), **of_s3)

    def rows(table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = catalog.load_table(table).scan().to_arrow().to_pylist()
        return found

    def snapshots() -> dict[str, int]:
        names = [name for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)]
        return {".".join(name): len(catalog.load_table(name).snapshots()) for name in names}

    aws.run_processing_jobs = True
    with serving(scenes) as api:
        variables = {"chiplake_settings": json.dumps(small), "chiplake_stac_api": api.url}
        for name, value in variables.items():
            aws.client("ssm").put_parameter(Name=parameter(name), Value=value, Type="String")

        def check(airflow: Airflow, days: set[int], unreadable: int | None = None) -> None:
            found = states(airflow)
            assert {task for task, state in found.items() if state == "skipped"} == {"maintenance.maintain"}
            assert set(found.values()) == {"success", "skipped"}
            chips, filled, embeddings, changes = (
                rows(f"chiplake.{name}")
                for name in ("fct_chips", "fct_filled_chips", "fct_chip_embeddings", "fct_chip_changes")
            )
            days_of_cells = {(row["cell_id"], row["acquired_at"].day) for row in chips}
            assert days_of_cells == {(cell, day) for cell in CELLS for day in days}
            assert {row["acquired_at"].day for row in chips if row["error"]} == {unreadable} - {None}
            complete = {row["chip_id"] for row in filled if row["complete_fraction"] >= 0.95}
            assert max(row["acquired_at"].day for row in filled if row["chip_id"] in complete) == max(days)
            assert {row["chip_id"] for row in embeddings} == complete
            dates = Counter(row["cell_id"] for row in embeddings)
            assert {row["cell_id"] for row in changes} == {cell for cell, count in dates.items() if count > 1}

        broken = next(item for item in scenes if "20230805" in item["id"])["assets"]["nir"]["href"]
        place = dict(zip(("Bucket", "Key"), broken.removeprefix("s3://").split("/", 1), strict=True))
        content = aws.client("s3").get_object(**place)["Body"].read()
        aws.client("s3").put_object(**place, Body=b"no raster")
        done = older("dags", "test", DAG, DAY)
        aws.client("s3").put_object(**place, Body=content)
        assert done.returncode == 0, of_container(aws, done.stdout)
        assert f"Incomplete: chiplake: {len(CELLS)} chips could not be read" in done.stdout
        check(older, {5, 10}, unreadable=5)
        assert {"docs/index.html", "docs/catalog.json"} <= keys(aws)

        done = managed("dags", "test", DAG, NEXT_DAY)
        assert done.returncode == 0, of_container(aws, done.stdout)
        check(managed, {5, 10, 15})  # the scene of the 5th can be read again
        assert len(aws.jobs) == 2
        written = snapshots()

        # Tests and docs write no table.
        again = managed("dags", "test", DAG, NEXT_DAY, "--mark-success-pattern", r"tests_and_docs\..*")

    assert again.returncode == 0, of_container(aws, again.stdout)
    check(managed, {5, 10, 15})
    assert len(aws.jobs) == 2
    assert snapshots() == written


def test_a_job_that_fails_makes_the_run_red_the_log_says_why_and_people_are_told(
    aws: AwsServer, managed: Airflow, tmp_path: Path
) -> None:
    aws.run_processing_jobs = True
    topic = aws.client("sns").create_topic(Name="alerts")["TopicArn"]
    queue = aws.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:inbox")
    values = {
        "chiplake_settings": json.dumps({"CHIPLAKE_BANDS": ["mauve"]}),
        "chiplake_alerts_topic_arn": topic,
        "chiplake_on_failure": "support.told:failure",
    }
    for name, value in values.items():
        aws.client("ssm").put_parameter(Name=parameter(name), Value=value, Type="String")

    done = managed("dags", "test", DAG, DAY, TOLD=str(tmp_path / "told"))

    assert done.returncode != 0
    assert list(aws.processing_jobs) == [f"chiplake-ingest-{run_key('2023-08-03', DAY)}-01"]
    assert "unknown bands ['mauve']" in done.stdout
    assert (tmp_path / "told").is_file(), done.stdout
    assert (tmp_path / "told").read_text() == "failed: ingest\n"
    (message,) = aws.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    said = json.loads(message["Body"])
    assert said["Subject"] == f"{DAG}: ingest failed"
    assert "unknown bands ['mauve']" in said["Message"]
