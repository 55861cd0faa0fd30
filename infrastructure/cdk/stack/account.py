"""`python -m stack.account FILE`: looks at keys and at Lake Formation in the account of a deployment.

A key that the roles of the deployment may not use is refused before anything is deployed: every job would fail by it.
What the caller may not look at is named, and stops nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from embedding.aws import client, error_code, plain_errors, session
from lakehouse.errors import ChiplakeError
from stack.config import Config, read_config

_NO_BUCKET: Final = frozenset({"NoSuchBucket", "404", "ServerSideEncryptionConfigurationNotFoundError"})

Client = Callable[[str], Any]  # makes the client of a service


def account_lines(config: Config, make_client: Client) -> Iterator[str]:
    """Check the keys of the account, and describe what a person should know.

    Args:
        config: the choices of the deployment.
        make_client: makes the client of a service of AWS.

    Yields:
        Lines of a message; none if there is nothing to say.

    Raises:
        ChiplakeError: `kms_key` cannot be used, or the bucket or the Glue Data Catalog has another key of a customer.
    """
    for check in (_key_lines, _bucket_lines, _catalog_lines, _lake_formation_lines):
        yield from check(config, make_client)


def _key_lines(config: Config, make_client: Client) -> Iterator[str]:
    if config.kms_key is None:
        return
    try:
        with plain_errors(f"cannot look at kms_key {config.kms_key}"):
            key = make_client("kms").describe_key(KeyId=config.kms_key)["KeyMetadata"]
    except ChiplakeError as error:
        if isinstance(error.__cause__, ClientError) and error_code(error.__cause__) == "NotFoundException":
            raise ChiplakeError(
                f"kms_key {config.kms_key}: there is no such key in this region; correct it, or set kms_key: null"
            ) from error
        yield str(error)
        return
    if key["KeyState"] != "Enabled":
        raise ChiplakeError(f"kms_key {config.kms_key} is {key['KeyState']}; enable it, or set kms_key to another key")
    yield f"the policy of {config.kms_key} must let IAM policies of its account give access, as that of a new key does"


def _bucket_lines(config: Config, make_client: Client) -> Iterator[str]:
    """Check the key of a bucket that exists: its objects cannot be read without it."""
    try:
        name = config.bucket_name or _deployed_bucket(config, make_client)
        key = _bucket_key(name, make_client) if name else None
    except ChiplakeError as error:
        yield str(error)
        return
    if key not in (None, config.kms_key):
        raise ChiplakeError(
            f"the bucket {name} is encrypted with the key {key}, which the roles of jobs may not use; "
            f"set kms_key: {key}"
        )


def _catalog_lines(config: Config, make_client: Client) -> Iterator[str]:
    """Check the key of the Glue Data Catalog, which an account has once."""
    try:
        key = _catalog_key(make_client)
    except ChiplakeError as error:
        yield str(error)
        return
    if key not in (None, config.kms_key):
        raise ChiplakeError(
            f"the Glue Data Catalog of this account is encrypted with the key {key}, which the roles of jobs may not "
            f"use: set kms_key: {key}, which is then the bucket's key, too; another key for each is not supported"
        )


def _lake_formation_lines(config: Config, make_client: Client) -> Iterator[str]:
    """Say that permissions are missing if new databases are governed by Lake Formation."""
    try:
        with plain_errors("cannot look at the settings of Lake Formation"):
            settings = make_client("lakeformation").get_data_lake_settings()["DataLakeSettings"]
    except ChiplakeError as error:
        yield str(error)
        return
    if not settings.get("CreateDatabaseDefaultPermissions") or not settings.get("CreateTableDefaultPermissions"):
        yield "Lake Formation governs new databases or tables of this account, so IAM policies alone do not suffice:"
        yield f"grant the role {config.name}-job-REGION its permissions (docs/operations.md, Lake Formation)"


def _deployed_bucket(config: Config, make_client: Client) -> str | None:
    """Return the name of the bucket that an earlier deployment made; None if there was none."""
    name = f"/{config.name}/bucket_name"
    with plain_errors(f"cannot read the parameter {name}"):
        try:
            return str(make_client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
        except ClientError as error:
            if error_code(error) == "ParameterNotFound":
                return None
            raise


def _bucket_key(name: str, make_client: Client) -> str | None:
    """Return the ARN of a bucket's key if a customer manages it."""
    with plain_errors(f"cannot look at the encryption of the bucket {name}"):
        try:
            answer = make_client("s3").get_bucket_encryption(Bucket=name)
        except ClientError as error:
            if error_code(error) in _NO_BUCKET:
                return None
            raise
    rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
    ids = [one.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") for one in rules]
    return next((_customers_key(one, make_client) for one in ids if one), None)


def _catalog_key(make_client: Client) -> str | None:
    """Return the ARN of the Glue Data Catalog's key if a customer manages it and callers use it themselves."""
    with plain_errors("cannot look at the encryption of the Glue Data Catalog"):
        answer = make_client("glue").get_data_catalog_encryption_settings()["DataCatalogEncryptionSettings"]
    at_rest = answer.get("EncryptionAtRest", {})
    if at_rest.get("CatalogEncryptionMode") != "SSE-KMS":  # none, or a role of Glue's that uses the key
        return None
    return _customers_key(at_rest["SseAwsKmsKeyId"], make_client) if at_rest.get("SseAwsKmsKeyId") else None


def _customers_key(key_id: str, make_client: Client) -> str | None:
    """Return the ARN of a key; None for a key of AWS, whose policy lets all of the account use it by its service."""
    with plain_errors(f"cannot look at the key {key_id}"):
        key = make_client("kms").describe_key(KeyId=key_id)["KeyMetadata"]
    return str(key["Arn"]) if key["KeyManager"] == "CUSTOMER" else None


def main() -> None:
    """Print what a person should know of the account."""
    config = read_config(Path(sys.argv[1]))
    aws = session(config.region)
    for line in account_lines(config, lambda service: client(aws, service)):
        print(f"    {line}")


if __name__ == "__main__":
    try:
        main()
    except ChiplakeError as error:
        sys.exit(f"deploy.sh: {error}")
