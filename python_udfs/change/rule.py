"""The constants of the rule that finds changes. docs/change.md explains them, and how they were chosen."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lakehouse.settings.events import EventSettings

_SETTINGS: Final = EventSettings.model_fields  # for their defaults; SQL passes the values in force


class ChangeRule(BaseModel):
    """How seasons and anomalies are computed, and which anomalies are events. Raise `method` if numbers change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["patch-season-v1"] = "patch-season-v1"

    # Seasons.
    min_share: float = 0.75  # of a patch's pixels that are seen, for the patch to count
    min_observations: int = 10  # of a patch, for a baseline
    groups: int = 8  # of like patches
    ridge: float = 0.5  # weight of a smooth season, in observations; double for the half-yearly terms
    outlier: float = 1.5  # a residual of so many deviations has full weight, a larger one less

    # Anomalies.
    min_patches: int = 20  # of a chip that are seen, for their like to be known
    noise: float = 0.02  # deviation of log reflectance that is always expected
    history_weight: float = 60.0  # patches of tonight that weigh as much as the covariance of the history
    own_quantile: float = 0.9  # of a patch's own earlier scores, its unit
    evidence_score: float = 1.4  # of a patch that is kept for events

    # Events.
    min_cosine: float = 0.5  # of two anomalies in one direction
    min_score: float = Field(_SETTINGS["min_score"].default, ge=2.0)  # of both
    kept_score: float = 0.7  # of min_score: a patch of an event with less does not show it
    min_area_ha: float = Field(_SETTINGS["min_area_ha"].default, ge=0)  # of patches that touch
    shadow: float = -0.15  # residual of blue below which an anomaly may be a shadow
    cloud: float = 0.2  # residual of blue above which, and above that of the infrared, it may be a cloud
    confirmations: int = 4  # observations that show a confirmed event
    quiet_observations: int = 3  # observations in a row that do not show an event, and end it


RULE = ChangeRule()
