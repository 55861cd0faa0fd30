"""Pixel arrays survive encoding and decoding, and incomplete frames are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numcodecs import blosc
from numpy.typing import NDArray

from python_udfs.codec import decode_array, encode_array

squares = st.integers(1, 40).flatmap(lambda side: hnp.arrays(st.sampled_from(["<u2", ">u2", "u1"]), (side, side)))
RAMP = np.arange(128 * 128, dtype=np.uint16).reshape(128, 128)


@settings(deadline=None)
@given(squares)
def test_decoding_gives_the_encoded_array(array: NDArray[Any]) -> None:
    decoded = decode_array(encode_array(array), array.dtype.name, array.shape[0])
    assert decoded.dtype == array.dtype.newbyteorder("<")
    assert np.array_equal(decoded, array)


def test_a_view_is_stored_in_its_own_order() -> None:
    assert np.array_equal(decode_array(encode_array(RAMP.T), "uint16", 128), RAMP.T)
    assert np.array_equal(decode_array(encode_array(RAMP[::2, ::2]), "uint16", 64), RAMP[::2, ::2])


def test_numcodecs_opens_a_frame_as_little_endian_rows() -> None:
    array = np.array([[1, 256], [515, 65_535]], dtype=">u2")
    assert blosc.decompress(encode_array(array)) == bytes([1, 0, 0, 1, 3, 2, 255, 255])


def test_a_frame_has_the_header_that_zarr_expects() -> None:
    frame = encode_array(RAMP)
    sizes = [int.from_bytes(frame[at : at + 4], "little") for at in (4, 12)]  # uncompressed, compressed
    assert sizes == [128 * 128 * 2, len(frame)]
    assert frame[3] == 2  # bytes of a value
    assert frame[2] & 0b101 == 0b100  # shuffled by bits, not by bytes
    assert blosc.cbuffer_complib(frame) == "LZ4"
    assert len(frame) < RAMP.nbytes / 5


def test_equal_arrays_have_equal_frames() -> None:
    assert encode_array(RAMP) == encode_array(np.asfortranarray(RAMP.astype(">u2")))


def test_a_decoded_array_cannot_be_written_to() -> None:
    assert not decode_array(encode_array(RAMP), "uint16", 128).flags.writeable


@pytest.mark.parametrize(("dtype", "side"), [("uint16", 256), ("uint16", 64), ("uint8", 128), ("uint8", 256)])
def test_a_frame_of_another_size_is_refused(dtype: str, side: int) -> None:
    with pytest.raises(ValueError, match=f"holds 32768 bytes where {side} x {side} {dtype} needs"):
        decode_array(encode_array(RAMP), dtype, side)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="frame"):
        decode_array(garbage, "uint16", 128)


@pytest.mark.parametrize("array", [RAMP, np.zeros_like(RAMP)], ids=["ramp", "zeros"])
@pytest.mark.parametrize("cut", [1, 3, 16, 100])
def test_a_truncated_frame_is_refused(array: NDArray[np.uint16], cut: int) -> None:
    with pytest.raises(ValueError, match="frame"):
        decode_array(encode_array(array)[:-cut], "uint16", 128)


def test_a_frame_that_states_a_size_beyond_memory_is_refused() -> None:
    frame = encode_array(RAMP)
    with pytest.raises(ValueError, match="frame"):
        decode_array(frame[:4] + (2**31 - 17).to_bytes(4, "little") + frame[8:], "uint16", 128)
