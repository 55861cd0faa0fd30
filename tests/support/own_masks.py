"""Masks as a user would write them: a module that CHIPLAKE_FUNCTIONS names."""

from __future__ import annotations

import numpy as np

from python_udfs.codec import decode_array, encode_array
from python_udfs.sql_function import SqlFunction
from python_udfs.valid_pixels import Mask, any_of_four


def bright_blue(blue: bytes | None) -> bytes | None:
    """Mask of the pixels of 20 m with a reflectance above 0.1 in blue."""
    if blue is None:
        return None
    bright: Mask = decode_array(blue, "uint16", 256) > 1_000
    return encode_array(any_of_four(bright).astype(np.uint8))


def whole_blue(blue: bytes | None) -> bytes | None:
    """The band itself, which is no mask."""
    return blue


def brightness(blue: bytes, factor: float) -> bytes:
    """Not a mask: it has an argument that is no layer."""
    return blue if factor else b""


FUNCTIONS = [
    SqlFunction("bright_blue", "scalar", "blue binary", "binary", bright_blue),
    SqlFunction("whole_blue", "scalar", "blue binary", "binary", whole_blue),
    SqlFunction("brightness", "scalar", "blue binary, factor double", "binary", brightness),
]
