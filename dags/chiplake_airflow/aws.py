"""The stages on AWS: each a SageMaker processing job of our Spark image, the embedding a batch transform job.

What is configured is a Variable, read when a task runs: `/airflow/variables/...` in SSM Parameter Store.

The image holds the project in /opt/chiplake and has `smspark-submit`, `chiplake` and `dbt` on its path: the first
starts every job, see chiplake/processing_job.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from airflow.sdk import TaskGroup

from chiplake_airflow.assets import assets_of
from chiplake_airflow.commands import DAYS, ingest_command
from chiplake_airflow.days import RUN_KEY
from chiplake_airflow.layout import Layout
from chiplake_airflow.sagemaker import ProcessingJobOperator, TransformJobOperator, s3_input, s3_output
from chiplake_airflow.stages import Stage
from chiplake_airflow.variables import variable

PROJECT: Final = "/opt/chiplake"
HOME: Final = "/opt/ml/processing/chiplake"
CHECKPOINTS: Final = "/opt/ml/processing/checkpoint"
DOCS: Final = "/opt/ml/processing/docs"
RUN_JOB: Final = ("smspark-submit", f"{PROJECT}/scripts/run_job.py")
CHIPLAKE: Final = ("smspark-submit", "chiplake")
DBT: Final = ("smspark-submit", "dbt", "--no-use-colors")
DBT_PLACES: Final = ("--project-dir", PROJECT, "--profiles-dir", f"{PROJECT}/profiles", "--target", "aws")

ARROW_STREAM: Final = "application/vnd.apache.arrow.stream"
LONGEST: Final = timedelta(hours=6)


def _value(name: str, default: str | None = None) -> str:
    return f"{{{{ {variable(name, default)} }}}}"


NAME: Final = _value("chiplake_name", "chiplake")
OBJECTS: Final = f"{_value('chiplake_transform_s3_uri')}/{RUN_KEY}"
EXPORT_ID: Final = "{{ ti.xcom_pull(task_ids='batch_transform', key='run_id') }}"


@dataclass(frozen=True)
class OnAws:
    """Work of SageMaker's jobs, on a lake in S3 and Glue."""

    layout: Layout

    def ingest(self) -> Stage:
        """STAC items to raw.stac_items."""
        return self._job("ingest", CHIPLAKE, ingest_command(from_files=False))

    def chip_extraction(self) -> Stage:
        """raw.stac_items to fct_chips."""
        return self._job("chip_extraction", RUN_JOB, ("chip_extraction", *DAYS))

    def temporal_merge(self) -> Stage:
        """fct_chips to fct_filled_chips."""
        return self._job("temporal_merge", RUN_JOB, ("temporal_merge", *DAYS))

    def export(self) -> Stage:
        """fct_filled_chips to objects of chips in S3."""
        output = s3_output("objects", f"{HOME}/transform", OBJECTS)
        return self._job("export", CHIPLAKE, ("embed", "export", *DAYS), outputs=[output], checkpoint_to=CHECKPOINTS)

    def batch_transform(self) -> Stage:
        """Objects of chips to answers of the encoder, in S3."""
        return TransformJobOperator(
            task_id="batch_transform",
            objects=OBJECTS,
            config={
                "TransformJobName": NAME,
                "ModelName": _value("chiplake_transform_model"),
                "BatchStrategy": "SingleRecord",
                "ModelClientConfig": {"InvocationsTimeoutInSeconds": 3600, "InvocationsMaxRetries": 3},
                "TransformInput": {"ContentType": ARROW_STREAM, "CompressionType": "None", "SplitType": "None"},
                "TransformOutput": {"Accept": ARROW_STREAM, "AssembleWith": "None"},
                "TransformResources": {
                    "InstanceType": _value("chiplake_transform_instance_type"),
                    "InstanceCount": _value("chiplake_transform_instance_count"),
                },
            },
            **self._waiting(),
        )

    def load(self) -> Stage:
        """Answers to raw.clay_embeddings."""
        answers = s3_input("answers", f"{OBJECTS}/{EXPORT_ID}/", f"{HOME}/transform/{EXPORT_ID}")
        return self._job("load", CHIPLAKE, ("embed", "load"), inputs=[answers])

    def change_detection(self) -> Stage:
        """raw.clay_embeddings to fct_chip_changes, also where nothing was to be embedded."""
        return self._job("change_detection", RUN_JOB, ("change_detection", *DAYS), trigger_rule="none_failed")

    def tests_and_docs(self) -> Stage:
        """Every test on the whole lake, then the docs."""
        with TaskGroup("tests_and_docs", tooltip="every test on the whole lake, then the docs") as group:
            tests = self._job("tests", DBT, ("test", "--exclude-resource-type", "unit_test", *DBT_PLACES))
            output = s3_output("docs", DOCS, _value("chiplake_docs_s3_uri"))
            docs = self._job("docs", DBT, ("docs", "generate", "--target-path", DOCS, *DBT_PLACES), outputs=[output])
            tests >> docs
        return group

    def maintain(self) -> Stage:
        """Small files merged, old snapshots expired."""
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
        config: dict[str, Any] = {
            "ProcessingJobName": f"{NAME}-{task_id.replace('_', '-')}-{RUN_KEY}",
            "RoleArn": _value("chiplake_job_role_arn"),
            "AppSpecification": {
                "ImageUri": _value("chiplake_spark_image"),
                "ContainerEntrypoint": list(program),
                "ContainerArguments": list(arguments),
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": _value("chiplake_spark_instance_type"),
                    "VolumeSizeInGB": _value("chiplake_spark_volume_gb"),
                }
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": int(LONGEST.total_seconds())},
            "Environment": {
                "AWS_REGION": _value("chiplake_region"),
                "AWS_DEFAULT_REGION": _value("chiplake_region"),
                "CHIPLAKE_CATALOG": "glue",
                "CHIPLAKE_WAREHOUSE": _value("chiplake_warehouse"),
                "CHIPLAKE_HOME": HOME,
                # A job on SageMaker succeeds or fails. What failed of chips is its ExitMessage, and in the tables.
                "CHIPLAKE_INCOMPLETE_EXIT_CODE": "0",
            },
        }
        if inputs:
            config["ProcessingInputs"] = list(inputs)
        if outputs:
            config["ProcessingOutputConfig"] = {"Outputs": list(outputs)}
        return ProcessingJobOperator(
            task_id=task_id, config=config, outlets=assets_of(task_id), **self._waiting(), **kwargs
        )

    def _waiting(self) -> dict[str, Any]:
        """How an operator reaches AWS, and waits for its job without a worker's slot."""
        return {
            "aws_conn_id": None,
            "region_name": _value("chiplake_region"),
            "deferrable": True,
            "check_interval": self.layout.poll_s,
            "max_attempts": int(LONGEST.total_seconds()) // self.layout.poll_s,
            "action_if_job_exists": "fail",
        }
