"""Exceptions from the rules of cdk-nag, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aws_cdk import Acknowledgment, Stack, Token, Validations

from stack import layout
from stack.config import Config


@dataclass(frozen=True)
class Accepted:
    """Findings of a rule on one part of the stack that are accepted."""

    construct: str  # start of the construct's id
    rule: str
    reason: str
    # Of a rule with several findings. {bucket}, {name}, {schema}, {raw_schema}, {ops_schema}, {account} and {region}
    # are those of the deployment.
    findings: tuple[str, ...] = ()


def _arns(*resources: str) -> tuple[str, ...]:
    return tuple(f"Resource::arn:<AWS::Partition>:{resource}" for resource in resources)


def _objects(*prefixes: str) -> tuple[str, ...]:
    return tuple(f"Resource::<{{bucket}}.Arn>/{prefix}/*" for prefix in prefixes)


def _actions(*names: str) -> tuple[str, ...]:
    return tuple(f"Action::{name}" for name in names)


_IAM4: Final = "AwsSolutions-IAM4"
_IAM5: Final = "AwsSolutions-IAM5"
_EVERYTHING: Final = "Resource::*"
_HERE: Final = "<AWS::Region>:<AWS::AccountId>"
_LOGS: Final = f"logs:{_HERE}:log-group"
_COPIER: Final = "Custom::CDKBucketDeployment"
_LAMBDA_ROLE: Final = "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"

_PREFIX: Final = "A prefix of the bucket: the names of objects below it are not known in advance."
_CDK: Final = "CDK makes it to copy files at deployment; CloudFormation alone runs it."
_LOG_STREAMS: Final = "A log stream a job, in SageMaker's own log group."
_NO_RESOURCES: Final = "ecr:GetAuthorizationToken and cloudwatch:PutMetricData take no resources."
_DATA_KEYS: Final = "SNS requires data keys of the topics' key, with and without plaintext."

# fmt: off
EXCEPTIONS: Final = (
    Accepted("AccessLogs", "AwsSolutions-S1", "It holds the access logs: logs of its own would never end."),

    Accepted("JobRole", _IAM5, _PREFIX, _objects(
        layout.CODE, layout.CHECKPOINTS, layout.PROJECT,
        layout.WAREHOUSE, layout.TRANSFORM, layout.SPARK_EVENTS, layout.DOCS,
    )),
    Accepted("JobRole", _IAM5, "All tables of these databases are the project's: dbt makes and drops them.", _arns(
        *(f"glue:{_HERE}:table/{{{schema}}}/*" for schema in ("raw_schema", "ops_schema", "schema")),
    )),
    Accepted("JobRole", _IAM5, "Glue lists all databases or none; the list holds names, not data.", _arns(
        f"glue:{_HERE}:database/*",
    )),
    Accepted("JobRole", _IAM5, _LOG_STREAMS, _arns(f"{_LOGS}:/aws/sagemaker/ProcessingJobs:*")),
    Accepted("JobRole", _IAM5, _NO_RESOURCES, (_EVERYTHING,)),

    Accepted("TransformRole", _IAM5, _PREFIX, _objects(layout.MODELS, layout.TRANSFORM)),
    Accepted("TransformRole", _IAM5, _LOG_STREAMS, _arns(f"{_LOGS}:/aws/sagemaker/TransformJobs:*")),
    Accepted("TransformRole", _IAM5, _NO_RESOURCES, (_EVERYTHING,)),

    Accepted("OrchestratorPolicy", _IAM5, _PREFIX, _objects(layout.CODE, layout.TRANSFORM)),
    Accepted("OrchestratorPolicy", _IAM5, "Jobs of this deployment, by the start of their names.", _arns(
        f"sagemaker:{_HERE}:processing-job/{{name}}-*", f"sagemaker:{_HERE}:transform-job/{{name}}-*",
    )),
    Accepted("OrchestratorPolicy", _IAM5, "The DAG's own Variables, also those that people set by hand.", _arns(
        f"ssm:{_HERE}:parameter/airflow/variables/{{name}}/chiplake_*",
    )),
    Accepted("OrchestratorPolicy", _IAM5, _DATA_KEYS, _actions("kms:GenerateDataKey*")),

    Accepted(_COPIER, "AwsSolutions-L1", _CDK),
    Accepted(_COPIER, _IAM4, _CDK, (_LAMBDA_ROLE,)),
    Accepted(_COPIER, _IAM5, _CDK, (
        *_actions("s3:GetBucket*", "s3:GetObject*", "s3:List*", "s3:Abort*", "s3:DeleteObject*"),
        *_arns("s3:::cdk-hnb659fds-assets-{account}-{region}/*"),
        "Resource::<{bucket}.Arn>/*",
    )),

    Accepted("AirflowRole", _IAM5, _PREFIX, _objects(layout.AIRFLOW)),
    Accepted("AirflowRole", _IAM5, "AWS requires it: log groups of managed Airflow, its queue in an account of AWS.", (
        *_arns(f"{_LOGS}:airflow-{{name}}-airflow-*", "sqs:<AWS::Region>:*:airflow-celery-*"),
        *_actions("kms:GenerateDataKey*"),
    )),
    Accepted("AirflowRole", _IAM5, "AWS requires it: actions that take no resources.", (_EVERYTHING,)),
)
# fmt: on


def accept_exceptions(stack: Stack, config: Config, bucket: str) -> None:
    """Accept the findings of the table. A finding that is not accepted ends the synthesis.

    Args:
        stack: the stack that cdk-nag checks.
        config: the choices of the deployment.
        bucket: logical id of the bucket.
    """
    values = {
        "bucket": bucket,
        "name": config.name,
        "schema": config.target_schema,
        "raw_schema": config.raw_schema,
        "ops_schema": config.ops_schema,
        "account": "<AWS::AccountId>" if Token.is_unresolved(stack.account) else stack.account,
        "region": "<AWS::Region>" if Token.is_unresolved(stack.region) else stack.region,
    }
    for exception in (*EXCEPTIONS, *_source_buckets(config), *_network(config), *_key(config)):
        findings = [finding.format_map(values) for finding in exception.findings]
        ids = [f"{exception.rule}[{finding}]" for finding in findings] or [exception.rule]
        for child in stack.node.children:
            if child.node.id.startswith(exception.construct):
                Validations.of(child).acknowledge(*(Acknowledgment(id=one, reason=exception.reason) for one in ids))


def _source_buckets(config: Config) -> tuple[Accepted, ...]:
    if not config.source_buckets:
        return ()
    findings = _arns(*(f"s3:::{name}/*" for name in config.source_buckets))
    return (Accepted("JobRole", _IAM5, "The user names these buckets of rasters; jobs read all of them.", findings),)


def _network(config: Config) -> tuple[Accepted, ...]:
    if not config.job_subnets:
        return ()
    interfaces = _arns(f"ec2:{_HERE}:network-interface/*")
    shared = _arns(
        *(f"ec2:<AWS::Region>:*:subnet/{name}" for name in config.job_subnets),
        *(f"ec2:<AWS::Region>:*:security-group/{name}" for name in config.job_security_groups),
    )
    return tuple(
        accepted
        for role in ("JobRole", "TransformRole")
        for accepted in (
            Accepted(role, _IAM5, "SageMaker makes them in these subnets, for one job each.", interfaces),
            Accepted(role, _IAM5, "Another account may share the subnets and groups; their ids are unique.", shared),
        )
    )


def _key(config: Config) -> tuple[Accepted, ...]:
    if not config.kms_key:
        return ()
    return (Accepted(_COPIER, _IAM5, _CDK, _actions("kms:GenerateDataKey*", "kms:ReEncrypt*")),)
