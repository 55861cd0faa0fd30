"""How pixel arrays are stored in binary columns: Blosc frames, as numcodecs and Zarr write them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

# Spark runs one Python worker a core: threads inside a worker would only fight each other.
blosc.use_threads = False

_COMPRESSOR = b"lz4"
_LEVEL = 5


def encode_array(array: NDArray[Any]) -> bytes:
    """Compress an array (any shape, row-major, little-endian) into one Blosc frame."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return bytes(blosc.compress(little, _COMPRESSOR, _LEVEL, shuffle=blosc.BITSHUFFLE))


def decode_array(frame: bytes, dtype: str, side: int) -> NDArray[Any]:
    """Decompress a Blosc frame into a read-only (side, side) array.

    Raises:
        ValueError: the frame is no Blosc frame, or holds another number of bytes than the shape needs.
    """
    expected = np.dtype(dtype).itemsize * side * side
    try:
        raw = blosc.decompress(frame)
    except RuntimeError as error:
        raise ValueError(f"not a Blosc frame: {error}") from error
    if len(raw) != expected:
        raise ValueError(f"the frame holds {len(raw)} bytes where {side} x {side} {dtype} needs {expected}")
    return np.frombuffer(raw, dtype=np.dtype(dtype).newbyteorder("<")).reshape(side, side)
