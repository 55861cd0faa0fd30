"""The jobs of a night on AWS, and the stages that each of them runs, in order.

The CDK app imports this module, so it uses only the standard library.
"""

from __future__ import annotations

from typing import Final

BEFORE_ENCODER: Final = "before_encoder"
AFTER_ENCODER: Final = "after_encoder"
STAGES_OF_JOBS: Final[dict[str, tuple[str, ...]]] = {
    BEFORE_ENCODER: ("ingest", "chip_extraction", "temporal_merge", "export"),
    AFTER_ENCODER: ("load", "change_detection", "tests", "freshness", "operations"),
}
NOT_NIGHTLY: Final = ("tests",)  # stages that a job leaves out when they are not due


def job_name(deployment: str, job: str) -> str:
    """Return how the names of a deployment's jobs begin.

    Args:
        deployment: name of the deployment.
        job: one of STAGES_OF_JOBS, or a stage that is a job of its own.
    """
    return f"{deployment}-{job.replace('_', '-')}-"
