"""What to search for in STAC, which properties of items become columns, and from where rasters are read."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, SettingsGroup

PropertyType = Literal["string", "double", "long", "boolean", "timestamp"]
Place = Literal["file", "https", "s3"]


def column_of_property(name: str) -> str:
    """Return the column of a STAC property: `s2:snow_ice_percentage` becomes `s2_snow_ice_percentage`."""
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return re.sub(r"[^a-z0-9]+", "_", snake_case).strip("_")


class StacSettings(SettingsGroup):
    """The STAC collection, the properties that become columns of `raw.stac_items`, and the order of places."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}STAC_")

    collection: str = Field("sentinel-2-l2a", description="STAC collection to search.")
    properties: dict[str, PropertyType] = Field(
        {}, description="Further STAC properties that become columns of raw.stac_items: name to type."
    )

    href_order: tuple[Place, ...] = Field(
        (),
        description="Which place of a raster is read if an item states several in `href` and `alternate`: "
        "file, https, s3, the preferred one first; empty: `href` if it can be read, else the first alternate.",
    )

    @field_validator("properties")
    @classmethod
    def _nameable(cls, properties: dict[str, PropertyType]) -> dict[str, PropertyType]:
        by_column: dict[str, str] = {}
        for name in properties:
            column = column_of_property(name)
            if not re.fullmatch(r"[a-z][a-z0-9_]*", column):
                raise ValueError(f"the property {name!r} gives no name for a column; it must start with a letter")
            if column in by_column:
                raise ValueError(f"the properties {by_column[column]!r} and {name!r} give the same column {column}")
            by_column[column] = name
        return properties
