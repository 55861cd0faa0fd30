"""What the groups of settings share: how a group reads the environment, and how it reports a wrong value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from lakehouse.errors import ChiplakeError

PROJECT_DIR = Path(__file__).resolve().parents[2]
PREFIX = "CHIPLAKE_"  # of the environment variables of all settings

Fraction = Annotated[float, Field(ge=0, le=1)]


class InvalidSettingError(ChiplakeError):
    """A setting has a value that it cannot have."""

    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"setting {variable}: {reason}")
        self.variable = variable
        self.reason = reason


class SettingsGroup(BaseSettings):
    """Settings of one subject. Their environment variables share the `env_prefix` of the group."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(extra="ignore", frozen=True)

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the environment variable of a field, such as CHIPLAKE_TRANSFORM_S3_URI."""
        return f"{cls.model_config['env_prefix']}{field}".upper()

    @classmethod
    def from_environment(cls) -> Self:
        """Read the group from the environment.

        Raises:
            InvalidSettingError: a value is not allowed.
            ChiplakeError: a variable that must be JSON is not.
        """
        return cls._checked({})

    def replace(self, **values: Any) -> Self:
        """Return a copy in which some fields have other values, checked like those of the environment.

        Raises:
            InvalidSettingError: a value is not allowed.
        """
        return self._checked(dict(self) | values)

    @classmethod
    def _checked(cls, values: dict[str, Any]) -> Self:
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidSettingError(cls.variable(str(first["loc"][0])), first["msg"]) from None
        except SettingsError as error:
            raise ChiplakeError(f"a setting {cls.variable('')}… is not valid JSON: {error}") from None
