"""Managed Airflow (MWAA), an option of the deployment: its network, role and environment."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from typing import Final

from aws_cdk import Aws as Pseudo
from aws_cdk import Stack, aws_ec2, aws_iam, aws_mwaa, aws_s3, aws_s3_deployment
from chiplake_airflow.variables import parameter_prefix
from constructs import IConstruct

from stack import layout
from stack.config import Config

_BACKEND: Final = "airflow.providers.amazon.aws.secrets.systems_manager.SystemsManagerParameterStoreBackend"
_LOGS: Final = ("dag_processing_logs", "scheduler_logs", "task_logs", "webserver_logs", "worker_logs")


@dataclass(frozen=True)
class Network:
    """Two private subnets with access to the internet, and the security group of Airflow."""

    subnet_ids: list[str]
    security_group_ids: list[str]
    parts: tuple[IConstruct, ...] = ()  # what must exist before Airflow can reach the internet


def make_network(stack: Stack, config: Config) -> Network:
    """Return the network of the configuration, or make one: two zones, one NAT gateway, S3 by a gateway endpoint."""
    if config.subnet_ids:
        return Network(list(config.subnet_ids), list(config.security_group_ids))
    vpc = aws_ec2.Vpc(
        stack,
        "Network",
        ip_addresses=aws_ec2.IpAddresses.cidr("10.192.0.0/16"),
        max_azs=2,
        nat_gateways=1,
        gateway_endpoints={"S3": aws_ec2.GatewayVpcEndpointOptions(service=aws_ec2.GatewayVpcEndpointAwsService.S3)},
        flow_logs={"Rejected": aws_ec2.FlowLogOptions(traffic_type=aws_ec2.FlowLogTrafficType.REJECT)},
    )
    group = aws_ec2.SecurityGroup(
        stack, "AirflowGroup", vpc=vpc, description="Managed Airflow: its parts among themselves, and out"
    )
    group.add_ingress_rule(group, aws_ec2.Port.all_traffic(), "Airflow's own parts")
    return Network([subnet.subnet_id for subnet in vpc.private_subnets], [group.security_group_id], (vpc, group))


def make_environment(
    stack: Stack, config: Config, bucket: aws_s3.IBucket, orchestrator: aws_iam.ManagedPolicy, network: Network
) -> aws_mwaa.CfnEnvironment:
    """Make the environment. Its DAGs come from the bucket, its Variables from the parameters of SSM."""
    name = f"{config.name}-airflow"
    role = _make_role(stack, name, bucket, orchestrator)
    script, script_path = _deploy_startup_script(stack, config, bucket)
    level = aws_mwaa.CfnEnvironment.ModuleLoggingConfigurationProperty(enabled=True, log_level="INFO")
    environment = aws_mwaa.CfnEnvironment(
        stack,
        "Airflow",
        name=name,
        airflow_version=config.airflow_version,
        environment_class=config.airflow_class,
        source_bucket_arn=bucket.bucket_arn,
        dag_s3_path=f"{layout.AIRFLOW}/dags",
        startup_script_s3_path=script_path,
        execution_role_arn=role.role_arn,
        network_configuration=aws_mwaa.CfnEnvironment.NetworkConfigurationProperty(
            subnet_ids=network.subnet_ids, security_group_ids=network.security_group_ids
        ),
        webserver_access_mode="PUBLIC_ONLY",  # IAM guards it; a private server needs access to the network
        airflow_configuration_options={
            "secrets.backend": _BACKEND,
            "secrets.backend_kwargs": f'{{"variables_prefix": "{parameter_prefix(config.name)}", '
            '"connections_prefix": null, "config_prefix": null}',
        },
        logging_configuration=aws_mwaa.CfnEnvironment.LoggingConfigurationProperty(**dict.fromkeys(_LOGS, level)),
    )
    # Their names are all that the template tells: CloudFormation would make the environment before the script is in the
    # bucket, and before the subnets have their way to the internet; both end in a failure after half an hour.
    environment.node.add_dependency(role, script, *network.parts)
    return environment


def _startup_script(config: Config) -> str:
    """Return the script that sets the environment variables of dags/chiplake_airflow/environment.py."""
    return (
        "#!/bin/sh\nexport CHIPLAKE_AIRFLOW_RUNTIME=aws\n"
        f"export CHIPLAKE_TARGET_SCHEMA={shlex.quote(config.target_schema)}\n"
    )


def _deploy_startup_script(
    stack: Stack, config: Config, bucket: aws_s3.IBucket
) -> tuple[aws_s3_deployment.BucketDeployment, str]:
    """Copy the script under a name with its digest: MWAA takes a new script only under a new name."""
    text = _startup_script(config)
    name = f"startup-{hashlib.sha256(text.encode()).hexdigest()[:16]}.sh"
    place = f"{layout.AIRFLOW}/startup"
    deployed = aws_s3_deployment.BucketDeployment(
        stack,
        "Deploy-airflow-startup",
        sources=[aws_s3_deployment.Source.data(name, text)],
        destination_bucket=bucket,
        destination_key_prefix=place,
        prune=False,  # the environment may still use the old script
        retain_on_delete=True,
    )
    return deployed, f"{place}/{name}"


def _make_role(stack: Stack, name: str, bucket: aws_s3.IBucket, orchestrator: aws_iam.ManagedPolicy) -> aws_iam.Role:
    """Make the execution role of https://docs.aws.amazon.com/mwaa/latest/userguide/mwaa-create-role.html, narrowed."""
    arn = f"arn:{Pseudo.PARTITION}"
    here = f"{Pseudo.REGION}:{Pseudo.ACCOUNT_ID}"
    logs = f"{arn}:logs:{here}:log-group:airflow-{name}-*"
    role = aws_iam.Role(
        stack,
        "AirflowRole",
        role_name=f"{name}-{Pseudo.REGION}",
        description="Chiplake: managed Airflow",
        assumed_by=aws_iam.CompositePrincipal(
            *(
                aws_iam.ServicePrincipal(
                    f"{service}.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Pseudo.ACCOUNT_ID}}
                )
                for service in ("airflow", "airflow-env")
            )
        ),
        managed_policies=[orchestrator],
    )
    statements = (
        aws_iam.PolicyStatement(
            actions=["airflow:PublishMetrics"], resources=[f"{arn}:airflow:{here}:environment/{name}"]
        ),
        aws_iam.PolicyStatement(actions=["s3:GetObject"], resources=[bucket.arn_for_objects(f"{layout.AIRFLOW}/*")]),
        aws_iam.PolicyStatement(
            actions=["s3:ListBucket", "s3:GetBucketPublicAccessBlock", "s3:GetBucketVersioning"],
            resources=[bucket.bucket_arn],
        ),
        aws_iam.PolicyStatement(actions=["s3:GetAccountPublicAccessBlock"], resources=["*"]),
        aws_iam.PolicyStatement(
            actions=[
                *("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:GetLogEvents"),
                *("logs:GetLogRecord", "logs:GetLogGroupFields", "logs:GetQueryResults"),
            ],
            resources=[logs],
        ),
        aws_iam.PolicyStatement(actions=["logs:DescribeLogGroups"], resources=["*"]),
        aws_iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringEquals": {"cloudwatch:namespace": "AmazonMWAA"}},
        ),
        # The queue and its key belong to an account of AWS.
        aws_iam.PolicyStatement(
            actions=[
                *("sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"),
                *("sqs:ReceiveMessage", "sqs:SendMessage"),
            ],
            resources=[f"{arn}:sqs:{Pseudo.REGION}:*:airflow-celery-*"],
        ),
        aws_iam.PolicyStatement(
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:Encrypt"],
            not_resources=[f"{arn}:kms:*:{Pseudo.ACCOUNT_ID}:key/*"],
            conditions={"StringLike": {"kms:ViaService": [f"sqs.{Pseudo.REGION}.amazonaws.com"]}},
        ),
    )
    for statement in statements:
        role.add_to_policy(statement)
    return role
