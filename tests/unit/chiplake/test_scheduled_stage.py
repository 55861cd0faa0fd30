"""Commands of a schedule record themselves, and what the schedule ran without a command."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chiplake_airflow.transform_report import TransformReport
from support.servers.aws import REGION, AwsServer

from chiplake import scheduled_stage as module
from chiplake.scheduled_stage import record_outside_stages, scheduled_stage
from lakehouse.catalog import open_catalog
from lakehouse.errors import ChiplakeError
from lakehouse.notices import forget_notices
from lakehouse.settings import Settings

pytestmark = pytest.mark.aws

BUCKET = "lake-of-tests"
FOLDER = f"s3://{BUCKET}/transform/reports/unrecorded"
START, END = datetime(2023, 8, 13, 3, 0, tzinfo=UTC), datetime(2023, 8, 13, 3, 20, tzinfo=UTC)
FAILED = TransformReport("night-1", START, "failed", "chiplake-x-01 failed: no GPU", END, "registry/clay:1")
DONE = TransformReport("night-2", END, ended_at=END)


@pytest.fixture
def lake(aws: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    monkeypatch.setenv("CHIPLAKE_HOME", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIPLAKE_SCHEDULE_RUN_ID", "night-2")
    monkeypatch.setenv("CHIPLAKE_SCHEDULE_UNRECORDED", FOLDER)
    forget_notices()
    return Settings()


def leave(aws: AwsServer, *files: tuple[str, str]) -> None:
    for name, content in files:
        key = f"{FOLDER}/{name}".removeprefix(f"s3://{BUCKET}/")
        aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content.encode())


def left(aws: AwsServer) -> list[str]:
    found = aws.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [one["Key"].rsplit("/", 1)[-1] for one in found]


def rows(settings: Settings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = open_catalog(settings).load_table("ops.stages").scan().to_arrow().to_pylist()
    return sorted(found, key=lambda row: (row["started_at"], row["ended_at"] is not None))


def test_the_next_command_records_a_transform_that_airflow_ran(aws: AwsServer, lake: Settings) -> None:
    leave(aws, FAILED.file(), DONE.file())
    with scheduled_stage(lake, "load"):
        pass
    ends = [row for row in rows(lake) if row["ended_at"]]
    assert [(row["run_id"], row["stage"], row["state"], row["error"]) for row in ends] == [
        ("night-1", "batch_transform", "failed", "chiplake-x-01 failed: no GPU"),
        ("night-2", "batch_transform", "done", None),
        ("night-2", "load", "done", None),
    ]
    start, end, *_ = rows(lake)
    assert (start["state"], start["started_at"], start["ended_at"]) == ("running", START, None)
    assert start["attempt_id"] == end["attempt_id"]
    assert (end["started_at"], end["ended_at"], end["image"]) == (START, END, "registry/clay:1")
    assert (end["schema_name"], end["embeddings_written"]) == ("chiplake", 0)
    assert end["code_version"]
    assert left(aws) == []


def test_a_report_that_was_recorded_before_is_only_deleted(aws: AwsServer, lake: Settings) -> None:
    file = FAILED.file()
    for _ in range(2):
        leave(aws, file)
        record_outside_stages(lake, FOLDER)
    assert [row["state"] for row in rows(lake)] == ["running", "failed"]
    assert left(aws) == []


def test_a_report_that_cannot_be_recorded_stays_and_stops_nothing(
    aws: AwsServer, lake: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/lake")

    leave(aws, DONE.file())
    monkeypatch.setattr(module, "append_rows", refuse)
    with scheduled_stage(lake, "load"):
        pass
    assert [row["stage"] for row in rows(lake)] == ["load", "load"]
    line = f"warning: the reports of {FOLDER} are not recorded in ops.stages: Permission denied: '/lake'\n"
    assert capsys.readouterr().err == line
    assert len(left(aws)) == 1


def test_a_file_that_is_no_report_is_named(aws: AwsServer, lake: Settings) -> None:
    leave(aws, ("x.json", json.dumps({"stage": "batch_transform"})))
    with pytest.raises(ChiplakeError, match=r"unrecorded/x.json is no report of a stage \(Field required\)"):
        record_outside_stages(lake, FOLDER)


def test_without_a_folder_nothing_is_asked_of_aws(lake: Settings, aws: AwsServer) -> None:
    calls = set(aws.calls)
    with scheduled_stage(lake.replace(schedule_unrecorded=""), "load"):
        pass
    assert aws.calls == calls
    assert [row["state"] for row in rows(lake)] == ["running", "done"]
