"""The resources of a deployment: permissions, retention, Variables, alarms, and the files that it copies."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from chiplake_airflow.variables import REQUIRED_ON_AWS, VARIABLES, parameter_prefix
from stack.config import DEPLOYMENT_FILE, check_variables
from support.airflow_home import OLDEST_BIN, Airflow, airflow_at
from support.assemblies import ENVIRONMENT, Synthesised, cfn_lint, listed, text_of

from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR, Settings

SNAPSHOTS = Path(__file__).parent / "snapshots"
PARAMETER_PREFIX = f"{parameter_prefix('chiplake')}/"


def statements(synthesised: Synthesised, start_of_id: str) -> list[dict[str, Any]]:
    """Return the statements of all policies whose logical id starts with this text."""
    policies = {**synthesised.of_type("AWS::IAM::Policy"), **synthesised.of_type("AWS::IAM::ManagedPolicy")}
    found = [one for name, one in policies.items() if name.startswith(start_of_id)]
    assert found, f"no policy {start_of_id}"
    return [statement for one in found for statement in one["Properties"]["PolicyDocument"]["Statement"]]


def test_cfn_lint_finds_nothing(managed: Synthesised) -> None:
    """Checks the larger template."""
    assert cfn_lint(managed) == ""


def test_what_holds_data_is_kept_but_not_after_a_first_deployment_that_failed(assembly: Synthesised) -> None:
    """RetainExceptOnCreate deletes a resource if the operation that made it is rolled back."""
    kept = assembly.of_type("AWS::S3::Bucket") | assembly.of_type("AWS::Glue::Database")
    assert len(kept) == 5
    for resource in kept.values():
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_bucket_is_encrypted_versioned_and_private(assembly: Synthesised) -> None:
    for bucket in assembly.of_type("AWS::S3::Bucket").values():
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (bucket,) = (one for name, one in assembly.of_type("AWS::S3::Bucket").items() if name.startswith("Bucket"))
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "LoggingConfiguration" in bucket["Properties"]
    for policy in assembly.of_type("AWS::S3::BucketPolicy").values():
        denied = [s for s in policy["Properties"]["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert any(s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for s in denied)


def test_objects_of_transforms_expire_and_tables_never_do(assembly: Synthesised, managed: Synthesised) -> None:
    for synthesised, days in ((assembly, 14), (managed, 7)):
        (bucket,) = (one for name, one in synthesised.of_type("AWS::S3::Bucket").items() if name.startswith("Bucket"))
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        expiring = {rule.get("Prefix", ""): rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
        assert expiring == {"transform/": days, "spark-events/": 90}


@pytest.mark.parametrize("which", ["assembly", "managed", "enclosed"])
def test_no_role_may_do_everything_or_use_all_resources(which: str, request: pytest.FixtureRequest) -> None:
    synthesised: Synthesised = request.getfixturevalue(which)
    policies = ["JobRole", "TransformRole", "OrchestratorPolicy"] + (["AirflowRole"] if which == "managed" else [])
    for policy in policies:
        for statement in statements(synthesised, policy):
            assert statement["Effect"] == "Allow"
            actions = listed(statement["Action"])
            assert not any(action.split(":")[1].startswith("*") for action in actions), statement
            if "*" in listed(statement.get("Resource", [])):
                allowed = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData", "logs:DescribeLogGroups"}
                lists = {action for action in actions if action.startswith("ec2:Describe")}  # which take no resources
                assert set(actions) <= allowed | lists | {"s3:GetAccountPublicAccessBlock"}, statement


def test_jobs_write_the_lake_and_nothing_else(assembly: Synthesised) -> None:
    written = {
        text_of(resource).partition(".Arn")[2]
        for statement in statements(assembly, "JobRole")
        if "s3:PutObject" in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    assert written == {"/warehouse/*", "/transform/*", "/spark-events/*", "/docs/*"}
    tables = {
        text_of(resource).rpartition(":")[2]
        for statement in statements(assembly, "JobRole")
        if "glue:UpdateTable" in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    names = ("chiplake_raw", "chiplake_ops", "chiplake")
    assert tables == {"catalog", *(f"database/{name}" for name in names), *(f"table/{name}/*" for name in names)}
    for role in assembly.of_type("AWS::IAM::Role").values():
        for trust in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            if trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}:
                assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_inference_server_reads_chips_and_model_and_writes_answers(assembly: Synthesised) -> None:
    by_action: dict[str, set[str]] = {}
    for statement in statements(assembly, "TransformRole"):
        for action in listed(statement["Action"]):
            by_action.setdefault(action, set()).update(
                text_of(resource).partition(".Arn")[2] for resource in listed(statement["Resource"])
            )
    assert by_action["s3:GetObject"] == {"/models/*", "/transform/*"}
    assert by_action["s3:PutObject"] == {"/transform/*"}
    assert not any(action.startswith("glue:") for action in by_action)


def test_the_dag_may_pass_the_two_roles_only_to_sagemaker(assembly: Synthesised) -> None:
    (passed,) = (s for s in statements(assembly, "Orchestrator") if "iam:PassRole" in listed(s["Action"]))
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert sorted(re.match(r"[A-Za-z]+Role", text_of(one))[0] for one in listed(passed["Resource"])) == [  # type: ignore[index]
        "JobRole",
        "TransformRole",
    ]


def test_the_dag_may_ask_whether_the_bucket_exists(assembly: Synthesised) -> None:
    """S3Hook.check_for_bucket sends HeadBucket, which needs s3:ListBucket, and has no prefix."""
    lists = [one for one in statements(assembly, "OrchestratorPolicy") if "s3:ListBucket" in listed(one["Action"])]
    assert {"Null": {"s3:prefix": "true"}} in [one["Condition"] for one in lists]
    assert all(one.get("Condition") for one in lists), "no statement lists every key with any prefix"


def variables_of(synthesised: Synthesised) -> dict[str, Any]:
    """Return the parameters of SSM that are Airflow Variables, by name."""
    parameters = {one["Properties"]["Name"]: one for one in synthesised.of_type("AWS::SSM::Parameter").values()}
    return {name: one for name, one in parameters.items() if name.startswith("/airflow/variables/")}


def test_the_name_of_the_bucket_is_a_parameter_but_no_variable(assembly: Synthesised, managed: Synthesised) -> None:
    for synthesised in (assembly, managed):
        parameters = synthesised.of_type("AWS::SSM::Parameter").values()
        (bucket_id,) = (name for name in synthesised.of_type("AWS::S3::Bucket") if name.startswith("Bucket"))
        (named,) = (one for one in parameters if one["Properties"]["Name"] not in variables_of(synthesised))
        assert (named["Properties"]["Name"], named["Properties"]["Value"]) == (
            "/chiplake/bucket_name",
            {"Ref": bucket_id},
        )


@pytest.mark.parametrize("which", ["assembly", "managed"])
def test_deployment_writes_every_variable_that_the_dag_requires(which: str, request: pytest.FixtureRequest) -> None:
    synthesised: Synthesised = request.getfixturevalue(which)
    parameters = variables_of(synthesised)
    names = {name.removeprefix(PARAMETER_PREFIX) for name in parameters}
    assert set(REQUIRED_ON_AWS) <= names <= set(VARIABLES)
    assert parameters[f"{PARAMETER_PREFIX}chiplake_clay_checkpoint_uri"]["Condition"] == "HasCheckpointKey"
    (readable,) = (s for s in statements(synthesised, "Orchestrator") if "ssm:GetParameter" in listed(s["Action"]))
    assert text_of(readable["Resource"]).endswith(f":parameter{PARAMETER_PREFIX}chiplake_*")
    assert all(name.startswith("chiplake_") for name in VARIABLES), "the DAG's policy allows no other name"
    if which == "managed":
        values = {name: one["Properties"]["Value"] for name, one in parameters.items()}
        assert values[f"{PARAMETER_PREFIX}chiplake_bbox"] == "16.3,45.7,16.5,45.8"
        assert values[f"{PARAMETER_PREFIX}chiplake_region"] == "eu-central-1"
        assert json.loads(values[f"{PARAMETER_PREFIX}chiplake_settings"]) == {
            "CHIPLAKE_CLAY_PRECISION": "bfloat16",
            "CHIPLAKE_OPS_SCHEMA": "chiplake_ops",
            "CHIPLAKE_RAW_SCHEMA": "chiplake_raw",
            "CHIPLAKE_TARGET_SCHEMA": "chiplake",
        }


def test_settings_accept_the_addresses_that_variables_have(managed: Synthesised) -> None:
    values = {
        one["Properties"]["Name"].removeprefix(PARAMETER_PREFIX): text_of(one["Properties"]["Value"])
        for one in variables_of(managed).values()
    }
    (bucket_id,) = (name for name in managed.of_type("AWS::S3::Bucket") if name.startswith("Bucket"))
    place = values["chiplake_transform_s3_uri"].replace(bucket_id, "lake-of-tests")
    assert Settings().replace(transform_s3_uri=place).transform.s3_uri == "s3://lake-of-tests/transform"
    assert values["chiplake_warehouse"].endswith("/warehouse")


def test_the_model_has_data_only_after_a_checkpoint_was_uploaded(assembly: Synthesised, managed: Synthesised) -> None:
    (model,) = assembly.of_type("AWS::SageMaker::Model").values()
    assert model["Properties"]["EnableNetworkIsolation"] is True
    condition, _, otherwise = model["Properties"]["PrimaryContainer"]["ModelDataUrl"]["Fn::If"]
    assert (condition, otherwise) == ("HasModelDataKey", {"Ref": "AWS::NoValue"})
    assert assembly.template["Parameters"]["ModelDataKey"]["Default"] == ""
    # What the next deployment compares with the object in the bucket.
    assert assembly.template["Outputs"]["KnownCheckpointVersion"]["Value"] == {"Ref": "CheckpointVersion"}
    (model,) = managed.of_type("AWS::SageMaker::Model").values()
    assert model["Properties"]["PrimaryContainer"]["Environment"] == {"CHIPLAKE_CLAY_PRECISION": "bfloat16"}


def test_alarms_notify_someone_and_say_what_to_do(managed: Synthesised) -> None:
    alarms = {
        one["Properties"]["AlarmName"]: one["Properties"] for one in managed.of_type("AWS::CloudWatch::Alarm").values()
    }
    assert set(alarms) == {
        "chiplake-processing-failed",
        "chiplake-processing-stopped",
        "chiplake-transform-failed",
        "chiplake-transform-stopped",
        "chiplake-no-night",
        "chiplake-airflow-stands-still",
    }
    for alarm in alarms.values():
        (action,) = alarm["AlarmActions"]
        assert action["Ref"].startswith("Topicalerts")
        assert len(alarm["AlarmDescription"]) > 40
    assert alarms["chiplake-no-night"]["TreatMissingData"] == "breaching"
    operations = (PROJECT_DIR / "docs" / "operations.md").read_text()
    for name in alarms:
        assert name in operations, f"docs/operations.md does not say what {name} means"
    (subscription,) = managed.of_type("AWS::SNS::Subscription").values()
    assert subscription["Properties"]["Endpoint"] == "ops@example.org"


@pytest.mark.parametrize("kind", ["Processing", "Transform"])
@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_job_that_failed_or_was_stopped_gives_a_notice_and_an_alarm(
    assembly: Synthesised, kind: str, status: str
) -> None:
    """The pattern is that of SageMaker's events: the type, and the state and the name of the job."""
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": [f"SageMaker {kind} Job State Change"],
        "detail": {f"{kind}JobStatus": [status], f"{kind}JobName": [{"prefix": "chiplake-"}]},
    }
    rules = {name: one["Properties"] for name, one in assembly.of_type("AWS::Events::Rule").items()}
    ((name, rule),) = ((name, one) for name, one in rules.items() if one["EventPattern"] == pattern)
    (target,) = rule["Targets"]
    assert target["Arn"]["Ref"].startswith("Topicalerts")
    alarms = [one["Properties"] for one in assembly.of_type("AWS::CloudWatch::Alarm").values()]
    counted = {
        one["AlarmName"] for one in alarms if one["Dimensions"] == [{"Name": "RuleName", "Value": {"Ref": name}}]
    }
    assert counted == {f"chiplake-{kind.lower()}-{status.lower()}"}


def test_managed_airflow_finds_its_variables_where_deployment_writes_them(managed: Synthesised) -> None:
    (environment,) = managed.of_type("AWS::MWAA::Environment").values()
    properties = environment["Properties"]
    assert properties["AirflowVersion"] == "3.3.1"
    options = properties["AirflowConfigurationOptions"]
    assert json.loads(options["secrets.backend_kwargs"])["variables_prefix"] + "/" == PARAMETER_PREFIX
    assert len(properties["NetworkConfiguration"]["SubnetIds"]) == 2
    zones = [s["Properties"]["AvailabilityZone"] for s in managed.of_type("AWS::EC2::Subnet").values()]
    assert all("Fn::Select" in zone for zone in zones), "synthesis must not call AWS"


def test_managed_airflow_is_made_after_its_files_its_role_and_its_way_to_the_internet(managed: Synthesised) -> None:
    (environment,) = managed.of_type("AWS::MWAA::Environment").values()
    needed = set(environment["DependsOn"])
    kinds = (
        "AWS::EC2::NatGateway",
        "AWS::EC2::Route",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::SecurityGroup",
    )
    for kind in (*kinds, "AWS::EC2::SecurityGroupIngress"):
        assert managed.of_type(kind).keys() <= needed, kind
        assert managed.of_type(kind)
    copies = managed.of_type("Custom::CDKBucketDeployment")
    assert {"airflow/dags", "airflow/startup"} <= {
        one["Properties"]["DestinationBucketKeyPrefix"] for name, one in copies.items() if name in needed
    }
    assert {name for name in managed.of_type("AWS::IAM::Policy") if name.startswith("AirflowRole")} <= needed


def test_the_context_of_an_image_has_what_it_copies_and_little_else(assembly: Synthesised) -> None:
    dockerfiles = {}
    for digest, image in assembly.assets["dockerImages"].items():
        context = assembly.folder / f"asset.{digest}"
        dockerfile = image["source"]["dockerFile"]
        dockerfiles[dockerfile] = context
        for line in (context / dockerfile).read_text().splitlines():
            if line.startswith("COPY ") and "--from=" not in line:
                for source in line.split()[1:-1]:
                    assert (context / source).exists(), f"{dockerfile} copies {source}, which its context lacks"
        size = sum(path.stat().st_size for path in context.rglob("*") if path.is_file())
        assert size < 5_000_000, f"{dockerfile}: {size} bytes"
        assert not list(context.rglob("__pycache__"))
    assert sorted(dockerfiles) == ["docker/clay.Dockerfile", "docker/spark.Dockerfile"]


def copied_files(synthesised: Synthesised) -> dict[str, dict[str, Path]]:
    """Return the files that a deployment copies to the bucket, by prefix and by name below the prefix."""
    copied: dict[str, dict[str, Path]] = {}
    for one in synthesised.of_type("Custom::CDKBucketDeployment").values():
        for key in one["Properties"]["SourceObjectKeys"]:
            folder = synthesised.folder / f"asset.{key.removesuffix('.zip')}"
            files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
            copied.setdefault(one["Properties"]["DestinationBucketKeyPrefix"], {}).update(files)
    return copied


def test_the_project_and_its_dags_are_copied_to_the_bucket(assembly: Synthesised) -> None:
    copied = {prefix: files.keys() for prefix, files in copied_files(assembly).items()}
    assert copied["code"] == {"run_job.py"}
    assert copied["airflow/single"] == {"sentinel_processing_dag.py"}
    assert {"dbt_project.yml", "selectors.yml", "profiles/profiles.yml", "models/chips/fct_chips.sql"} <= copied[
        "project"
    ]
    assert not any(name.startswith((".", "tests/unit", "chiplake/")) for name in copied["project"])
    here = PROJECT_DIR / "dags"
    dags = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert copied["airflow/dags"] == dags | {
        f"lakehouse/{name}.py" for name in ("__init__", "transform_job", "causes", "errors", "redaction")
    }


@pytest.mark.airflow
def test_managed_airflow_parses_the_copied_dags_without_the_project(assembly: Synthesised, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    for name, path in copied_files(assembly)["airflow/dags"].items():
        (dags / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, dags / name)
    airflow = airflow_at(tmp_path / "airflow", tmp_path / "none", OLDEST_BIN)
    alone = Airflow(airflow.bin, {**airflow.environment, "PYTHONPATH": ""})
    found = alone.graphs({"aws": {"CHIPLAKE_AIRFLOW_RUNTIME": "aws"}}, dags)["aws"]
    assert found["errors"] == {}
    assert list(found["dags"]) == ["sentinel_chip_processing"]


@pytest.mark.parametrize("which", ["assembly", "managed"])
def test_the_template_matches_its_snapshot(which: str, request: pytest.FixtureRequest) -> None:
    """A change shows as a difference of the snapshot; CHIPLAKE_UPDATE_SNAPSHOTS=1 rewrites it."""
    synthesised: Synthesised = request.getfixturevalue(which)
    text = yaml.safe_dump(_readable(synthesised.template), sort_keys=True, width=118)
    path = SNAPSHOTS / f"{which}.yaml"
    if os.environ.get("CHIPLAKE_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def _readable(template: dict[str, Any]) -> dict[str, Any]:
    """Return the template without digests of files and without the parts that all stacks share."""
    text = re.sub(r"[0-9a-f]{64}", "DIGEST", json.dumps(template))
    text = re.sub(r"requirements-[0-9a-f]{16}", "requirements-DIGEST", text)
    readable: dict[str, Any] = json.loads(text)
    readable.pop("Rules", None)
    readable["Parameters"].pop("BootstrapVersion", None)
    for resource in readable["Resources"].values():
        resource.pop("Metadata", None)
    return readable


@pytest.mark.parametrize(
    ("known", "given", "message"),
    [
        (set(REQUIRED_ON_AWS), {"chiplake_typo"}, "chiplake_typo is not a Variable of the DAG"),
        (set(REQUIRED_ON_AWS) | {"chiplake_renamed"}, set(), "chiplake_renamed is not a Variable of the DAG"),
        (set(REQUIRED_ON_AWS), {"chiplake_region"}, "deployment itself writes chiplake_region"),
        (set(REQUIRED_ON_AWS) - {"chiplake_region"}, set(), "the DAG needs the Variable chiplake_region on AWS"),
    ],
)
def test_variables_must_match_those_that_the_dag_reads(known: set[str], given: set[str], message: str) -> None:
    with pytest.raises(ChiplakeError, match=re.escape(message)):
        check_variables(dict.fromkeys(known, ""), dict.fromkeys(given, ""))


def test_a_finding_that_is_not_accepted_ends_the_synthesis(tmp_path: Path) -> None:
    script = "import stack.nag; stack.nag.EXCEPTIONS = (); from stack.synth import main; main()"
    command = [sys.executable, "-c", script, str(tmp_path / "out"), str(DEPLOYMENT_FILE)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "AwsSolutions-IAM5" in done.stdout + done.stderr
