"""`python -m stack.changes ASSEMBLY [--plan] [--allow-removal]`: compares an assembly with what is deployed.

Removals, and replacements of what holds data, must be allowed: otherwise one changed choice could remove dozens of
resources. `--plan` only names them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import yaml
from botocore.exceptions import ClientError
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER, ResourceNotFoundError

from embedding.aws import client, error_code, plain_errors, session
from lakehouse.errors import ChiplakeError
from stack.plan import Assembly

# Types whose replacement loses data, or what people have attached to the resource.
_STATEFUL: Final = frozenset(
    {
        *("AWS::S3::Bucket", "AWS::Glue::Database", "AWS::KMS::Key", "AWS::SNS::Topic"),
        *("AWS::MWAA::Environment", "AWS::IAM::ManagedPolicy"),
    }
)
# States of a stack whose first deployment failed; the cdk command deletes it and makes it again.
_NEVER_MADE: Final = frozenset({"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_COMPLETE"})
_SCHEMAS_OF: Final = "us-east-1"  # the region that has all types
_ABSENT: Final = object()

Template = Mapping[str, Any]


class Action(StrEnum):
    """What a deployment does to a resource, by the sign that the plan shows."""

    ADD = "+"
    CHANGE = "~"
    REPLACE = "-/+"
    REMOVE = "-"


@dataclass(frozen=True)
class Change:
    """What a deployment does to one resource."""

    action: Action
    logical_id: str
    kind: str  # type, such as AWS::S3::Bucket
    what: tuple[str, ...] = ()  # what differs: names of properties

    @property
    def needs_permission(self) -> bool:
        """Return whether the change must be allowed by name."""
        return self.action is Action.REMOVE or (self.action is Action.REPLACE and self.kind in _STATEFUL)

    @property
    def line(self) -> str:
        """Describe the change in one line."""
        return f"{self.action:>3} {self.kind}  {self.logical_id}" + (f": {', '.join(self.what)}" if self.what else "")


def changes(deployed: Template, wanted: Template) -> list[Change]:
    """Compare two templates by their resources: removals first, then replacements, changes and additions.

    Args:
        deployed: the template of the deployed stack; empty if no stack is deployed.
        wanted: the template of the assembly.
    """
    before, after = deployed.get("Resources", {}), wanted.get("Resources", {})
    found = [Change(Action.REMOVE, name, before[name]["Type"]) for name in before.keys() - after.keys()]
    found += [Change(Action.ADD, name, after[name]["Type"]) for name in after.keys() - before.keys()]
    both = {name: _differences(before[name], after[name]) for name in before.keys() & after.keys()}
    replaced = _replaced(before, after, both)
    for name, what in both.items():
        if what or name in replaced:
            found.append(Change(Action.REPLACE if name in replaced else Action.CHANGE, name, after[name]["Type"], what))
    order = (Action.REMOVE, Action.REPLACE, Action.CHANGE, Action.ADD)
    return sorted(found, key=lambda one: (order.index(one.action), one.kind, one.logical_id))


def deployed_template(cloudformation: Any, stack_name: str) -> Template:
    """Return the template of the deployed stack; an empty one if there is no stack, or it was never made.

    Raises:
        ChiplakeError: another deployment of the stack is running.
    """
    try:
        (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if error_code(error) == "ValidationError" and "does not exist" in str(error):
            return {}
        raise
    status = str(stack["StackStatus"])
    if status in _NEVER_MADE:
        return {}
    if status.endswith("_IN_PROGRESS"):
        raise ChiplakeError(f"the stack {stack_name} is {status}: another deployment is running; wait for its end")
    body = cloudformation.get_template(StackName=stack_name, TemplateStage="Original")["TemplateBody"]
    template: Template = yaml.safe_load(body) if isinstance(body, str) else body
    return template


def check_permission(found: Sequence[Change], stack_name: str) -> None:
    """Check that no change needs permission.

    Raises:
        ChiplakeError: some do. The message names them and what to do.
    """
    named = [f"{one.logical_id} ({one.kind})" for one in found if one.needs_permission]
    if named:
        raise ChiplakeError(
            f"this would remove or replace {len(named)} resources of the stack {stack_name}: {', '.join(named)}. "
            "Nothing was deployed. If that is meant, run the command again with --allow-removal; otherwise set the "
            "choice that makes them, such as managed_airflow, in the deployment's file"
        )


def change_lines(found: Sequence[Change], is_new: bool) -> Iterator[str]:
    """Describe the changes, each in a line, and count them."""
    if not found:
        yield "no difference to what is deployed"
        return
    if is_new:
        yield "the stack does not exist yet"
    yield from (one.line for one in found)
    words = {Action.ADD: "added", Action.CHANGE: "changed", Action.REPLACE: "replaced", Action.REMOVE: "removed"}
    counts = [(sum(one.action is action for one in found), word) for action, word in words.items()]
    yield ", ".join(f"{count} {word}" for count, word in counts)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what differs between two resources: properties, and attributes such as DependsOn, except Metadata."""
    if before["Type"] != after["Type"]:
        return ("Type",)
    attributes = (before.keys() | after.keys()) - {"Properties", "Metadata"}
    found = [name for name in attributes if before.get(name, _ABSENT) != after.get(name, _ABSENT)]
    old, new = before.get("Properties", {}), after.get("Properties", {})
    found += [name for name in old.keys() | new.keys() if old.get(name, _ABSENT) != new.get(name, _ABSENT)]
    return tuple(sorted(found))


def _replaced(
    before: Mapping[str, Any], after: Mapping[str, Any], both: Mapping[str, tuple[str, ...]]
) -> frozenset[str]:
    """Return the resources that CloudFormation makes again: a property that is only set at creation has changed.

    Such a property may also refer to a resource that is made again, as that of a subnet to its network.
    """
    fixed = {name: _create_only(after[name]["Type"]) for name in both}
    replaced: frozenset[str] = frozenset()
    while True:
        more = frozenset(
            name
            for name, what in both.items()
            if what == ("Type",)
            or any(
                _at(before[name], path) != _at(after[name], path) or _refers(_at(after[name], path), replaced)
                for path in fixed[name]
            )
        )
        if more == replaced:
            return replaced
        replaced = more


def _create_only(kind: str) -> tuple[tuple[str, ...], ...]:
    """Return the paths of the properties of a type that are only set at creation, by AWS's schemas in cfn-lint."""
    try:
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(_SCHEMAS_OF, kind).schema
    except ResourceNotFoundError:
        return ()
    paths: list[str] = schema.get("createOnlyProperties", [])
    return tuple(tuple(path.removeprefix("/properties/").split("/")) for path in paths)


def _at(resource: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = resource.get("Properties", {})
    for part in path:
        value = value.get(part, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    return value


def _refers(value: Any, names: frozenset[str]) -> bool:
    """Return whether a value has a reference to one of these resources."""
    match value:
        case {"Ref": name}:
            return name in names
        case {"Fn::GetAtt": [name, *_]}:
            return name in names
        case Mapping():
            return any(_refers(one, names) for one in value.values())
        case list():
            return any(_refers(one, names) for one in value)
    return False


def main() -> None:
    """Print the changes, and end with an error if some need permission."""
    folder, *options = sys.argv[1:]
    assembly = Assembly.read(Path(folder))
    with plain_errors("cannot read the deployed stack"):
        deployed = deployed_template(client(session(), "cloudformation"), assembly.stack_name)
    found = changes(deployed, assembly.template)
    for line in change_lines(found, is_new=not deployed):
        print(f"    {line}")
    if "--allow-removal" in options:
        return
    if "--plan" not in options:
        check_permission(found, assembly.stack_name)
    elif any(one.needs_permission for one in found):
        print("    deploy.sh refuses this without --allow-removal")


if __name__ == "__main__":
    try:
        main()
    except ChiplakeError as error:
        sys.exit(f"deploy.sh: {error}")
