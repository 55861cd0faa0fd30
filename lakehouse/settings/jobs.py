"""What jobs do, and how commands end."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, SettingsGroup


class JobSettings(SettingsGroup):
    """Work that a job may leave out, and exit codes."""

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
