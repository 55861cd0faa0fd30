"""Files of the project that go to the bucket with every deployment: DAGs, the dbt project, run_job.py."""

from __future__ import annotations

from typing import Final

from aws_cdk import IgnoreMode, Stack, aws_s3, aws_s3_deployment

from lakehouse.settings import PROJECT_DIR
from stack import layout

_PROJECT: Final = ("dbt_project.yml", "selectors.yml", "dbt_chiplake.py", "models", "macros", "profiles", "tests")

# By their place in the bucket: the folder, and what of it.
_FILES: Final = {
    layout.CODE: ("scripts", ["*", "!run_job.py"]),
    f"{layout.AIRFLOW}/dags": ("dags", ["**/__pycache__"]),
    layout.PROJECT: (
        ".",
        [
            "*",
            *(f"!{name}" for name in _PROJECT),
            "tests/*",
            "!tests/dbt",
            "**/__pycache__",
        ],
    ),
}


def deploy_files(stack: Stack, bucket: aws_s3.IBucket) -> None:
    """Copy the files; one that is no longer in the project goes from the bucket, too."""
    for place, (folder, patterns) in _FILES.items():
        aws_s3_deployment.BucketDeployment(
            stack,
            f"Deploy-{place.replace('/', '-')}",
            sources=[
                aws_s3_deployment.Source.asset(
                    str(PROJECT_DIR / folder), exclude=patterns, ignore_mode=IgnoreMode.DOCKER
                )
            ],
            destination_bucket=bucket,
            destination_key_prefix=place,
            prune=True,
            retain_on_delete=True,
        )
