"""The assemblies of three deployments, each synthesised once for all tests."""

from __future__ import annotations

import pytest
from support.assemblies import Synthesised, synthesise


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """A deployment with the defaults."""
    folder = tmp_path_factory.mktemp("cdk") / "default"
    done = synthesise(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return Synthesised(folder)


@pytest.fixture(scope="session")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """A deployment with managed Airflow and many other options."""
    folder = tmp_path_factory.mktemp("cdk") / "managed"
    done = synthesise(
        folder,
        account="123456789012",
        region="eu-central-1",
        area=[16.3, 45.7, 16.5, 45.8],
        managed_airflow=True,
        alarm_email="ops@example.org",
        source_buckets=["eodata-mirror"],
        settings={"CHIPLAKE_CLAY_PRECISION": "bfloat16"},
        variables={"chiplake_max_cloud": "60"},
        transform_retention_days=7,
        transform_instance_type="ml.g5.xlarge",
        bucket_name="lake-of-tests",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Synthesised(folder)


@pytest.fixture(scope="session")
def enclosed(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """A deployment with a key of KMS, and with subnets for its jobs."""
    folder = tmp_path_factory.mktemp("cdk") / "enclosed"
    done = synthesise(
        folder,
        account="123456789012",
        region="eu-central-1",
        bucket_name="lake-of-tests",
        kms_key="arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        job_subnets=["subnet-0a1b2c3d", "subnet-4e5f6a7b"],
        job_security_groups=["sg-0a1b2c3d"],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Synthesised(folder)
