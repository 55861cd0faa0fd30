"""A deployment with a key of KMS and with subnets for its jobs: what its roles may do there, and nothing beside it."""

from __future__ import annotations

from typing import Any

import pytest
from support.assemblies import Synthesised, cfn_lint, text_of
from support.permissions import Policies, key_calls, refused
from support.servers.calls import Call

HERE = "eu-central-1:123456789012"
KEY = f"arn:aws:kms:{HERE}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = f"arn:aws:kms:{HERE}:key/ffffffff-12ab-34cd-56ef-1234567890ab"
SUBNET, OTHER_SUBNET = (f"arn:aws:ec2:{HERE}:subnet/subnet-{name}" for name in ("0a1b2c3d", "99999999"))
# A subnet that another account shares with this one.
SHARED_SUBNET = "arn:aws:ec2:eu-central-1:999999999999:subnet/subnet-4e5f6a7b"
GROUP, OTHER_GROUP = (f"arn:aws:ec2:{HERE}:security-group/sg-{name}" for name in ("0a1b2c3d", "99999999"))
INTERFACE = f"arn:aws:ec2:{HERE}:network-interface/eni-0123"
ROLES = ("JobRole", "TransformRole", "OrchestratorPolicy")
BUCKET = "lake-of-tests"
# https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html: what a job in a VPC needs.
DESCRIBED = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")


@pytest.fixture(scope="module")
def policies(enclosed: Synthesised) -> dict[str, list[dict[str, Any]]]:
    deployed = Policies(enclosed, {})
    return {role: deployed.of_role(role) for role in ROLES}


def objects(role: str, reads: str, writes: str) -> set[Call]:
    """Calls of a role to objects below a prefix that it reads, and below one that it writes."""
    return {
        Call(role, "s3:GetObject", f"arn:aws:s3:::{BUCKET}/{reads}/a"),
        Call(role, "s3:PutObject", f"arn:aws:s3:::{BUCKET}/{writes}/b"),
    }


def network(role: str, subnet: str = SUBNET, group: str = GROUP) -> list[Call]:
    place = (("ec2:Subnet", subnet),)
    return [
        *(Call(role, "ec2:CreateNetworkInterface", resource) for resource in (subnet, group, INTERFACE)),
        Call(role, "ec2:CreateNetworkInterfacePermission", INTERFACE, place),
        Call(role, "ec2:DeleteNetworkInterface", INTERFACE, place),
        Call(role, "ec2:DeleteNetworkInterfacePermission", INTERFACE, place),
        *(Call(role, f"ec2:Describe{what}", "*") for what in DESCRIBED),
    ]


def test_the_roles_use_the_key_for_the_objects_that_they_read_and_write(
    policies: dict[str, list[dict[str, Any]]],
) -> None:
    calls = objects("JobRole", "checkpoints", "warehouse") | objects("TransformRole", "models", "transform")
    calls |= objects("OrchestratorPolicy", "code", "transform")
    of_key = key_calls(calls, BUCKET, KEY)
    assert {(one.principal, one.action) for one in of_key} == {
        (role, action) for role in ROLES for action in ("kms:Decrypt", "kms:GenerateDataKey")
    }
    assert refused(calls | of_key, policies) == []


def test_sagemaker_uses_the_key_for_outputs_and_for_the_disks_of_processing_jobs(
    policies: dict[str, list[dict[str, Any]]],
) -> None:
    calls = [Call(role, "kms:Encrypt", KEY) for role in ("JobRole", "TransformRole")]
    assert refused([*calls, Call("JobRole", "kms:CreateGrant", KEY)], policies) == []


def test_no_role_uses_another_key_or_manages_the_key(policies: dict[str, list[dict[str, Any]]]) -> None:
    actions = ("Decrypt", "Encrypt", "GenerateDataKey", "CreateGrant")
    calls = [Call(role, f"kms:{action}", OTHER_KEY) for role in ROLES for action in actions]
    calls += [Call(role, f"kms:{action}", KEY) for role in ROLES for action in ("PutKeyPolicy", "ScheduleKeyDeletion")]
    calls += [Call(role, "kms:CreateGrant", KEY) for role in ("TransformRole", "OrchestratorPolicy")]
    assert len(refused(calls, policies)) == len(calls)


@pytest.mark.parametrize("role", ["JobRole", "TransformRole"])
@pytest.mark.parametrize("subnet", [SUBNET, SHARED_SUBNET])
def test_sagemaker_puts_network_interfaces_into_the_subnets_by_the_roles_of_jobs(
    policies: dict[str, list[dict[str, Any]]], role: str, subnet: str
) -> None:
    assert refused(network(role, subnet), policies) == []


def test_other_subnets_groups_and_interfaces_are_out_of_reach(policies: dict[str, list[dict[str, Any]]]) -> None:
    elsewhere = [
        one
        for role in ("JobRole", "TransformRole")
        for one in network(role, OTHER_SUBNET, OTHER_GROUP)
        if "Describe" not in one.action and (one.context or one.resource in (OTHER_SUBNET, OTHER_GROUP))
    ]
    calls = [*elsewhere, *network("OrchestratorPolicy")]
    assert len(elsewhere) == 2 * 5
    assert len(refused(calls, policies)) == len(calls)


def test_without_key_and_subnets_no_role_may_use_either(managed: Synthesised) -> None:
    plain = Policies(managed, {})
    policies = {role: plain.of_role(role) for role in ("JobRole", "TransformRole")}
    calls = [
        one
        for role in policies
        for one in (*network(role), Call(role, "kms:Decrypt", KEY), Call(role, "kms:CreateGrant", KEY))
    ]
    assert len(refused(calls, policies)) == len(calls)


def test_cfn_lint_finds_nothing_in_key_and_network(enclosed: Synthesised) -> None:
    assert cfn_lint(enclosed) == ""


def test_the_bucket_has_the_key_and_its_access_logs_have_a_key_of_s3(enclosed: Synthesised) -> None:
    """S3 delivers access logs only to a bucket that is not encrypted by KMS."""
    found = {
        name: one["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        for name, one in enclosed.of_type("AWS::S3::Bucket").items()
    }
    by_kind = {"logs" if name.startswith("AccessLogs") else "lake": value for name, value in found.items()}
    assert by_kind == {
        "lake": [
            {
                "BucketKeyEnabled": True,
                "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
            }
        ],
        "logs": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}],
    }


def test_the_dag_gives_key_and_network_to_its_jobs_and_the_model_has_the_network(enclosed: Synthesised) -> None:
    parameters = [one["Properties"] for one in enclosed.of_type("AWS::SSM::Parameter").values()]
    values = {one["Name"].rpartition("/")[2]: text_of(one["Value"]) for one in parameters}
    assert values["chiplake_kms_key"] == KEY
    assert values["chiplake_subnets"] == "subnet-0a1b2c3d,subnet-4e5f6a7b"
    assert values["chiplake_security_groups"] == "sg-0a1b2c3d"
    (model,) = enclosed.of_type("AWS::SageMaker::Model").values()
    assert model["Properties"]["VpcConfig"] == {
        "Subnets": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"],
        "SecurityGroupIds": ["sg-0a1b2c3d"],
    }
    assert model["Properties"]["EnableNetworkIsolation"] is True


def test_defaults_give_jobs_neither(assembly: Synthesised) -> None:
    names = {one["Properties"]["Name"].rpartition("/")[2] for one in assembly.of_type("AWS::SSM::Parameter").values()}
    assert not names & {"chiplake_kms_key", "chiplake_subnets", "chiplake_security_groups"}
    (model,) = assembly.of_type("AWS::SageMaker::Model").values()
    assert "VpcConfig" not in model["Properties"]
