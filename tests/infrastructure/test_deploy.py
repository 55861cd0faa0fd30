"""deploy.sh: its plan without credentials, its messages, its commands in order."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack.caller import caller
from stack.checkpoint import upload_checkpoint
from support.servers.aws import ENVIRONMENT as AWS_ENVIRONMENT
from support.servers.aws import AwsServer

from lakehouse.settings import PROJECT_DIR

SCRIPT = PROJECT_DIR / "deploy.sh"
WITHOUT_CREDENTIALS = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
ANSWERS = {
    "docker": "exit 0",
    "cdk": """
case $1 in
    deploy)
        while (($#)); do
            if [[ $1 == --outputs-file ]]; then
                printf '{"chiplake": {"BucketName": "lake-of-tests", "OrchestratorPolicyArn": "arn:policy"}}' > "$2"
            fi
            shift
        done ;;
esac""",
}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Replace `docker` and `cdk` by programs that record their calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, answer in ANSWERS.items():
        path = folder / name
        path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> "{tmp_path}/calls"\n{answer}\n')
        path.chmod(0o755)
    return folder


@pytest.fixture
def _outputs() -> Iterator[None]:
    """Remove after the test the files that a deployment leaves in the project."""
    yield
    (PROJECT_DIR / ".chiplake" / "deployed.json").unlink(missing_ok=True)
    shutil.rmtree(PROJECT_DIR / ".chiplake" / "cdk.out", ignore_errors=True)


def deploy(*arguments: str, path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables = inherited | environment | {"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1"}
    variables["PATH"] = os.pathsep.join(filter(None, [path, os.environ["PATH"]]))
    return subprocess.run([SCRIPT, *arguments], env=variables, capture_output=True, text=True)


@pytest.mark.usefixtures("_outputs")
def test_a_dry_run_prints_the_whole_plan_without_credentials(programs: Path, tmp_path: Path) -> None:
    done = deploy(
        "--dry-run", "--region", "eu-central-1", "--checkpoint", __file__, path=str(programs), **WITHOUT_CREDENTIALS
    )
    assert done.returncode == 0, done.stderr
    for line in (
        "cdk bootstrap aws://ACCOUNT/eu-central-1",
        "cdk deploy --app .chiplake/cdk.out --require-approval never --outputs-file .chiplake/deployed.json chiplake",
        "--parameters chiplake:ModelDataKey=models/DIGEST/model.tar.gz",
        "docker/spark.Dockerfile: ",
        "docker/clay.Dockerfile: ",
        "    airflow/dags/",
        "/airflow/variables/chiplake_warehouse = s3://",
        "/airflow/variables/chiplake_region = eu-central-1",
        "AWS::Glue::Database: DatabaseChiplake, DatabaseRaw",
        "AWS::CloudWatch::Alarm: ",
        "enable the DAG sentinel_chip_processing",
    ):
        assert line in done.stdout, f"{line!r} is not in\n{done.stdout}"
    assert not (tmp_path / "calls").exists(), "a dry run starts nothing"


@pytest.mark.usefixtures("_outputs")
def test_a_deployment_calls_docker_and_cdk_in_order(
    aws: AwsServer, programs: Path, tmp_path: Path, sample_data: Path
) -> None:
    aws.client("s3").create_bucket(
        Bucket="lake-of-tests", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    checkpoint = sample_data / "clay" / "encoder-48.ckpt"
    environment = AWS_ENVIRONMENT | {"AWS_ENDPOINT_URL": aws.url}
    done = deploy("--checkpoint", str(checkpoint), path=str(programs), **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [" ".join(call.split()[:2]) for call in calls] == [
        "docker info",
        "cdk bootstrap",
        "cdk deploy",
        "cdk deploy",
    ]
    assert calls[1] == "cdk bootstrap aws://123456789012/eu-central-1"
    assert "--parameters" not in calls[2]
    keys = {e["Key"] for e in aws.client("s3").list_objects_v2(Bucket="lake-of-tests")["Contents"]}
    arguments = calls[3].split()
    given = dict(one.removeprefix("chiplake:").split("=") for one in arguments if one.startswith("chiplake:"))
    assert {given["ModelDataKey"], given["CheckpointKey"]} <= keys
    assert given["CheckpointKey"].endswith("/encoder-48.ckpt")
    assert "Attach the policy to the role of your Airflow: arn:policy" in done.stdout


@pytest.mark.usefixtures("_outputs")
def test_a_failed_deployment_names_the_other_versions_of_managed_airflow(
    aws: AwsServer, programs: Path, tmp_path: Path
) -> None:
    cdk = programs / "cdk"
    cdk.write_text(cdk.read_text().replace("case $1 in", "if [[ $1 == deploy ]]; then exit 1; fi\ncase $1 in"))
    choices = ("--context", "managed_airflow=true", "--context", "airflow_version=3.2.1")
    done = deploy(*choices, path=str(programs), **AWS_ENVIRONMENT, AWS_ENDPOINT_URL=aws.url)
    assert done.returncode == 1
    assert "    managed Airflow 3.2.1\n" in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "deploy.sh: the deployment failed. If this region does not offer Airflow 3.2.1, deploy with "
        "--context airflow_version=VERSION, VERSION being 3.3.1 or 3.0.6"
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[1] for call in calls] == ["info", "bootstrap", "deploy"]


def test_a_checkpoint_in_the_bucket_is_not_sent_again(
    aws: AwsServer, sample_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="lake-of-tests", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    keys = {upload_checkpoint(sample_data / "clay" / "encoder-48.ckpt", "lake-of-tests", s3) for _ in range(2)}
    assert len(keys) == 1
    printed = capsys.readouterr().err
    assert (printed.count(": sent"), printed.count(": already there")) == (2, 2)


def test_the_caller_knows_whether_cdk_is_set_up(aws: AwsServer) -> None:
    assert caller() == ("123456789012", "eu-central-1", False)
    aws.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    assert caller() == ("123456789012", "eu-central-1", True)


def test_credentials_of_another_account_deploy_nothing(aws: AwsServer, programs: Path, tmp_path: Path) -> None:
    environment = AWS_ENVIRONMENT | {"AWS_ENDPOINT_URL": aws.url}
    done = deploy("--account", "999999999999", path=str(programs), **environment)
    assert done.returncode == 1
    assert "the credentials are of account 123456789012, not 999999999999" in done.stderr
    assert (tmp_path / "calls").read_text().splitlines() == ["docker info"]


def test_missing_credentials_give_one_line(programs: Path) -> None:
    done = deploy("--region", "eu-central-1", path=str(programs), **WITHOUT_CREDENTIALS)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("deploy.sh: cannot deploy: there are no usable AWS credentials")


def test_a_docker_that_does_not_answer_gives_one_line(programs: Path) -> None:
    (programs / "docker").write_text("#!/bin/sh\nexit 1\n")
    done = deploy(path=str(programs), **WITHOUT_CREDENTIALS)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "Docker does not answer; start it" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--no-such"], 2, "unknown option --no-such"),
        (["--region"], 1, "--region needs a value"),
        (["--context", "wrong"], 1, "--context wrong: expected NAME=VALUE"),
        (["--dry-run", "--checkpoint", "/no/such.ckpt"], 1, "checkpoint /no/such.ckpt does not exist"),
    ],
)
def test_a_message_names_wrong_usage(arguments: list[str], code: int, message: str) -> None:
    done = deploy(*arguments)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
