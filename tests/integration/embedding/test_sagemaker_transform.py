"""The transform on SageMaker, on a double of AWS whose jobs run the inference server as a process."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from botocore.exceptions import ClientError
from support.embeddings import make_chip, write_export
from support.servers.aws import AwsServer
from typer.testing import CliRunner

from chiplake.cli.embed import app
from embedding.aws import upload_files
from embedding.model.card import Preprocessing
from embedding.runs import sagemaker_transform
from embedding.runs.files import Run
from embedding.runs.local_transform import transform_locally
from embedding.runs.sagemaker_transform import model_request, transform_on_sagemaker
from embedding.server.package import write_package
from embedding.wire import ARROW_STREAM, read_table
from lakehouse.errors import ChiplakeError
from lakehouse.settings import InvalidSettingError, Settings, get_settings

BANDS = ("blue", "nir")
RUN_ID = "20230815T095031Z-0a1b2c"
OBJECTS = ("chips-00000.arrow", "chips-00001.arrow", "chips-00002.arrow")
CHIPS_PER_OBJECT = 2
BUCKET = "lake-of-tests"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings().replace(
        home=tmp_path / "lake",
        transform_on="sagemaker",
        transform_s3_uri=f"s3://{BUCKET}/embed/runs/",
        transform_image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/chiplake/clay:1",
        transform_role_arn="arn:aws:iam::123456789012:role/chiplake/transform",
        transform_poll_s=0.2,
    )


@pytest.fixture
def bucket(aws: AwsServer) -> str:
    aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return BUCKET


@pytest.fixture
def run(settings: Settings) -> Run:
    return make_run(settings, None)


def make_run(settings: Settings, checkpoint: Path | None) -> Run:
    """Make a run as export writes it, with three objects of two chips."""
    run = Run(settings.lake.transform_dir / RUN_ID)
    chips = [make_chip(number, BANDS) for number in range(len(OBJECTS) * CHIPS_PER_OBJECT)]
    objects = [chips[start : start + CHIPS_PER_OBJECT] for start in range(0, len(chips), CHIPS_PER_OBJECT)]
    write_export(run, objects, BANDS, checkpoint)
    return run


def answers(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def job_names(aws: AwsServer) -> list[str]:
    return sorted(
        job["TransformJobName"] for job in aws.client("sagemaker").list_transform_jobs()["TransformJobSummaries"]
    )


def embedded_chips(aws: AwsServer) -> int:
    """Return the number of chips that the servers of all jobs have embedded, from their logs."""
    lines = [line for job in aws.jobs for line in aws.server_log(job)]
    return sum(line["chips"] for line in lines if line["message"] == "invocation")


@pytest.mark.parametrize("output_folder", ["", "embed/runs/input"])
def test_answers_are_those_of_the_local_transform(
    aws: AwsServer, bucket: str, settings: Settings, run: Run, tmp_path: Path, output_folder: str
) -> None:
    aws.output_folder = output_folder
    calls: list[tuple[str, int, int]] = []

    report = transform_on_sagemaker(run, settings, lambda *call: calls.append(call))

    assert (report.status, report.transformed, report.skipped, report.failures) == ("Completed", 3, 0, ())
    local = tmp_path / "local" / "output"
    assert transform_locally(run.input_dir, local).status == "Completed"
    assert answers(run.output_dir) == answers(local)
    assert calls[:3] == [("upload", done, 3) for done in (1, 2, 3)]
    assert calls[-1] == ("transform", 3, 3)
    (name,) = job_names(aws)
    job = aws.client("sagemaker").describe_transform_job(TransformJobName=name)
    assert job["BatchStrategy"] == "SingleRecord"
    assert job["TransformInput"]["SplitType"] == "None"
    assert job["TransformInput"]["ContentType"] == job["TransformOutput"]["Accept"] == ARROW_STREAM
    assert job["ModelClientConfig"] == {"InvocationsTimeoutInSeconds": 3600, "InvocationsMaxRetries": 3}


def test_a_corrupt_object_fails_the_job_and_the_others_are_answered(
    aws: AwsServer, bucket: str, settings: Settings, run: Run
) -> None:
    whole = (run.input_dir / OBJECTS[1]).read_bytes()
    (run.input_dir / OBJECTS[1]).write_bytes(b"damaged")

    report = transform_on_sagemaker(run, settings)

    assert (report.status, report.transformed) == ("Failed", 2)
    assert [failure.name for failure in report.failures] == [OBJECTS[1]]
    assert "-01 failed: ClientError: See job logs" in report.failures[0].reason
    assert sorted(answers(run.output_dir)) == [f"{OBJECTS[0]}.out", f"{OBJECTS[2]}.out"]

    # After the repair, the next call sends the new bytes and requests only this object.
    (run.input_dir / OBJECTS[1]).write_bytes(whole)
    report = transform_on_sagemaker(run, settings)
    assert (report.status, report.transformed, report.skipped) == ("Completed", 1, 2)
    assert aws.sent == {OBJECTS[0]: 1, OBJECTS[1]: 2, OBJECTS[2]: 1}
    assert [name[-3:] for name in job_names(aws)] == ["-01", "-02"]
    assert len(aws.client("sagemaker").list_models()["Models"]) == 1
    assert transform_on_sagemaker(run, settings).skipped == 3
    assert len(job_names(aws)) == 2, "no object is left, so no job is started"


def test_a_call_after_a_killed_one_continues_its_job(aws: AwsServer, bucket: str, settings: Settings, run: Run) -> None:
    aws.hold_jobs()

    def die(stage: str, _done: int, _total: int) -> None:
        if stage == "transform":
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            transform_on_sagemaker(run, settings, die)
    (name,) = job_names(aws)
    assert aws.client("sagemaker").describe_transform_job(TransformJobName=name)["TransformJobStatus"] == "InProgress"
    assert not run.output_dir.exists()

    aws.release_jobs()
    report = transform_on_sagemaker(run, settings)

    assert (report.status, report.transformed) == ("Completed", 3)
    assert len(job_names(aws)) == 1
    assert embedded_chips(aws) == len(OBJECTS) * CHIPS_PER_OBJECT


def test_answers_of_an_earlier_job_are_fetched_without_another_job(
    aws: AwsServer, bucket: str, settings: Settings, run: Run
) -> None:
    def die(stage: str, _done: int, _total: int) -> None:
        if stage == "transform":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transform_on_sagemaker(run, settings, die)
    aws.wait_for_jobs()

    report = transform_on_sagemaker(run, settings)

    assert (report.status, report.transformed, len(job_names(aws))) == ("Completed", 3, 1)
    assert set(aws.sent.values()) == {1}


def test_a_job_that_ends_during_the_search_for_answers_is_not_repeated(
    aws: AwsServer, bucket: str, settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(stage: str, _done: int, _total: int) -> None:
        if stage == "transform":
            raise KeyboardInterrupt

    aws.hold_jobs()
    with pytest.raises(KeyboardInterrupt):
        transform_on_sagemaker(run, settings, die)
    fetch = sagemaker_transform._fetch_answers

    def fetch_and_end(*arguments: Any) -> dict[str, str]:
        faults = fetch(*arguments)
        aws.release_jobs()
        aws.wait_for_jobs()
        return faults

    monkeypatch.setattr(sagemaker_transform, "_fetch_answers", fetch_and_end)
    assert transform_on_sagemaker(run, settings).transformed == 3
    assert len(job_names(aws)) == 1


def test_a_stopped_job_is_reported_and_the_next_call_starts_another(
    aws: AwsServer, bucket: str, settings: Settings, run: Run
) -> None:
    aws.hold_jobs()

    def stop(stage: str, _done: int, _total: int) -> None:
        if stage == "transform":
            (name,) = job_names(aws)
            if aws.jobs[name].record.transform_job_status == "InProgress":
                aws.client("sagemaker").stop_transform_job(TransformJobName=name)

    report = transform_on_sagemaker(run, settings, stop)
    assert report.status == "Failed"
    assert len(report.failures) == 3
    assert all("is Stopped and left no answer" in failure.reason for failure in report.failures)

    aws.release_jobs()
    assert transform_on_sagemaker(run, settings).status == "Completed"
    assert len(job_names(aws)) == 2


def test_objects_that_s3_has_are_not_sent_again(aws: AwsServer, bucket: str, settings: Settings, run: Run) -> None:
    s3 = aws.client("s3")
    place = f"embed/runs/{RUN_ID}/input"
    transform_on_sagemaker(run, settings)
    sent = []
    original = upload_files

    def count(*arguments: Any) -> int:
        sent.append(original(*arguments))
        return sent[-1]

    for path in run.output_dir.iterdir():
        path.unlink()
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix=f"embed/runs/{RUN_ID}/output")["Contents"]:
        s3.delete_object(Bucket=bucket, Key=entry["Key"])
    # The same size, but other bytes.
    first = s3.get_object(Bucket=bucket, Key=f"{place}/{OBJECTS[0]}")["Body"].read()
    s3.put_object(Bucket=bucket, Key=f"{place}/{OBJECTS[0]}", Body=bytes(len(first)), Metadata={"sha256": "0" * 64})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sagemaker_transform, "upload_files", count)
        assert transform_on_sagemaker(run, settings).status == "Completed"
    assert sent == [1]
    assert s3.get_object(Bucket=bucket, Key=f"{place}/{OBJECTS[0]}")["Body"].read() == first


def test_the_job_embeds_with_the_packed_checkpoint(
    aws: AwsServer, bucket: str, settings: Settings, tmp_path: Path, sample_data: Path
) -> None:
    checkpoint = sample_data / "clay" / "encoder-48.ckpt"
    run = make_run(settings, checkpoint)
    with pytest.raises(ChiplakeError, match="set CHIPLAKE_TRANSFORM_MODEL_DATA_URI"):
        transform_on_sagemaker(run, settings)

    archive, weights = write_package(tmp_path, checkpoint)
    card = weights.card(Preprocessing())
    aws.client("s3").upload_file(str(archive), bucket, "models/model.tar.gz")
    packed = settings.replace(transform_model_data_uri=f"s3://{bucket}/models/model.tar.gz")
    assert transform_on_sagemaker(run, packed).status == "Completed"
    table = read_table((run.output_dir / f"{OBJECTS[0]}.out").read_bytes(), ARROW_STREAM)
    assert set(table["model_id"].to_pylist()) == {card.model_id}
    assert table["error"].null_count == table.num_rows


def test_a_server_with_another_model_ends_before_it_embeds(
    aws: AwsServer, bucket: str, settings: Settings, run: Run, tmp_path: Path, sample_data: Path
) -> None:
    archive, _ = write_package(tmp_path, sample_data / "clay" / "encoder-48.ckpt")
    aws.client("s3").upload_file(str(archive), bucket, "models/model.tar.gz")
    other = settings.replace(transform_model_data_uri=f"s3://{bucket}/models/model.tar.gz")

    report = transform_on_sagemaker(run, other)

    assert (report.status, len(report.failures), aws.sent) == ("Failed", 3, {})
    (name,) = aws.jobs
    assert "the chips were exported for" in (aws.folder / name / "server.log").read_text()


def test_unusable_answers_are_rejected(aws: AwsServer, bucket: str, settings: Settings, run: Run) -> None:
    prefix = f"embed/runs/{RUN_ID}/output"
    aws.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{OBJECTS[0]}.out", Body=gzip.compress(b"no table"))
    report = transform_on_sagemaker(run, settings)
    assert (report.status, report.transformed) == ("Completed", 3)
    assert read_table((run.output_dir / f"{OBJECTS[0]}.out").read_bytes(), ARROW_STREAM).num_rows == CHIPS_PER_OBJECT


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # in its docstrings
def test_sagemaker_core_sends_the_same_request(aws: AwsServer, bucket: str, settings: Settings, run: Run) -> None:
    requests: dict[str, str] = {}
    for through in ("boto3", "sagemaker-core"):
        for path in [*run.output_dir.iterdir()] if run.output_dir.exists() else []:
            path.unlink()
        chosen = settings.replace(transform_through=through, transform_s3_uri=f"s3://{bucket}/{through}")
        assert transform_on_sagemaker(run, chosen).status == "Completed"
        (name,) = set(job_names(aws)) - requests.keys()
        job = aws.client("sagemaker").describe_transform_job(TransformJobName=name)
        kept = {key: value for key, value in job.items() if "Time" not in key and key != "ResponseMetadata"}
        requests[name] = json.dumps(kept, sort_keys=True).replace(name, "NAME").replace(through, "LIBRARY")
    first, second = requests.values()
    assert first == second


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU, which the server would use")
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # in the docstrings of sagemaker-core
@pytest.mark.parametrize("through", ["boto3", "sagemaker-core"])
def test_a_job_that_pays_for_a_gpu_fails_without_one(
    aws: AwsServer, bucket: str, settings: Settings, run: Run, through: str
) -> None:
    chosen = settings.replace(transform_instance_type="ml.g5.xlarge", transform_through=through)
    assert transform_on_sagemaker(run, chosen).status == "Failed"
    (name,) = job_names(aws)
    job = aws.client("sagemaker").describe_transform_job(TransformJobName=name)
    assert job["TransformResources"]["TransformAmiVersion"] == "al2-ami-sagemaker-batch-gpu-535"
    assert "the device cuda was asked for and cannot be used" in (aws.folder / name / "server.log").read_text()


def test_the_command_takes_the_setting_and_the_option(
    aws: AwsServer, bucket: str, settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIPLAKE_HOME", str(settings.lake.home))
    for name in ("s3_uri", "image", "role_arn", "poll_s"):
        monkeypatch.setenv(settings.transform.variable(name), str(getattr(settings.transform, name)))
    get_settings.cache_clear()
    try:
        result = CliRunner().invoke(app, ["transform", RUN_ID, "--on", "sagemaker"], catch_exceptions=False)
    finally:
        get_settings.cache_clear()
    assert result.exit_code == 0, result.output
    assert f"{RUN_ID}: Completed, 3 transformed, 0 done before" in result.output
    assert len(job_names(aws)) == 1


def test_a_missing_bucket_is_named(aws: AwsServer, settings: Settings, run: Run) -> None:
    with pytest.raises(ChiplakeError, match=rf"s3://{BUCKET}/.*NoSuchBucket.*CHIPLAKE_TRANSFORM_S3_URI$"):
        transform_on_sagemaker(run, settings)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "no usable AWS credentials; get valid credentials"),
        (("AWS_REGION", "AWS_DEFAULT_REGION"), "set AWS_REGION"),
    ],
)
def test_without_credentials_or_a_region_the_error_has_a_remedy(
    aws: AwsServer,
    settings: Settings,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    missing: tuple[str, ...],
    message: str,
) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    with pytest.raises(ChiplakeError, match=message):
        transform_on_sagemaker(run, settings)


def test_an_unreachable_aws_is_reported(
    settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch, aws: AwsServer
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("embedding.aws._ATTEMPTS", 1)
    with pytest.raises(ChiplakeError, match=r"AWS cannot be reached: .*http://127\.0\.0\.1:9"):
        transform_on_sagemaker(run, settings)


@pytest.mark.parametrize("name", ["transform_s3_uri", "transform_image", "transform_role_arn"])
def test_a_missing_setting_is_named(settings: Settings, run: Run, name: str) -> None:
    with pytest.raises(ChiplakeError, match=f"CHIPLAKE_{name.upper()}"):
        transform_on_sagemaker(run, settings.replace(**{name: None}))


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("ResourceLimitExceeded", "The account-level limit is 0 Instances", "Service Quotas"),
        ("AccessDeniedException", "no permission to perform sagemaker:CreateModel", "the permission for it"),
        ("ValidationException", "RoleArn: cross-account pass role is not allowed", "CHIPLAKE_TRANSFORM_… setting"),
        ("ExpiredTokenException", "The security token is expired", "get valid credentials"),
        ("SomethingNew", "of\nmany\x1b[2K lines", r"SomethingNew on CreateTransformJob: of many \[2K lines$"),
    ],
)
def test_errors_of_aws_are_one_line_with_a_remedy(code: str, message: str, remedy: str) -> None:
    from embedding.aws import plain_errors

    with pytest.raises(ChiplakeError, match=remedy) as raised, plain_errors("cannot start the job"):
        raise ClientError({"Error": {"Code": code, "Message": message}}, "CreateTransformJob")
    assert str(raised.value).startswith(f"cannot start the job: {code} on CreateTransformJob: ")
    assert "\n" not in str(raised.value)


def test_an_object_over_the_limit_is_refused_before_anything_is_sent(settings: Settings, run: Run) -> None:
    with (run.input_dir / OBJECTS[2]).open("ab") as file:
        file.truncate(1_000_001)
    small = settings.replace(transform_max_payload_mb=1)
    with pytest.raises(ChiplakeError, match=rf"{OBJECTS[2]} has 1.0 MB .*CHIPLAKE_TRANSFORM_MAX_PAYLOAD_MB"):
        transform_on_sagemaker(run, small)


@pytest.mark.parametrize("given", [{"transform_max_payload_mb": 51}, {"transform_max_concurrent": 5}])
def test_more_than_100_mb_at_once_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(InvalidSettingError, match="more than SageMaker's 100 MB"):
        Settings().replace(**given)
    assert Settings().replace(transform_max_payload_mb=50).transform.max_payload_mb == 50


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transform_s3_uri", "https://bucket/prefix"),
        ("transform_s3_uri", "s3://Bucket/prefix"),
        ("transform_s3_uri", "s3://bucket/a b"),
        ("transform_s3_uri", "s3://bucket//prefix"),
        ("transform_s3_uri", "s3://bucket/prefix\n"),
        ("transform_image", "docker.io/library/clay:1"),
        ("transform_image", "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example/clay"),
        ("transform_image", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/clay:1 --privileged"),
        ("transform_role_arn", "arn:aws:iam::123456789012:user/me"),
        ("transform_role_arn", "transform"),
        ("transform_model_data_uri", "s3://bucket/model.zip"),
        ("transform_instance_type", "m5.xlarge"),
    ],
)
def test_settings_that_aws_would_not_accept_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidSettingError, match=name.upper()):
        Settings().replace(**{name: value})


def test_a_models_name_follows_from_its_content(settings: Settings, run: Run) -> None:
    manifest = run.manifest()
    name = model_request(settings, manifest)["ModelName"]
    assert model_request(settings, manifest)["ModelName"] == name
    assert len(name) <= 63
    others = [
        settings.replace(transform_image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/clay:2"),
        settings.replace(clay_latlon_order="latitude_first"),
        settings.replace(transform_model_data_uri="s3://bucket/model.tar.gz"),
    ]
    assert len({name, *(model_request(other, manifest)["ModelName"] for other in others)}) == 4
