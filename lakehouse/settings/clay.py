"""The Clay encoder and its inputs besides the pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from lakehouse.settings.base import PREFIX, SettingsGroup


class ClaySettings(SettingsGroup):
    """Checkpoint, precision, place and time of the Clay encoder."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}CLAY_")

    checkpoint: Path | None = Field(
        None, description="File of the Clay checkpoint; without one the encoder has seeded, untrained weights."
    )
    card: Path | None = Field(
        None,
        description="Card of the checkpoint, a JSON file that `chiplake embed package` writes beside its archive; with "
        "it, a machine that only exports chips and loads answers needs neither the checkpoint nor torch.",
    )
    latlon_order: Literal["longitude_first", "latitude_first"] = Field(
        "longitude_first", description="Order of the place vector; longitude came first in Clay's training."
    )
    hour: Literal["training", "acquired"] = Field(
        "training", description="Hour of the time vector: 12 as in Clay's training, or the hour of acquisition."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision of the encoder; bfloat16 is many times as fast on a GPU."
    )
