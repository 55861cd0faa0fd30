"""Every Airflow Variable that the DAG reads. Deployment writes them by the same list.

Plain Python without imports from elsewhere, so that the CDK app can read it, too. On AWS a Variable is a parameter of
SSM Parameter Store, `PARAMETER_PREFIX` before its name; Airflow finds it through its secrets backend. All are read when
a task runs. What shapes the graph is needed before, so it is no Variable but the environment variables of `layout.py`.
"""

from __future__ import annotations

from typing import Final

PARAMETER_PREFIX: Final = "/airflow/variables/"

# What to take and how, in every runtime. All may be absent.
SOURCE: Final[dict[str, str]] = {
    "chiplake_stac_api": "root address of the STAC API to search; default Earth Search",
    "chiplake_stac_items": "file or folder of STAC items to read in place of an API; not on AWS",
    "chiplake_stac_collection": "STAC collection to search; default that of the settings",
    "chiplake_bbox": "west,south,east,north in degrees: scenes that touch it are ingested, chips centred in it cut",
    "chiplake_max_cloud": "most cloud cover of a scene, percent; default any",
    "chiplake_lookback_days": "how many days before its own a run takes in, for scenes published late; default 10",
    "chiplake_settings": 'JSON object of settings of the jobs, such as {"CHIPLAKE_EMBED_INT8": "true"}',
}

# Who is told. All may be absent.
CALLBACKS: Final[dict[str, str]] = {
    "chiplake_on_failure": "module:function, called with Airflow's context when a task has failed for good",
    "chiplake_on_success": "module:function, called with Airflow's context when a run has succeeded",
    "chiplake_alerts_topic_arn": "ARN of the SNS topic that is told of failures",
}

# Where jobs run on AWS. All are needed there.
AWS: Final[dict[str, str]] = {
    "chiplake_region": "AWS region of all of it",
    "chiplake_warehouse": "s3://bucket/prefix of the Iceberg warehouse; the catalog is Glue",
    "chiplake_job_role_arn": "ARN of the execution role of SageMaker processing jobs",
    "chiplake_spark_image": "ECR image of the project with Spark, which processing jobs run",
    "chiplake_spark_instance_type": "instance type of processing jobs",
    "chiplake_spark_volume_gb": "disk of a processing job's instance, GB",
    "chiplake_transform_s3_uri": "s3://bucket/prefix for objects of batch transform jobs",
    "chiplake_transform_model": "name of the SageMaker model: the inference server with its checkpoint",
    "chiplake_transform_instance_type": "instance type of batch transform jobs",
    "chiplake_transform_instance_count": "instances of a batch transform job",
    "chiplake_docs_s3_uri": "s3://bucket/prefix where dbt docs are put",
}

# Also on AWS; these may be absent.
AWS_OPTIONAL: Final[dict[str, str]] = {
    "chiplake_name": "start of the names of jobs; default chiplake",
    "chiplake_clay_checkpoint_uri": "s3://... of the Clay checkpoint that the model has; none: untrained weights",
    "chiplake_subnets": "subnets of processing jobs, apart by commas; none: SageMaker's own network",
    "chiplake_security_groups": "security groups of processing jobs, apart by commas; with chiplake_subnets",
    "chiplake_kms_key": "ARN of the KMS key of volumes and outputs of jobs; none: keys of AWS",
}

VARIABLES: Final[dict[str, str]] = SOURCE | CALLBACKS | AWS | AWS_OPTIONAL
REQUIRED_ON_AWS: Final = tuple(AWS)


def parameter(name: str) -> str:
    """Name of a Variable's parameter in SSM Parameter Store.

    Raises:
        KeyError: the DAG reads no such Variable.
    """
    if name not in VARIABLES:
        raise KeyError(f"{name} is no Variable of the DAG; see VARIABLES")
    return PARAMETER_PREFIX + name


def variable(name: str, default: str | None = None) -> str:
    """The Jinja expression that reads a Variable when a task runs; without a default it must be there.

    Raises:
        KeyError: the list has no such Variable.
    """
    parameter(name)
    return f"var.value.{name}" if default is None else f"var.value.get({name!r}, {default!r})"
