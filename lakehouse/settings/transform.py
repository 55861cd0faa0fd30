"""Where and how the exported chips are embedded.

Several settings become part of requests to AWS, of names there and of policies: their patterns admit the plain
characters of each and nothing else.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, SettingsGroup
from lakehouse.transform_job import (
    DEFAULT_MAX_CONCURRENT,
    DEFAULT_MAX_PAYLOAD_MB,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT_S,
    MAX_REQUESTS_MB,
)

_S3_URI = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=+-]+)*"
_ECR_IMAGE = (
    r"[0-9]{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9]([a-z0-9._/-]*[a-z0-9])?"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})?"
)
_ROLE_ARN = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+"


class TransformSettings(SettingsGroup):
    """The batch transform, by a server on this machine or by SageMaker jobs."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}TRANSFORM_")

    on: Literal["local", "sagemaker"] = Field("local", description="Where exported chips are embedded.")
    through: Literal["boto3", "sagemaker-core"] = Field(
        "boto3", description="Library that starts a SageMaker transform job; the request is the same."
    )
    s3_uri: str | None = Field(
        None, pattern=f"^{_S3_URI}/?$", description="s3://bucket/prefix for the objects of SageMaker transform jobs."
    )
    export_to: Literal["home", "s3"] = Field(
        "home",
        description="Where the export writes objects: in CHIPLAKE_HOME/transform, or straight to "
        "CHIPLAKE_TRANSFORM_S3_URI, so that the machines of a Spark cluster need no shared folder.",
    )
    image: str | None = Field(
        None, pattern=f"^{_ECR_IMAGE}$", description="ECR image of the inference server, see docker/clay.Dockerfile."
    )
    role_arn: str | None = Field(
        None, pattern=f"^{_ROLE_ARN}$", description="ARN of the execution role of SageMaker transform jobs."
    )
    model_data_uri: str | None = Field(
        None,
        pattern=rf"^{_S3_URI}\.tar\.gz$",
        description="s3://… address of the archive that `chiplake embed package` wrote; "
        "without one the image's code runs with untrained weights.",
    )
    instance_type: str = Field(
        "ml.m5.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$", description="Instance type of transform jobs."
    )
    instance_count: int = Field(1, ge=1, description="Number of instances of a transform job.")
    max_concurrent: int = Field(
        DEFAULT_MAX_CONCURRENT, ge=1, le=100, description="Number of requests to one instance at the same time."
    )
    max_payload_mb: int = Field(
        DEFAULT_MAX_PAYLOAD_MB,
        ge=1,
        le=100,
        validate_default=True,
        description="Largest request, in MB; all requests at the same time may have 100 MB at most.",
    )
    timeout_s: int = Field(
        DEFAULT_TIMEOUT_S, ge=1, le=3600, description="Longest time that one request may take, in seconds."
    )
    retries: int = Field(
        DEFAULT_RETRIES, ge=0, le=3, description="Number of times that SageMaker sends a failed request again."
    )
    poll_s: float = Field(15.0, gt=0, description="Time between two requests for the state of a job, in seconds.")

    @field_validator("max_payload_mb")
    @classmethod
    def _requests_fit(cls, payload: int, info: ValidationInfo) -> int:
        concurrent = info.data.get("max_concurrent", 1)
        if payload * concurrent > MAX_REQUESTS_MB:
            raise ValueError(
                f"{concurrent} requests at once of {payload} MB are more than SageMaker's {MAX_REQUESTS_MB} MB; "
                "lower this or CHIPLAKE_TRANSFORM_MAX_CONCURRENT"
            )
        return payload
