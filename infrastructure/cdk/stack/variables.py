"""The Airflow Variables that the DAG reads, written as parameters of SSM Parameter Store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import CfnCondition, Stack, aws_ecr_assets, aws_iam, aws_s3, aws_sagemaker, aws_sns, aws_ssm
from chiplake_airflow.variables import VARIABLES, parameter

from stack import layout
from stack.config import CHECKPOINT_VARIABLE, Config, check_variables


@dataclass(frozen=True)
class Made:
    """What the Variables speak of."""

    bucket: aws_s3.IBucket
    spark_image: aws_ecr_assets.DockerImageAsset
    job_role: aws_iam.Role
    model: aws_sagemaker.CfnModel
    topic: aws_sns.Topic


def values(stack: Stack, config: Config, made: Made) -> dict[str, str]:
    """The value of each Variable that is always written, by its name.

    Raises:
        ChiplakeError: a Variable is not in the DAG's list, or one that the DAG needs on AWS is not here.
    """
    place = f"s3://{made.bucket.bucket_name}"
    known = {
        "chiplake_name": config.name,
        "chiplake_region": stack.region,
        "chiplake_warehouse": f"{place}/{layout.WAREHOUSE}",
        "chiplake_job_role_arn": made.job_role.role_arn,
        "chiplake_spark_image": made.spark_image.image_uri,
        "chiplake_spark_instance_type": config.spark_instance_type,
        "chiplake_spark_volume_gb": str(config.spark_volume_gb),
        "chiplake_transform_s3_uri": f"{place}/{layout.TRANSFORM}",
        "chiplake_transform_model": made.model.attr_model_name,
        "chiplake_transform_instance_type": config.transform_instance_type,
        "chiplake_transform_instance_count": str(config.transform_instance_count),
        "chiplake_docs_s3_uri": f"{place}/{layout.DOCS}",
        "chiplake_alerts_topic_arn": made.topic.topic_arn,
    }
    if config.settings:
        known["chiplake_settings"] = json.dumps(config.settings, sort_keys=True)
    check_variables(known, config.variables)
    return known | config.variables


def write(stack: Stack, variables: Mapping[str, str], checkpoint_uri: str, has_checkpoint: CfnCondition) -> None:
    """Make the parameters.

    Args:
        stack: where.
        variables: values by name.
        checkpoint_uri: address of the Clay checkpoint.
        has_checkpoint: whether there is one; without, its parameter is absent.
    """
    for name, value in variables.items():
        aws_ssm.StringParameter(
            stack,
            f"Variable-{name}",
            parameter_name=parameter(name),
            string_value=value,
            description=VARIABLES[name],
        )
    checkpoint = aws_ssm.CfnParameter(
        stack,
        f"Variable-{CHECKPOINT_VARIABLE}",
        name=parameter(CHECKPOINT_VARIABLE),
        type="String",
        value=checkpoint_uri,
        description=VARIABLES[CHECKPOINT_VARIABLE],
    )
    checkpoint.cfn_options.condition = has_checkpoint
