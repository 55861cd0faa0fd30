"""The roles and their permissions: each role may use only the prefixes and tables that its work needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from aws_cdk import Aws as Pseudo
from aws_cdk import Stack, aws_ecr_assets, aws_iam, aws_kms, aws_s3, aws_sagemaker, aws_sns
from chiplake_airflow.variables import parameter_prefix

from stack import layout
from stack.alarms import TOPIC_KEY_ACTIONS
from stack.config import Config
from stack.storage import databases

# The calls of Iceberg to Glue for a table; Iceberg keeps versions in its own metadata.
_GLUE_TABLES: Final = ("GetTable", "GetTables", "CreateTable", "UpdateTable", "DeleteTable")
# PyIceberg and Spark look for a namespace of this name and create it if it is missing.
_DEFAULT_DATABASE: Final = "default"
# S3 asks for them to read objects, to write them, and to write them in parts.
_READ_AND_WRITE_BY_KEY: Final = ("kms:Decrypt", "kms:GenerateDataKey")
_SAGEMAKER_ACTIONS: Final = {
    "processing-job": ("CreateProcessingJob", "DescribeProcessingJob"),
    "transform-job": ("CreateTransformJob", "DescribeTransformJob"),
}


def make_job_role(
    stack: Stack, config: Config, bucket: aws_s3.IBucket, image: aws_ecr_assets.DockerImageAsset
) -> aws_iam.Role:
    """Make the execution role of processing jobs: Spark reads and writes the lake."""
    role = _make_sagemaker_role(stack, "JobRole", f"{config.name}-job", "Chiplake: processing jobs")
    read = [layout.CODE, layout.CHECKPOINTS, layout.PROJECT]
    write = [layout.WAREHOUSE, layout.TRANSFORM, layout.SPARK_EVENTS, layout.DOCS]
    _allow(role, _object_statements(bucket, read, write))
    for name in config.source_buckets:
        _allow(role, _object_statements(aws_s3.Bucket.from_bucket_name(stack, f"Source-{name}", name), [""], []))
    catalog, names = _arn("glue", "catalog"), tuple(databases(config))
    role.add_to_policy(
        aws_iam.PolicyStatement(
            actions=["glue:GetDatabase", "glue:CreateDatabase"],
            resources=[catalog, *(_arn("glue", f"database/{name}") for name in (*names, _DEFAULT_DATABASE))],
        )
    )
    # PyIceberg lists the databases to find the missing ones; Glue lists all or none.
    role.add_to_policy(
        aws_iam.PolicyStatement(actions=["glue:GetDatabases"], resources=[catalog, _arn("glue", "database/*")])
    )
    tables = [_arn("glue", f"table/{name}/*") for name in names]
    role.add_to_policy(
        aws_iam.PolicyStatement(
            actions=[f"glue:{action}" for action in _GLUE_TABLES],
            resources=[catalog, *(_arn("glue", f"database/{name}") for name in names), *tables],
        )
    )
    _allow(role, _log_statements("/aws/sagemaker/ProcessingJobs"))
    # Glue asks for the same three if its catalog has this key; SageMaker makes a grant for the disks of the job.
    _allow(role, _key_statements(config, *_READ_AND_WRITE_BY_KEY, "kms:Encrypt", "kms:CreateGrant"))
    _allow(role, _network_statements(config))
    image.repository.grant_pull(role)
    return role


def make_transform_role(
    stack: Stack, config: Config, bucket: aws_s3.IBucket, image: aws_ecr_assets.DockerImageAsset
) -> aws_iam.Role:
    """Make the execution role of the inference server's model and of batch transform jobs."""
    role = _make_sagemaker_role(stack, "TransformRole", f"{config.name}-transform", "Chiplake: batch transform jobs")
    _allow(role, _object_statements(bucket, read=[layout.MODELS], write=[layout.TRANSFORM]))
    _allow(role, _log_statements("/aws/sagemaker/TransformJobs"))
    _allow(role, _key_statements(config, *_READ_AND_WRITE_BY_KEY, "kms:Encrypt"))
    _allow(role, _network_statements(config))
    image.repository.grant_pull(role)
    return role


def make_orchestrator_policy(
    stack: Stack,
    config: Config,
    bucket: aws_s3.IBucket,
    roles: Sequence[aws_iam.Role],
    model: aws_sagemaker.CfnModel,
    topic: aws_sns.Topic,
    key: aws_kms.Key,
) -> aws_iam.ManagedPolicy:
    """Make the policy of the DAG: it starts and watches jobs and reads its Variables and the objects of a transform.

    Attach it to the role of your own Airflow; the managed Airflow of this stack already has it.
    """
    policy = aws_iam.ManagedPolicy(
        stack,
        "OrchestratorPolicy",
        managed_policy_name=f"{config.name}-orchestrator-{Pseudo.REGION}",
        description="Chiplake: what the DAG does on AWS",
    )
    for kind, actions in _SAGEMAKER_ACTIONS.items():
        jobs = _arn("sagemaker", f"{kind}/{config.name}-*")
        policy.add_statements(
            aws_iam.PolicyStatement(actions=[f"sagemaker:{action}" for action in actions], resources=[jobs])
        )
    policy.add_statements(
        aws_iam.PolicyStatement(actions=["sagemaker:DescribeModel"], resources=[model.ref]),
        aws_iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[role.role_arn for role in roles],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        aws_iam.PolicyStatement(
            actions=["ssm:GetParameter"],
            resources=[_arn("ssm", f"parameter{parameter_prefix(config.name)}/chiplake_*")],
        ),
        aws_iam.PolicyStatement(actions=["sns:Publish"], resources=[topic.topic_arn]),
        aws_iam.PolicyStatement(actions=list(TOPIC_KEY_ACTIONS), resources=[key.key_arn]),
        *_object_statements(bucket, read=[layout.CODE], write=[layout.TRANSFORM]),
        *_key_statements(config, *_READ_AND_WRITE_BY_KEY),
        # HeadBucket, by which the amazon provider checks the input of a transform job, is a request without a prefix.
        aws_iam.PolicyStatement(
            actions=["s3:ListBucket"], resources=[bucket.bucket_arn], conditions={"Null": {"s3:prefix": "true"}}
        ),
    )
    return policy


def _make_sagemaker_role(stack: Stack, construct_id: str, name: str, description: str) -> aws_iam.Role:
    return aws_iam.Role(
        stack,
        construct_id,
        role_name=f"{name}-{Pseudo.REGION}",
        description=description,
        assumed_by=aws_iam.ServicePrincipal(
            "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Pseudo.ACCOUNT_ID}}
        ),
    )


def _allow(role: aws_iam.Role, statements: Iterable[aws_iam.PolicyStatement]) -> None:
    for statement in statements:
        role.add_to_policy(statement)


def _object_statements(
    bucket: aws_s3.IBucket, read: Sequence[str], write: Sequence[str]
) -> list[aws_iam.PolicyStatement]:
    """Return the statements to list, read and write objects below prefixes. An empty prefix is the whole bucket."""
    patterns = [f"{prefix}/*" if prefix else "*" for prefix in (*read, *write)]
    statements = [
        aws_iam.PolicyStatement(
            actions=["s3:GetObject"], resources=[bucket.arn_for_objects(pattern) for pattern in patterns]
        ),
        aws_iam.PolicyStatement(actions=["s3:GetBucketLocation"], resources=[bucket.bucket_arn]),
        aws_iam.PolicyStatement(
            actions=["s3:ListBucket"],
            resources=[bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": patterns}},
        ),
    ]
    if write:
        statements.append(
            aws_iam.PolicyStatement(
                actions=["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
                resources=[bucket.arn_for_objects(f"{prefix}/*") for prefix in write],
            )
        )
    return statements


def _key_statements(config: Config, *actions: str) -> list[aws_iam.PolicyStatement]:
    """Return the statement for the key of the bucket; none if the deployment has no key.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html names what SageMaker needs: kms:Decrypt of
    inputs, kms:Encrypt for outputs, kms:CreateGrant for disks.
    """
    return [aws_iam.PolicyStatement(actions=list(actions), resources=[config.kms_key])] if config.kms_key else []


def _network_statements(config: Config) -> list[aws_iam.PolicyStatement]:
    """Return the statements by which SageMaker puts network interfaces into the subnets of jobs; none without subnets.

    The actions are those of https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html.
    """
    if not config.job_subnets:
        return []
    # A subnet may be shared by another account; its id is unique.
    place = f"arn:{Pseudo.PARTITION}:ec2:{Pseudo.REGION}:*"
    subnets = [f"{place}:subnet/{name}" for name in config.job_subnets]
    groups = [f"{place}:security-group/{name}" for name in config.job_security_groups]
    interfaces = _arn("ec2", "network-interface/*")
    described = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
    return [
        aws_iam.PolicyStatement(actions=["ec2:CreateNetworkInterface"], resources=[*subnets, *groups, interfaces]),
        aws_iam.PolicyStatement(
            actions=[
                *("ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"),
                "ec2:DeleteNetworkInterfacePermission",
            ],
            resources=[interfaces],
            conditions={"ArnLike": {"ec2:Subnet": subnets}},
        ),
        aws_iam.PolicyStatement(actions=[f"ec2:Describe{name}" for name in described], resources=["*"]),
    ]


def _log_statements(group: str) -> list[aws_iam.PolicyStatement]:
    """Return the statements for the logs and metrics that SageMaker writes under the role of a job."""
    return [
        aws_iam.PolicyStatement(
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            resources=[_arn("logs", f"log-group:{group}"), _arn("logs", f"log-group:{group}:*")],
        ),
        # Metrics take no resources; a policy can restrict only their namespace.
        aws_iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringEquals": {"cloudwatch:namespace": group}},
        ),
    ]


def _arn(service: str, resource: str) -> str:
    """Return the ARN of a resource of this account and region, such as `database/raw`."""
    return f"arn:{Pseudo.PARTITION}:{service}:{Pseudo.REGION}:{Pseudo.ACCOUNT_ID}:{resource}"
