"""Where the lake is: catalog, warehouse and the folder of everything that Chiplake writes on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, PROJECT_DIR, SettingsGroup


class LakeSettings(SettingsGroup):
    """The Iceberg catalog, the warehouse and the home folder."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    home: Path = Field(
        PROJECT_DIR / ".chiplake",
        description="Folder of the embedded catalog, its warehouse and the transform objects.",
    )
    catalog: Literal["sql", "glue", "rest"] = Field(
        "sql", description="Kind of Iceberg catalog; sql is the embedded one."
    )
    catalog_uri: str | None = Field(None, description="Address of a rest catalog, or endpoint of glue.")
    warehouse: str | None = Field(None, description="Location of the warehouse; not needed for the embedded catalog.")

    @field_validator("home")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()

    @property
    def catalog_file(self) -> Path:
        """The SQLite file of the embedded catalog."""
        return self.home / "catalog.db"

    @property
    def warehouse_location(self) -> str:
        """The location of table files: a URI or an absolute path."""
        return self.warehouse or str(self.home / "warehouse")

    @property
    def transform_dir(self) -> Path:
        """The folder in which the export writes objects of chips, and the transform its answers."""
        return self.home / "transform"
