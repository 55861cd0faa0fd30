"""`python -m stack.plan ASSEMBLY [--stack-name | --airflow | --resources | --next [OUTPUTS]]`: describes it."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chiplake_airflow.managed_versions import MANAGED_VERSIONS

from stack import layout

DAG: Final = "sentinel_chip_processing"
_AIRFLOW: Final = "AWS::MWAA::Environment"


@dataclass(frozen=True)
class Assembly:
    """The CDK assembly of the stack."""

    stack_name: str
    template: dict[str, Any]
    assets: dict[str, Any]

    @staticmethod
    def read(folder: Path) -> Assembly:
        """Read an assembly from its folder."""
        manifest = json.loads((folder / "manifest.json").read_text())["artifacts"]
        ((name, stack),) = ((k, v) for k, v in manifest.items() if v["type"] == "aws:cloudformation:stack")
        template = json.loads((folder / stack["properties"]["templateFile"]).read_text())
        assets = json.loads((folder / f"{name}.assets.json").read_text())
        return Assembly(stack["properties"].get("stackName", name), template, assets)


def plan_lines(assembly: Assembly) -> Iterator[str]:
    """Describe what a deployment makes from the working tree: images, files, and Variables."""
    yield "  images, built if their content has changed:"
    for digest, image in assembly.assets["dockerImages"].items():
        yield f"    {image['source']['dockerFile']}: {digest[:16]}"
    resources = assembly.template["Resources"].items()
    yield "  files copied to the bucket:"
    for _, resource in resources:
        if resource["Type"] == "Custom::CDKBucketDeployment":
            yield f"    {resource['Properties']['DestinationBucketKeyPrefix']}/"
    yield f"  taken from the bucket if it is new: {layout.RAW_CHECKPOINT}"
    yield "  parameters of SSM Parameter Store, of which those below /airflow/variables are Airflow Variables:"
    for _, resource in resources:
        if resource["Type"] == "AWS::SSM::Parameter":
            value = resource["Properties"]["Value"]
            shown = value if isinstance(value, str) else _readable(value)
            condition = f" (if {resource['Condition']})" if "Condition" in resource else ""
            yield f"    {resource['Properties']['Name']} = {shown}{condition}"


def resource_lines(assembly: Assembly) -> Iterator[str]:
    """List all resources of the stack, by type."""
    by_type: dict[str, list[str]] = defaultdict(list)
    for logical_id, resource in assembly.template["Resources"].items():
        by_type[resource["Type"]].append(logical_id)
    yield f"  all resources of the stack {assembly.stack_name}:"
    for kind, names in sorted(by_type.items()):
        yield f"    {kind}: {', '.join(sorted(names))}"


def airflow_lines(assembly: Assembly) -> Iterator[str]:
    """Name the version of managed Airflow that the assembly asks for, then those to try where AWS does not offer it.

    AWS has no call that lists the versions of a region. Without managed Airflow there are no lines.
    """
    for resource in assembly.template["Resources"].values():
        if resource["Type"] == _AIRFLOW:
            version = resource["Properties"]["AirflowVersion"]
            yield str(version)
            yield from (other for other in reversed(MANAGED_VERSIONS) if other != version)


def next_lines(assembly: Assembly, outputs: dict[str, str]) -> Iterator[str]:
    """Describe the steps that are left to a person.

    Args:
        assembly: the assembly that was deployed, or would be.
        outputs: the outputs of the stack; empty for a dry run.
    """
    types = {resource["Type"] for resource in assembly.template["Resources"].values()}
    if "AWS::SNS::Subscription" in types:
        yield "  - Confirm the subscription to alarms: AWS has sent a mail."
    else:
        yield "  - Nobody gets mail when something fails: set alarm_email in the deployment's file,"
        yield "    or subscribe to the topic."
    if _AIRFLOW in types:
        address = outputs.get("AirflowAddress", "the output AirflowAddress of the stack")
        yield f"  - Enable the DAG {DAG} in Airflow: {address}"
    else:
        policy = outputs.get("OrchestratorPolicyArn", "the output OrchestratorPolicyArn of the stack")
        yield f"  - Attach the policy to the role of your Airflow: {policy}"
        yield "    and let it read Variables from SSM (docs/operations.md, Your own Airflow)."
        bucket = outputs.get("BucketName", "BUCKET")
        yield f"  - Copy the DAGs to your Airflow (aws s3 sync s3://{bucket}/{layout.AIRFLOW}/dags DAGS_FOLDER),"
        yield f"    or the one file in {layout.AIRFLOW}/single/, and enable the DAG {DAG}."
        yield "    Or set managed_airflow: true in the deployment's file."
        if not _has_area(assembly):
            yield "  - Set area in the deployment's file first: without it the DAG searches the whole world."


def _has_area(assembly: Assembly) -> bool:
    parameters = (one for one in assembly.template["Resources"].values() if one["Type"] == "AWS::SSM::Parameter")
    return any(one["Properties"]["Name"].endswith("/chiplake_bbox") for one in parameters)


def _readable(value: Any) -> str:
    """Write an intrinsic function of CloudFormation for people."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Sub": text}:
            return str(text)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(part if isinstance(part, str) else _readable(part) for part in parts)
        case _:
            return json.dumps(value)


def main() -> None:
    """Print the name of the stack, the versions of managed Airflow, the resources, the next steps, or the plan."""
    assembly = Assembly.read(Path(sys.argv[1]))
    match sys.argv[2:]:
        case ["--stack-name"]:
            lines: Iterator[str] = iter([assembly.stack_name])
        case ["--airflow"]:
            lines = airflow_lines(assembly)
        case ["--resources"]:
            lines = resource_lines(assembly)
        case ["--next", path]:
            lines = next_lines(assembly, json.loads(Path(path).read_text())[assembly.stack_name])
        case ["--next"]:
            lines = next_lines(assembly, {})
        case _:
            lines = plan_lines(assembly)
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
