"""How commands and jobs end."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, SettingsGroup


class JobSettings(SettingsGroup):
    """Exit codes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    incomplete_exit_code: int = Field(
        3,
        ge=0,
        le=125,
        description="Exit code of a command that did everything but some chips; "
        "0 where a scheduler takes every other code for a failure.",
    )
