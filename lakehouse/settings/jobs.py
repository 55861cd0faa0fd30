"""What jobs do, and how commands end."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, SettingsGroup


class JobSettings(SettingsGroup):
    """Work that a job may leave out, exit codes, and the price of a machine."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    compare_always: bool = Field(
        False,
        description="Whether dbt compares each model with its inputs, even if its code, its SQL and its inputs are "
        "those of its last run.",
    )
    incomplete_exit_code: int = Field(
        3,
        ge=0,
        le=125,
        description="Exit code of a command that did everything but some chips; "
        "0 where a scheduler takes every other code for a failure.",
    )
    max_unreadable_fraction: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Largest share of chips that may be unreadable, 0 to 1. Above it, a run does all its work and then "
        "fails, so that somebody looks at the source.",
    )
    tests_every_days: int = Field(
        7,
        ge=0,
        description="A schedule tests the whole lake and makes the docs again after this many days, or when the code "
        "has changed; 0: every night. Each job tests what it builds in any case.",
    )
    docs_folder: Path | None = Field(
        None, description="Folder of the dbt docs that the job `tests` makes; default target/docs of the project."
    )
    instance_price_per_hour: float | None = Field(
        None,
        ge=0,
        description="Price of an hour of the machine that runs the jobs on AWS, in any currency; "
        "`chiplake run JOB --dry-run` multiplies it by the hours.",
    )
    schedule_run_id: str = Field(
        "",
        max_length=250,
        description="Id of the run in ops.stages that a command records its stage for; a scheduler sets it.",
    )
    schedule_stage: str = Field(
        "", max_length=100, description="Name of the stage that a command of dbt is recorded as; a scheduler sets it."
    )
    schedule_report: str = Field(
        "",
        max_length=1000,
        description="Folder, on this machine or s3://…, in which each stage reports its state and numbers; "
        "a scheduler sets it.",
    )
    schedule_unrecorded: str = Field(
        "",
        max_length=1000,
        description="Folder s3://… in which a scheduler leaves reports of stages that it ran without a command, as "
        "Airflow does on AWS of a batch transform. The next command that records a stage also records these, and "
        "deletes the reports.",
    )
    schedule_image: str = Field(
        "", max_length=500, description="Container image of the command, for ops.stages; a scheduler sets it."
    )
