"""The choices of a deployment, which are one file: `infrastructure/deployment.yaml`, or another of its form."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from chiplake_airflow.managed_versions import MANAGED_VERSIONS
from chiplake_airflow.variables import REQUIRED_ON_AWS, VARIABLES
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from lakehouse.box import BBox
from lakehouse.errors import ChiplakeError
from lakehouse.settings import PROJECT_DIR

DEPLOYMENT_FILE: Final = PROJECT_DIR / "infrastructure" / "deployment.yaml"
CHECKPOINT_VARIABLE: Final = "chiplake_clay_checkpoint_uri"  # written once a checkpoint was uploaded

_INSTANCE: Final = r"^ml\.[a-z0-9-]+\.[a-z0-9]+$"
# Types with disks of their own. SageMaker encrypts these itself, and refuses a job that brings a key for them.
_LOCAL_DISKS: Final = re.compile(r"^ml\.(?:[a-z]+[0-9]+[a-z]*d[a-z]*|g4dn|g5|g6e?|p4de?|p5[a-z]*|trn[0-9]n?)\.")
_IMAGE: Final = r"^[a-z0-9][A-Za-z0-9._/:-]*(@sha256:[0-9a-f]{64})?$"
_TARGET_SCHEMA: Final = "CHIPLAKE_TARGET_SCHEMA"
_RAW_SCHEMA: Final = "CHIPLAKE_RAW_SCHEMA"
_OPS_SCHEMA: Final = "CHIPLAKE_OPS_SCHEMA"
# What other keys of the file decide.
_OF_OTHER_KEYS: Final = {
    **{"chiplake_bbox": "area", "CHIPLAKE_BBOX": "area", _RAW_SCHEMA: "name", _OPS_SCHEMA: "name"},
    # These keys also give the roles their permissions.
    **{"chiplake_kms_key": "kms_key", "chiplake_subnets": "job_subnets"},
    "chiplake_security_groups": "job_security_groups",
}

_Subnet = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$")]
_SecurityGroup = Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]+$")]


class Config(BaseModel):
    """Choices of one deployment. Deployments of an account and region differ in their names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # No hyphen: names of jobs are NAME-…, so that the policy for `chiplake-*` covers no job of another deployment.
    name: str = Field("chiplake", pattern=r"^[a-z][a-z0-9]{2,23}$", description="letters and digits, 3 to 24")
    account: str | None = Field(
        None, pattern=r"^[0-9]{12}$", examples=["123456789012"], description="an AWS account, in quotes"
    )
    region: str | None = Field(
        None, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", examples=["eu-central-1"], description="an AWS region"
    )
    area: BBox | None = Field(
        None, examples=[[16.30, 45.72, 16.45, 45.82]], description="west, south, east, north in degrees"
    )

    bucket_name: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        examples=["my-chiplake-lake"],
        description="a name of S3, or null",
    )
    kms_key: str | None = Field(
        None,
        pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$",
        examples=["arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
        description="the ARN of a key, or null",
    )
    create_databases: bool = Field(True, description="true or false")
    transform_retention_days: int = Field(14, ge=1, description="days, at least 1")
    version_retention_days: int = Field(30, ge=1, description="days, at least 1")
    log_retention_days: int = Field(90, ge=1, description="days, at least 1")

    source_buckets: tuple[str, ...] = Field((), examples=[["eodata-mirror"]], description="a list of buckets")
    spark_instance_type: str = Field("ml.m5.4xlarge", pattern=_INSTANCE, description="an instance type of SageMaker")
    spark_volume_gb: int = Field(200, ge=30, le=16384, description="GB, 30 to 16384")
    transform_instance_type: str = Field("ml.m5.xlarge", pattern=_INSTANCE, description="an instance type of SageMaker")
    transform_instance_count: int = Field(1, ge=1, le=100, description="1 to 100")
    job_subnets: tuple[_Subnet, ...] = Field(
        (), max_length=16, examples=[["subnet-0a1b2c3d"]], description="a list of up to 16 subnets, or []"
    )
    job_security_groups: tuple[_SecurityGroup, ...] = Field(
        (), max_length=5, examples=[["sg-0a1b2c3d"]], description="a list of up to 5 groups, or []"
    )
    spark_base: str | None = Field(
        None, pattern=_IMAGE, examples=["python:3.11-slim-bookworm"], description="an image, or null"
    )
    clay_base: str | None = Field(None, pattern=_IMAGE, examples=["python:3.11-slim"], description="an image, or null")
    torch_index: str | None = Field(
        None, pattern=r"^https://\S+$", examples=["https://pypi.example.org/simple"], description="an address, or null"
    )
    settings: dict[str, str] = Field(
        {}, examples=[{"CHIPLAKE_CLAY_PRECISION": "bfloat16"}], description="CHIPLAKE_… settings, values in quotes"
    )
    variables: dict[str, str] = Field(
        {}, examples=[{"chiplake_max_cloud": "60"}], description="Airflow Variables, values in quotes"
    )

    managed_airflow: bool = Field(False, description="true or false")
    airflow_version: str = Field(MANAGED_VERSIONS[-1], description=f"one of {', '.join(MANAGED_VERSIONS)}")
    airflow_class: str = Field("mw1.small", pattern=r"^mw1\.[a-z0-9]+$", description="a class of MWAA environments")
    subnet_ids: tuple[str, ...] = Field(
        (), examples=[["subnet-0a1b2c3d", "subnet-4e5f6a7b"]], description="a list of two private subnets, or []"
    )
    security_group_ids: tuple[str, ...] = Field((), examples=[["sg-0a1b2c3d"]], description="a list of groups, or []")

    alarm_email: str | None = Field(
        None, pattern=r"^\S+@\S+$", examples=["ops@example.org"], description="a mail address, or null"
    )
    night_hours: int = Field(30, ge=1, le=168, description="hours, 1 to 168")

    @property
    def target_schema(self) -> str:
        """The schema of the tables that dbt builds: a Glue database."""
        return self.settings.get(_TARGET_SCHEMA, self.name)

    @property
    def raw_schema(self) -> str:
        """The schema of the tables that Python writes: a Glue database. No deployment's name has an underscore."""
        return f"{self.name}_raw"

    @property
    def ops_schema(self) -> str:
        """The schema of the tables in which jobs record what they do: a Glue database."""
        return f"{self.name}_ops"

    @property
    def job_settings(self) -> dict[str, str]:
        """The settings of all jobs: those of the file, and the schemas of the deployment."""
        schemas = {_TARGET_SCHEMA: self.target_schema, _RAW_SCHEMA: self.raw_schema, _OPS_SCHEMA: self.ops_schema}
        return schemas | self.settings

    @field_validator("name")
    @classmethod
    def _free_name(cls, name: str) -> str:
        if name == "default":
            raise ValueError("Spark has a database of this name; choose another")
        if name.startswith(("aws", "ssm")):
            raise ValueError("Parameter Store takes no names that start with aws or ssm; choose another")
        return name

    @field_validator("settings", "variables")
    @classmethod
    def _of_no_other_key(cls, given: dict[str, str]) -> dict[str, str]:
        for name in given.keys() & _OF_OTHER_KEYS.keys():
            raise ValueError(f"{name} follows from the key {_OF_OTHER_KEYS[name]} of this file; set that")
        return given

    @field_validator("settings")
    @classmethod
    def _known_prefix(cls, settings: dict[str, str]) -> dict[str, str]:
        for name in settings:
            if not name.startswith("CHIPLAKE_"):
                raise ValueError(f"{name} is not a setting; names of settings start with CHIPLAKE_")
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

    @model_validator(mode="after")
    def _job_network_is_whole(self) -> Config:
        if bool(self.job_subnets) != bool(self.job_security_groups):
            raise ValueError("job_subnets and job_security_groups go together; set both, or leave both []")
        return self

    @model_validator(mode="after")
    def _key_is_supported(self) -> Config:
        if self.kms_key and self.managed_airflow:
            raise ValueError(
                "kms_key is set and managed_airflow is true: managed Airflow on a bucket with a key of yours is not "
                "supported; use your own Airflow (managed_airflow: false), or kms_key: null"
            )
        if self.kms_key and _LOCAL_DISKS.match(self.spark_instance_type):
            raise ValueError(
                f"kms_key is set and spark_instance_type is {self.spark_instance_type}, whose own disks SageMaker "
                "encrypts without a key of yours; choose a type without them, such as ml.m5.4xlarge"
            )
        return self

    @model_validator(mode="after")
    def _airflow_has_an_area(self) -> Config:
        if self.managed_airflow and self.area is None:
            raise ValueError(
                "managed_airflow is true and area is not set, so the DAG would search the whole world; "
                "set area: [west, south, east, north], in degrees"
            )
        return self


def read_config(path: Path = DEPLOYMENT_FILE) -> Config:
    """Read the choices of a deployment.

    Raises:
        ChiplakeError: the file cannot be read, a key does not exist, or a value is invalid. The message names all.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ChiplakeError(
            f"{_shown(path)}: {error.strerror}; copy {DEPLOYMENT_FILE.relative_to(PROJECT_DIR)}"
        ) from None
    return config_of(text, path)


def config_of(text: str, path: Path) -> Config:
    """Parse the choices of a deployment.

    Args:
        text: the content of its file.
        path: the file, which errors name.

    Raises:
        ChiplakeError: as `read_config`.
    """
    shown = _shown(path)
    try:
        values = _parse(text)
    except yaml.YAMLError as error:
        raise ChiplakeError(f"{shown} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict | None):
        raise ChiplakeError(f"{shown} must have lines KEY: VALUE")
    try:
        return Config.model_validate(values or {})
    except ValidationError as error:
        raise ChiplakeError("\n".join(f"{shown}: {_line_of(one)}" for one in error.errors())) from None


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
        raise ChiplakeError(f"variables: deployment itself writes {in_both[0]}; remove it")
    unknown = sorted((known.keys() | given.keys() | {CHECKPOINT_VARIABLE}) - VARIABLES.keys())
    if unknown:
        raise ChiplakeError(f"{unknown[0]} is not a Variable of the DAG; see dags/chiplake_airflow/variables.py")
    missing = sorted(set(REQUIRED_ON_AWS) - known.keys() - given.keys())
    if missing:
        raise ChiplakeError(f"the DAG needs the Variable {missing[0]} on AWS; set it under the key variables")


def _shown(path: Path) -> Path:
    return path.relative_to(PROJECT_DIR) if path.is_relative_to(PROJECT_DIR) else path


def _parse(text: str) -> Any:
    """Parse YAML in which no key is repeated; PyYAML alone takes the last one in silence."""
    _check_keys(yaml.compose(text, yaml.SafeLoader))
    return yaml.safe_load(text)


def _check_keys(node: Any) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"{key} is there {keys.count(key)} times; keep one")
        for _, value in node.value:
            _check_keys(value)


def _line_of(error: Any) -> str:
    """Describe an error of the schema: the key, its value, and what to write."""
    key, *inner = [str(part) for part in error["loc"]] or [""]
    if not key:
        return str(error["ctx"]["error"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Config.model_fields, n=1)
        meant = f"did you mean {near[0]}? All keys: " if near else "the keys are "
        return f"{key} is not a key; {meant}{', '.join(Config.model_fields)}"
    field = Config.model_fields[key]
    example = json.dumps(field.examples[0] if field.examples else field.get_default())
    reason = str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]
    place = ".".join((key, *inner))
    return f"{place}: {json.dumps(error['input'], default=str)}: {reason}. Write {field.description}: {key}: {example}"
