"""What a deployment changes: templates compared with each other, and with that of the deployed stack."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from stack.changes import Action, Change, change_lines, changes, check_permission, deployed_template, main
from support.assemblies import Synthesised
from support.servers.aws import AwsServer
from support.servers.cloudformation import deploy_template, set_status, stacks_without_resources

from lakehouse.errors import ChiplakeError


@pytest.fixture
def stacks(aws: AwsServer) -> Iterator[AwsServer]:
    with stacks_without_resources():
        yield aws


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def compared(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    return changes({"Resources": before}, {"Resources": after})


TOPIC = resource("AWS::SNS::Topic", TopicName="alerts", DisplayName="Alerts")


def test_equal_templates_differ_in_nothing_and_metadata_does_not_count() -> None:
    assert compared({"T": TOPIC}, {"T": TOPIC | {"Metadata": {"aws:cdk:path": "x"}}}) == []


def test_resources_are_added_and_removed_by_their_logical_id() -> None:
    assert compared({"T": TOPIC}, {"U": TOPIC}) == [
        Change(Action.REMOVE, "T", "AWS::SNS::Topic"),
        Change(Action.ADD, "U", "AWS::SNS::Topic"),
    ]


def test_a_change_names_the_properties_and_attributes_that_differ() -> None:
    after = resource("AWS::SNS::Topic", TopicName="alerts", FifoThroughputScope="Topic") | {"DependsOn": ["K"]}
    (change,) = compared({"T": TOPIC}, {"T": after})
    assert change == Change(Action.CHANGE, "T", "AWS::SNS::Topic", ("DependsOn", "DisplayName", "FifoThroughputScope"))
    assert not change.needs_permission
    assert change.line == "  ~ AWS::SNS::Topic  T: DependsOn, DisplayName, FifoThroughputScope"


def test_a_property_that_is_only_set_at_creation_replaces_the_resource_and_those_that_refer_to_it() -> None:
    def network(cidr: str) -> dict[str, Any]:
        subnets = {"SubnetIds": [{"Ref": "Subnet"}, "subnet-2"]}
        return {
            "Vpc": resource("AWS::EC2::VPC", CidrBlock=cidr),
            "Subnet": resource("AWS::EC2::Subnet", VpcId={"Ref": "Vpc"}, CidrBlock="10.0.0.0/24"),
            "Airflow": resource("AWS::MWAA::Environment", Name="a", NetworkConfiguration=subnets),
            "Role": resource("AWS::IAM::Role", Description={"Fn::GetAtt": ["Vpc", "VpcId"]}),
        }

    found = compared(network("10.0.0.0/16"), network("10.1.0.0/16"))
    assert {one.logical_id: (one.action, one.needs_permission) for one in found} == {
        "Vpc": (Action.REPLACE, False),
        "Subnet": (Action.REPLACE, False),
        "Airflow": (Action.REPLACE, True),
    }


def test_a_nested_property_replaces_only_if_it_is_the_one_set_at_creation() -> None:
    def environment(**network: Any) -> dict[str, Any]:
        return {"A": resource("AWS::MWAA::Environment", Name="a", NetworkConfiguration=network)}

    before = environment(SubnetIds=["s-1", "s-2"], SecurityGroupIds=["g-1"])
    (groups,) = compared(before, environment(SubnetIds=["s-1", "s-2"], SecurityGroupIds=["g-2"]))
    (subnets,) = compared(before, environment(SubnetIds=["s-1", "s-3"], SecurityGroupIds=["g-1"]))
    assert (groups.action, subnets.action) == (Action.CHANGE, Action.REPLACE)


def test_another_type_replaces_the_resource() -> None:
    (change,) = compared({"T": TOPIC}, {"T": resource("AWS::SQS::Queue")})
    assert (change.action, change.what) == (Action.REPLACE, ("Type",))


def test_only_removals_and_replacements_of_what_holds_data_need_permission() -> None:
    bucket = Change(Action.REPLACE, "Bucket", "AWS::S3::Bucket", ("BucketName",))
    model = Change(Action.REPLACE, "Model", "AWS::SageMaker::Model", ("PrimaryContainer",))
    rule = Change(Action.REMOVE, "Rule", "AWS::Events::Rule")
    check_permission([model, Change(Action.ADD, "New", "AWS::S3::Bucket")], "chiplake")
    with pytest.raises(ChiplakeError, match="run the command again with --allow-removal") as raised:
        check_permission([bucket, model, rule], "chiplake")
    assert (
        "remove or replace 2 resources of the stack chiplake: Bucket (AWS::S3::Bucket), Rule (AWS::Events::Rule)"
        in (str(raised.value))
    )


def test_a_stack_that_does_not_exist_or_was_never_made_has_no_template(
    stacks: AwsServer, assembly: Synthesised
) -> None:
    cloudformation = stacks.client("cloudformation")
    assert deployed_template(cloudformation, "chiplake") == {}
    deploy_template(stacks, assembly.template_path)
    for status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS"):
        set_status(status)
        assert deployed_template(cloudformation, "chiplake") == {}
    lines = list(change_lines(changes({}, assembly.template), is_new=True))
    count = len(assembly.template["Resources"])
    assert lines[0] == "the stack does not exist yet"
    assert lines[-1] == f"{count} added, 0 changed, 0 replaced, 0 removed"
    assert len(lines) == count + 2


def test_a_deployment_that_is_running_is_not_overtaken(stacks: AwsServer, assembly: Synthesised) -> None:
    deploy_template(stacks, assembly.template_path)
    set_status("UPDATE_IN_PROGRESS")
    with pytest.raises(ChiplakeError, match="UPDATE_IN_PROGRESS: another deployment is running; wait for its end"):
        deployed_template(stacks.client("cloudformation"), "chiplake")


def test_the_deployed_template_has_no_difference_to_its_assembly(stacks: AwsServer, managed: Synthesised) -> None:
    deploy_template(stacks, managed.template_path)
    deployed = deployed_template(stacks.client("cloudformation"), "chiplake")
    assert list(change_lines(changes(deployed, managed.template), is_new=False)) == [
        "no difference to what is deployed"
    ]


def test_choices_that_are_gone_are_refused_unless_allowed(
    stacks: AwsServer,
    assembly: Synthesised,
    managed: Synthesised,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    deploy_template(stacks, managed.template_path)
    monkeypatch.setattr(sys, "argv", ["changes", str(assembly.folder)])
    with pytest.raises(ChiplakeError, match=r"Airflow \(AWS::MWAA::Environment\)") as raised:
        main()
    assert "Bucket83908E77 (AWS::S3::Bucket)" in str(raised.value), "without its name, the bucket is made again"
    assert "  - AWS::MWAA::Environment  Airflow\n" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["changes", str(assembly.folder), "--plan"])
    main()
    assert "deploy.sh refuses this without --allow-removal" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["changes", str(assembly.folder), "--allow-removal"])
    main()
    assert "--allow-removal" not in capsys.readouterr().out
