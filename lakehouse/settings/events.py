"""Which anomalies are change events."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, SettingsGroup


class EventSettings(SettingsGroup):
    """The alarm level of `fct_change_events`, and what is one event."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}EVENT_")

    min_score: float = Field(
        2.7,
        ge=2,
        description="Lowest score of an event; a lower value finds more changes, and more false ones.",
    )
    min_area_ha: float = Field(
        1.28,
        ge=0,
        description="Least area of an event within a cell when it begins, hectares; a patch has 0.64.",
    )
    join_days: int = Field(
        40, ge=0, description="How many days the parts of an event in neighbouring cells may differ in their first day."
    )
