"""Columns that a table of an older release, or of other settings, lacks."""

from __future__ import annotations

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, ResolveError
from pyiceberg.schema import Schema, promote
from pyiceberg.types import IcebergType, ListType, MapType, StructType
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random

from lakehouse.errors import ChiplakeError


def add_missing_columns(catalog: Catalog, name: str, wanted: Schema) -> None:
    """Add the columns that a table lacks, and widen those that are too narrow.

    All rows stay, and so do columns that only a newer release knows. A table that lacks nothing gets no commit.

    Raises:
        ChiplakeError: a column cannot be widened to the type that it should have.
    """
    for attempt in Retrying(
        retry=retry_if_exception_type(CommitFailedException), stop=stop_after_attempt(5), wait=wait_random(0, 1)
    ):
        with attempt:
            table = catalog.load_table(name)
            if _lacks(table.schema().as_struct(), wanted.as_struct(), name):
                with table.update_schema() as update:
                    update.union_by_name(wanted)


def _lacks(present: IcebergType, wanted: IcebergType, name: str) -> bool:
    """Return whether a type, or one inside it, lacks a field or is too narrow.

    Raises:
        ChiplakeError: Iceberg cannot widen the present type to the wanted one.
    """
    match present, wanted:
        case StructType(), StructType():
            fields = {field.name: field.field_type for field in present.fields}
            lacking = [
                field.name not in fields or _lacks(fields[field.name], field.field_type, f"{name}.{field.name}")
                for field in wanted.fields
            ]
            return any(lacking)
        case ListType(), ListType():
            return _lacks(present.element_type, wanted.element_type, name)
        case MapType(), MapType():
            lacking = [
                _lacks(present.key_type, wanted.key_type, name),
                _lacks(present.value_type, wanted.value_type, name),
            ]
            return any(lacking)
    if present == wanted or _can_widen(present, wanted):
        return False
    if _can_widen(wanted, present):
        return True
    raise ChiplakeError(
        f"{name} is of type {present} and cannot become {wanted}: another release created it, or another "
        "CHIPLAKE_STAC_PROPERTIES; set that type there, or drop the column"
    )


def _can_widen(wide: IcebergType, narrow: IcebergType) -> bool:
    """Return whether Iceberg can widen the narrow type to the wide one."""
    try:
        return bool(promote(narrow, wide) == wide)
    except ResolveError:
        return False
