"""The part of a rule that says which pixels of a chip are valid, and the chip as it sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lakehouse.bands import BAND_NAMES, CHIP_PIXELS_20M, CLOUD_DISTANCE, CLOUD_PROBABILITY, SCL, SNOW_PROBABILITY
from python_udfs.codec import decode_array, decode_bands
from python_udfs.own_mask import own_mask
from python_udfs.valid_pixels import BandPixels, Mask, class_table, data_mask


class ValidityRule(BaseModel):
    """The parameters that the rules of filling and of composites share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    valid_scl_classes: tuple[int, ...]
    cloud_dilation_pixels: int  # pixels up to this distance from a cloud or shadow are invalid, 20 m pixels; 0: none

    # Greatest probability of a valid pixel, percent. Rules say it if a setting limits it; 100 limits nothing.
    max_cloud_probability: int = 100
    max_snow_probability: int = 100
    mask: str | None = None  # the user's own: `OwnMask.version`

    def passes(self, scl: NDArray[np.uint8], chip: Mapping[str, Any]) -> Mask:
        """Mark the 20 m pixels with a valid class that are far enough from clouds, and that nothing else excludes.

        Args:
            scl: (128, 128) SCL classes.
            chip: a row of fct_chips; only frames that the rule needs are decoded.

        Returns:
            (128, 128) mask.

        Raises:
            ChiplakeError: the function of the user's own mask cannot be loaded.
            ValueError: a frame does not have the size of its layer.
        """
        passes: Mask = class_table(self.valid_scl_classes)[scl]
        if self.cloud_dilation_pixels > 0:
            passes &= decode_array(chip[CLOUD_DISTANCE], "uint8", CHIP_PIXELS_20M) > self.cloud_dilation_pixels
        for layer, limit in (
            (CLOUD_PROBABILITY, self.max_cloud_probability),
            (SNOW_PROBABILITY, self.max_snow_probability),
        ):
            if limit < 100 and chip.get(layer) is not None:
                passes &= decode_array(chip[layer], "uint8", CHIP_PIXELS_20M) <= limit
        invalid = None if self.mask is None else own_mask(self.mask).invalid(chip)
        return passes if invalid is None else passes & ~invalid


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
        ChiplakeError: the function of the user's own mask cannot be loaded.
        ValueError: a frame does not have the size of its layer.
    """
    bands = decode_bands({name: chip[name] for name in BAND_NAMES})
    scl = decode_array(chip[SCL], "uint8", CHIP_PIXELS_20M)
    return DecodedChip(bands, scl, data_mask(bands, rule.passes(scl, chip)))
