"""Scalar functions over the pixel columns of fct_chips and fct_filled_chips: masks, statistics, single pixels.

Each takes Blosc frames as those columns hold them. Nodata (0) never counts. Null in, null out.

Masks and bands may have different resolutions. Bands of 10 m and 20 m together are taken on the 10 m grid, each
20 m pixel standing for the four 10 m pixels in it. Where all bands have 20 m, a 20 m pixel counts if any of its four
pixels of a 10 m mask does. That is how chips are cut and filled, too (python_udfs/masks.py); nothing is resampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.bands import BAND_BY_NAME, CHIP_PIXELS_20M
from python_udfs.codec import decode_array, encode_array, frame_bytes
from python_udfs.masks import Mask, Pixels, any_of_four, class_table, data_mask, to_10m

_PERCENTILES: Final = (5, 25, 50, 75, 95)
_STATISTICS: Final = ("mean", "stddev", "min", "max", *(f"p{percentile:02d}" for percentile in _PERCENTILES))
STATISTICS: Final = "struct<pixel_count: bigint, " + ", ".join(f"{name}: double" for name in _STATISTICS) + ">"


class Everywhere(Enum):
    """Stands for a mask that was not given, as null is a mask that is not known."""

    EVERYWHERE = auto()


EVERYWHERE: Final = Everywhere.EVERYWHERE
MaskFrame = bytes | None | Everywhere


def decode_layer(frame: bytes) -> NDArray[Any]:
    """Decode any pixel column into a (side, side) array: uint16 of a band, uint8 of scl, source_index or a mask.

    The frame's length tells which: a square of uint8 never has as many bytes as a square of uint16.

    Raises:
        ValueError: it is no whole Blosc frame, or no square.
    """
    held = frame_bytes(frame)
    side = math.isqrt(held)
    if side * side == held:
        return decode_array(frame, "uint8", side)
    return decode_array(frame, "uint16", math.isqrt(held // 2))


def decode_band(frame: bytes) -> Pixels:
    """Decode a band column of either resolution into a (side, side) uint16 array.

    Raises:
        ValueError: it is no whole Blosc frame of a band.
    """
    return decode_array(frame, "uint16", math.isqrt(frame_bytes(frame) // 2))


def on_one_grid(layers: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Bring layers to the finest grid among them, each coarser pixel repeated into four.

    Raises:
        ValueError: a layer has neither the most pixels a side nor half of them.
    """
    side = max(layer.shape[0] for layer in layers)
    if odd := {layer.shape[0] for layer in layers} - {side, side // 2}:
        raise ValueError(f"layers of {side} and {odd.pop()} pixels a side do not lie on one grid")
    return [layer if layer.shape[0] == side else to_10m(layer) for layer in layers]


def counted(bands: Sequence[Pixels], valid: bytes | Everywhere) -> Mask:
    """Which pixels count: those where no band is nodata and the mask holds.

    Args:
        bands: (side, side) arrays on one grid, 0 = nodata.
        valid: frame of a mask of either resolution, not 0 where it holds.

    Raises:
        ValueError: the mask is no frame, or does not lie on the grid of the bands.
    """
    holds: Mask = np.logical_and.reduce([band != 0 for band in bands])
    if not isinstance(valid, Everywhere):
        holds &= _mask_on_grid(decode_layer(valid) != 0, holds.shape[0])
    return holds


def _mask_on_grid(mask: Mask, side: int) -> Mask:
    if mask.shape[0] == side:
        return mask
    if mask.shape[0] * 2 == side:
        return to_10m(mask)
    if mask.shape[0] == side * 2:
        return any_of_four(mask)
    raise ValueError(f"a mask of {mask.shape[0]} pixels a side does not lie on the grid of bands of {side}")


def chip_mask(layer: bytes | None, values: Sequence[int] | None) -> bytes | None:
    """Mask of the pixels of scl or source_index that have one of the values: a frame for the argument `valid`.

    `chip_mask(scl, array(4, 5))` is vegetation and bare soil; `chip_mask(source_index, array(0))` is what the chip
    saw itself, unfilled. Of the layer's resolution, uint8, 1 where it holds.
    """
    if layer is None or values is None:
        return None
    if unknown := [value for value in values if value is None or not 0 <= value <= 255]:
        raise ValueError(f"{unknown} are no values of scl or source_index, 0 to 255")
    pixels = decode_layer(layer)
    if pixels.dtype != np.uint8:
        raise ValueError("chip_mask takes scl or source_index, not a band")
    return encode_array(class_table(values)[pixels].astype(np.uint8))


def chip_valid(
    scl: bytes | None, classes: Sequence[int] | None, bands: Mapping[str, bytes | None] | None
) -> bytes | None:
    """Mask of the valid pixels of a chip of fct_chips, 10 m: SCL is one of the classes, and no band is nodata.

    Args:
        scl: column scl.
        classes: SCL classes of a valid pixel, such as those of setting valid_scl_classes.
        bands: struct of band columns by their own names; those that are null were not cut and do not count.
    """
    if scl is None or classes is None or bands is None:
        return None
    given = {name: frame for name, frame in as_dict(bands).items() if frame is not None}
    if unknown := [name for name in given if name not in BAND_BY_NAME]:
        raise ValueError(f"unknown bands {unknown}; choose from {', '.join(BAND_BY_NAME)}")
    pixels = {name: decode_array(frame, "uint16", BAND_BY_NAME[name].pixels) for name, frame in given.items()}
    holds = class_table(classes)[decode_array(scl, "uint8", CHIP_PIXELS_20M)]
    return encode_array(data_mask(pixels, holds).astype(np.uint8))


def chip_fraction(mask: bytes | None) -> float | None:
    """Share of a mask's pixels that hold, 0 to 1."""
    if mask is None:
        return None
    pixels = decode_layer(mask)
    return int(np.count_nonzero(pixels)) / pixels.size


def chip_mean(band: bytes | None, valid: MaskFrame = EVERYWHERE) -> float | None:
    """Mean of a band's pixels that count, reflectance x 10,000; null if there is none."""
    if band is None or valid is None:
        return None
    pixels = decode_band(band)
    values = pixels[counted([pixels], valid)]
    return float(values.mean(dtype=np.float64)) if values.size else None


def chip_statistics(band: bytes | None, valid: MaskFrame = EVERYWHERE) -> dict[str, float | None] | None:
    """Number of a band's pixels that count, and of their values, reflectance x 10,000, what describes them.

    `stddev` is that of the pixels themselves (population); `p05` to `p95` are percentiles, linear between values.
    With no pixel, `pixel_count` is 0 and all else null.
    """
    if band is None or valid is None:
        return None
    pixels = decode_band(band)
    # In order, percentiles are found ten times as fast.
    values = np.sort(pixels[counted([pixels], valid)])
    if not values.size:
        return {"pixel_count": 0} | dict.fromkeys(_STATISTICS)
    of_values = (
        values.mean(dtype=np.float64),
        values.std(dtype=np.float64),
        values[0],
        values[-1],
        *np.percentile(values, _PERCENTILES),
    )
    named = zip(_STATISTICS, map(float, of_values), strict=True)
    return {"pixel_count": values.size, **dict(named)}


def chip_normalized_difference(
    first: bytes | None, second: bytes | None, valid: MaskFrame = EVERYWHERE
) -> float | None:
    """Mean of (first - second) / (first + second) over the pixels that count; null if there is none.

    For the indices that have a name there is chip_index.
    """
    if first is None or second is None or valid is None:
        return None
    bands = on_one_grid([decode_band(first), decode_band(second)])
    holds = counted(bands, valid)
    a, b = (band[holds].astype(np.float64) for band in bands)
    return float(((a - b) / (a + b)).mean()) if a.size else None


def chip_pixel(band: bytes | None, pixel_row: int | None, pixel_col: int | None) -> int | None:
    """Value of one pixel of a band, reflectance x 10,000, 0 for nodata; null outside the chip."""
    if band is None or pixel_row is None or pixel_col is None:
        return None
    pixels = decode_band(band)
    # Floats where another row of the batch is null.
    row, col = int(pixel_row), int(pixel_col)
    inside = 0 <= row < pixels.shape[0] and 0 <= col < pixels.shape[1]
    return int(pixels[row, col]) if inside else None


def as_dict(struct: Any) -> dict[str, bytes | None]:
    """The fields of a SQL struct (a Row in Python) by name.

    Raises:
        ValueError: it is no struct with names, or two fields have the same.
    """
    if isinstance(struct, Mapping):
        return dict(struct)
    names = getattr(struct, "__fields__", None)
    if names is None:
        raise ValueError("bands are given as a struct of columns, such as struct(red, nir)")
    if len(set(names)) != len(names):
        raise ValueError(f"the struct of bands has a name twice: {', '.join(names)}")
    return dict(zip(names, struct, strict=True))
