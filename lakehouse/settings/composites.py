"""Which composites are made, and how."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, SettingsGroup

_PERIODS: Final = ("month", "season", "year")


class CompositeSettings(SettingsGroup):
    """The periods of `fct_composites`, and the method. A pixel is valid by the same settings as in filling."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}COMPOSITE_")

    periods: tuple[str, ...] = Field(
        ("month",), description="Kinds of periods that get composites: month, season, year; `[]` for none."
    )
    method: Literal["median", "medoid"] = Field(
        "median",
        description="What a pixel is: `median`, of each band; `medoid`, all bands of the chip that is nearest to the "
        "medians.",
    )

    @field_validator("periods")
    @classmethod
    def _known_periods(cls, periods: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [period for period in periods if period not in _PERIODS]
        if unknown:
            raise ValueError(f"unknown periods {unknown}; choose from {', '.join(_PERIODS)}")
        return tuple(period for period in _PERIODS if period in periods)
