"""The double of AWS keeps the rules that tests on it rely on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from servers.aws import AwsServer


def _version(aws: AwsServer) -> str:
    return str(aws.client("glue").get_table(DatabaseName="raw", Name="chips")["Table"]["VersionId"])


@pytest.fixture
def table(aws: AwsServer) -> str:
    glue = aws.client("glue")
    glue.create_database(DatabaseInput={"Name": "raw"})
    glue.create_table(DatabaseName="raw", TableInput={"Name": "chips", "Parameters": {"writer": "none"}})
    return _version(aws)


def test_an_update_from_an_old_version_is_refused_and_changes_nothing(aws: AwsServer, table: str) -> None:
    glue = aws.client("glue")
    glue.update_table(DatabaseName="raw", VersionId=table, TableInput={"Name": "chips", "Parameters": {"writer": "a"}})
    with pytest.raises(glue.exceptions.ConcurrentModificationException):
        glue.update_table(
            DatabaseName="raw", VersionId=table, TableInput={"Name": "chips", "Parameters": {"writer": "b"}}
        )
    assert glue.get_table(DatabaseName="raw", Name="chips")["Table"]["Parameters"] == {"writer": "a"}


def test_of_many_updates_from_one_version_one_wins(aws: AwsServer, table: str) -> None:
    glue = aws.client("glue")

    def update(writer: int) -> bool:
        try:
            glue.update_table(
                DatabaseName="raw", VersionId=table, TableInput={"Name": "chips", "Parameters": {"writer": str(writer)}}
            )
        except glue.exceptions.ConcurrentModificationException:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(update, range(16))) == 1
    assert _version(aws) == str(int(table) + 1)


def test_an_update_without_a_version_is_taken(aws: AwsServer, table: str) -> None:
    aws.client("glue").update_table(DatabaseName="raw", TableInput={"Name": "chips"})
    assert _version(aws) != table


def test_transform_jobs_keep_their_limits(aws: AwsServer) -> None:
    sagemaker = aws.client("sagemaker")
    image = {"Image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/clay:1"}
    role = "arn:aws:iam::123456789012:role/transform"
    sagemaker.create_model(ModelName="clay", ExecutionRoleArn=role, PrimaryContainer=image)
    with pytest.raises(ClientError, match="Cannot create already existing model"):
        sagemaker.create_model(ModelName="clay", ExecutionRoleArn=role, PrimaryContainer=image)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/input"}}
    job = {
        "TransformJobName": "job",
        "ModelName": "clay",
        "MaxPayloadInMB": 25,
        "TransformInput": {"DataSource": source},
        "TransformOutput": {"S3OutputPath": "s3://bucket/output"},
        "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
    }
    with pytest.raises(ClientError, match=r"ValidationException.*125, more than 100"):
        sagemaker.create_transform_job(**job, MaxConcurrentTransforms=5)
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.create_transform_job(**job | {"ModelName": "another"})
    with pytest.raises(ClientError, match="Could not find requested job"):
        sagemaker.describe_transform_job(TransformJobName="job")
    with pytest.raises(ClientError, match="Could not find requested job"):
        sagemaker.stop_transform_job(TransformJobName="job")
    sagemaker.create_transform_job(**job)
    with pytest.raises(ClientError, match="ResourceInUse"):
        sagemaker.create_transform_job(**job)
    aws.wait_for_jobs()
    ended = sagemaker.describe_transform_job(TransformJobName="job")
    assert ended["TransformJobStatus"] == "Failed"
    assert "NoSuchBucket" in ended["FailureReason"]


def test_parameters_are_stored(aws: AwsServer) -> None:
    ssm = aws.client("ssm")
    ssm.put_parameter(Name="/chiplake/image", Value="clay", Type="String")
    assert ssm.get_parameter(Name="/chiplake/image")["Parameter"]["Value"] == "clay"


def test_nothing_is_left_from_another_test(aws: AwsServer) -> None:
    assert aws.client("glue").get_databases()["DatabaseList"] == []
    assert aws.client("s3").list_buckets()["Buckets"] == []
