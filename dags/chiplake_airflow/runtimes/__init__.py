"""Where the jobs of the DAG run: commands on this machine, or SageMaker jobs on AWS."""

from __future__ import annotations

from chiplake_airflow.environment import Environment
from chiplake_airflow.runtimes.base import Runtime, Stage

__all__ = ["Runtime", "Stage", "make_runtime"]


def make_runtime(environment: Environment) -> Runtime:
    """Make the runtime of CHIPLAKE_AIRFLOW_RUNTIME. Only its own module is imported: each needs other packages.

    Raises:
        FileNotFoundError: the local runtime finds no dbt manifest.
    """
    if environment.runtime == "aws":
        from chiplake_airflow.runtimes.aws import AwsRuntime

        return AwsRuntime(environment)
    from chiplake_airflow.runtimes.local import LocalRuntime

    return LocalRuntime.open(environment)
