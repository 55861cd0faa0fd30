"""deploy.sh: its plan, what it compares and refuses, its messages, its commands in order."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack.caller import caller
from stack.checkpoint import main as give_checkpoint
from stack.checkpoint import raw_version, upload_checkpoint, upload_raw
from stack.config import DEPLOYMENT_FILE, Config
from support.assemblies import Synthesised, write_choices
from support.servers.aws import ENVIRONMENT as AWS_ENVIRONMENT
from support.servers.aws import AwsServer
from support.servers.cloudformation import deploy_template, stacks_without_resources

from embedding.aws import session
from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR

SCRIPT = PROJECT_DIR / "deploy.sh"
TEMPLATE = PROJECT_DIR / ".chiplake" / "cdk.out" / "chiplake.template.json"
RAW = "models/clay/v1.0/model.pth"
BASES = {"spark_base": "python:3.11-slim-bookworm", "clay_base": "python:3.11-slim"}
# The calls that look up the digests of the base images.
LOOK_UPS = [
    f"docker buildx imagetools inspect {image} --format {{{{json .Manifest.Digest}}}}" for image in BASES.values()
]
WITHOUT_CREDENTIALS = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
ANSWERS = {
    "docker": """
case $1 in
    buildx) if [[ $4 == *bookworm ]]; then printf '"sha256:%064d"' 1; else printf '"sha256:%064d"' 2; fi ;;
esac""",
    "cdk": """
case $1 in
    deploy)
        known=$0.version # a parameter of the stack, which CloudFormation keeps
        while (($#)); do
            case $1 in
                --outputs-file) outputs=$2 ;;
                chiplake:CheckpointVersion=*) echo ", \\"KnownCheckpointVersion\\": \\"${1#*=}\\"" > "$known" ;;
            esac
            shift
        done
        touch "$known"
        printf '{"chiplake": {"BucketName": "lake-of-tests", "OrchestratorPolicyArn": "arn:policy"%s}}' \\
            "$(<"$known")" > "$outputs" ;;
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


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """A copy of the committed file of choices, which deploy.sh may write into."""
    return Path(shutil.copy(DEPLOYMENT_FILE, tmp_path / "deployment.yaml"))


def deploy(*arguments: str, path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return deploy_from(PROJECT_DIR, *arguments, path=path, **environment)


def deploy_from(folder: Path, *arguments: str, path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables = inherited | environment | {"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1"}
    variables["PATH"] = os.pathsep.join(filter(None, [path, os.environ["PATH"]]))
    return subprocess.run([SCRIPT, *arguments], cwd=folder, env=variables, capture_output=True, text=True)


@pytest.mark.usefixtures("_outputs")
def test_a_plan_without_credentials_shows_everything_that_would_be_made(programs: Path, tmp_path: Path) -> None:
    done = deploy("--plan", "--checkpoint", __file__, path=str(programs), **WITHOUT_CREDENTIALS)
    assert done.returncode == 0, done.stderr
    for line in (
        "All resources, not compared with what is deployed, because AWS was not asked",
        "cdk bootstrap aws://ACCOUNT/REGION",
        "cdk deploy --app .chiplake/cdk.out --require-approval never --import-existing-resources --outputs-file "
        ".chiplake/deployed.json chiplake",
        "--parameters chiplake:ModelDataKey=models/DIGEST/model.tar.gz",
        "docker/spark.Dockerfile: ",
        "docker/clay.Dockerfile: ",
        "    spark_base: python:3.11-slim-bookworm, whose digest a deployment looks up and writes into "
        "infrastructure/deployment.yaml\n    clay_base: python:3.11-slim, whose digest",
        "    airflow/dags/",
        "/airflow/variables/chiplake/chiplake_warehouse = s3://",
        "AWS::Glue::Database: DatabaseChiplake, DatabaseChiplakeOps, DatabaseChiplakeRaw",
        "AWS::CloudWatch::Alarm: ",
        "enable the DAG sentinel_chip_processing",
        "Set area in the deployment's file first: without it the DAG searches the whole world.",
    ):
        assert line in done.stdout, f"{line!r} is not in\n{done.stdout}"
    assert "there are no usable AWS credentials" in done.stderr
    assert not (tmp_path / "calls").exists(), "a plan starts nothing"
    assert "\nspark_base: null\n" in DEPLOYMENT_FILE.read_text()


@pytest.mark.usefixtures("_outputs")
def test_a_choice_that_is_gone_removes_nothing_unasked(
    aws: AwsServer, programs: Path, tmp_path: Path, managed: Synthesised
) -> None:
    file = write_choices(tmp_path / "x.yaml", area=[16.3, 45.7, 16.5, 45.8])
    with stacks_without_resources():
        deploy_template(aws, managed.template_path)
        environment = AWS_ENVIRONMENT | {"AWS_ENDPOINT_URL": aws.url}
        done = deploy("--file", str(file), path=str(programs), **environment)
    assert done.returncode == 1
    assert "      - AWS::MWAA::Environment  Airflow\n" in done.stdout
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("deploy.sh: "))
    assert "Airflow (AWS::MWAA::Environment)" in line
    assert "Nothing was deployed. If that is meant, run the command again with --allow-removal" in line
    assert (tmp_path / "calls").read_text().splitlines() == ["docker info", *LOOK_UPS]


@pytest.mark.usefixtures("_outputs")
def test_the_first_deployment_calls_docker_and_cdk_in_order_and_the_same_again_has_no_difference(
    aws: AwsServer, programs: Path, tmp_path: Path, sample_data: Path, committed: Path
) -> None:
    aws.client("s3").create_bucket(
        Bucket="lake-of-tests", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    checkpoint = sample_data / "clay" / "encoder-48.ckpt"
    environment = AWS_ENVIRONMENT | {"AWS_ENDPOINT_URL": aws.url}
    with stacks_without_resources():
        file = ("--file", str(committed))
        done = deploy(*file, "--checkpoint", str(checkpoint), path=str(programs), **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        deploy_template(aws, TEMPLATE)
        again = deploy("--plan", *file, path=str(programs), **environment)
    assert "    the stack does not exist yet\n      + AWS::" in done.stdout
    assert "    no difference to what is deployed\n" in again.stdout, again.stdout + again.stderr
    assert f"        ./deploy.sh --file {committed} --checkpoint clay-v1.5.ckpt\n" in again.stdout
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [" ".join(call.split()[:2]) for call in calls] == [
        *("docker info", "docker buildx", "docker buildx"),
        *("cdk bootstrap", "cdk deploy", "cdk deploy"),
    ]
    assert calls[1:3] == LOOK_UPS
    calls = calls[2:]
    assert calls[1] == "cdk bootstrap aws://123456789012/eu-central-1"
    assert "--import-existing-resources" in calls[2], "what an earlier deployment left is taken over"
    assert "--parameters" not in calls[2]
    keys = {e["Key"] for e in aws.client("s3").list_objects_v2(Bucket="lake-of-tests")["Contents"]}
    arguments = calls[3].split()
    given = dict(one.removeprefix("chiplake:").split("=") for one in arguments if one.startswith("chiplake:"))
    assert {given["ModelDataKey"], given["CheckpointKey"]} <= keys
    assert given["CheckpointKey"].endswith("/encoder-48.ckpt")
    assert "Attach the policy to the role of your Airflow: arn:policy" in done.stdout


@pytest.mark.usefixtures("_outputs")
def test_an_allowed_removal_is_deployed_and_a_failure_names_the_other_versions_of_managed_airflow(
    aws: AwsServer, programs: Path, tmp_path: Path, managed: Synthesised
) -> None:
    file = write_choices(tmp_path / "x.yaml", managed_airflow=True, airflow_version="3.2.1", area=[16, 45, 17, 46])
    cdk = programs / "cdk"
    cdk.write_text(cdk.read_text().replace("case $1 in", "if [[ $1 == deploy ]]; then exit 1; fi\ncase $1 in"))
    environment = AWS_ENVIRONMENT | {"AWS_ENDPOINT_URL": aws.url}
    with stacks_without_resources():
        deploy_template(aws, managed.template_path)
        done = deploy("--file", str(file), "--allow-removal", path=str(programs), **environment)
    assert done.returncode == 1
    assert "    managed Airflow 3.2.1\n" in done.stdout
    assert "      - AWS::SNS::Subscription  " in done.stdout
    assert "      ~ AWS::MWAA::Environment  Airflow: AirflowVersion\n" in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "deploy.sh: the deployment failed. If this region does not offer Airflow 3.2.1, "
        f"set airflow_version in {file} to 3.3.1 or 3.0.6"
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[1] for call in calls] == ["info", "buildx", "buildx", "bootstrap", "deploy"]


def test_a_checkpoint_in_the_bucket_is_not_sent_again(
    aws: AwsServer, sample_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="lake-of-tests", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    keys = {upload_checkpoint(sample_data / "clay" / "encoder-48.ckpt", "lake-of-tests", s3) for _ in range(2)}
    assert len(keys) == 1
    printed = capsys.readouterr().err
    assert (printed.count(": sent"), printed.count(": already there")) == (2, 2)


@pytest.fixture
def bucket(aws: AwsServer) -> str:
    """The bucket of the stack, which is versioned."""
    name, s3 = "lake-of-tests", aws.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.mark.usefixtures("_outputs")
def test_a_checkpoint_in_the_bucket_becomes_the_model_once_and_later_deployments_build_from_the_same_bases(
    aws: AwsServer, programs: Path, tmp_path: Path, sample_data: Path, bucket: str, committed: Path
) -> None:
    s3 = aws.client("s3")
    for suffix in (".ckpt", ".json"):
        key = RAW if suffix == ".ckpt" else RAW.replace(".pth", ".json")
        s3.upload_file(str(sample_data / "clay" / f"encoder-48{suffix}"), bucket, key)
    environment = AWS_ENVIRONMENT | {"AWS_ENDPOINT_URL": aws.url}
    with stacks_without_resources():
        done = deploy("--file", str(committed), path=str(programs), **environment)
        pinned = committed.read_text()
        aws.calls.clear()
        again = deploy("--file", str(committed), path=str(programs), **environment)
    read = {call.resource for call in aws.calls if call.action == "s3:GetObject"}
    assert read == {f"arn:aws:s3:::{bucket}/{RAW}"}, "its head; a download would also read model.json"
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"s3://{bucket}/{RAW} is new" in done.stderr
    calls = [call for call in (tmp_path / "calls").read_text().splitlines() if call.startswith("cdk deploy")]
    assert [call.count("--parameters") for call in calls] == [0, 3, 0]
    given = dict(one.removeprefix("chiplake:").split("=") for one in calls[1].split() if one.startswith("chiplake:"))
    assert given["CheckpointVersion"] == s3.head_object(Bucket=bucket, Key=RAW)["VersionId"]
    # A model whose size is not published is described by the JSON file beside it.
    archive = io.BytesIO(s3.get_object(Bucket=bucket, Key=given["ModelDataKey"])["Body"].read())
    with tarfile.open(fileobj=archive) as tar:
        packed = tar.extractfile("model.pth")
        assert packed is not None
        assert packed.read() == (sample_data / "clay" / "encoder-48.ckpt").read_bytes()
        assert "model.json" in tar.getnames()
    assert given["CheckpointKey"].endswith("/model.pth")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "is new" not in again.stderr

    digests = {"spark_base": f"sha256:{1:064d}", "clay_base": f"sha256:{2:064d}"}
    expected = DEPLOYMENT_FILE.read_text()
    for key, image in BASES.items():
        expected = expected.replace(f"\n{key}: null\n", f"\n{key}: {image}@{digests[key]}\n")
    assert pinned == committed.read_text() == expected
    assert f"written into {committed}: commit it" in done.stdout
    assert "written into" not in again.stdout
    started = (tmp_path / "calls").read_text().splitlines()
    assert [call for call in started if "buildx" in call] == LOOK_UPS, "the second deployment looks up nothing"
    assets = json.loads(TEMPLATE.with_name("chiplake.assets.json").read_text())["dockerImages"].values()
    assert {one["source"]["dockerFile"]: one["source"]["dockerBuildArgs"] for one in assets} == {
        "docker/spark.Dockerfile": {"BASE": f"python:3.11-slim-bookworm@{digests['spark_base']}"},
        "docker/clay.Dockerfile": {"BASE": f"python:3.11-slim@{digests['clay_base']}"},
    }


@pytest.mark.usefixtures("_outputs")
def test_a_base_image_that_is_not_found_deploys_nothing(aws: AwsServer, programs: Path, tmp_path: Path) -> None:
    docker = programs / "docker"
    docker.write_text(
        docker.read_text().replace("buildx)", "buildx) echo 'ERROR: no route to host' >&2; exit 1 ;;\n x)")
    )
    file = write_choices(tmp_path / "x.yaml", name="chiplake")
    before = file.read_text()
    done = deploy("--file", str(file), path=str(programs), **AWS_ENVIRONMENT, AWS_ENDPOINT_URL=aws.url)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "deploy.sh: cannot find the digest of the base image python:3.11-slim-bookworm: ERROR: no route to host. Check"
    )
    assert file.read_text() == before
    assert (tmp_path / "calls").read_text().splitlines() == ["docker info", LOOK_UPS[0]]


@pytest.mark.usefixtures("_outputs")
def test_a_catalogue_with_another_key_deploys_nothing(aws: AwsServer, programs: Path, tmp_path: Path) -> None:
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    at_rest = {"CatalogEncryptionMode": "SSE-KMS", "SseAwsKmsKeyId": key}
    aws.client("glue").put_data_catalog_encryption_settings(DataCatalogEncryptionSettings={"EncryptionAtRest": at_rest})
    file = write_choices(tmp_path / "x.yaml", name="chiplake")
    done = deploy("--file", str(file), path=str(programs), **AWS_ENVIRONMENT, AWS_ENDPOINT_URL=aws.url)
    assert done.returncode == 1
    assert f"deploy.sh: the Glue Data Catalog of this account is encrypted with the key {key}, which" in done.stderr
    assert (tmp_path / "calls").read_text().splitlines() == ["docker info"]


def test_an_object_that_is_no_checkpoint_is_named_and_gives_no_keys(
    aws: AwsServer, bucket: str, sample_data: Path
) -> None:
    s3 = aws.client("s3")
    assert raw_version(bucket, s3) is None
    s3.put_object(Bucket=bucket, Key=RAW, Body=(sample_data / "clay" / "encoder-48.ckpt").read_bytes()[:1000])
    version = raw_version(bucket, s3)
    assert version is not None
    with pytest.raises(ChiplakeError) as raised:
        upload_raw(version, bucket, s3)
    message = str(raised.value)
    assert message.startswith(f"s3://{bucket}/{RAW}: truncated, or not a PyTorch checkpoint (")
    assert "the model stays as it was" in message
    assert {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]} == {RAW}


def test_a_file_of_the_command_line_wins_over_the_object_that_is_there(
    aws: AwsServer,
    bucket: str,
    sample_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key=RAW, Body=b"an older checkpoint")
    outputs = tmp_path / "deployed.json"
    outputs.write_text(json.dumps({"chiplake": {"BucketName": bucket}}))
    checkpoint = sample_data / "clay" / "encoder-48.ckpt"
    monkeypatch.setattr("sys.argv", ["stack.checkpoint", str(outputs), str(checkpoint)])
    give_checkpoint()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("/encoder-48.ckpt")
    assert lines[2] == f"CheckpointVersion={raw_version(bucket, s3)}"


def test_the_caller_knows_whether_cdk_is_set_up(aws: AwsServer) -> None:
    assert caller(Config()) == ("123456789012", "eu-central-1", False)
    aws.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    assert caller(Config()) == ("123456789012", "eu-central-1", True)


def test_the_region_is_that_of_the_file_then_that_of_the_environment(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert caller(Config(region="eu-west-1"))[1] == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    assert caller(Config())[1] == "us-east-2", "boto3 itself reads only AWS_DEFAULT_REGION"
    monkeypatch.setenv("AWS_REGION", "")
    assert session().region_name == "eu-central-1"


@pytest.mark.parametrize("option", [[], ["--plan"]])
def test_credentials_of_another_account_deploy_nothing(
    aws: AwsServer, programs: Path, tmp_path: Path, option: list[str]
) -> None:
    environment = AWS_ENVIRONMENT | {"AWS_ENDPOINT_URL": aws.url}
    file = write_choices(tmp_path / "x.yaml", account="999999999999")
    done = deploy("--file", str(file), *option, path=str(programs), **environment)
    assert done.returncode == 1
    assert "the credentials are of account 123456789012, and the deployment's account is 999999999999" in done.stderr
    calls = tmp_path / "calls"
    assert (calls.read_text() if calls.exists() else "") == ("" if option else "docker info\n")


def test_missing_credentials_give_one_line(programs: Path) -> None:
    done = deploy(path=str(programs), **WITHOUT_CREDENTIALS)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("deploy.sh: cannot ask AWS: there are no usable AWS credentials")


def test_a_wrong_choice_ends_before_anything_is_asked_or_changed(programs: Path, tmp_path: Path) -> None:
    file = write_choices(tmp_path / "x.yaml", managed_airflow=True)
    done = deploy("--plan", "--file", str(file), path=str(programs), **WITHOUT_CREDENTIALS)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"deploy.sh: {file}: managed_airflow is true and area is not set")


def test_paths_are_relative_to_the_folder_of_the_user(programs: Path, tmp_path: Path) -> None:
    write_choices(tmp_path / "x.yaml", zzz=1)
    done = deploy_from(tmp_path, "--plan", "--file", "x.yaml", path=str(programs), **WITHOUT_CREDENTIALS)
    assert f"{tmp_path / 'x.yaml'}: zzz is not a key" in done.stderr


def test_the_help_names_the_place_of_a_checkpoint_in_the_bucket() -> None:
    assert RAW in deploy("--help").stdout


def test_a_docker_that_does_not_answer_gives_one_line(programs: Path) -> None:
    (programs / "docker").write_text("#!/bin/sh\nexit 1\n")
    done = deploy(path=str(programs), **WITHOUT_CREDENTIALS)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "Docker does not answer; start it" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--no-such"], 2, "unknown option --no-such"),
        (["--context", "managed_airflow=true"], 2, "unknown option --context"),
        (["--file"], 1, "--file needs a value"),
        (["--file", "/no/such.yaml"], 1, "--file /no/such.yaml: there is no such file"),
        (["--plan", "--checkpoint", "/no/such.ckpt"], 1, "--checkpoint /no/such.ckpt: there is no such file"),
    ],
)
def test_a_message_names_wrong_usage(arguments: list[str], code: int, message: str) -> None:
    done = deploy(*arguments)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
