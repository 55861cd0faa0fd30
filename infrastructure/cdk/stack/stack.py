"""The stack: all resources of a deployment, in the order of their dependencies."""

from __future__ import annotations

from typing import Final

from aws_cdk import (
    App,
    CfnCondition,
    CfnOutput,
    CfnParameter,
    Environment,
    Fn,
    Stack,
    Tags,
    Token,
    aws_ecr_assets,
    aws_iam,
    aws_s3,
    aws_sagemaker,
)

from stack import access, airflow, alarms, deployment, images, layout, nag, storage, variables
from stack.config import Config

# The checkpoint is in parameters of the stack: CloudFormation keeps their values in later deployments.
MODEL_DATA_PARAMETER: Final = "ModelDataKey"
CHECKPOINT_PARAMETER: Final = "CheckpointKey"
VERSION_PARAMETER: Final = "CheckpointVersion"
# Settings that the server's answers depend on, besides its weights.
_CLAY_SETTINGS: Final = ("CHIPLAKE_CLAY_LATLON_ORDER", "CHIPLAKE_CLAY_HOUR", "CHIPLAKE_CLAY_PRECISION")


class LakehouseStack(Stack):  # type: ignore[misc]
    """All resources of one deployment."""

    def __init__(self, app: App, config: Config) -> None:
        """Make all resources.

        Raises:
            ChiplakeError: the Airflow Variables do not match those that the DAG reads.
        """
        super().__init__(
            app,
            config.name,
            stack_name=config.name,
            description="Chiplake: lakehouse of Sentinel-2 chips",
            env=Environment(account=config.account, region=config.region),
        )
        Tags.of(self).add("project", config.name)
        bucket = storage.make_bucket(self, config)
        if config.create_databases:
            storage.make_databases(self, config, bucket)
        spark_image = images.make_spark_image(self, config)
        clay_image = images.make_clay_image(self, config)
        job_role = access.make_job_role(self, config, bucket, spark_image)
        transform_role = access.make_transform_role(self, config, bucket, clay_image)

        key = alarms.make_key(self)
        alerts = alarms.make_topic(self, config, "alerts", key)
        completed = alarms.make_topic(self, config, "completed", key)
        alarms.make_alarms(self, config, alerts, completed)

        model = _make_model(self, config, bucket, clay_image, transform_role)
        resources = variables.Resources(bucket, spark_image, job_role, model, alerts)
        checkpoint = _key_parameter(self, CHECKPOINT_PARAMETER, layout.CHECKPOINTS, "the Clay checkpoint in the model")
        variables.write(
            self,
            config,
            variables.values(self, config, resources),
            f"s3://{bucket.bucket_name}/{checkpoint.value_as_string}",
            _is_given(self, CHECKPOINT_PARAMETER, checkpoint),
        )
        variables.write_bucket_name(self, config, bucket)
        orchestrator = access.make_orchestrator_policy(
            self, config, bucket, [job_role, transform_role], model, alerts, key
        )
        files = deployment.deploy_files(self, bucket)
        if config.managed_airflow:
            network = airflow.make_network(self, config)
            environment = airflow.make_environment(self, config, bucket, orchestrator, network)
            environment.node.add_dependency(*files)
            alarms.make_airflow_alarm(self, config, alerts, environment.name)
            CfnOutput(self, "AirflowAddress", value=f"https://{environment.attr_webserver_url}")
        CfnOutput(self, "BucketName", value=bucket.bucket_name)
        CfnOutput(self, "SparkImageUri", value=spark_image.image_uri)
        CfnOutput(self, "ClayImageUri", value=clay_image.image_uri)
        CfnOutput(self, "OrchestratorPolicyArn", value=orchestrator.managed_policy_arn)
        _remember_checkpoint_version(self)
        nag.accept_exceptions(self, config, self.get_logical_id(bucket.node.default_child))

    @property
    def availability_zones(self) -> list[str]:
        """The first two zones of any region; otherwise CDK would query AWS for them during synthesis."""
        return [Token.as_string(Fn.select(number, Fn.get_azs())) for number in (0, 1)]


def _make_model(
    stack: Stack,
    config: Config,
    bucket: aws_s3.IBucket,
    image: aws_ecr_assets.DockerImageAsset,
    role: aws_iam.Role,
) -> aws_sagemaker.CfnModel:
    """Make the SageMaker model of the inference server. Without model data it has untrained weights."""
    data = _key_parameter(stack, MODEL_DATA_PARAMETER, layout.MODELS, "what `chiplake embed package` wrote")
    url = f"s3://{bucket.bucket_name}/{data.value_as_string}"
    model = aws_sagemaker.CfnModel(
        stack,
        "Model",
        execution_role_arn=role.role_arn,
        enable_network_isolation=True,  # the server needs no network
        vpc_config=_vpc_config(config),
        primary_container=aws_sagemaker.CfnModel.ContainerDefinitionProperty(
            image=image.image_uri,
            model_data_url=Token.as_string(
                Fn.condition_if(_is_given(stack, MODEL_DATA_PARAMETER, data).logical_id, url, Fn.ref("AWS::NoValue"))
            ),
            environment={name: config.settings[name] for name in _CLAY_SETTINGS if name in config.settings},
        ),
    )
    model.node.add_dependency(role)
    return model


def _vpc_config(config: Config) -> aws_sagemaker.CfnModel.VpcConfigProperty | None:
    """Return the network of batch transform jobs, which is that of their model."""
    if not config.job_subnets:
        return None
    return aws_sagemaker.CfnModel.VpcConfigProperty(
        subnets=list(config.job_subnets), security_group_ids=list(config.job_security_groups)
    )


def _remember_checkpoint_version(stack: Stack) -> None:
    """Keep the version of the object that stack/checkpoint.py looked at last, and tell it to the next deployment."""
    version = CfnParameter(
        stack,
        VERSION_PARAMETER,
        default="",
        allowed_pattern=r"^\S*$",
        description=f"Version of {layout.RAW_CHECKPOINT} in the bucket that a deployment has dealt with; empty: none",
    )
    is_given = _is_given(stack, VERSION_PARAMETER, version)
    CfnOutput(stack, "KnownCheckpointVersion", value=version.value_as_string, condition=is_given)


def _key_parameter(stack: Stack, name: str, prefix: str, what: str) -> CfnParameter:
    return CfnParameter(
        stack,
        name,
        default="",
        allowed_pattern=rf"^$|^{prefix}/[A-Za-z0-9_./-]+$",
        description=f"Key in the bucket of {what}; empty: untrained weights",
    )


def _is_given(stack: Stack, name: str, parameter: CfnParameter) -> CfnCondition:
    return CfnCondition(
        stack,
        f"Has{name}",
        expression=Fn.condition_not(Fn.condition_equals(parameter.value_as_string, "")),
    )
