"""The stages on AWS: a SageMaker processing job before the encoder, a batch transform job, and a job after it.

A job runs its stages one after the other with one Spark session. When it has ended, a task for each stage shows how the
stage ended, by its report.

A task reads its configuration from Variables when it runs: `/airflow/variables/NAME/...` in SSM Parameter Store.

The image holds the project in /opt/chiplake and the programs `smspark-submit`, `chiplake` and `dbt` on its path.
`smspark-submit` starts every job, see chiplake/processing_job.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow.sdk import TaskGroup
from typing_extensions import override

from chiplake_airflow.commands import DAYS, EARTH_SEARCH, ingest_command
from chiplake_airflow.days import LAST_DAY, RUN_KEY
from chiplake_airflow.environment import Environment
from chiplake_airflow.job_settings import settings_of_stage
from chiplake_airflow.jobs import AFTER_ENCODER, BEFORE_ENCODER, NOT_NIGHTLY, STAGES_OF_JOBS, job_name
from chiplake_airflow.operators.sagemaker import JOB_NAME, ProcessingJobOperator, TransformJobOperator
from chiplake_airflow.operators.stage import StageOperator
from chiplake_airflow.processing_request import s3_output
from chiplake_airflow.runtimes.base import Runtime, Stage
from chiplake_airflow.stages import all_assets, outlets_of
from chiplake_airflow.transform_report import BATCH_TRANSFORM
from chiplake_airflow.variables import STAC_COLLECTION, variable

HOME: Final = "/opt/ml/processing/chiplake"
CARDS: Final = "/opt/ml/processing/card"
DOCS: Final = "/opt/ml/processing/docs"
CHIPLAKE: Final = ("smspark-submit", "chiplake")
THEN: Final = "then"  # between the commands of `chiplake steps`


def _template(name: str, default: str | None = None) -> str:
    """Return the template of a Variable's value."""
    return f"{{{{ {variable(name, default)} }}}}"


NAME: Final = _template("chiplake_name", "chiplake")
EXPORTS: Final = f"{_template('chiplake_transform_s3_uri')}/{RUN_KEY}"
REPORTS: Final = f"{_template('chiplake_transform_s3_uri')}/reports/{RUN_KEY}"
# Reports that a later job, also of another night, writes to ops.stages.
UNRECORDED: Final = f"{_template('chiplake_transform_s3_uri')}/reports/unrecorded"
# The scenes by which the number of instances is chosen: those of the last day. The days before it were searched by
# earlier runs, and would count again each night.
SCENES: Final = {
    "api": _template("chiplake_stac_api", EARTH_SEARCH),
    "collection": _template("chiplake_stac_collection", STAC_COLLECTION),
    "first_day": f"{{{{ params.start_date or {LAST_DAY.strip('{} ')} }}}}",
    "last_day": LAST_DAY,
    "bbox": _template("chiplake_bbox", ""),
    "max_cloud": _template("chiplake_max_cloud", ""),
}


def _name_in_run(name: str) -> str:
    """Return the name of a job of this run, without its number."""
    return f"{job_name(NAME, name)}{RUN_KEY}"


@dataclass(frozen=True)
class AwsRuntime(Runtime):
    """Runs the stages as SageMaker jobs, on a lake in S3 and Glue."""

    environment: Environment

    @override
    def before_encoder(self) -> Stage:
        commands = (
            ingest_command(from_files=False),
            ("run", "chip_extraction", *DAYS),
            ("run", "temporal_merge", *DAYS),
            # First load the answers that an earlier run of these days left, so that no chip is embedded twice.
            ("embed", "export", "--load-leftovers", *DAYS),
        )
        with TaskGroup(BEFORE_ENCODER, tooltip="one job; each of its stages is a task after it"):
            job = self._steps(BEFORE_ENCODER, commands, card_folder=CARDS, scenes=SCENES)
            job >> self._stages(BEFORE_ENCODER)
        return job

    @override
    def batch_transform(self) -> Stage:
        return TransformJobOperator(
            task_id=BATCH_TRANSFORM,
            exports_uri=EXPORTS,
            job_prefix=NAME,
            model_name=_template("chiplake_transform_model"),
            instance_type=_template("chiplake_transform_instance_type"),
            instance_count=_template("chiplake_transform_instance_count"),
            unrecorded_uri=UNRECORDED,
            **self._waiting(),
        )

    @override
    def after_encoder(self) -> Stage:
        commands = (
            ("embed", "load"),
            ("run", "change_detection", *DAYS),
            ("run", "tests", "--if-due"),
            ("run", "freshness"),
            ("run", "operations"),  # the record of all the others
        )
        docs = s3_output("docs", DOCS, _template("chiplake_docs_s3_uri"))
        with TaskGroup(AFTER_ENCODER, tooltip="one job; each of its stages is a task after it"):
            # Runs also when there was nothing to embed and `batch_transform` was skipped.
            job = self._steps(AFTER_ENCODER, commands, outputs=[docs], trigger_rule="none_failed")
            job >> self._stages(AFTER_ENCODER)
        return job

    @override
    def maintain(self) -> Stage:
        return self._job("maintain", "maintain", ("maintain",))

    def _steps(self, group: str, commands: Sequence[Sequence[str]], **kwargs: Any) -> ProcessingJobOperator:
        """Add the job that runs several commands of `chiplake` one after the other."""
        words = [word for command in commands for word in (THEN, *command)][1:]
        return self._job("job", group, ("steps", *words), **kwargs)

    def _stages(self, job: str) -> list[StageOperator]:
        """Add the tasks that show the stages of a job."""
        schema = self.environment.target_schema
        return [
            StageOperator(
                task_id=stage,
                stage=stage,
                job_name=f"{{{{ ti.xcom_pull(task_ids='{job}.job', key='{JOB_NAME}') or '' }}}}",
                reports_uri=REPORTS,
                schema=schema,
                region_name=_template("chiplake_region"),
                is_optional=stage in NOT_NIGHTLY,
                inlets=all_assets(schema) if stage == "tests" else [],
                outlets=outlets_of(stage, schema),
                trigger_rule="one_done",  # not if the job did not run at all
            )
            for stage in STAGES_OF_JOBS[job]
        ]

    def _job(
        self,
        task_id: str,
        name: str,
        arguments: Sequence[str],
        outputs: Sequence[dict[str, Any]] = (),
        **kwargs: Any,
    ) -> ProcessingJobOperator:
        job: dict[str, Any] = {
            "ProcessingJobName": _name_in_run(name),
            "RoleArn": _template("chiplake_job_role_arn"),
            "AppSpecification": {
                "ImageUri": _template("chiplake_spark_image"),
                "ContainerEntrypoint": list(CHIPLAKE),
                "ContainerArguments": list(arguments),
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": _template("chiplake_spark_instance_type"),
                    "VolumeSizeInGB": _template("chiplake_spark_volume_gb"),
                }
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": self._longest_job_s},
            "Environment": {
                "AWS_REGION": _template("chiplake_region"),
                "AWS_DEFAULT_REGION": _template("chiplake_region"),
                "CHIPLAKE_CATALOG": "glue",
                "CHIPLAKE_WAREHOUSE": _template("chiplake_warehouse"),
                "CHIPLAKE_HOME": HOME,
                # A job on SageMaker succeeds or fails. Its ExitMessage and the tables name the chips that failed.
                "CHIPLAKE_INCOMPLETE_EXIT_CODE": "0",
                "CHIPLAKE_SCHEDULE_IMAGE": _template("chiplake_spark_image"),
                "CHIPLAKE_SCHEDULE_UNRECORDED": UNRECORDED,
                "CHIPLAKE_DOCS_FOLDER": DOCS,
                # The instances of a job share no folder.
                "CHIPLAKE_TRANSFORM_EXPORT_TO": "s3",
                "CHIPLAKE_TRANSFORM_S3_URI": EXPORTS,
                **settings_of_stage("{{ run_id }}", REPORTS),
            },
        }
        if outputs:
            job["ProcessingOutputConfig"] = {"Outputs": list(outputs)}
        return ProcessingJobOperator(task_id=task_id, job=job, reports_uri=REPORTS, **self._waiting(), **kwargs)

    @property
    def _longest_job_s(self) -> int:
        """Longest time of a job, seconds: SageMaker then stops it."""
        return int(self.environment.longest_task.total_seconds())

    def _waiting(self) -> dict[str, Any]:
        """Return how an operator reaches AWS and waits for its job without a worker's slot."""
        return {
            "aws_conn_id": None,
            "region_name": _template("chiplake_region"),
            "deferrable": True,
            "check_interval": self.environment.poll_s,
            "max_attempts": self._longest_job_s // self.environment.poll_s,
            "action_if_job_exists": "fail",
        }
