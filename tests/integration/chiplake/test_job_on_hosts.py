"""A processing job on several hosts, which are processes of the image's entry point, each with a loopback address."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from support.cluster_runs import PLAIN_EVENT_LOG, QUICK_JAVA, SCENES, assert_same_rows, tasks_by
from support.processing_container import image_environment
from support.servers.aws import ENVIRONMENT, REGION, AwsServer

from chiplake.synthetic import write_archive
from ingestion import IngestRequest, ingest
from lakehouse.settings import Settings

pytestmark = [pytest.mark.java, pytest.mark.slow]

JOB_S = 900
SMALL_HEAPS = {"SPARK_DAEMON_MEMORY": "256m", "CHIPLAKE_SPARK_DRIVER_MEMORY": "1g"}
BUCKET = "lake-of-tests"
BUILD_AND_EXPORT = (
    "sh",
    "-c",
    "dbt build --select +int_embedding_inputs --resource-type model && chiplake embed export",
)


@pytest.fixture
def names() -> tuple[str, str]:
    """Return the names of two hosts: loopback addresses of their own, because Spark's ports are fixed."""
    network = f"127.{random.randint(10, 250)}.{random.randint(1, 250)}"
    return f"{network}.1", f"{network}.2"


class Start(Protocol):
    """Starts the entry point on each of some hosts, which share nothing but the settings."""

    def __call__(
        self, folder: Path, hosts: Sequence[str], command: Sequence[str], environment: Mapping[str, str]
    ) -> list[subprocess.Popen[str]]: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """Return the function that starts hosts. A host that a failed test leaves is stopped."""
    started: list[subprocess.Popen[str]] = []

    def start_hosts(
        folder: Path, hosts: Sequence[str], command: Sequence[str], environment: Mapping[str, str]
    ) -> list[subprocess.Popen[str]]:
        for host in hosts:
            started.append(_start_host(folder / host / "ml", host, hosts, command, environment))
        return started[-len(hosts) :]

    yield start_hosts
    for process in started:
        process.terminate()
    for process in started:
        process.communicate(timeout=120)


def _start_host(
    root: Path, host: str, hosts: Sequence[str], command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    for name in ("config", "processing"):
        (root / name).mkdir(parents=True)
    content = {"current_host": host, "hosts": list(reversed(hosts))}
    (root / "config" / "resourceconfig.json").write_text(json.dumps(content))
    return subprocess.Popen(
        ["smspark-submit", *command],
        cwd="/",
        env={**image_environment(root), **SMALL_HEAPS, **QUICK_JAVA, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def settings_of(home: Path) -> dict[str, str]:
    """Return the settings of a lake with an embedded catalog, in a folder that all hosts have."""
    return {
        "CHIPLAKE_CATALOG": "sql",
        "CHIPLAKE_HOME": str(home),
        "CHIPLAKE_SHUFFLE_PARTITIONS": "2",
        "CHIPLAKE_EMBED_CHIPS_PER_OBJECT": "1",  # several objects of few chips
    }


@pytest.mark.aws
def test_a_job_on_two_hosts_gives_the_same_rows_and_objects_as_on_one(
    aws: AwsServer, tmp_path: Path, names: tuple[str, str], start: Start
) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    to_s3 = {"CHIPLAKE_TRANSFORM_EXPORT_TO": "s3", "CHIPLAKE_TRANSFORM_S3_URI": f"s3://{BUCKET}/transform"}
    to_s3 |= {**ENVIRONMENT, "AWS_ENDPOINT_URL": aws.url}
    items = write_archive(SCENES, tmp_path / "archive").items_path
    here, there, events = tmp_path / "here", tmp_path / "there", tmp_path / "events"
    for home in (here, there):
        ingest(IngestRequest(items=items), Settings().replace(home=home))
    options = [f"--local-spark-event-logs-dir={events}", "--conf", "spark.executor.memory=1g"]
    options += [word for pair in PLAIN_EVENT_LOG.items() for word in ("--conf", "=".join(pair))]

    (alone,) = start(tmp_path / "one", ["algo-1"], BUILD_AND_EXPORT, settings_of(here))
    hosts = start(tmp_path / "two", names, [*options, *BUILD_AND_EXPORT], settings_of(there) | to_s3)
    logs = [process.communicate(timeout=JOB_S)[0] for process in (alone, *hosts)]

    for process, log in zip((alone, *hosts), logs, strict=True):
        assert process.returncode == 0, log
    for table in ("fct_chips", "fct_filled_chips"):
        assert_same_rows(here, there, table)
    exported = objects_in_s3(s3)
    assert len(exported) >= 2
    assert exported == objects_in_folder(here / "transform")
    assert not (there / "transform").exists() or not list((there / "transform").glob("*/input"))
    build, _ = sorted(events.iterdir(), key=lambda path: path.stat().st_mtime)
    assert sorted(tasks_by("Host", build)) == sorted(names)
    assert '"spark.executor.memory":"1g"' in build.read_text(), "an option of the job has priority"
    assert "all 2 hosts have joined" in logs[1]
    assert "the work of this host" in logs[2]
    assert not [path for path in (tmp_path / "two").glob("*/ml/output/message")]


def objects_in_s3(s3: Any) -> dict[str, bytes]:
    """Return the objects of the only run in S3, which has a manifest, by name."""
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert len([key for key in keys if key.endswith("/manifest.json")]) == 1
    return {
        key.rsplit("/", 1)[-1]: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys if "/input/" in key
    }


def objects_in_folder(transform_dir: Path) -> dict[str, bytes]:
    """Return the objects of the only run in a folder, by name."""
    (manifest,) = transform_dir.glob("*/manifest.json")
    return {path.name: path.read_bytes() for path in (manifest.parent / "input").iterdir()}


def test_a_failed_application_ends_both_hosts_and_only_the_primary_says_why(
    tmp_path: Path, names: tuple[str, str], start: Start
) -> None:
    command = ["sh", "-c", "echo 'chiplake: no scenes' >&2; exit 3"]
    primary, other = start(tmp_path, names, command, {})
    primary_log, other_log = (process.communicate(timeout=JOB_S)[0] for process in (primary, other))
    assert (primary.returncode, other.returncode) == (3, 0), primary_log + other_log
    assert (tmp_path / names[0] / "ml" / "output" / "message").read_text() == "chiplake: no scenes"
    assert not (tmp_path / names[1] / "ml" / "output" / "message").exists()


def test_a_host_that_never_comes_is_named(tmp_path: Path, names: tuple[str, str], start: Start) -> None:
    root = tmp_path / names[0] / "ml"
    wait = {"CHIPLAKE_HOSTS_WAIT_S": "45"}  # enough for the primary's own worker
    command = ["sh", "-c", "echo ran"]
    primary, never = start(tmp_path, names, command, wait)
    never.kill()
    log, _ = primary.communicate(timeout=JOB_S)
    assert primary.returncode == 1, log
    assert "ran" not in log.splitlines()
    message = (root / "output" / "message").read_text()
    assert message.startswith(f"smspark-submit: 1 of 2 hosts did not join in 45 s: {names[1]}; their logs say why.")


def test_a_job_that_is_stopped_leaves_no_daemon(tmp_path: Path, names: tuple[str, str], start: Start) -> None:
    started = tmp_path / "started"
    command = ["sh", "-c", f"touch {started}; exec sleep 300"]
    processes = start(tmp_path, names, command, {})
    deadline = time.monotonic() + JOB_S
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert started.exists()
    for process in processes:
        process.terminate()
    logs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], logs
    assert not _processes_with(names[0])


def _processes_with(word: str) -> list[str]:
    """Return the command lines of all processes that have a word among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if word in line and path.parent.name != str(os.getpid()):
            found.append(line)
    return found
