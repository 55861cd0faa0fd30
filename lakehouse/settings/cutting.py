"""Which chips are cut from scenes, and how rasters are read."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from lakehouse.bands import BAND_BY_NAME, BAND_NAMES
from lakehouse.box import BBox
from lakehouse.settings.base import PREFIX, SettingsGroup


class CuttingSettings(SettingsGroup):
    """Bands, area and rasters of `fct_chips`, and its valid pixels."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    bands: tuple[str, ...] = Field(BAND_NAMES, description="Bands to cut.")
    probabilities: bool = Field(
        False,
        description="Whether chips get the cloud and snow probabilities of Sen2Cor, where items have them as assets.",
    )
    bbox: BBox | None = Field(
        None, description="Box of west, south, east, north in degrees; only chips whose centre lies in it are cut."
    )
    raster_block_pixels: int = Field(
        1024,
        ge=128,
        description="Side of the blocks of the rasters, in pixels; the tasks that cut chips end at blocks.",
    )
    valid_scl_classes: tuple[int, ...] = Field(
        (2, 4, 5, 6, 7, 11), description="SCL classes of a valid pixel; without 11, snow is filled like clouds."
    )
    href_signer: str = Field(
        "none",
        pattern=r"^(none|planetary_computer|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="Who signs the addresses of rasters when they are opened: "
        "none, planetary_computer or module:function.",
    )

    @field_validator("bands")
    @classmethod
    def _known_bands(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [band for band in bands if band not in BAND_BY_NAME]
        if unknown or not bands:
            raise ValueError(f"unknown bands {unknown}; choose from {', '.join(BAND_NAMES)}")
        return tuple(name for name in BAND_NAMES if name in bands)  # always in the order of the band table

    @field_validator("valid_scl_classes")
    @classmethod
    def _scl_classes(cls, classes: tuple[int, ...]) -> tuple[int, ...]:
        if not classes or any(not 1 <= one <= 11 for one in classes):
            raise ValueError(f"{list(classes)} must be one or more SCL classes that hold data, 1 to 11")
        return tuple(sorted(set(classes)))
