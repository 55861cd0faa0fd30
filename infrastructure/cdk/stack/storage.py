"""The bucket, the bucket of its access logs, and the Glue databases."""

from __future__ import annotations

from typing import Final

from aws_cdk import Aws as Pseudo
from aws_cdk import Duration, RemovalPolicy, Stack, aws_glue, aws_kms, aws_s3

from stack import layout
from stack.config import Config

_ABORT_UPLOADS_AFTER: Final = Duration.days(7)
# Deleting the stack keeps the data. A first deployment that fails removes what it made, as far as it is empty.
_KEPT: Final = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


def make_bucket(stack: Stack, config: Config) -> aws_s3.Bucket:
    """Make the bucket: encrypted, versioned, private, reached only by TLS, kept when the stack is deleted."""
    logs = aws_s3.Bucket(
        stack,
        "AccessLogs",
        # S3 writes access logs only to a bucket without a key of KMS.
        encryption=aws_s3.BucketEncryption.S3_MANAGED,
        block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        removal_policy=_KEPT,
        lifecycle_rules=[
            aws_s3.LifecycleRule(id="expire-logs", expiration=Duration.days(config.log_retention_days)),
        ],
    )
    key = aws_kms.Key.from_key_arn(stack, "BucketKey", config.kms_key) if config.kms_key else None
    return aws_s3.Bucket(
        stack,
        "Bucket",
        bucket_name=config.bucket_name,
        encryption=aws_s3.BucketEncryption.KMS if key else aws_s3.BucketEncryption.S3_MANAGED,
        encryption_key=key,
        bucket_key_enabled=True if key else None,  # one data key for many objects, so few calls of KMS
        block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        versioned=True,
        server_access_logs_bucket=logs,
        server_access_logs_prefix="bucket/",
        removal_policy=_KEPT,
        lifecycle_rules=[
            aws_s3.LifecycleRule(
                id="expire-transform-objects",
                prefix=f"{layout.TRANSFORM}/",
                expiration=Duration.days(config.transform_retention_days),
            ),
            aws_s3.LifecycleRule(
                id="expire-spark-events",
                prefix=f"{layout.SPARK_EVENTS}/",
                expiration=Duration.days(config.log_retention_days),
            ),
            # Iceberg never overwrites a file: an old version is a file that `chiplake maintain` removed.
            aws_s3.LifecycleRule(
                id="expire-versions",
                noncurrent_version_expiration=Duration.days(config.version_retention_days),
                expired_object_delete_marker=True,
            ),
            aws_s3.LifecycleRule(id="abort-uploads", abort_incomplete_multipart_upload_after=_ABORT_UPLOADS_AFTER),
        ],
    )


def databases(config: Config) -> dict[str, str]:
    """Return the Glue databases of the lake, each with its description."""
    return {
        config.raw_schema: "Chiplake: ingested items and embeddings of the model",
        config.ops_schema: "Chiplake: what jobs record of themselves",
        config.target_schema: "Chiplake: tables that dbt builds",
    }


def make_databases(stack: Stack, config: Config, bucket: aws_s3.Bucket) -> None:
    """Make the Glue databases of the Iceberg tables; they are kept when the stack is deleted."""
    for name, description in databases(config).items():
        database = aws_glue.CfnDatabase(
            stack,
            f"Database{name.title()}",
            catalog_id=Pseudo.ACCOUNT_ID,
            database_name=name,  # by which a deployment finds a database that an earlier one left
            database_input=aws_glue.CfnDatabase.DatabaseInputProperty(
                name=name,
                description=description,
                location_uri=f"s3://{bucket.bucket_name}/{layout.WAREHOUSE}/{name}.db",
            ),
        )
        database.apply_removal_policy(_KEPT)
