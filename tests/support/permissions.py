"""The policies of the stack as IAM sees them, and what they refuse of the calls that were recorded.

The judge is @cloud-copilot/iam-simulate, which knows conditions and the resources that an action takes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import pytest

from support.assemblies import Synthesised
from support.servers.calls import ACCOUNT, Call, as_json

_FOLDER: Final = Path(__file__).with_name("iam")
_PARTITION, _REGION = "aws", "eu-central-1"

Document = dict[str, Any]


class Policies:
    """The policies of a deployment, with the names that its resources have in AWS."""

    def __init__(self, synthesised: Synthesised, names: Mapping[str, str]) -> None:
        """Read the template.

        Args:
            synthesised: the assembly.
            names: names by logical id, of resources that AWS names.
        """
        self.resources: dict[str, Any] = synthesised.template["Resources"]
        self.names = names

    def of_role(self, logical_id: str) -> list[Document]:
        """Return the policies of a role.

        Args:
            logical_id: the start of the logical id, such as JobRole.
        """
        return [
            self._plain(one["Properties"]["PolicyDocument"])
            for name, one in self.resources.items()
            if one["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy") and name.startswith(logical_id)
        ]

    def _plain(self, value: Any) -> Any:
        """Return a value of the template without intrinsic functions."""
        match value:
            case {"Ref": name} if name.startswith("AWS::"):
                return {"AWS::Partition": _PARTITION, "AWS::Region": _REGION, "AWS::AccountId": ACCOUNT}[name]
            case {"Ref": name}:
                return self._arn(name)
            case {"Fn::GetAtt": [name, "Arn"]}:
                return self._arn(name)
            case {"Fn::Join": [separator, parts]}:
                return separator.join(self._plain(part) for part in parts)
            case dict():
                return {key: self._plain(one) for key, one in value.items()}
            case list():
                return [self._plain(one) for one in value]
        return value

    def _name(self, logical_id: str) -> str:
        properties = self.resources[logical_id]["Properties"]
        given = (self._plain(properties[key]) for key in ("BucketName", "RoleName", "TopicName") if key in properties)
        return str(next(given, self.names.get(logical_id, logical_id)))

    def _arn(self, logical_id: str) -> str:
        """Return the ARN of a resource: what `Ref` gives for topics and models, and `Arn` for the others."""
        name, here = self._name(logical_id), f"{_REGION}:{ACCOUNT}"
        return {
            "AWS::S3::Bucket": f"arn:aws:s3:::{name}",
            "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{name}",
            "AWS::SNS::Topic": f"arn:aws:sns:{here}:{name}",
            "AWS::SageMaker::Model": f"arn:aws:sagemaker:{here}:model/{name}",
            "AWS::KMS::Key": f"arn:aws:kms:{here}:key/{name}",
        }[self.resources[logical_id]["Type"]]


def key_calls(calls: Iterable[Call], bucket: str, key: str) -> set[Call]:
    """Return what S3 asks of KMS for calls, if all objects of a bucket are encrypted with a key.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html#require-sse-kms: GenerateDataKey to
    write, Decrypt to read, and both to write in parts.

    Args:
        calls: calls of S3, among others.
        bucket: name of the bucket.
        key: ARN of the key.
    """
    asked = {"s3:GetObject": ("kms:Decrypt",), "s3:PutObject": ("kms:GenerateDataKey", "kms:Decrypt")}
    return {
        Call(one.principal, action, key)
        for one in calls
        if one.resource.startswith(f"arn:aws:s3:::{bucket}/")
        for action in asked.get(one.action, ())
    }


def refused(calls: Iterable[Call], policies: Mapping[str, list[Document]]) -> list[str]:
    """Return the calls that the policies do not allow, each with the reason.

    Args:
        calls: what was recorded; calls of other principals than those of the policies are left out.
        policies: the documents by principal.
    """
    judged = [one for one in calls if one.principal in policies]
    if not (_FOLDER / "node_modules").is_dir():
        pytest.skip(f"no judge of policies: run `npm install` in {_FOLDER}")
    done = subprocess.run(
        ["node", _FOLDER / "judge.mjs"],
        input=json.dumps({"policies": policies, "calls": as_json(judged)}),
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        f"{one['principal']}: {one['action']} on {one['resource']} {one['context'] or ''}: {one['reason']}"
        for one in json.loads(done.stdout)
    ]


def never_called(calls: Iterable[Call], policies: Mapping[str, list[Document]]) -> dict[str, set[str]]:
    """Return the actions that the policies allow and that no call has needed, by principal.

    Args:
        calls: what was recorded.
        policies: the documents by principal; an action may end with an asterisk.
    """
    called: dict[str, set[str]] = {}
    for call in calls:
        called.setdefault(call.principal, set()).add(call.action)
    return {
        principal: {
            action
            for document in documents
            for statement in document["Statement"]
            for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
            if not any(fnmatchcase(one, action) for one in called.get(principal, ()))
        }
        for principal, documents in policies.items()
    }
