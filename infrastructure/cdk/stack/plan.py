"""What an assembly would make, in words: `python -m stack.plan ASSEMBLY [--stack-name | --next [OUTPUTS]]`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DAG: Final = "sentinel_chip_processing"


@dataclass(frozen=True)
class Assembly:
    """What CDK wrote for the one stack."""

    stack_name: str
    template: dict[str, Any]
    assets: dict[str, Any]

    @staticmethod
    def read(folder: Path) -> Assembly:
        """Read an assembly."""
        manifest = json.loads((folder / "manifest.json").read_text())["artifacts"]
        ((name, stack),) = ((k, v) for k, v in manifest.items() if v["type"] == "aws:cloudformation:stack")
        template = json.loads((folder / stack["properties"]["templateFile"]).read_text())
        assets = json.loads((folder / f"{name}.assets.json").read_text())
        return Assembly(stack["properties"].get("stackName", name), template, assets)


def plan_lines(assembly: Assembly) -> Iterator[str]:
    """Everything that there is to be: images, files, Variables, and all resources by type."""
    yield "  images, built where their content changed:"
    for digest, image in assembly.assets["dockerImages"].items():
        yield f"    {image['source']['dockerFile']}: {digest[:16]}"
    resources = assembly.template["Resources"].items()
    yield "  files copied to the bucket:"
    for _, resource in resources:
        if resource["Type"] == "Custom::CDKBucketDeployment":
            yield f"    {resource['Properties']['DestinationBucketKeyPrefix']}/"
    yield "  Airflow Variables, in SSM Parameter Store:"
    for _, resource in resources:
        if resource["Type"] == "AWS::SSM::Parameter":
            value = resource["Properties"]["Value"]
            shown = value if isinstance(value, str) else _words(value)
            condition = f" (where {resource['Condition']})" if "Condition" in resource else ""
            yield f"    {resource['Properties']['Name']} = {shown}{condition}"
    by_type: dict[str, list[str]] = defaultdict(list)
    for logical_id, resource in resources:
        by_type[resource["Type"]].append(logical_id)
    yield f"  all resources of the stack {assembly.stack_name}:"
    for kind, names in sorted(by_type.items()):
        yield f"    {kind}: {', '.join(sorted(names))}"


def next_lines(assembly: Assembly, outputs: dict[str, str]) -> Iterator[str]:
    """What is left to people.

    Args:
        assembly: what was deployed, or would be.
        outputs: the stack's outputs; empty for a dry run.
    """
    types = {resource["Type"] for resource in assembly.template["Resources"].values()}
    if "AWS::SNS::Subscription" in types:
        yield "  - Confirm the subscription to alarms: AWS has sent a mail."
    else:
        yield "  - Nobody is mailed when something fails: say --context alarm_email=ADDRESS, or subscribe to the topic."
    if "AWS::MWAA::Environment" in types:
        address = outputs.get("AirflowAddress", "the output AirflowAddress of the stack")
        yield f"  - Enable the DAG {DAG} in Airflow: {address}"
    else:
        policy = outputs.get("OrchestratorPolicyArn", "the output OrchestratorPolicyArn of the stack")
        yield f"  - Attach the policy to the role of your Airflow: {policy}"
        yield "    and let it read Variables from SSM (docs/operations.md, Airflow of your own)."
        yield f"  - Copy dags/ to your Airflow and enable the DAG {DAG}."
        yield "    Or have managed Airflow made: --context managed_airflow=true"


def _words(value: Any) -> str:
    """An intrinsic function of CloudFormation, legible."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Sub": text}:
            return str(text)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(part if isinstance(part, str) else _words(part) for part in parts)
        case _:
            return json.dumps(value)


def main() -> None:
    """Print what is asked for."""
    assembly = Assembly.read(Path(sys.argv[1]))
    match sys.argv[2:]:
        case ["--stack-name"]:
            lines: Iterator[str] = iter([assembly.stack_name])
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
