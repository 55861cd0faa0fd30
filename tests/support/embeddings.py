"""Random chips, and requests with them, for the tests of the inference server, the transform and the load."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from embedding.model.card import Preprocessing
from embedding.model.weights import describe_model
from embedding.runs.files import Manifest, Run
from embedding.runs.object_writer import opener_in, write_object
from embedding.wire import request_schema
from lakehouse.bands import BAND_BY_NAME, BAND_NAMES
from python_udfs.codec import encode_array

ACQUIRED_AT = datetime(2023, 8, 15, 9, 50, 31, tzinfo=UTC)


def make_chip(number: int, bands: tuple[str, ...] = BAND_NAMES, seed: int | None = None) -> dict[str, Any]:
    """Make one row of a request as a dict; equal arguments give equal pixels."""
    random = np.random.default_rng(number if seed is None else seed)
    chip: dict[str, Any] = {
        "chip_id": f"chip-{number:03d}",
        "input_hash": f"hash-{number:03d}",
        "acquired_at": ACQUIRED_AT,
        "longitude": 15.7,
        "latitude": 45.5,
        "source_index": encode_array(np.zeros((256, 256), dtype=np.uint8)),
    }
    for band in bands:
        side = BAND_BY_NAME[band].pixels
        texture = np.repeat(np.repeat(random.integers(200, 4000, (side // 16, side // 16)), 16, 0), 16, 1)
        chip[band] = encode_array(texture.astype(np.uint16))
    return chip


def make_request(chips: list[dict[str, Any]], bands: tuple[str, ...] = BAND_NAMES) -> pa.Table:
    """Make a request with these chips."""
    return pa.Table.from_pylist(chips, schema=request_schema(bands))


def write_export(
    run: Run, objects: Sequence[Sequence[dict[str, Any]]], bands: tuple[str, ...], checkpoint: Path | None = None
) -> Manifest:
    """Write a run whose objects hold these chips, as export does."""
    entries = [
        write_object(
            opener_in(run.input_dir), f"chips-{number:05d}.arrow", make_request(list(chips), bands).sort_by("chip_id")
        )
        for number, chips in enumerate(objects)
    ]
    return run.write_manifest(describe_model(checkpoint, Preprocessing()), bands, entries)
