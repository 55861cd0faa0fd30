"""What differs between the versions of Airflow and of its amazon provider that the DAG runs on.

These are the versions of managed Airflow that docs/operations.md lists, and the version of the project. The rest of the
DAG is the same on all of them.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.triggers.sagemaker import SageMakerTrigger

try:
    from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
except ImportError:  # Airflow 3.0
    from airflow.exceptions import AirflowFailException, AirflowSkipException

__all__ = ["AirflowFailException", "AirflowSkipException", "make_sagemaker_trigger"]


def make_sagemaker_trigger(operator: Any, job_name: str, job_type: str) -> SageMakerTrigger:
    """Make the trigger that waits for the end of a job, as the operator waits for its own jobs.

    The triggers of providers up to 9.25 take no region: they ask that of Airflow's environment, AWS_DEFAULT_REGION.

    Args:
        operator: an operator of the amazon provider for SageMaker jobs.
        job_name: name of the job.
        job_type: `Processing` or `Transform`.
    """
    from airflow.providers.amazon.aws.triggers.sagemaker import SageMakerTrigger  # only AWS has the provider

    job = {"job_name": job_name, "job_type": job_type, "aws_conn_id": operator.aws_conn_id}
    if "waiter_delay" not in inspect.signature(SageMakerTrigger).parameters:
        return SageMakerTrigger(**job, poke_interval=operator.check_interval, max_attempts=operator.max_attempts)
    return SageMakerTrigger(
        **job,
        waiter_delay=operator.check_interval,
        waiter_max_attempts=operator.max_attempts,
        region_name=operator.region_name,
        verify=operator.verify,
        botocore_config=operator.botocore_config,
    )
