"""The CreateProcessingJob request of a stage on AWS: the image of the project runs one of its programs.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chiplake_airflow.commands import without_empty
from lakehouse.transform_job import CARD_SUFFIX


@dataclass(frozen=True)
class JobOptions:
    """The options that Variables add to every processing job; all may be empty."""

    settings: Mapping[str, str] = field(default_factory=dict)  # environment variables `CHIPLAKE_…`
    checkpoint_uri: str = ""  # s3:// address of the Clay checkpoint
    subnets: Sequence[str] = ()
    security_groups: Sequence[str] = ()
    kms_key: str = ""  # ARN of the KMS key of volumes and outputs


def processing_request(
    template: Mapping[str, Any], name: str, options: JobOptions, card_folder: str | None, instances: int = 1
) -> dict[str, Any]:
    """Build the request of one job from the template of its stage.

    Args:
        template: the request of the stage as Airflow rendered it; it stays as it is.
        name: name of the job.
        options: what Variables add.
        card_folder: folder of the container for the card of the Clay checkpoint; None: the job needs none.
        instances: number of the job's instances, which form a Spark cluster.
    """
    request = copy.deepcopy(dict(template))
    request["ProcessingJobName"] = name
    request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = instances
    application = request["AppSpecification"]
    application["ContainerArguments"] = without_empty(application["ContainerArguments"])
    request["Environment"] = dict(options.settings) | request["Environment"]
    if card_folder and options.checkpoint_uri:
        card_uri = options.checkpoint_uri + CARD_SUFFIX
        request["ProcessingInputs"] = [s3_input("card", card_uri, card_folder)]
        file_name = card_uri.rsplit("/", 1)[-1]
        request["Environment"]["CHIPLAKE_CLAY_CARD"] = f"{card_folder}/{file_name}"
    if options.subnets:
        vpc = {"Subnets": list(options.subnets), "SecurityGroupIds": list(options.security_groups)}
        request["NetworkConfig"] = {"VpcConfig": vpc}
    if instances > 1:  # Spark does not encrypt what its processes send each other
        request.setdefault("NetworkConfig", {})["EnableInterContainerTrafficEncryption"] = True
    if options.kms_key:
        request["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] = options.kms_key
        if "ProcessingOutputConfig" in request:
            request["ProcessingOutputConfig"]["KmsKeyId"] = options.kms_key
    return request


def s3_input(name: str, uri: str, folder: str) -> dict[str, Any]:
    """Describe an input: SageMaker copies an S3 prefix into a folder of the container before the job starts."""
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": folder,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }


def s3_output(name: str, folder: str, uri: str) -> dict[str, Any]:
    """Describe an output: SageMaker copies a folder of the container to an S3 prefix after the job has ended."""
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": folder, "S3UploadMode": "EndOfJob"}}
