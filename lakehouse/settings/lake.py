"""Where the lake is: catalog, warehouse and the folder of everything that Chiplake writes on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, PROJECT_DIR, SettingsGroup

DEFAULT_SCHEMA: Final = "chiplake"
DEFAULT_RAW_SCHEMA: Final = "raw"
DEFAULT_OPS_SCHEMA: Final = "ops"
# Of the tables that Python writes; of Spark, which looks for the last name.
_OTHER_SCHEMAS: Final = (DEFAULT_RAW_SCHEMA, DEFAULT_OPS_SCHEMA, "default")


class LakeSettings(SettingsGroup):
    """The Iceberg catalog, the warehouse, the home folder, and the schema of the models."""

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

    lock_wait_minutes: float = Field(
        30,
        ge=0,
        description="How long a writer waits for another one that writes the same table, in minutes; "
        "embedded catalog only.",
    )

    target_schema: str = Field(
        DEFAULT_SCHEMA,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Schema (Iceberg namespace) of the tables that dbt builds, in profiles.yml and in every command. "
        "All schemas share the tables of `raw`.",
    )
    raw_schema: str = Field(
        DEFAULT_RAW_SCHEMA,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Schema (Iceberg namespace) of the tables that Python writes, which the pages call `raw`. Lakes in "
        "one catalog need one each. A process reads it when it starts.",
    )
    ops_schema: str = Field(
        DEFAULT_OPS_SCHEMA,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Likewise of the tables in which jobs record what they do, which the pages call `ops`.",
    )

    @field_validator("target_schema")
    @classmethod
    def _of_models(cls, schema: str) -> str:
        if schema in _OTHER_SCHEMAS:
            raise ValueError(f"{schema} is for other tables; choose another name")
        return schema

    @field_validator("raw_schema", "ops_schema")
    @classmethod
    def _of_no_models(cls, schema: str, info: ValidationInfo) -> str:
        if schema in ("default", info.data.get("target_schema"), info.data.get("raw_schema")):
            raise ValueError(f"{schema} is for other tables; choose another name")
        return schema

    @field_validator("home")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()

    def table(self, model: str) -> str:
        """Return the full name of a model's table, such as `chiplake.fct_chips`."""
        return f"{self.target_schema}.{model}"

    @property
    def catalog_file(self) -> Path:
        """The SQLite file of the embedded catalog."""
        return self.home / "catalog.db"

    @property
    def warehouse_location(self) -> str:
        """The location of table files: a URI or an absolute path."""
        return self.warehouse or str(self.home / "warehouse")

    @property
    def locks_dir(self) -> Path:
        """The folder of the locks of the embedded catalog's tables."""
        return self.home / "locks"

    @property
    def transform_dir(self) -> Path:
        """The folder in which the export writes objects of chips, and the transform its answers."""
        return self.home / "transform"
