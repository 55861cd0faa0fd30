"""Synthetic chips in the form of a request to the inference server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from embedding.wire import request_schema
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CHIP_PIXELS_10M
from python_udfs.codec import encode_array


def make_chips(count: int) -> pa.Table:
    """Make a request of chips whose pixels are smooth noise, like fields seen from above."""
    chance = np.random.default_rng(0)
    textures = [{name: texture(chance, BAND_BY_NAME[name].pixels) for name in BAND_NAMES} for _ in range(8)]
    whole = encode_array(np.zeros((CHIP_PIXELS_10M, CHIP_PIXELS_10M), np.uint8))
    columns: dict[str, list[Any]] = {
        "chip_id": [f"chip-{number:06d}" for number in range(count)],
        "input_hash": ["0" * 64] * count,
        "acquired_at": [datetime(2024, 6, 1, 10, tzinfo=UTC)] * count,
        "longitude": [10.0] * count,
        "latitude": [50.0] * count,
        "source_index": [whole] * count,
    }
    columns |= {name: [textures[number % len(textures)][name] for number in range(count)] for name in BAND_NAMES}
    return pa.table(columns, schema=request_schema(BAND_NAMES))


def texture(chance: np.random.Generator, side: int) -> bytes:
    """Make one band's frame."""
    coarse = chance.normal(2000, 600, (side // 8, side // 8)).repeat(8, 0).repeat(8, 1)
    pixels: NDArray[np.uint16] = np.clip(coarse + chance.normal(0, 80, (side, side)), 1, 65_535).astype(np.uint16)
    return encode_array(pixels)
