"""Every setting of Chiplake, a module a group.

A setting comes from its environment variable (`CHIPLAKE_…`), from a `.env` file, or from its default. dbt variables
have their defaults from here, too (macro `setting`): no value is written twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field

from lakehouse.settings.base import PREFIX, PROJECT_DIR, InvalidSettingError, SettingsGroup
from lakehouse.settings.change import ChangeSettings
from lakehouse.settings.clay import ClaySettings
from lakehouse.settings.composites import CompositeSettings
from lakehouse.settings.cutting import CuttingSettings
from lakehouse.settings.embedding import EmbeddingSettings
from lakehouse.settings.events import EventSettings
from lakehouse.settings.filling import FillingSettings
from lakehouse.settings.jobs import JobSettings
from lakehouse.settings.lake import LakeSettings
from lakehouse.settings.maintenance import MaintenanceSettings
from lakehouse.settings.runtime import RuntimeSettings
from lakehouse.settings.stac import StacSettings
from lakehouse.settings.transform import TransformSettings
from lakehouse.settings.variables import all_variables, notice_unknown

__all__ = [
    "CATALOG_NAME",
    "PROJECT_DIR",
    "InvalidSettingError",
    "Settings",
    "get_settings",
    "variable_name",
]

CATALOG_NAME = "lake"


class Settings(BaseModel):
    """All settings of one process, in groups. `Settings()` reads the environment.

    Raises:
        InvalidSettingError: a setting has a value that it cannot have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")  # Settings().replace(home=…) takes names of settings

    lake: LakeSettings = Field(default_factory=LakeSettings.from_environment)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings.from_environment)
    stac: StacSettings = Field(default_factory=StacSettings.from_environment)
    cutting: CuttingSettings = Field(default_factory=CuttingSettings.from_environment)
    filling: FillingSettings = Field(default_factory=FillingSettings.from_environment)
    composites: CompositeSettings = Field(default_factory=CompositeSettings.from_environment)
    clay: ClaySettings = Field(default_factory=ClaySettings.from_environment)
    embedding: EmbeddingSettings = Field(default_factory=EmbeddingSettings.from_environment)
    transform: TransformSettings = Field(default_factory=TransformSettings.from_environment)
    change: ChangeSettings = Field(default_factory=ChangeSettings.from_environment)
    events: EventSettings = Field(default_factory=EventSettings.from_environment)
    maintenance: MaintenanceSettings = Field(default_factory=MaintenanceSettings.from_environment)
    jobs: JobSettings = Field(default_factory=JobSettings.from_environment)

    def groups(self) -> Iterator[tuple[str, SettingsGroup]]:
        """Yield the name and the settings of each group."""
        for name in type(self).model_fields:
            yield name, cast(SettingsGroup, getattr(self, name))

    def replace(self, **values: Any) -> Settings:
        """Return a copy in which some settings have other values, checked like those of the environment.

        Args:
            values: settings by the name of their dbt variable, such as `transform_s3_uri`.

        Raises:
            InvalidSettingError: a value is not allowed.
            KeyError: a name is not that of a setting.
        """
        groups: dict[str, SettingsGroup] = {}
        for group_name, group in self.groups():
            names = {field: variable_name(group, field) for field in type(group).model_fields}
            changes = {field: values.pop(name) for field, name in names.items() if name in values}
            if changes:
                groups[group_name] = group.replace(**changes)
        if values:
            raise KeyError(f"no settings: {', '.join(values)}")
        return self.model_copy(update=groups)


def variable_name(group: SettingsGroup, field: str) -> str:
    """Return the dbt variable of a setting: its environment variable in lower case, without `chiplake_`."""
    return group.variable(field).removeprefix(PREFIX).lower()


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once. Tests that change the environment call `cache_clear()`.

    A variable `CHIPLAKE_…` that is not a setting is reported on standard error.
    """
    settings = Settings()
    names = (group.variable(field) for _, group in settings.groups() for field in type(group).model_fields)
    notice_unknown(all_variables(), names)
    return settings
