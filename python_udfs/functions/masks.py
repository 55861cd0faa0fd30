"""Scalar functions that make masks, and count their pixels: `chip_mask`, `chip_valid`, `chip_fraction`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lakehouse.bands import BAND_BY_NAME, CHIP_PIXELS_20M
from python_udfs.codec import decode_array, decode_bands, encode_array
from python_udfs.functions.frames import decode_layer, fields_of
from python_udfs.valid_pixels import class_table, data_mask


def chip_mask(layer: bytes | None, values: Sequence[int] | None) -> bytes | None:
    """Mask of the pixels of scl, source_index or suspect that have one of the values: a frame for the argument `valid`.

    `chip_mask(scl, array(4, 5))` is vegetation and bare soil; `chip_mask(source_index, array(0))` is what the
    satellite saw in this acquisition, without filled pixels.

    Args:
        layer: column scl, source_index or suspect.
        values: values from 0 to 255.

    Returns:
        Frame of uint8 with the resolution of the layer: 1 where the pixel has one of the values, else 0.

    Raises:
        ValueError: a value is not from 0 to 255, or the layer is a band.
    """
    if layer is None or values is None:
        return None
    if unknown := [value for value in values if value is None or not 0 <= value <= 255]:
        raise ValueError(f"values of scl, source_index and suspect are 0 to 255, not {', '.join(map(str, unknown))}")
    pixels = decode_layer(layer)
    if pixels.dtype != np.uint8:
        raise ValueError("chip_mask takes scl, source_index or suspect, not a band")
    return encode_array(class_table(values)[pixels].astype(np.uint8))


def chip_valid(
    scl: bytes | None, classes: Sequence[int] | None, bands: Mapping[str, bytes | None] | None
) -> bytes | None:
    """Mask of the valid pixels of a chip of fct_chips, 10 m: SCL is one of the classes, and no band is nodata.

    Args:
        scl: column scl.
        classes: SCL classes of a valid pixel, such as those of setting valid_scl_classes.
        bands: struct of band columns by their own names; a null band was not cut and does not count.

    Returns:
        Frame of (256, 256) uint8: 1 where the pixel is valid, else 0.

    Raises:
        ValueError: a field of the struct is not a band, or a frame does not have the size of its column.
    """
    if scl is None or classes is None or bands is None:
        return None
    frames = fields_of(bands)
    if unknown := [name for name, frame in frames.items() if frame is not None and name not in BAND_BY_NAME]:
        raise ValueError(f"unknown bands {unknown}; choose from {', '.join(BAND_BY_NAME)}")
    has_class = class_table(classes)[decode_array(scl, "uint8", CHIP_PIXELS_20M)]
    return encode_array(data_mask(decode_bands(frames), has_class).astype(np.uint8))


def chip_fraction(mask: bytes | None) -> float | None:
    """Share of the pixels of a mask that are not 0, from 0 to 1."""
    if mask is None:
        return None
    pixels = decode_layer(mask)
    return int(np.count_nonzero(pixels)) / pixels.size
