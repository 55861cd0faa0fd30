"""What the groups of settings share: how a group reads its variables, and how it reports a wrong value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from lakehouse.errors import ChiplakeError
from lakehouse.settings.variables import PREFIX, PROJECT_DIR, all_variables

__all__ = ["PREFIX", "PROJECT_DIR", "Fraction", "InvalidSettingError", "SettingsGroup"]

Fraction = Annotated[float, Field(ge=0, le=1)]


class InvalidSettingError(ChiplakeError):
    """A setting has a value that it cannot have."""

    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"setting {variable}: {reason}")
        self.variable = variable
        self.reason = reason


def _is_list(annotation: Any) -> bool:
    """Return whether a type is a tuple, or allows one."""
    return get_origin(annotation) is tuple or any(map(_is_list, get_args(annotation)))


class _Variables(EnvSettingsSource):
    """The variables of the environment and of `.env` files. A list is JSON, or its parts with commas between them."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in all_variables().items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        text = str(value).strip()
        is_json = text.startswith(("[", "{")) or text == "null"
        if not is_json and _is_list(field.annotation):
            return [part for part in re.split(r"[,\s]+", text) if part]
        try:
            return json.loads(text)
        except ValueError as error:
            variable = f"{self.env_prefix}{field_name}".upper()
            raise InvalidSettingError(variable, f"{text!r} is not valid JSON: {error}") from None


class SettingsGroup(BaseSettings):
    """Settings of one subject. Their environment variables share the `env_prefix` of the group."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(extra="ignore", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where settings come from: given values, then variables."""
        return init_settings, _Variables(settings_cls)

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the environment variable of a field, such as CHIPLAKE_TRANSFORM_S3_URI."""
        return f"{cls.model_config['env_prefix']}{field}".upper()

    @classmethod
    def from_environment(cls) -> Self:
        """Read the group from the environment and the `.env` files.

        Raises:
            InvalidSettingError: a value is not allowed.
            ChiplakeError: a `.env` file cannot be read.
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
            reason = str(first["msg"]).removeprefix("Value error, ")
            raise InvalidSettingError(cls.variable(str(first["loc"][0])), reason) from None
