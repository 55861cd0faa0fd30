"""The answers that raw.clay_embeddings has already, and its rows beside those that are replaced."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, EqualTo
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table

from embedding.runs.answers import KEY, Key, keys_of


@dataclass(frozen=True)
class KnownAnswers:
    """What a table has of some chips and a model."""

    errors: dict[Key, str | None]  # of each key that the table has; None: it has an embedding
    files: list[tuple[FileScanTask, set[Key]]]  # data files with errors of these chips, and the keys of these errors

    def files_with(self, keys: set[Key]) -> list[FileScanTask]:
        """Return the data files that hold an error of one of these keys."""
        return [task for task, erroneous in self.files if erroneous & keys]


def read_known(table: Table, model_id: str, keys: Iterable[Key]) -> KnownAnswers:
    """Read what the table has of these chips and the model; other rows are not kept in memory."""
    asked = pa.array(["\n".join(key) for key in keys], pa.string())
    is_of_model = EqualTo(term="model_id", value=model_id)
    known = KnownAnswers({}, [])
    for task in table.scan(row_filter=is_of_model).plan_files():
        rows = _read(table, task, table.schema().select(*KEY, "error"), is_of_model)
        joined = pc.binary_join_element_wise(*(rows.column(name).cast(pa.string()) for name in KEY), "\n")
        rows = rows.filter(pc.is_in(joined, value_set=asked))
        erroneous = set()
        for key, error in zip(keys_of(rows), rows.column("error").to_pylist(), strict=True):
            # Rows of older releases may hold a key twice: an embedding counts more than an error.
            known.errors[key] = None if known.errors.get(key, error) is None else error
            if error is not None:
                erroneous.add(key)
        if erroneous:
            known.files.append((task, erroneous))
    return known


def rows_beside_errors(table: Table, task: FileScanTask, model_id: str, keys: Container[Key]) -> pa.Table:
    """Read a data file without the errors of these chips and the model."""
    rows = _read(table, task, table.schema(), AlwaysTrue())
    models, errors = (rows.column(name).to_pylist() for name in ("model_id", "error"))
    is_kept = [
        error is None or model != model_id or key not in keys
        for key, model, error in zip(keys_of(rows), models, errors, strict=True)
    ]
    return rows.filter(pa.array(is_kept, pa.bool_()))


def _read(table: Table, task: FileScanTask, columns: Schema, condition: BooleanExpression) -> pa.Table:
    return ArrowScan(table.metadata, table.io, columns, condition).to_table([task])
