"""Exceptions from cdk-nag's rules, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aws_cdk import Acknowledgment, Stack, Token, Validations

from stack import layout
from stack.config import Config

_PREFIX: Final = "A prefix of the bucket: what lies below it has names that nobody knows before."
_CDK: Final = "Made by CDK for copying files at deployment; it is run by CloudFormation alone."


@dataclass(frozen=True)
class Accepted:
    """Findings on one thing of the stack that are right as they are."""

    place: str  # start of its name in the stack
    rule: str
    reason: str
    findings: tuple[str, ...] = ()  # of a rule that has several


def accept_exceptions(stack: Stack, config: Config, bucket: str) -> None:
    """Accept the findings of the table. An exception that meets nothing is harmless; a finding without one ends synth.

    Args:
        stack: what is judged.
        config: the choices in force.
        bucket: logical id of the bucket.
    """
    for exception in _exceptions(stack, config, bucket):
        ids = [f"{exception.rule}[{finding}]" for finding in exception.findings] or [exception.rule]
        for child in stack.node.children:
            if child.node.id.startswith(exception.place):
                Validations.of(child).acknowledge(*(Acknowledgment(id=one, reason=exception.reason) for one in ids))


def _exceptions(stack: Stack, config: Config, bucket: str) -> Iterable[Accepted]:
    here = "<AWS::Region>:<AWS::AccountId>"
    account = "<AWS::AccountId>" if Token.is_unresolved(stack.account) else stack.account
    region = "<AWS::Region>" if Token.is_unresolved(stack.region) else stack.region

    def arns(*resources: str) -> tuple[str, ...]:
        return tuple(f"Resource::arn:<AWS::Partition>:{resource}" for resource in resources)

    def prefixes(*names: str) -> tuple[str, ...]:
        return tuple(f"Resource::<{bucket}.Arn>/{name}/*" for name in names)

    iam4, iam5 = "AwsSolutions-IAM4", "AwsSolutions-IAM5"
    everything = ("Resource::*",)
    yield Accepted(
        "AccessLogs", "AwsSolutions-S1", "It is the bucket of access logs: a log of its own would never end."
    )

    read = (layout.CODE, layout.CHECKPOINTS, layout.PROJECT)
    written = (layout.WAREHOUSE, layout.TRANSFORM, layout.SPARK_EVENTS, layout.DOCS)
    yield Accepted("JobRole", iam5, _PREFIX, prefixes(*read, *written))
    yield Accepted(
        "JobRole",
        iam5,
        "The user names these buckets of rasters, to be read whole.",
        arns(*(f"s3:::{name}/*" for name in config.source_buckets)),
    )
    yield Accepted(
        "JobRole",
        iam5,
        "All tables of these databases are the project's: dbt makes and drops them.",
        arns(f"glue:{here}:table/raw/*", f"glue:{here}:table/chiplake/*"),
    )
    yield Accepted(
        "JobRole",
        iam5,
        "Glue lists all databases or none; the list holds names, not data.",
        arns(f"glue:{here}:database/*"),
    )
    yield Accepted("TransformRole", iam5, _PREFIX, prefixes(layout.MODELS, layout.TRANSFORM))
    for role, group in (("JobRole", "ProcessingJobs"), ("TransformRole", "TransformJobs")):
        yield Accepted(
            role,
            iam5,
            "A log stream a job, in SageMaker's own log group.",
            arns(f"logs:{here}:log-group:/aws/sagemaker/{group}:*"),
        )
        yield Accepted(
            role, iam5, "ecr:GetAuthorizationToken and cloudwatch:PutMetricData know no resources.", everything
        )

    yield Accepted("OrchestratorPolicy", iam5, _PREFIX, prefixes(layout.CODE, layout.TRANSFORM))
    yield Accepted(
        "OrchestratorPolicy",
        iam5,
        "Jobs of this deployment by the start of their name; runs add a date.",
        arns(f"sagemaker:{here}:processing-job/{config.name}-*", f"sagemaker:{here}:transform-job/{config.name}-*"),
    )
    yield Accepted(
        "OrchestratorPolicy",
        iam5,
        "The DAG's own Variables, also those that people set by hand.",
        arns(f"ssm:{here}:parameter/airflow/variables/chiplake_*"),
    )
    yield Accepted(
        "OrchestratorPolicy",
        iam5,
        "Data keys of the topics' own key, with and without plaintext: as SNS asks for.",
        ("Action::kms:GenerateDataKey*",),
    )

    copier = "Custom::CDKBucketDeployment"
    yield Accepted(copier, "AwsSolutions-L1", _CDK)
    yield Accepted(
        copier, iam4, _CDK, ("Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",)
    )
    yield Accepted(
        copier,
        iam5,
        _CDK,
        (
            *(f"Action::s3:{action}*" for action in ("GetBucket", "GetObject", "List", "Abort", "DeleteObject")),
            *arns(f"s3:::cdk-hnb659fds-assets-{account}-{region}/*"),
            f"Resource::<{bucket}.Arn>/*",
        ),
    )

    yield Accepted("AirflowRole", iam5, _PREFIX, prefixes(layout.AIRFLOW))
    yield Accepted(
        "AirflowRole",
        iam5,
        "As AWS asks for managed Airflow: its log groups, its queue in an account of AWS, and what knows no resources.",
        (
            *everything,
            *arns(
                f"logs:{here}:log-group:airflow-{config.name}-airflow-*",
                "sqs:<AWS::Region>:*:airflow-celery-*",
            ),
            "Action::kms:GenerateDataKey*",
        ),
    )
