"""What `chiplake maintain` keeps."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, SettingsGroup


class MaintenanceSettings(SettingsGroup):
    """Ages at which snapshots expire and unused files are deleted."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}MAINTAIN_")

    older_than_days: int = Field(7, ge=1, description="Snapshots older than this expire, in days.")
    retain_last: int = Field(5, ge=1, description="Number of a table's newest snapshots that never expire.")
    orphan_days: int = Field(
        3, ge=1, description="Files that no table refers to are deleted when they are older than this, in days."
    )
