"""Two deployments of one account and region: no name is of both, and no policy of one covers what the other has."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest
from pydantic import ValidationError
from stack.config import Config
from support.assemblies import Synthesised, listed, synthesise, text_of

NAMES = ("chiplake", "chiplake2")
# What a deployment makes besides the resources of its stack, by ARN.
MADE_LATER = (
    "arn:AWS::Partition:sagemaker:{place}:processing-job/{name}-chip-extraction-20230813t000000-01",
    "arn:AWS::Partition:sagemaker:{place}:transform-job/{name}-20230813T000000Z-0a1b2c-01",
    "arn:AWS::Partition:ssm:{place}:parameter/airflow/variables/{name}/chiplake_bbox",
    "arn:AWS::Partition:glue:{place}:database/{name}",
    "arn:AWS::Partition:glue:{place}:database/{name}_raw",
    "arn:AWS::Partition:glue:{place}:database/{name}_ops",
    "arn:AWS::Partition:glue:{place}:table/{name}_ops/stages",
    "arn:AWS::Partition:glue:{place}:table/{name}/fct_chips",
    "arn:AWS::Partition:glue:{place}:table/{name}_raw/stac_items",
    "arn:AWS::Partition:logs:{place}:log-group:airflow-{name}-airflow-Task",
    "arn:AWS::Partition:airflow:{place}:environment/{name}-airflow",
)
# Glue lists the names of all databases or of none.
LISTS = "glue:GetDatabases"


@pytest.fixture(scope="module")
def both(managed: Synthesised, tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthesised, Synthesised]:
    """Two deployments that differ only in their names and buckets; one name is the start of the other."""
    folder = tmp_path_factory.mktemp("cdk") / "second"
    done = synthesise(
        folder,
        name=NAMES[1],
        account="123456789012",
        region="eu-central-1",
        area=[16.3, 45.7, 16.5, 45.8],
        managed_airflow=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return managed, Synthesised(folder, NAMES[1])


def physical_names(synthesised: Synthesised) -> Iterator[tuple[str, str]]:
    """Yield the type and the name of each resource whose name the template decides."""
    for one in synthesised.template["Resources"].values():
        for key in ("Name", "BucketName", "RoleName", "ManagedPolicyName", "TopicName", "AlarmName", "DatabaseName"):
            name = one.get("Properties", {}).get(key)
            # A reference is to a resource of the same stack.
            if isinstance(name, str) or (isinstance(name, dict) and "Fn::Join" in name):
                yield one["Type"], text_of(name)


def granted(synthesised: Synthesised) -> set[str]:
    """Return the resources that the policies of a deployment name, as patterns."""
    policies = {**synthesised.of_type("AWS::IAM::Policy"), **synthesised.of_type("AWS::IAM::ManagedPolicy")}
    found = set()
    for policy in policies.values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            resources = statement.get("Resource", [])
            if LISTS not in statement["Action"]:
                found |= {text_of(one) for one in listed(resources)}
    return found - {"*"}


def made_later(name: str) -> list[str]:
    return [arn.format(name=name, place="eu-central-1:123456789012") for arn in MADE_LATER]


def is_covered(arn: str, patterns: set[str]) -> bool:
    plain = (one.replace("AWS::Region", "eu-central-1").replace("AWS::AccountId", "123456789012") for one in patterns)
    return any(fnmatchcase(arn, pattern) for pattern in plain)


def test_no_name_is_of_both_deployments(both: tuple[Synthesised, Synthesised]) -> None:
    first, second = (set(physical_names(one)) for one in both)
    kinds = {kind for kind, _ in first}
    expected = ("AWS::SSM::Parameter", "AWS::Glue::Database", "AWS::IAM::Role", "AWS::SNS::Topic", "AWS::Events::Rule")
    assert {*expected, "AWS::CloudWatch::Alarm", "AWS::MWAA::Environment"} <= kinds
    assert not first & second


def test_the_policies_of_a_deployment_cover_its_own_and_nothing_of_the_other(
    both: tuple[Synthesised, Synthesised],
) -> None:
    for mine, own, other in zip(both, NAMES, reversed(NAMES), strict=True):
        patterns = granted(mine)
        assert [arn for arn in made_later(own) if not is_covered(arn, patterns)] == []
        assert [arn for arn in made_later(other) if is_covered(arn, patterns)] == []


@pytest.mark.parametrize("other", ["chiplake_b", "chiplakeb", "chiplake3"])
def test_no_policy_covers_names_that_only_begin_like_its_own(both: tuple[Synthesised, Synthesised], other: str) -> None:
    """The database `chiplake_b` may be another deployment's, as its CHIPLAKE_TARGET_SCHEMA, or of no deployment."""
    for mine in both:
        patterns = granted(mine)
        assert [arn for arn in made_later(other) if is_covered(arn, patterns)] == []


def test_no_deployment_has_a_name_with_an_underscore_or_a_hyphen() -> None:
    """Else `chiplake_raw` could be a database of `chiplake` or a deployment, and `chiplake-b` a job or a deployment."""
    for name in ("chiplake_b", "chiplake_raw", "chiplake-b"):
        with pytest.raises(ValidationError, match="name"):
            Config(name=name)


def test_every_prefix_of_the_bucket_ends_at_a_folder(both: tuple[Synthesised, Synthesised]) -> None:
    for synthesised in both:
        of_roles = ("JobRole", "TransformRole", "OrchestratorPolicy", "AirflowRole")
        policies = {**synthesised.of_type("AWS::IAM::Policy"), **synthesised.of_type("AWS::IAM::ManagedPolicy")}
        statements = [
            statement
            for name, policy in policies.items()
            if name.startswith(of_roles)
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        ]
        objects = {text_of(one) for statement in statements for one in listed(statement.get("Resource", []))}
        keys = {one.partition(".Arn")[2] for one in objects if one.startswith("Bucket") and one.endswith("*")}
        listing = {
            prefix
            for statement in statements
            for prefix in listed(statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", []))
        }
        assert {"/warehouse/*", "/transform/*"} <= keys
        assert all(one.endswith("/*") for one in keys | (listing - {"*"})), keys | listing


def test_alarms_count_the_jobs_of_one_deployment(both: tuple[Synthesised, Synthesised]) -> None:
    for synthesised, name in zip(both, NAMES, strict=True):
        prefixes = {
            rule["prefix"]
            for one in synthesised.of_type("AWS::Events::Rule").values()
            for rules in one["Properties"]["EventPattern"]["detail"].values()
            for rule in rules
            if isinstance(rule, dict)
        }
        assert prefixes == {f"{name}-", f"{name}-after-encoder-"}
