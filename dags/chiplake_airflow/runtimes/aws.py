"""The stages on AWS: a SageMaker processing job of the project's image each, and a batch transform job for the encoder.

A task reads its configuration from Variables when it runs: `/airflow/variables/NAME/...` in SSM Parameter Store.

The image holds the project in /opt/chiplake and the programs `smspark-submit`, `chiplake` and `dbt` on its path.
`smspark-submit` starts every job, see chiplake/processing_job.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from airflow.sdk import TaskGroup
from typing_extensions import override

from chiplake_airflow.commands import DAYS, ingest_command
from chiplake_airflow.days import RUN_KEY
from chiplake_airflow.environment import Environment
from chiplake_airflow.job_settings import settings_of_stage
from chiplake_airflow.operators.sagemaker import ProcessingJobOperator, TransformJobOperator
from chiplake_airflow.processing_request import s3_input, s3_output
from chiplake_airflow.runtimes.base import Runtime, Stage
from chiplake_airflow.stages import ALL_TESTS, assets_of
from chiplake_airflow.variables import variable

PROJECT: Final = "/opt/chiplake"
HOME: Final = "/opt/ml/processing/chiplake"
CHECKPOINTS: Final = "/opt/ml/processing/checkpoint"
DOCS: Final = "/opt/ml/processing/docs"
RUN_JOB: Final = ("smspark-submit", f"{PROJECT}/scripts/run_job.py")
CHIPLAKE: Final = ("smspark-submit", "chiplake")
DBT: Final = ("smspark-submit", "dbt", "--no-use-colors")
DBT_FOLDERS: Final = ("--project-dir", PROJECT, "--profiles-dir", f"{PROJECT}/profiles", "--target", "aws")

LONGEST_JOB: Final = timedelta(hours=6)


def _template(name: str, default: str | None = None) -> str:
    """Return the template of a Variable's value."""
    return f"{{{{ {variable(name, default)} }}}}"


NAME: Final = _template("chiplake_name", "chiplake")
EXPORTS: Final = f"{_template('chiplake_transform_s3_uri')}/{RUN_KEY}"
EXPORT_ID: Final = "{{ ti.xcom_pull(task_ids='batch_transform', key='run_id') }}"


@dataclass(frozen=True)
class AwsRuntime(Runtime):
    """Runs the stages as SageMaker jobs, on a lake in S3 and Glue."""

    environment: Environment

    @override
    def ingest(self) -> Stage:
        return self._job("ingest", CHIPLAKE, ingest_command(from_files=False))

    @override
    def chip_extraction(self) -> Stage:
        return self._job("chip_extraction", RUN_JOB, ("chip_extraction", *DAYS))

    @override
    def temporal_merge(self) -> Stage:
        return self._job("temporal_merge", RUN_JOB, ("temporal_merge", *DAYS))

    @override
    def export(self) -> Stage:
        output = s3_output("objects", f"{HOME}/transform", EXPORTS)
        arguments = ("embed", "export", *DAYS)
        return self._job("export", CHIPLAKE, arguments, outputs=[output], checkpoint_folder=CHECKPOINTS)

    @override
    def batch_transform(self) -> Stage:
        return TransformJobOperator(
            task_id="batch_transform",
            exports_uri=EXPORTS,
            job_prefix=NAME,
            model_name=_template("chiplake_transform_model"),
            instance_type=_template("chiplake_transform_instance_type"),
            instance_count=_template("chiplake_transform_instance_count"),
            **self._waiting(),
        )

    @override
    def load(self) -> Stage:
        answers = s3_input("answers", f"{EXPORTS}/{EXPORT_ID}/", f"{HOME}/transform/{EXPORT_ID}")
        return self._job("load", CHIPLAKE, ("embed", "load"), inputs=[answers])

    @override
    def change_detection(self) -> Stage:
        # Runs also when there was nothing to embed and `batch_transform` was skipped.
        return self._job("change_detection", RUN_JOB, ("change_detection", *DAYS), trigger_rule="none_failed")

    @override
    def tests_and_docs(self) -> Stage:
        with TaskGroup(
            "tests_and_docs", tooltip="every test on the whole lake, then the docs and the record of runs"
        ) as group:
            tests = self._job("tests", DBT, ("test", *ALL_TESTS, *DBT_FOLDERS))
            output = s3_output("docs", DOCS, _template("chiplake_docs_s3_uri"))
            docs = self._job("docs", DBT, ("docs", "generate", "--target-path", DOCS, *DBT_FOLDERS), outputs=[output])
            tests >> [docs, self._job("operations", RUN_JOB, ("operations",))]
        return group

    @override
    def maintain(self) -> Stage:
        return self._job("maintain", CHIPLAKE, ("maintain",))

    def _job(
        self,
        task_id: str,
        program: Sequence[str],
        arguments: Sequence[str],
        inputs: Sequence[dict[str, Any]] = (),
        outputs: Sequence[dict[str, Any]] = (),
        **kwargs: Any,
    ) -> ProcessingJobOperator:
        job: dict[str, Any] = {
            "ProcessingJobName": f"{NAME}-{task_id.replace('_', '-')}-{RUN_KEY}",
            "RoleArn": _template("chiplake_job_role_arn"),
            "AppSpecification": {
                "ImageUri": _template("chiplake_spark_image"),
                "ContainerEntrypoint": list(program),
                "ContainerArguments": list(arguments),
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": _template("chiplake_spark_instance_type"),
                    "VolumeSizeInGB": _template("chiplake_spark_volume_gb"),
                }
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": int(LONGEST_JOB.total_seconds())},
            "Environment": {
                "AWS_REGION": _template("chiplake_region"),
                "AWS_DEFAULT_REGION": _template("chiplake_region"),
                "CHIPLAKE_CATALOG": "glue",
                "CHIPLAKE_WAREHOUSE": _template("chiplake_warehouse"),
                "CHIPLAKE_HOME": HOME,
                # A job on SageMaker succeeds or fails. Its ExitMessage and the tables name the chips that failed.
                "CHIPLAKE_INCOMPLETE_EXIT_CODE": "0",
                "CHIPLAKE_SCHEDULE_IMAGE": _template("chiplake_spark_image"),
                **settings_of_stage("{{ run_id }}", task_id if task_id == "tests" else ""),
            },
        }
        if inputs:
            job["ProcessingInputs"] = list(inputs)
        if outputs:
            job["ProcessingOutputConfig"] = {"Outputs": list(outputs)}
        return ProcessingJobOperator(
            task_id=task_id,
            job=job,
            outlets=assets_of(task_id, self.environment.target_schema),
            **self._waiting(),
            **kwargs,
        )

    def _waiting(self) -> dict[str, Any]:
        """Return how an operator reaches AWS and waits for its job without a worker's slot."""
        return {
            "aws_conn_id": None,
            "region_name": _template("chiplake_region"),
            "deferrable": True,
            "check_interval": self.environment.poll_s,
            "max_attempts": int(LONGEST_JOB.total_seconds()) // self.environment.poll_s,
            "action_if_job_exists": "fail",
        }
