"""Inference: a table of chips becomes a table of answers, one row a chip, in the same order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from embedding.model.clay_bands import GSD_M
from embedding.model.encoder import PATCH_SIZE
from embedding.model.preprocess import ChipInput, Floats, normalised_pixels, prepare_chip
from embedding.model.weights import ClayModel
from embedding.wire import ANSWER_SCHEMA, as_request
from lakehouse.bands import BAND_NAMES, CHIP_PIXELS_10M

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]  # pixels, wavelengths, time, latlon, as the encoder takes them

_CPU_BATCH: Final = 8  # 16 are slower on a CPU: they do not fit its cache
_GPU_BATCH: Final = 64  # larger batches are not faster
_GPU_SHARE: Final = 0.25  # of the free memory: other requests may be at work
_PREPARING_THREADS: Final = min(8, os.cpu_count() or 1)


def batch_of(model: ClayModel) -> int:
    """Return the batch size of the encoder: a fast number of chips that fits the device's memory."""
    if model.device.type == "cpu":
        return _CPU_BATCH
    free_bytes, _ = torch.cuda.mem_get_info(model.device)
    return int(max(1, min(_GPU_BATCH, _GPU_SHARE * free_bytes // activation_bytes(model))))


def activation_bytes(model: ClayModel) -> int:
    """Return the most memory that one chip needs in the encoder, bytes, at float32."""
    size = model.encoder.size
    tokens = 1 + (CHIP_PIXELS_10M // PATCH_SIZE) ** 2
    # Query, key and value, and their copies by head; the hidden layer before and after gelu; the tokens.
    return tokens * (6 * size.inner + 2 * size.mlp_dim + 4 * size.dim) * 4


def embed_table(model: ClayModel, chips: pa.Table, batch: int | None = None) -> pa.Table:
    """Embed every chip of a request.

    A chip that cannot be embedded gets a row with `error` and does not affect the others.

    Args:
        model: the loaded model.
        chips: a table as `wire.as_request` takes it.
        batch: chips that the encoder gets at once, which bounds the memory; None for `batch_of`.

    Returns:
        A table of `wire.ANSWER_SCHEMA`, row for row.

    Raises:
        ValueError: the table is not a request.
    """
    chips = as_request(chips)
    batch = batch or batch_of(model)
    embeddings: list[Floats | None] = []
    errors: list[str | None] = []
    for start in range(0, chips.num_rows, batch):
        for answer in _embed_rows(model, chips.slice(start, batch)):
            embeddings.append(None if isinstance(answer, str) else answer)
            errors.append(answer if isinstance(answer, str) else None)
    return pa.table(
        [
            chips.column("chip_id"),
            chips.column("input_hash"),
            pa.array([model.card.model_id] * chips.num_rows, pa.string()),
            pa.array(embeddings, pa.list_(pa.float32())),
            pa.array(errors, pa.string()),
        ],
        schema=ANSWER_SCHEMA,
    )


def encode_chips(model: ClayModel, chips: Sequence[ChipInput]) -> Floats:
    """Embed chips that have the same bands; return their class tokens, (chips, dimension) float32."""
    result: Floats = encode(model, inputs_of(model, chips)).float().cpu().numpy()
    return result


def inputs_of(model: ClayModel, chips: Sequence[ChipInput]) -> Inputs:
    """Return the encoder's inputs for chips that have the same bands, on the model's device."""
    time, latlon = (torch.from_numpy(np.stack([getattr(chip, name) for chip in chips])) for name in ("time", "latlon"))
    wavelengths = torch.tensor([band.wavelength for band in chips[0].bands], dtype=torch.float32)
    pixels = normalised_pixels(chips, model.device)
    return pixels, wavelengths.to(model.device), time.to(model.device), latlon.to(model.device)


def encode(model: ClayModel, inputs: Inputs) -> Tensor:
    """Return class tokens, (chips, dimension), on the model's device, in the precision of its preprocessing."""
    is_half = model.preprocessing.precision == "bfloat16"
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=is_half):
        tokens: Tensor = model.encoder(*inputs, gsd=GSD_M)
        return tokens[:, 0]


def prepare_rows(model: ClayModel, chips: pa.Table) -> list[ChipInput | str]:
    """Return for every row its input for the encoder, or an error message."""
    rows = range(chips.num_rows)
    if model.device.type == "cpu":  # another thread would take a core from the encoder
        return [_prepare(model, chips, index) for index in rows]
    with ThreadPoolExecutor(_PREPARING_THREADS) as threads:
        return list(threads.map(partial(_prepare, model, chips), rows))


def _embed_rows(model: ClayModel, chips: pa.Table) -> Iterator[Floats | str]:
    """Yield for every row an embedding or an error message."""
    answers: list[Floats | str] = []
    prepared: dict[tuple[str, ...], list[tuple[int, ChipInput]]] = {}
    for index, chip in enumerate(prepare_rows(model, chips)):
        if isinstance(chip, str):
            answers.append(chip)
        else:
            answers.append("not encoded")
            prepared.setdefault(tuple(band.name for band in chip.bands), []).append((index, chip))
    for group in prepared.values():  # the kernel depends on the bands: one call for each set of bands
        for (index, _), embedding in zip(group, encode_chips(model, [chip for _, chip in group]), strict=True):
            finite = bool(np.isfinite(embedding).all())
            answers[index] = embedding if finite else "the embedding is not finite"
    yield from answers


def _prepare(model: ClayModel, chips: pa.Table, index: int) -> ChipInput | str:
    try:
        # Row by row: Python objects of a whole batch would hold its frames a second time.
        row = {name: chips.column(name)[index].as_py() for name in chips.column_names}
    except OverflowError:
        return "acquired_at is outside the years 1 to 9999"
    if row["chip_id"] is None or row["input_hash"] is None:
        return "chip_id or input_hash is null"
    frames = {band: row.get(band) for band in BAND_NAMES}
    place = row["longitude"], row["latitude"]
    try:
        return prepare_chip(frames, row["source_index"], row["acquired_at"], *place, model.preprocessing)
    except ValueError as error:
        return str(error)
