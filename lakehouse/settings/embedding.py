"""Which chips are embedded, and how embeddings are kept."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lakehouse.box import BBox
from lakehouse.settings.base import PREFIX, Fraction, SettingsGroup


class EmbeddingSettings(SettingsGroup):
    """The chips that are exported to the encoder, and the columns of `fct_chip_embeddings`."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}EMBED_")

    min_complete: Fraction = Field(0.95, description="Filled chips with a lower complete share are not embedded.")
    bbox: BBox | None = Field(
        None, description="Box of west, south, east, north in degrees; only chips whose centre lies in it are embedded."
    )
    int8: bool = Field(False, description="Whether embeddings are also kept in int8, for a search that reads less.")
    chips_per_object: int = Field(16, ge=1, description="Number of chips in one object of a batch transform.")
