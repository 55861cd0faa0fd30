"""The rule by which chips are filled."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lakehouse.bands import CHIP_PIXELS_20M
from python_udfs.codec import decode_array
from python_udfs.valid_pixels import Mask, class_table


class FillRule(BaseModel):
    """The parameters of filling, as column `rule_version` of int_fill_inputs holds them in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["newest-valid-v1"]
    max_age_days: int  # age of the oldest pixel that may fill a gap
    valid_scl_classes: tuple[int, ...]
    cloud_dilation_pixels: int  # pixels up to this distance from a cloud or shadow are invalid, 20 m pixels; 0: none
    # How filled pixels are adjusted to the chip that they fill. Rows of release 0.1.0 do not say it.
    adjust: Literal["none", "peers"] = "none"
    min_complete: float  # least share of valid or filled pixels of a complete chip; no pixel depends on it

    def passes(self, scl: NDArray[np.uint8], cloud_distance: bytes) -> Mask:
        """Mark the 20 m pixels with a valid class that are far enough from clouds.

        Args:
            scl: (128, 128) SCL classes.
            cloud_distance: frame of the column cloud_distance; it is decoded only if the rule needs it.

        Returns:
            (128, 128) mask.
        """
        passes: Mask = class_table(self.valid_scl_classes)[scl]
        if self.cloud_dilation_pixels > 0:
            passes &= decode_array(cloud_distance, "uint8", CHIP_PIXELS_20M) > self.cloud_dilation_pixels
        return passes
