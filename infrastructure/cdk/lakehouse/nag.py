"""Exceptions from cdk-nag's rules, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import Acknowledgment, Stack, Validations

# By the place in the stack, then by the finding.
EXCEPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "AccessLogs": {"AwsSolutions-S1": "It is the bucket of access logs: a log of its own would never end."},
}


def accept_exceptions(stack: Stack) -> None:
    """Accept the findings of the table; one whose place is not in this stack is passed over."""
    for place, reasons in EXCEPTIONS.items():
        construct = stack.node.try_find_child(place)
        if construct is not None:
            findings = [Acknowledgment(id=finding, reason=reason) for finding, reason in reasons.items()]
            Validations.of(construct).acknowledge(*findings)
