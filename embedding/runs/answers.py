"""Answers of the encoder, each checked against its request. Values are checked as arrays, not one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from embedding.wire import ANSWER_SCHEMA, ARROW_STREAM, read_table

Key = tuple[str, str]  # chip_id, input_hash
Faults = list[str | None]  # of the rows of an answer

KEY: Final = ("chip_id", "input_hash")
_EMBEDDINGS: Final = ANSWER_SCHEMA.field("embedding").type


def keys_asked(request: Path, answer: Path) -> list[Key]:
    """Return the keys of an object's chips, in order, each once; if the object is gone, those of its answer."""
    if request.is_file():
        # Mapped: the pixels between these columns are not read from disk.
        with pa.memory_map(str(request)) as source, pa.ipc.open_stream(source) as reader:
            keys = keys_of(reader.read_all())
    else:
        keys = _keys_of_answer(read_answer(answer))
    return list(dict.fromkeys(keys))


def keys_of(table: pa.Table) -> list[Key]:
    """Return the keys of a table's rows, in order."""
    return list(zip(*(table.column(name).to_pylist() for name in KEY), strict=True))


def read_answer(path: Path) -> pa.Table | str:
    """Read the answer to an object, or say why it cannot be read."""
    try:
        return read_table(path.read_bytes(), ARROW_STREAM)
    except ValueError as error:
        return f"the answer cannot be read: {error}"


def checked_answers(asked: list[Key], answer: pa.Table | str, model_id: str, dimension: int) -> pa.Table:
    """Check the answers to one object; return exactly one row for every chip of the request.

    Args:
        asked: the keys of the object's chips, each once.
        answer: the server's table, or a message why it cannot be read.
        model_id: the model of the run.
        dimension: length of its embeddings.

    Returns:
        A table of `wire.ANSWER_SCHEMA`: each row has an embedding, or an error that names the fault of the answer.
    """
    given = _keys_of_answer(answer)
    judged = answer if isinstance(answer, str) else _judged(answer, model_id, dimension)
    if isinstance(judged, str):
        return _table(asked, model_id, pa.nulls(len(asked), _EMBEDDINGS), [judged] * len(asked))
    embeddings, faults = judged
    rows, errors = (range(len(given)), faults) if asked == given else _matched(asked, given, faults)
    places = np.array([-1 if error else row for row, error in zip(rows, errors, strict=True)], dtype=np.int64)
    if not np.array_equal(places, np.arange(len(embeddings))):
        embeddings = embeddings.take(pa.array(places, mask=places < 0))
    return _table(asked, model_id, embeddings, errors)


def _matched(asked: list[Key], given: list[Key], faults: Faults) -> tuple[list[int], Faults]:
    """Return row and fault of the answer to each chip; without exactly one row of the chip, the row is -1."""
    found: dict[Key, list[int]] = {key: [] for key in asked}
    for row, key in enumerate(given):
        if key in found:
            found[key].append(row)
    rows = [row[0] if len(row) == 1 else -1 for row in found.values()]
    errors = [
        faults[row[0]] if len(row) == 1 else f"the answer holds this chip {len(row)} times" for row in found.values()
    ]
    return rows, errors


def _judged(answer: pa.Table, model_id: str, dimension: int) -> tuple[pa.ListArray, Faults] | str:
    """Return the embeddings of all rows and the fault of each, or the fault of the whole answer."""
    names = answer.column_names
    if missing := [name for name in ANSWER_SCHEMA.names if name not in names]:
        return f"the answer has no column {', '.join(missing)}"
    if twice := [name for name in ANSWER_SCHEMA.names if names.count(name) > 1]:
        return f"the answer has column {', '.join(twice)} twice"
    chunks = answer.column("embedding")
    column = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
    try:
        embeddings = column if column.type == _EMBEDDINGS else column.cast(_EMBEDDINGS, safe=False)
    except pa.ArrowException:
        return f"column embedding of the answer is {column.type}, not {_EMBEDDINGS}"
    faults = _faults_of_values(embeddings, model_id, dimension)
    for row, error in enumerate(answer.column("error").to_pylist()):
        if error is not None:
            faults[row] = str(error)
    for row, model in enumerate(answer.column("model_id").to_pylist()):
        if model != model_id:
            faults[row] = f"the answer is of {model}, the request was for {model_id}"
    return embeddings, faults


def _faults_of_values(embeddings: pa.ListArray, model_id: str, dimension: int) -> Faults:
    faults: Faults = [None] * len(embeddings)
    finite = np.isfinite(embeddings.flatten().to_numpy(zero_copy_only=False))  # a null value becomes NaN
    lengths = pc.list_value_length(embeddings).fill_null(0).to_numpy()
    if not finite.all():
        for row in set(np.repeat(np.arange(len(lengths)), lengths)[~finite].tolist()):
            faults[row] = "the embedding holds values that are not finite"
    for row in np.flatnonzero(lengths != dimension).tolist():
        faults[row] = f"the embedding has {lengths[row]} values, embeddings of {model_id} have {dimension}"
    if embeddings.null_count:
        for row in np.flatnonzero(embeddings.is_null().to_numpy(zero_copy_only=False)).tolist():
            faults[row] = "the answer holds neither an embedding nor an error"
    return faults


def _table(keys: list[Key], model_id: str, embeddings: pa.Array, errors: Faults) -> pa.Table:
    columns = [
        pa.array([chip_id for chip_id, _ in keys], pa.string()),
        pa.array([input_hash for _, input_hash in keys], pa.string()),
        pa.array([model_id] * len(keys), pa.string()),
        embeddings,
        pa.array(errors, pa.string()),
    ]
    return pa.table(columns, schema=ANSWER_SCHEMA)


def _keys_of_answer(answer: pa.Table | str) -> list[Key]:
    has_keys = isinstance(answer, pa.Table) and all(answer.column_names.count(name) == 1 for name in KEY)
    return keys_of(answer) if has_keys else []
