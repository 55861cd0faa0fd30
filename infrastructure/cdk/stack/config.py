"""The choices of a deployment: CDK context, from `cdk.json` or `--context NAME=VALUE`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from chiplake_airflow.managed_versions import MANAGED_VERSIONS
from chiplake_airflow.variables import REQUIRED_ON_AWS, VARIABLES
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lakehouse.errors import ChiplakeError
from lakehouse.settings.lake import DEFAULT_SCHEMA

CHECKPOINT_VARIABLE: Final = "chiplake_clay_checkpoint_uri"  # written once a checkpoint was uploaded

_INSTANCE: Final = r"^ml\.[a-z0-9-]+\.[a-z0-9]+$"
_JSON_FIELDS: Final = ("source_buckets", "subnet_ids", "security_group_ids", "variables", "settings")


class Config(BaseModel):
    """Choices of one deployment. A second one in an account and region needs another name and makes no databases."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: str | None = Field(
        None, pattern=r"^[0-9]{12}$", description="AWS account; default that of the credentials"
    )
    region: str | None = Field(
        None, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", description="AWS region; default that of the credentials"
    )
    name: str = Field(
        "chiplake", pattern=r"^[a-z][a-z0-9-]{1,22}[a-z0-9]$", description="name of the stack, start of other names"
    )
    bucket_name: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="name of the bucket; default made by AWS"
    )
    create_databases: bool = Field(True, description="make the Glue databases; false if they exist already")

    transform_retention_days: int = Field(14, ge=1, description="objects of batch transform jobs expire after, days")
    version_retention_days: int = Field(30, ge=1, description="overwritten and deleted objects expire after, days")
    log_retention_days: int = Field(90, ge=1, description="access logs and Spark event logs expire after, days")

    source_buckets: tuple[str, ...] = Field((), description="other buckets with rasters that jobs may read")
    spark_instance_type: str = Field("ml.m5.4xlarge", pattern=_INSTANCE, description="of processing jobs")
    spark_volume_gb: int = Field(200, ge=30, le=16384, description="disk of a processing job, GB")
    transform_instance_type: str = Field("ml.m5.xlarge", pattern=_INSTANCE, description="of batch transform jobs")
    transform_instance_count: int = Field(1, ge=1, le=100, description="instances of a batch transform job")
    settings: dict[str, str] = Field({}, description="CHIPLAKE_… settings of jobs")
    variables: dict[str, str] = Field({}, description="Airflow Variables besides those that deployment writes itself")
    torch_index: str | None = Field(
        None, pattern=r"^https://\S+$", description="index of torch builds of the Clay image"
    )

    managed_airflow: bool = Field(False, description="make an MWAA environment")
    airflow_version: str = Field(
        MANAGED_VERSIONS[-1], description=f"version of the MWAA environment: {', '.join(MANAGED_VERSIONS)}"
    )
    airflow_class: str = Field("mw1.small", pattern=r"^mw1\.[a-z0-9]+$", description="size of the MWAA environment")
    subnet_ids: tuple[str, ...] = Field((), description="two private subnets for MWAA; not set: a network is made")
    security_group_ids: tuple[str, ...] = Field((), description="security groups of MWAA in those subnets")

    alarm_email: str | None = Field(None, pattern=r"^\S+@\S+$", description="mail address that gets the alarms")
    night_hours: int = Field(
        30, ge=1, le=168, description="an alarm follows when no job has succeeded for so long, hours"
    )

    @property
    def target_schema(self) -> str:
        """The schema of the tables that dbt builds: a Glue database."""
        return self.settings.get("CHIPLAKE_TARGET_SCHEMA", DEFAULT_SCHEMA)

    @field_validator("settings")
    @classmethod
    def _known_prefix(cls, settings: dict[str, str]) -> dict[str, str]:
        foreign = [name for name in settings if not name.startswith("CHIPLAKE_")]
        if foreign:
            raise ValueError(f"{foreign[0]} is not a setting; names of settings start with CHIPLAKE_")
        return settings

    @field_validator("airflow_version")
    @classmethod
    def _supported(cls, version: str) -> str:
        if version not in MANAGED_VERSIONS:
            raise ValueError(f"the DAG does not support {version}; choose from {', '.join(MANAGED_VERSIONS)}")
        return version

    @model_validator(mode="after")
    def _network_is_whole(self) -> Config:
        if self.subnet_ids and (len(self.subnet_ids) != 2 or not self.security_group_ids):
            raise ValueError("subnet_ids must be two subnets, with security_group_ids")
        return self


def read_config(context: Any) -> Config:
    """Read the configuration from CDK context.

    Args:
        context: the node of the app, or another object with `try_get_context(name)`.

    Raises:
        ChiplakeError: a value is invalid.
    """
    given = {name: context.try_get_context(name) for name in Config.model_fields}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value == "":
            continue
        values[name] = _parse(name, value) if name in _JSON_FIELDS and isinstance(value, str) else value
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "configuration"
        raise ChiplakeError(f"context {name}: {first['msg']}") from None


def check_variables(known: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Compare the Variables that deployment writes with those that the DAG reads.

    Args:
        known: Variables whose values deployment knows.
        given: Variables of the configuration.

    Raises:
        ChiplakeError: a Variable is in both, the DAG does not read it, or nothing writes one that the DAG requires.
    """
    in_both = sorted(known.keys() & given.keys())
    if in_both:
        raise ChiplakeError(f"context variables: deployment itself writes {in_both[0]}; remove it")
    unknown = sorted((known.keys() | given.keys() | {CHECKPOINT_VARIABLE}) - VARIABLES.keys())
    if unknown:
        raise ChiplakeError(f"{unknown[0]} is not a Variable of the DAG; see dags/chiplake_airflow/variables.py")
    missing = sorted(set(REQUIRED_ON_AWS) - known.keys() - given.keys())
    if missing:
        raise ChiplakeError(f"the DAG needs the Variable {missing[0]} on AWS; set it with --context variables=")


def _parse(name: str, value: str) -> Any:
    """Parse a list or an object, which the command line has as JSON."""
    try:
        return json.loads(value)
    except ValueError:
        raise ChiplakeError(f"context {name} must be JSON, not {value!r}") from None
