"""The arguments of all scalar functions: decode frames, bring layers to one grid, apply a mask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from python_udfs.codec import decode_array, frame_bytes
from python_udfs.valid_pixels import BandPixels, Mask, any_of_four, to_10m


class Everywhere(Enum):
    """The default of a mask argument. Null is not the default: it means that the mask is unknown."""

    EVERYWHERE = auto()


EVERYWHERE: Final = Everywhere.EVERYWHERE
MaskFrame = bytes | None | Everywhere


def decode_layer(frame: bytes) -> NDArray[Any]:
    """Decode any pixel column into a (side, side) array: uint16 of a band, uint8 of scl, source_index or a mask.

    The length of the frame tells the dtype: a square of uint8 never has as many bytes as a square of uint16.

    Raises:
        ValueError: the frame is not a whole Blosc frame, or its pixels are not a square.
    """
    size = frame_bytes(frame)
    side = math.isqrt(size)
    if side * side == size:
        return decode_array(frame, "uint8", side)
    return decode_array(frame, "uint16", math.isqrt(size // 2))


def decode_band(frame: bytes) -> BandPixels:
    """Decode a band column of either resolution into a (side, side) uint16 array.

    Raises:
        ValueError: the frame is not a whole Blosc frame of a band.
    """
    return decode_array(frame, "uint16", math.isqrt(frame_bytes(frame) // 2))


def on_one_grid(layers: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Bring layers to the finest grid among them; each coarser pixel is repeated into four.

    Raises:
        ValueError: a layer has neither the most pixels a side nor half of them.
    """
    side = max(layer.shape[0] for layer in layers)
    if odd := {layer.shape[0] for layer in layers} - {side, side // 2}:
        raise ValueError(f"layers of {side} and {odd.pop()} pixels a side do not lie on one grid")
    return [layer if layer.shape[0] == side else to_10m(layer) for layer in layers]


def counted_pixels(bands: Sequence[BandPixels], valid: bytes | Everywhere) -> Mask:
    """Mark the pixels that count: those where no band is nodata and the mask is not 0.

    Args:
        bands: (side, side) arrays on one grid, 0 = nodata.
        valid: frame of a mask of either resolution.

    Returns:
        (side, side) mask.

    Raises:
        ValueError: the mask is not a Blosc frame, or does not lie on the grid of the bands.
    """
    counts: Mask = np.logical_and.reduce([band != 0 for band in bands])
    if not isinstance(valid, Everywhere):
        counts &= _mask_on_grid(decode_layer(valid) != 0, counts.shape[0])
    return counts


def _mask_on_grid(mask: Mask, side: int) -> Mask:
    if mask.shape[0] == side:
        return mask
    if mask.shape[0] * 2 == side:
        return to_10m(mask)
    if mask.shape[0] == side * 2:
        return any_of_four(mask)
    raise ValueError(f"a mask of {mask.shape[0]} pixels a side does not lie on the grid of bands of {side}")


def fields_of(struct: Any) -> dict[str, bytes | None]:
    """Return the fields of a SQL struct (a Row in Python) by name.

    Raises:
        ValueError: the value is not a struct with names, or two fields have the same name.
    """
    if isinstance(struct, Mapping):
        return dict(struct)
    names = getattr(struct, "__fields__", None)
    if names is None:
        raise ValueError("bands are given as a struct of columns, such as struct(red, nir)")
    if len(set(names)) != len(names):
        raise ValueError(f"the struct of bands has a name twice: {', '.join(names)}")
    return dict(zip(names, struct, strict=True))
