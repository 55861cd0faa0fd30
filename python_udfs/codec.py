"""How binary columns store pixel arrays: as Blosc frames, which numcodecs and Zarr read and write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from lakehouse.bands import BAND_BY_NAME

# Spark runs one Python worker a core, so threads inside a worker would compete for cores.
blosc.use_threads = False

_COMPRESSOR = b"lz4"
_LEVEL = 5
_HEADER_BYTES = 16


def encode_array(array: NDArray[Any]) -> bytes:
    """Compress an array of any shape into one Blosc frame, row-major and little-endian."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return bytes(blosc.compress(little, _COMPRESSOR, _LEVEL, shuffle=blosc.BITSHUFFLE))


def encode_layers(layers: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """Compress the layers of a chip, each into one Blosc frame."""
    return {name: encode_array(layer) for name, layer in layers.items()}


def frame_bytes(frame: bytes) -> int:
    """Return the uncompressed size of a Blosc frame, bytes, from its header.

    Source: the header of Blosc 1 has 16 bytes; 4 to 7 are the uncompressed size and 12 to 15 the size of the frame,
    little-endian. Blosc itself does not check the size, and reads past the end of a truncated frame.

    Raises:
        ValueError: the bytes are not a whole Blosc frame.
    """
    if len(frame) < _HEADER_BYTES or int.from_bytes(frame[12:16], "little") != len(frame):
        raise ValueError(f"not a Blosc frame, or not a whole one: {len(frame)} bytes")
    return int.from_bytes(frame[4:8], "little")


def decode_array(frame: bytes, dtype: str, side: int) -> NDArray[Any]:
    """Decompress a Blosc frame into a read-only (side, side) array.

    Raises:
        ValueError: the bytes are not a whole Blosc frame, or it has another size than the shape needs.
    """
    expected = np.dtype(dtype).itemsize * side * side
    size = frame_bytes(frame)
    if size != expected:
        raise ValueError(f"the frame holds {size} bytes where {side} x {side} {dtype} needs {expected}")
    return np.frombuffer(_decompress(frame), dtype=np.dtype(dtype).newbyteorder("<")).reshape(side, side)


def decode_numbers(frame: bytes, largest: int) -> NDArray[np.uint16]:
    """Decompress a Blosc frame of uint16 of any number into a read-only (n,) array.

    Args:
        frame: the frame.
        largest: bytes that it may hold.

    Raises:
        ValueError: the bytes are not a whole Blosc frame, or it holds an odd number of bytes, or more than `largest`.
    """
    size = frame_bytes(frame)
    if size % 2 or size > largest:
        raise ValueError(f"the frame holds {size} bytes, not an even number up to {largest}")
    return np.frombuffer(_decompress(frame), "<u2")


def _decompress(frame: bytes) -> bytes:
    try:
        return bytes(blosc.decompress(frame))
    except RuntimeError as error:
        raise ValueError(f"not a Blosc frame: {error}") from error


def decode_bands(frames: Mapping[str, bytes | None]) -> dict[str, NDArray[np.uint16]]:
    """Decode the band columns of a chip; null ones are left out.

    Args:
        frames: band name to frame.

    Returns:
        Band name to read-only uint16 array, (256, 256) of a 10 m band, (128, 128) of a 20 m band.

    Raises:
        ValueError: a frame does not have the size of its band.
    """
    return {
        name: decode_array(frame, "uint16", BAND_BY_NAME[name].pixels)
        for name, frame in frames.items()
        if frame is not None
    }
