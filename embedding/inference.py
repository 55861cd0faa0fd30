"""From a table of chips to a table of answers, one row a chip, in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import torch

from chiplake.bands import BAND_NAMES, CLAY_GSD_M
from embedding.checkpoint import ClayModel
from embedding.preprocess import ChipInput, Floats, prepare_chip
from embedding.wire import ANSWER_SCHEMA, as_request

BATCH: Final = 8  # chips the encoder takes at once: on a processor 16 are slower, they leave the cache


def embed_table(model: ClayModel, chips: pa.Table, batch: int = BATCH) -> pa.Table:
    """Embed every chip of a request.

    A chip that cannot be embedded gets a row with `error`; the others are not touched by it.

    Args:
        model: the loaded model.
        chips: a table as `wire.as_request` takes it.
        batch: chips the encoder takes at once; bounds the memory used.

    Returns:
        A table of `wire.ANSWER_SCHEMA`, row for row.

    Raises:
        ValueError: the table as a whole is no request.
    """
    chips = as_request(chips)
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
    """Embed chips that have the same bands: (chips, dimension) float32, the class tokens."""
    wavelengths = torch.tensor([band.wavelength for band in chips[0].bands], dtype=torch.float32)
    inputs = (
        torch.from_numpy(np.stack([chip.pixels for chip in chips])),
        wavelengths,
        torch.from_numpy(np.stack([chip.time for chip in chips])),
        torch.from_numpy(np.stack([chip.latlon for chip in chips])),
    )
    with torch.inference_mode():
        tokens = model.encoder(*(value.to(model.device) for value in inputs), gsd=CLAY_GSD_M)
        result: Floats = tokens[:, 0].cpu().numpy()
    return result


def _embed_rows(model: ClayModel, chips: pa.Table) -> Iterator[Floats | str]:
    """Yield an embedding or the words of an error for every row."""
    answers: list[Floats | str] = []
    prepared: dict[tuple[str, ...], list[tuple[int, ChipInput]]] = {}
    for index in range(chips.num_rows):
        try:
            chip = _prepare(model, chips, index)
        except ValueError as error:
            answers.append(str(error))
        else:
            answers.append("not encoded")
            prepared.setdefault(tuple(band.name for band in chip.bands), []).append((index, chip))
    for group in prepared.values():  # the encoder's kernel depends on the bands: one call for each set of them
        for (index, _), embedding in zip(group, encode_chips(model, [chip for _, chip in group]), strict=True):
            finite = bool(np.isfinite(embedding).all())
            answers[index] = embedding if finite else "the encoder's answer is not finite"
    yield from answers


def _prepare(model: ClayModel, chips: pa.Table, index: int) -> ChipInput:
    # Row by row: as Python objects the frames of a whole batch would be held twice.
    try:
        row = {name: chips.column(name)[index].as_py() for name in chips.column_names}
    except OverflowError as error:
        raise ValueError("acquired_at is beyond the years that a date can hold") from error
    if row["chip_id"] is None or row["input_hash"] is None:
        raise ValueError("chip_id or input_hash is null")
    frames = {band: row.get(band) for band in BAND_NAMES}
    return prepare_chip(
        frames, row["source_index"], row["acquired_at"], row["longitude"], row["latitude"], model.preprocessing
    )
