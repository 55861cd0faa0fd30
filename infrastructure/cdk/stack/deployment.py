"""Files of the project that every deployment copies to the bucket: the DAGs, the dbt project and run_job.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aws_cdk import IgnoreMode, Stack, aws_s3, aws_s3_deployment

from lakehouse.settings import PROJECT_DIR
from stack import layout

_CACHES: Final = "**/__pycache__"


@dataclass(frozen=True)
class _Files:
    """Files of a folder of the project."""

    folder: str
    excluded: tuple[str, ...]  # patterns of a .dockerignore


def _only(*paths: str) -> tuple[str, ...]:
    """Return the patterns that exclude everything but these paths of a folder."""
    return ("*", *(f"!{path}" for path in paths))


_DBT_PROJECT: Final = (
    *("dbt_project.yml", "selectors.yml", "dbt_chiplake.py", "profiles", "macros", "tests"),
    *("models", "seeds", "snapshots", "analyses"),
)
# Airflow puts the folder of the DAGs on Python's path, so the DAG imports these from there.
_DAG_IMPORTS: Final = (
    *("lakehouse/__init__.py", "lakehouse/transform_job.py"),
    *("lakehouse/causes.py", "lakehouse/errors.py", "lakehouse/redaction.py"),
)

# By their prefix in the bucket. Sources of one prefix are merged.
_DEPLOYED: Final = {
    layout.CODE: (_Files("scripts", _only("run_job.py")),),
    f"{layout.AIRFLOW}/dags": (
        _Files("dags", (_CACHES,)),
        _Files(".", (*_only("lakehouse"), "lakehouse/*", *(f"!{path}" for path in _DAG_IMPORTS))),
    ),
    # Not among the DAGs, where Airflow would find one id twice.
    f"{layout.AIRFLOW}/single": (_Files("airflow/dags", _only("sentinel_processing_dag.py")),),
    layout.PROJECT: (_Files(".", (*_only(*_DBT_PROJECT), "tests/*", "!tests/dbt", _CACHES)),),
}


def deploy_files(stack: Stack, bucket: aws_s3.IBucket) -> list[aws_s3_deployment.BucketDeployment]:
    """Copy the files to the bucket, and remove files from it that were removed from the project."""
    return [
        aws_s3_deployment.BucketDeployment(
            stack,
            f"Deploy-{prefix.replace('/', '-')}",
            sources=[
                aws_s3_deployment.Source.asset(
                    str(PROJECT_DIR / files.folder), exclude=list(files.excluded), ignore_mode=IgnoreMode.DOCKER
                )
                for files in sources
            ],
            destination_bucket=bucket,
            destination_key_prefix=prefix,
            prune=True,
            retain_on_delete=True,
        )
        for prefix, sources in _DEPLOYED.items()
    ]
