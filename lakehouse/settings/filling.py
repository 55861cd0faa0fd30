"""How gaps in chips are filled."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lakehouse.bands import CLOUD_REACH_PIXELS
from lakehouse.settings.base import PREFIX, Fraction, SettingsGroup


class FillingSettings(SettingsGroup):
    """The pixels of `fct_filled_chips` that are filled, and the age limit of their sources."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}FILL_")

    max_age_days: int = Field(60, ge=1, le=250, description="Age of the oldest pixel that may fill a gap, in days.")
    cloud_dilation_pixels: int = Field(
        0,
        ge=0,
        le=CLOUD_REACH_PIXELS,
        description="Pixels this close to a cloud or its shadow are not valid: they are filled, and left out of "
        "composites; counted in pixels of 20 m.",
    )
    max_cloud_probability: int = Field(
        100,
        ge=0,
        le=100,
        description="Greatest cloud probability of a valid pixel, in percent; of chips that were cut with "
        "CHIPLAKE_PROBABILITIES and have one.",
    )
    max_snow_probability: int = Field(
        100, ge=0, le=100, description="Greatest snow probability of a valid pixel, in percent, likewise."
    )
    mask: str = Field(
        "",
        pattern=r"^([A-Za-z_]\w*)?$",
        description="Your own mask: the name of one of your SQL functions (CHIPLAKE_FUNCTIONS) that returns a mask of "
        "the pixels that are not valid.",
    )
    adjust: Literal["none", "peers"] = Field(
        "peers",
        description="How filled pixels are adjusted to the light of the chip that they fill: `peers`, by how pixels of "
        "the same colour have changed; `none`, they stay as they were.",
    )
    suspects: Literal["none", "peers"] = Field(
        "peers",
        description="How clouds and shadows that SCL missed are found: `peers`, valid pixels that are far brighter "
        "or darker than pixels of the same colour let expect are suspect and fill no gap; `none`, no pixel is.",
    )
    suspect_bright_ratio: float = Field(
        1.5, ge=1, le=100, description="Least ratio of a suspect bright pixel's blue to what is expected of it."
    )
    suspect_bright_difference: Fraction = Field(
        0.03, description="Least difference of a suspect bright pixel's blue from what is expected of it, reflectance."
    )
    suspect_dark_ratio: Fraction = Field(
        0.6, description="Greatest ratio of a suspect dark pixel, in every band, to what is expected of it."
    )
    min_complete: Fraction = Field(
        1.0, description="Lowest share of valid or filled pixels with which a chip is complete (is_complete)."
    )
