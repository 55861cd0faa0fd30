"""The double notes what each request needs of IAM, by the access key of the caller."""

from __future__ import annotations

from typing import Any

import boto3

from support.servers.aws import JOB_KEY, REGION, AwsServer
from support.servers.calls import Call

HERE = f"{REGION}:123456789012"


def client(aws: AwsServer, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=aws.url,
        region_name=REGION,
        aws_access_key_id=JOB_KEY,
        aws_secret_access_key="any",
    )


def needed(aws: AwsServer) -> set[tuple[str, str]]:
    return {(one.action, one.resource) for one in aws.calls if one.principal == JOB_KEY}


def test_requests_to_s3_need_permissions_of_other_names(aws: AwsServer) -> None:
    aws.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3 = client(aws, "s3")
    s3.put_object(Bucket="lake", Key="folder/a b", Body=b"1")
    s3.copy_object(Bucket="lake", Key="copy", CopySource={"Bucket": "lake", "Key": "folder/a b"})
    s3.head_bucket(Bucket="lake")
    s3.list_objects_v2(Bucket="lake", Prefix="folder/")
    s3.get_bucket_location(Bucket="lake")
    s3.delete_objects(Bucket="lake", Delete={"Objects": [{"Key": "copy"}, {"Key": "none"}]})
    upload = s3.create_multipart_upload(Bucket="lake", Key="large")["UploadId"]
    s3.abort_multipart_upload(Bucket="lake", Key="large", UploadId=upload)
    assert needed(aws) == {
        ("s3:PutObject", "arn:aws:s3:::lake/folder/a b"),
        ("s3:PutObject", "arn:aws:s3:::lake/copy"),
        ("s3:GetObject", "arn:aws:s3:::lake/folder/a b"),
        ("s3:ListBucket", "arn:aws:s3:::lake"),
        ("s3:GetBucketLocation", "arn:aws:s3:::lake"),
        ("s3:DeleteObject", "arn:aws:s3:::lake/copy"),
        ("s3:DeleteObject", "arn:aws:s3:::lake/none"),
        ("s3:PutObject", "arn:aws:s3:::lake/large"),
        ("s3:AbortMultipartUpload", "arn:aws:s3:::lake/large"),
    }
    contexts = {one.context for one in aws.calls if one.principal == JOB_KEY and one.action == "s3:ListBucket"}
    assert contexts == {(), (("s3:prefix", "folder/"),)}, "HeadBucket has no prefix"


def test_a_table_of_glue_needs_its_database_and_the_catalogue_too(aws: AwsServer) -> None:
    glue = client(aws, "glue")
    glue.create_database(DatabaseInput={"Name": "lake"})
    glue.create_table(DatabaseName="lake", TableInput={"Name": "chips"})
    glue.get_databases()
    arn = f"arn:aws:glue:{HERE}"
    assert needed(aws) == {
        ("glue:CreateDatabase", f"{arn}:catalog"),
        ("glue:CreateDatabase", f"{arn}:database/lake"),
        ("glue:CreateTable", f"{arn}:catalog"),
        ("glue:CreateTable", f"{arn}:database/lake"),
        ("glue:CreateTable", f"{arn}:table/lake/chips"),
        ("glue:GetDatabases", f"{arn}:catalog"),
    }


def test_a_job_needs_the_right_to_pass_its_role(aws: AwsServer) -> None:
    client(aws, "sagemaker").create_processing_job(
        ProcessingJobName="night-1",
        RoleArn="arn:aws:iam::123456789012:role/job",
        AppSpecification={"ImageUri": "image"},
        ProcessingResources={
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
        },
    )
    client(aws, "ssm").put_parameter(Name="/airflow/variables/chiplake/chiplake_bbox", Value="1", Type="String")
    of_job = {one for one in aws.calls if one.principal == JOB_KEY}
    role = Call(
        JOB_KEY,
        "iam:PassRole",
        "arn:aws:iam::123456789012:role/job",
        (("iam:PassedToService", "sagemaker.amazonaws.com"),),
    )
    assert role in of_job
    assert needed(aws) >= {
        ("sagemaker:CreateProcessingJob", f"arn:aws:sagemaker:{HERE}:processing-job/night-1"),
        ("ssm:PutParameter", f"arn:aws:ssm:{HERE}:parameter/airflow/variables/chiplake/chiplake_bbox"),
    }


def test_requests_to_other_services_are_noted_too(aws: AwsServer) -> None:
    client(aws, "cloudformation").list_stacks()
    client(aws, "sqs").list_queues()
    client(aws, "logs").describe_log_groups()
    client(aws, "sts").get_caller_identity()
    assert needed(aws) == {("cloudformation:ListStacks", "*"), ("sqs:ListQueues", "*"), ("logs:DescribeLogGroups", "*")}
