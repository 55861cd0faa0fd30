"""How Spark runs."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, PROJECT_DIR, SettingsGroup

_FUNCTION = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"


class RuntimeSettings(SettingsGroup):
    """The Spark session and its jars."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    jars_dir: Path = Field(PROJECT_DIR / ".chiplake" / "jars", description="Folder of the Spark jars.")
    spark_master: str = Field("local[*]", description="Spark master: local[*], spark://host:port, yarn or k8s://…")
    spark_driver_memory: str = Field("4g", description="Memory of the Spark driver's JVM.")
    shuffle_partitions: int = Field(8, ge=1, description="Number of shuffle partitions of Spark SQL.")

    hosts_wait_s: float = Field(
        600, gt=0, description="How long the hosts of a processing job wait for one another, in seconds."
    )

    functions: str = Field(
        "",
        pattern=rf"^({_FUNCTION}(,{_FUNCTION})*)?$",
        description="Your own SQL functions: module:NAME, several with commas between them. "
        "NAME is a SqlFunction of python_udfs.sql_function, or a list of them.",
    )

    @property
    def function_names(self) -> tuple[str, ...]:
        """The names in `functions`."""
        return tuple(name for name in self.functions.split(",") if name)

    @field_validator("jars_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()
