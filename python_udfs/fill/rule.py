"""The rule by which chips are filled."""

from __future__ import annotations

from typing import Literal

from python_udfs.validity_rule import ValidityRule


class FillRule(ValidityRule):
    """The parameters of filling, as column `rule_version` of int_fill_inputs holds them in JSON."""

    method: Literal["newest-valid-v1"]
    max_age_days: int  # age of the oldest pixel that may fill a gap
    # How filled pixels are adjusted to the chip that they fill. Rows of release 0.1.0 do not say it.
    adjust: Literal["none", "peers"] = "none"
    # Which valid pixels are suspect. Rows of release 0.1.0 do not say it.
    suspects: Literal["none", "peers"] = "none"
    suspect_bright_ratio: float = 1.5  # of blue to its expected value
    suspect_bright_difference: float = 0.03  # in reflectance
    suspect_dark_ratio: float = 0.6  # in all bands
    min_complete: float  # least share of valid or filled pixels of a complete chip; no pixel depends on it
