"""Rows of one Arrow table whose key is, or is not, in another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

TEXT: Final = pa.large_string()  # PyIceberg reads a text in one type or another


def with_key_of(rows: pa.Table, others: pa.Table, *keys: str) -> pa.Table:
    """Return the rows whose key is in the other table. Columns of keys are texts."""
    return rows.filter(_has_key_of(rows, others, keys))


def without_key_of(rows: pa.Table, others: pa.Table, *keys: str) -> pa.Table:
    """Return the rows whose key is not in the other table. Columns of keys are texts."""
    return rows.filter(pc.invert(_has_key_of(rows, others, keys)))


def _has_key_of(rows: pa.Table, others: pa.Table, keys: Sequence[str]) -> pa.ChunkedArray:
    return pc.is_in(_joined(rows, keys), value_set=_joined(others, keys))


def _joined(rows: pa.Table, keys: Sequence[str]) -> pa.ChunkedArray:
    """Return the key of each row as one text; no part of a key has a line break."""
    columns = [rows[key].cast(TEXT) for key in keys]
    return columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, pa.scalar("\n", TEXT))
