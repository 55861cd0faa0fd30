"""Which pairs of chips are compared, and what counts as a change."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, Fraction, SettingsGroup


class ChangeSettings(SettingsGroup):
    """Thresholds and history of `fct_chip_changes`."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}CHANGE_")

    min_valid_fraction: Fraction = Field(
        0.5, description="Lowest share of valid pixels, without filled ones, of a chip that is compared."
    )
    min_history: int = Field(2, ge=1, description="Lowest number of earlier pairs for a score.")
    history: int = Field(24, ge=1, description="Number of earlier pairs that a score takes into account.")
    year_window_days: int = Field(
        30, ge=0, description="How many days the chip of a year before may differ from exactly one year."
    )
    min_distance: float = Field(0.01, ge=0, description="Lowest cosine distance of a change.")
    min_score: float = Field(6.0, gt=0, description="Lowest robust score of a change.")
