"""Requests, names and states of SageMaker's batch transform jobs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from lakehouse.settings import PROJECT_DIR
from lakehouse.transform_job import (
    Job,
    RequestLimits,
    answer_keys,
    create_model_request,
    create_transform_job_request,
    find_jobs,
    input_manifest,
    is_not_found,
)


def test_the_module_needs_only_the_standard_library() -> None:
    # -S: no site-packages; -I: no PYTHONPATH and no user's packages.
    script = f"import sys; sys.path.insert(0, {str(PROJECT_DIR)!r}); import lakehouse.transform_job"
    done = subprocess.run([sys.executable, "-S", "-I", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_limits_are_read_from_the_settings_in_the_environment() -> None:
    assert RequestLimits.from_environment({}) == RequestLimits(2, 25, 3600, 3)
    environment = {
        "CHIPLAKE_TRANSFORM_MAX_CONCURRENT": "4",
        "CHIPLAKE_TRANSFORM_MAX_PAYLOAD_MB": "10",
        "CHIPLAKE_TRANSFORM_TIMEOUT_S": "600",
        "CHIPLAKE_TRANSFORM_RETRIES": "0",
    }
    assert RequestLimits.from_environment(environment) == RequestLimits(4, 10, 600, 0)


def test_a_limit_that_is_not_a_number_is_named() -> None:
    with pytest.raises(ValueError, match="CHIPLAKE_TRANSFORM_RETRIES=often: expected a whole number"):
        RequestLimits.from_environment({"CHIPLAKE_TRANSFORM_RETRIES": "often"})


def test_a_job_request_has_its_limits_and_the_addresses_of_its_run() -> None:
    request = create_transform_job_request(
        name="chiplake-1-01",
        model_name="clay",
        run_uri="s3://lake/transform/1",
        instance_type="ml.g5.xlarge",
        instance_count=2,
        limits=RequestLimits(4, 10, 600, 0),
        kms_key="arn:key",
    )
    assert request["ModelClientConfig"] == {"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 0}
    assert (request["MaxConcurrentTransforms"], request["MaxPayloadInMB"]) == (4, 10)
    assert request["TransformResources"] == {
        "InstanceType": "ml.g5.xlarge",
        "InstanceCount": 2,
        "TransformAmiVersion": "al2-ami-sagemaker-batch-gpu-535",
    }
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    assert source == {"S3DataType": "ManifestFile", "S3Uri": "s3://lake/transform/1/jobs/chiplake-1-01.manifest"}
    assert request["TransformOutput"]["S3OutputPath"] == "s3://lake/transform/1/output"
    assert request["TransformOutput"]["KmsKeyId"] == "arn:key"


@pytest.mark.parametrize(
    ("instance_type", "uses_gpu"),
    [
        *[(f"ml.{family}.xlarge", True) for family in ("g4dn", "g5", "g6", "g6e", "p3")],
        *[(f"ml.{family}.xlarge", False) for family in ("m5", "c7i", "r6i", "inf2", "trn1")],
    ],
)
def test_the_server_must_use_the_gpu_of_an_instance_that_has_one(instance_type: str, uses_gpu: bool) -> None:
    request = create_transform_job_request(
        name="a-01",
        model_name="clay",
        run_uri="s3://lake/1",
        instance_type=instance_type,
        instance_count=1,
        limits=RequestLimits(),
    )
    assert request.get("Environment", {}) == ({"CHIPLAKE_DEVICE": "cuda"} if uses_gpu else {})
    assert ("TransformAmiVersion" in request["TransformResources"]) is uses_gpu


def test_aws_knows_every_part_of_a_request_for_a_gpu() -> None:
    request = create_transform_job_request(
        name="a-01",
        model_name="clay",
        run_uri="s3://lake/1",
        instance_type="ml.g5.xlarge",
        instance_count=1,
        limits=RequestLimits(),
        kms_key="arn:key",
    )
    operation = get_session().get_service_model("sagemaker").operation_model("CreateTransformJob")
    report = ParamValidator().validate(request, operation.input_shape)
    assert not report.has_errors(), report.generate_report()


def test_an_input_manifest_lists_objects_after_their_prefix() -> None:
    manifest = json.loads(input_manifest("s3://lake/transform/1", ["chips-00000.arrow", "chips-00001.arrow"]))
    assert manifest == [{"prefix": "s3://lake/transform/1/input/"}, "chips-00000.arrow", "chips-00001.arrow"]


def test_a_models_name_follows_from_its_request() -> None:
    first = create_model_request("image:1", "arn:role", {"A": "1"}, None)
    assert create_model_request("image:1", "arn:role", {"A": "1"}, None) == first
    # Names are those of release 0.1.0, so that its models stay in use.
    assert first["ModelName"] == "chiplake-clay-3060447d25e05092"
    others = [
        create_model_request("image:2", "arn:role", {"A": "1"}, None),
        create_model_request("image:1", "arn:role", {"A": "2"}, None),
        create_model_request("image:1", "arn:role", {"A": "1"}, "s3://lake/model.tar.gz"),
    ]
    assert len({first["ModelName"], *(other["ModelName"] for other in others)}) == 4


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ValidationException", "Could not find requested job with name: chiplake-1-01", True),
        ("ValidationException", 'Could not find model "clay".', True),
        ("ResourceNotFound", "", True),
        ("ResourceNotFoundException", "", True),
        ("ValidationException", "Value at 'transformJobName' failed to satisfy constraint", False),
        ("AccessDeniedException", "Could not find out who you are", False),
    ],
)
def test_only_an_error_about_a_missing_job_or_model_means_not_found(code: str, message: str, expected: bool) -> None:
    assert is_not_found({"Error": {"Code": code, "Message": message}}) is expected


def test_jobs_of_the_same_work_are_numbered() -> None:
    jobs = {name: Job(name, status) for name, status in (("work-01", "Failed"), ("work-02", "InProgress"))}
    history = find_jobs("work", jobs.get)
    assert (history.latest, history.count, history.next_name) == (jobs["work-02"], 2, "work-03")
    none = find_jobs("other", jobs.get)
    assert (none.latest, none.count, none.next_name) == (None, 0, "other-01")


@pytest.mark.parametrize(
    ("status", "is_running"),
    [("InProgress", True), ("Stopping", True), ("Completed", False), ("Failed", False), ("Stopped", False)],
)
def test_a_job_counts_as_running_until_it_can_no_longer_write(status: str, is_running: bool) -> None:
    assert Job("work-01", status).is_running is is_running


def test_answers_are_found_in_any_folder_of_the_output() -> None:
    keys = ["run/output/input/chips-00000.arrow.out", "run/output/chips-00001.arrow.out", "run/output/log.txt"]
    assert answer_keys(keys) == {"chips-00000.arrow": keys[0], "chips-00001.arrow": keys[1]}
