"""What an account already has: keys that the roles may not use are refused, the rest is said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stack.account import account_lines
from stack.config import Config
from support.servers.aws import AwsServer

from lakehouse.errors import ChiplakeError

BUCKET = "lake-of-tests"


def lines(aws: AwsServer, **choices: Any) -> list[str]:
    return list(account_lines(Config(**choices), aws.client))


def make_key(aws: AwsServer) -> str:
    return str(aws.client("kms").create_key()["KeyMetadata"]["Arn"])


def encrypt_catalog(aws: AwsServer, mode: str = "SSE-KMS", **fields: str) -> None:
    settings = {"EncryptionAtRest": {"CatalogEncryptionMode": mode, **fields}}
    aws.client("glue").put_data_catalog_encryption_settings(DataCatalogEncryptionSettings=settings)


def make_bucket(aws: AwsServer, key: str | None) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
    rules = [{"ApplyServerSideEncryptionByDefault": default}]
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": rules})


def test_an_account_as_aws_makes_it_needs_no_words(aws: AwsServer) -> None:
    assert lines(aws) == []
    assert lines(aws, bucket_name="lake-that-does-not-exist") == []


def test_a_catalogue_with_a_key_of_a_customer_needs_this_key_as_kms_key(aws: AwsServer) -> None:
    key, other = make_key(aws), make_key(aws)
    encrypt_catalog(aws, SseAwsKmsKeyId=key)
    for choices in ({}, {"kms_key": other}):
        with pytest.raises(ChiplakeError, match=f"Glue Data Catalog .* with the key {key}, .*: set kms_key: {key}, "):
            lines(aws, **choices)
    (said,) = lines(aws, kms_key=key)
    assert said.startswith(f"the policy of {key} must let IAM policies of its account give access")


def test_a_catalogue_with_a_key_of_aws_or_with_a_role_of_its_own_needs_no_key(aws: AwsServer) -> None:
    key = make_key(aws)
    encrypt_catalog(aws, SseAwsKmsKeyId=key)
    # moto's keys are all of a customer.
    of_aws = SimpleNamespace(describe_key=lambda KeyId: {"KeyMetadata": {"Arn": KeyId, "KeyManager": "AWS"}})
    assert list(account_lines(Config(), lambda service: of_aws if service == "kms" else aws.client(service))) == []
    role = "arn:aws:iam::123456789012:role/glue"
    encrypt_catalog(aws, "SSE-KMS-WITH-SERVICE-ROLE", SseAwsKmsKeyId=key, CatalogEncryptionServiceRole=role)
    assert lines(aws) == []


def test_a_bucket_that_exists_keeps_its_key(aws: AwsServer) -> None:
    key, other = make_key(aws), make_key(aws)
    make_bucket(aws, key)
    for choices in ({}, {"kms_key": other}):
        with pytest.raises(ChiplakeError, match=f"the bucket {BUCKET} is encrypted with the key {key}, .*: {key}$"):
            lines(aws, bucket_name=BUCKET, **choices)
    assert len(lines(aws, bucket_name=BUCKET, kms_key=key)) == 1
    # A bucket that AWS named is known by the parameter of an earlier deployment.
    aws.client("ssm").put_parameter(Name="/chiplake/bucket_name", Value=BUCKET, Type="String")
    with pytest.raises(ChiplakeError, match=f"the bucket {BUCKET} is encrypted"):
        lines(aws)


def test_a_bucket_with_keys_of_aws_may_get_a_key(aws: AwsServer) -> None:
    make_bucket(aws, None)
    assert lines(aws, bucket_name=BUCKET) == []
    assert len(lines(aws, bucket_name=BUCKET, kms_key=make_key(aws))) == 1


def test_a_key_that_is_disabled_or_of_another_region_is_refused(aws: AwsServer) -> None:
    key = make_key(aws)
    aws.client("kms").disable_key(KeyId=key.rpartition("/")[2])
    with pytest.raises(ChiplakeError, match=f"kms_key {key} is Disabled; enable it"):
        lines(aws, kms_key=key)
    missing = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    with pytest.raises(ChiplakeError, match=f"kms_key {missing}: there is no such key in this region"):
        lines(aws, kms_key=missing)


@pytest.mark.parametrize("of_databases", [True, False])
def test_an_account_that_lake_formation_governs_is_told_what_to_grant(aws: AwsServer, of_databases: bool) -> None:
    everybody = [{"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"]}]
    settings = {
        "CreateDatabaseDefaultPermissions": [] if of_databases else everybody,
        "CreateTableDefaultPermissions": everybody if of_databases else [],
    }
    aws.client("lakeformation").put_data_lake_settings(DataLakeSettings=settings)
    first, second = lines(aws, name="lake")
    assert first.startswith("Lake Formation governs new databases or tables of this account")
    assert second == "grant the role lake-job-REGION its permissions (docs/operations.md, Lake Formation)"


def test_what_the_caller_may_not_look_at_is_said_and_stops_nothing(aws: AwsServer) -> None:
    class Refusing:
        def __getattr__(self, operation: str) -> Any:
            def call(**_request: Any) -> None:
                error = {"Code": "AccessDeniedException", "Message": "User is not authorized"}
                raise ClientError({"Error": error}, operation)

            return call

    key = make_key(aws)
    said = list(account_lines(Config(kms_key=key, bucket_name=BUCKET), lambda _service: Refusing()))
    assert [line.partition(": ")[0] for line in said] == [
        f"cannot look at kms_key {key}",
        f"cannot look at the encryption of the bucket {BUCKET}",
        "cannot look at the encryption of the Glue Data Catalog",
        "cannot look at the settings of Lake Formation",
    ]
