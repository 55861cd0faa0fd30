"""The double of AWS follows the rules that other tests rely on."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.servers.aws import AwsServer


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


def test_only_one_of_many_updates_from_one_version_succeeds(aws: AwsServer, table: str) -> None:
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


def test_an_update_without_a_version_is_accepted(aws: AwsServer, table: str) -> None:
    aws.client("glue").update_table(DatabaseName="raw", TableInput={"Name": "chips"})
    assert _version(aws) != table


def test_invalid_transform_jobs_are_refused_as_on_aws(aws: AwsServer) -> None:
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


def _processing_job(name: str, script: str, **more: Any) -> dict[str, Any]:
    """Return the request of a job whose container runs a shell script."""
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10}
    entry = {"ContainerEntrypoint": ["sh", "-c"], "ContainerArguments": [script]}
    return {
        "ProcessingJobName": name,
        "RoleArn": "arn:aws:iam::123456789012:role/job",
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": {"ImageUri": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/spark:1", **entry},
        **more,
    }


def _inputs(uri: str) -> list[dict[str, Any]]:
    source = {"S3Uri": uri, "LocalPath": "/opt/ml/processing/in", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return [{"InputName": "in", "S3Input": source}]


def test_a_processing_job_downloads_inputs_and_uploads_outputs(aws: AwsServer) -> None:
    aws.run_processing_jobs = True
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for key in ("given/a", "given/folder/b", "given-not/c"):
        s3.put_object(Bucket="bucket", Key=key, Body=key.encode())
    target = {"S3Uri": "s3://bucket/made", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}
    job = _processing_job(
        "copy",
        'cp -R /opt/ml/processing/in/* "$TO" && echo copied to "$TO"',
        Environment={"TO": "/opt/ml/processing/out"},
        ProcessingInputs=_inputs("s3://bucket/given/"),
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": target}]},
    )
    sagemaker.create_processing_job(**job)
    with pytest.raises(ClientError, match="ResourceInUse"):
        sagemaker.create_processing_job(**job)
    aws.wait_for_jobs()
    ended = sagemaker.describe_processing_job(ProcessingJobName="copy")
    assert ended["ProcessingJobStatus"] == "Completed", aws.processing_jobs["copy"].log
    assert ended["Environment"] == {"TO": "/opt/ml/processing/out"}
    assert aws.processing_jobs["copy"].log.startswith("copied to ")
    made = s3.list_objects_v2(Bucket="bucket", Prefix="made/")["Contents"]
    assert {entry["Key"] for entry in made} == {"made/a", "made/folder/b"}
    assert s3.get_object(Bucket="bucket", Key="made/folder/b")["Body"].read() == b"given/folder/b"


def test_a_failed_processing_job_states_the_reason(aws: AwsServer) -> None:
    aws.run_processing_jobs = True
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    sagemaker.create_processing_job(**_processing_job("fails", "printf 'no scenes' > /opt/ml/output/message; exit 4"))
    sagemaker.create_processing_job(
        **_processing_job("lacks", "true", ProcessingInputs=_inputs("s3://bucket/nothing/"))
    )
    aws.wait_for_jobs()
    fails, lacks = (sagemaker.describe_processing_job(ProcessingJobName=name) for name in ("fails", "lacks"))
    assert (fails["ProcessingJobStatus"], fails["ExitMessage"]) == ("Failed", "no scenes")
    assert fails["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert lacks["ProcessingJobStatus"] == "Failed"
    assert "No S3 objects found" in lacks["FailureReason"]
    with pytest.raises(ClientError, match="Could not find requested job"):
        sagemaker.describe_processing_job(ProcessingJobName="another")


def test_a_processing_job_can_be_stopped(aws: AwsServer) -> None:
    aws.run_processing_jobs = True
    sagemaker = aws.client("sagemaker")
    sagemaker.create_processing_job(**_processing_job("job", "echo started; sleep 60; echo ended"))
    run = aws.processing_jobs["job"]
    while "started" not in run.log:
        assert run.thread.is_alive()
        time.sleep(0.05)
    assert sagemaker.describe_processing_job(ProcessingJobName="job")["ProcessingJobStatus"] == "InProgress"
    sagemaker.stop_processing_job(ProcessingJobName="job")
    aws.wait_for_jobs()
    ended = sagemaker.describe_processing_job(ProcessingJobName="job")
    assert ended["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in ended
    assert run.log == "started\n"


def test_parameters_are_stored(aws: AwsServer) -> None:
    ssm = aws.client("ssm")
    ssm.put_parameter(Name="/chiplake/image", Value="clay", Type="String")
    assert ssm.get_parameter(Name="/chiplake/image")["Parameter"]["Value"] == "clay"


def test_nothing_is_left_from_another_test(aws: AwsServer) -> None:
    assert aws.client("glue").get_databases()["DatabaseList"] == []
    assert aws.client("s3").list_buckets()["Buckets"] == []
