"""Every Airflow Variable that the DAG reads. Tasks read them when they run; deployment writes those of AWS.

The CDK app imports this module, so it uses only the standard library. On AWS a Variable is a parameter of SSM
Parameter Store below `parameter_prefix` of the deployment; Airflow finds it through its secrets backend. The graph of
the DAG follows from environment variables, which `environment.py` lists.
"""

from __future__ import annotations

from typing import Final

STAC_COLLECTION: Final = "sentinel-2-l2a"  # the default of the settings; a test compares them

# The source of scenes and the settings of the jobs, in every runtime. All are optional.
SOURCE: Final[dict[str, str]] = {
    "chiplake_stac_api": "root address of the STAC API to search; default Earth Search",
    "chiplake_stac_items": "file or folder of STAC items to read in place of an API; not on AWS",
    "chiplake_stac_collection": "STAC collection to search; default that of the settings",
    "chiplake_bbox": "west,south,east,north in degrees: ingest scenes that touch it, cut chips whose centre lies in it",
    "chiplake_max_cloud": "most cloud cover of a scene, percent; default any",
    "chiplake_lookback_days": "days before its own that a run also covers, for scenes published late; default 10",
    "chiplake_settings": 'JSON object of settings of the jobs, such as {"CHIPLAKE_EMBED_INT8": "true"}',
}

# Receivers of notices. All are optional.
NOTICES: Final[dict[str, str]] = {
    "chiplake_on_failure": "module:function, called with Airflow's context when a task has failed after its last retry",
    "chiplake_on_success": "module:function, called with Airflow's context when a run has succeeded",
    "chiplake_alerts_topic_arn": "ARN of the SNS topic for notices of failed tasks",
}

# Where the jobs run on AWS. All are required there.
AWS: Final[dict[str, str]] = {
    "chiplake_region": "AWS region of the jobs and their data",
    "chiplake_warehouse": "s3://bucket/prefix of the Iceberg warehouse; the catalog is Glue",
    "chiplake_job_role_arn": "ARN of the execution role of SageMaker processing jobs",
    "chiplake_spark_image": "ECR image of the project with Spark, which processing jobs run",
    "chiplake_spark_instance_type": "instance type of processing jobs",
    "chiplake_spark_volume_gb": "disk of a processing job's instance, GB",
    "chiplake_transform_s3_uri": "s3://bucket/prefix for objects of batch transform jobs",
    "chiplake_transform_model": "name of the SageMaker model: the inference server with its checkpoint",
    "chiplake_transform_instance_type": "instance type of batch transform jobs",
    "chiplake_transform_instance_count": "instances of a batch transform job",
    "chiplake_docs_s3_uri": "s3://bucket/prefix of the dbt docs",
}

# Also on AWS, optional.
AWS_OPTIONAL: Final[dict[str, str]] = {
    "chiplake_name": "start of the names of jobs; default chiplake",
    "chiplake_clay_checkpoint_uri": "s3://... of the Clay checkpoint in the model, with its card beside it "
    "(.card.json); not set: untrained weights",
    "chiplake_spark_min_instances": "least number of instances of the job before the encoder; default 1",
    "chiplake_spark_max_instances": "largest number of them; default 1",
    "chiplake_scenes_per_instance": "scenes of the last day for which it gets one more instance; default 100",
    "chiplake_subnets": "subnets of processing jobs, separated by commas; not set: SageMaker's own network",
    "chiplake_security_groups": "security groups of processing jobs, separated by commas; with chiplake_subnets",
    "chiplake_kms_key": "ARN of the KMS key of volumes and outputs of jobs; not set: keys of AWS",
}

VARIABLES: Final[dict[str, str]] = SOURCE | NOTICES | AWS | AWS_OPTIONAL
REQUIRED_ON_AWS: Final = tuple(AWS)


def parameter_prefix(deployment: str) -> str:
    """Return the prefix of a deployment's Variables in SSM Parameter Store, without / at its end."""
    return f"/airflow/variables/{deployment}"


def parameter(deployment: str, name: str) -> str:
    """Return the name of a Variable's parameter in SSM Parameter Store.

    Raises:
        KeyError: the list has no such Variable.
    """
    _check(name)
    return f"{parameter_prefix(deployment)}/{name}"


def variable(name: str, default: str | None = None) -> str:
    """Return the Jinja expression that reads a Variable when a task runs.

    Args:
        name: one of VARIABLES.
        default: value of a Variable that is not set; None: the Variable is required.

    Raises:
        KeyError: the list has no such Variable.
    """
    _check(name)
    return f"var.value.{name}" if default is None else f"var.value.get({name!r}, {default!r})"


def _check(name: str) -> None:
    if name not in VARIABLES:
        raise KeyError(f"{name} is not a Variable of the DAG; see VARIABLES")
