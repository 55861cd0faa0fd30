"""Parameters of SSM Parameter Store: the Airflow Variables that the DAG reads, and the name of the bucket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import CfnCondition, Stack, aws_ecr_assets, aws_iam, aws_s3, aws_sagemaker, aws_sns, aws_ssm
from chiplake_airflow.variables import VARIABLES, parameter

from stack import layout
from stack.config import CHECKPOINT_VARIABLE, Config, check_variables


@dataclass(frozen=True)
class Resources:
    """Resources that the Variables refer to."""

    bucket: aws_s3.IBucket
    spark_image: aws_ecr_assets.DockerImageAsset
    job_role: aws_iam.Role
    model: aws_sagemaker.CfnModel
    topic: aws_sns.Topic


def values(stack: Stack, config: Config, resources: Resources) -> dict[str, str]:
    """Return the values of the Variables that every deployment writes, by name.

    Raises:
        ChiplakeError: the DAG does not read a Variable, or it requires one that has no value.
    """
    bucket_uri = f"s3://{resources.bucket.bucket_name}"
    known = {
        "chiplake_name": config.name,
        "chiplake_region": stack.region,
        "chiplake_settings": json.dumps(config.job_settings, sort_keys=True),
        "chiplake_warehouse": f"{bucket_uri}/{layout.WAREHOUSE}",
        "chiplake_job_role_arn": resources.job_role.role_arn,
        "chiplake_spark_image": resources.spark_image.image_uri,
        "chiplake_spark_instance_type": config.spark_instance_type,
        "chiplake_spark_volume_gb": str(config.spark_volume_gb),
        "chiplake_transform_s3_uri": f"{bucket_uri}/{layout.TRANSFORM}",
        "chiplake_transform_model": resources.model.attr_model_name,
        "chiplake_transform_instance_type": config.transform_instance_type,
        "chiplake_transform_instance_count": str(config.transform_instance_count),
        "chiplake_docs_s3_uri": f"{bucket_uri}/{layout.DOCS}",
        "chiplake_alerts_topic_arn": resources.topic.topic_arn,
    }
    if config.area:
        known["chiplake_bbox"] = ",".join(map(str, config.area))
    if config.kms_key:
        known["chiplake_kms_key"] = config.kms_key
    if config.job_subnets:
        known["chiplake_subnets"] = ",".join(config.job_subnets)
        known["chiplake_security_groups"] = ",".join(config.job_security_groups)
    check_variables(known, config.variables)
    return known | config.variables


def write_bucket_name(stack: Stack, config: Config, bucket: aws_s3.IBucket) -> None:
    """Make the parameter `/NAME/bucket_name`. It is no Variable: nothing of the project reads it."""
    aws_ssm.StringParameter(
        stack,
        "BucketNameParameter",
        parameter_name=f"/{config.name}/bucket_name",
        string_value=bucket.bucket_name,
        description="Chiplake: name of the bucket",
    )


def write(
    stack: Stack, config: Config, variables: Mapping[str, str], checkpoint_uri: str, has_checkpoint: CfnCondition
) -> None:
    """Make the parameters of the Variables.

    Args:
        stack: the stack.
        config: the choices of the deployment.
        variables: values of the Variables, by name.
        checkpoint_uri: address of the Clay checkpoint.
        has_checkpoint: condition of the checkpoint's parameter: a checkpoint was uploaded.
    """
    for name, value in variables.items():
        aws_ssm.StringParameter(
            stack,
            f"Variable-{name}",
            parameter_name=parameter(config.name, name),
            string_value=value,
            description=VARIABLES[name],
        )
    checkpoint = aws_ssm.CfnParameter(
        stack,
        f"Variable-{CHECKPOINT_VARIABLE}",
        name=parameter(config.name, CHECKPOINT_VARIABLE),
        type="String",
        value=checkpoint_uri,
        description=VARIABLES[CHECKPOINT_VARIABLE],
    )
    checkpoint.cfn_options.condition = has_checkpoint
