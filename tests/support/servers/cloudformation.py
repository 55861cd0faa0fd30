"""CloudFormation of the double of AWS: stacks with their templates and states, but without resources.

moto cannot make many of the resources that the project deploys, such as buckets' policies and managed Airflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from moto.cloudformation.models import Stack, cloudformation_backends
from moto.cloudformation.parsing import ResourceMap

from support.servers.aws import REGION, AwsServer

ACCOUNT = "123456789012"


@contextmanager
def stacks_without_resources() -> Iterator[None]:
    """Keep the templates of stacks, and make no resources, while the context lasts."""
    no_outputs = SimpleNamespace(exports=[], values=lambda: [])
    with ExitStack() as patches:
        for name in ("load", "update"):
            patches.enter_context(patch.object(ResourceMap, name, lambda *_arguments: None))
        patches.enter_context(patch.object(ResourceMap, "create", lambda *_arguments: True))
        patches.enter_context(patch.object(Stack, "_create_output_map", lambda _stack: no_outputs))
        yield


def deploy_template(aws: AwsServer, template: Path, stack_name: str = "chiplake") -> None:
    """Make a stack, or give a stack another template."""
    cloudformation = aws.client("cloudformation")
    exists = any(one["StackName"] == stack_name for one in cloudformation.describe_stacks()["Stacks"])
    call = cloudformation.update_stack if exists else cloudformation.create_stack
    call(StackName=stack_name, TemplateBody=template.read_text(), Capabilities=["CAPABILITY_NAMED_IAM"])


def set_status(status: str, stack_name: str = "chiplake") -> None:
    """Put a stack into a state."""
    stacks: dict[str, Any] = cloudformation_backends[ACCOUNT][REGION].stacks
    (stack,) = (one for one in stacks.values() if one.name == stack_name)
    stack.status = status
