"""The part of a rule that says which pixels of a chip are valid, and the chip as it sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lakehouse.bands import BAND_NAMES, CHIP_PIXELS_20M, CLOUD_DISTANCE, SCL
from python_udfs.codec import decode_array, decode_bands
from python_udfs.valid_pixels import BandPixels, Mask, class_table, data_mask


class ValidityRule(BaseModel):
    """The parameters that the rules of filling and of composites share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    valid_scl_classes: tuple[int, ...]
    cloud_dilation_pixels: int  # pixels up to this distance from a cloud or shadow are invalid, 20 m pixels; 0: none

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


@dataclass(frozen=True)
class DecodedChip:
    """The pixels of a chip."""

    bands: dict[str, BandPixels]  # (256, 256) of a 10 m band, (128, 128) of a 20 m band
    scl: NDArray[np.uint8]  # (128, 128)
    valid: Mask  # (256, 256)


def read_chip(chip: Mapping[str, Any], rule: ValidityRule) -> DecodedChip:
    """Decode a chip.

    Args:
        chip: a row of fct_chips; only its frames are read.
        rule: says which pixels are valid.

    Raises:
        ValueError: a frame does not have the size of its layer.
    """
    bands = decode_bands({name: chip[name] for name in BAND_NAMES})
    scl = decode_array(chip[SCL], "uint8", CHIP_PIXELS_20M)
    return DecodedChip(bands, scl, data_mask(bands, rule.passes(scl, chip[CLOUD_DISTANCE])))
