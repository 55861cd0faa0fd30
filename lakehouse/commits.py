"""Commits that are correct while others write to the same table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table, TableProperties
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from lakehouse.errors import ChiplakeError
from lakehouse.locks import table_lock

COMMIT_ATTEMPTS: Final = 12
COMMIT_MAX_WAIT_S: Final = 5.0

T = TypeVar("T")


def commit(catalog: Catalog, name: str, write: Callable[[Table], T]) -> T:
    """Call `write` with the current table, and call it again from the start if another writer commits first.

    A table of the embedded catalog is locked meanwhile. Other catalogs have no locks.

    Raises:
        ChiplakeError: other writers commit to the table without pause, or one holds its lock for too long.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(CommitFailedException),
        stop=stop_after_attempt(COMMIT_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.1, max=COMMIT_MAX_WAIT_S),
        reraise=True,
    )
    try:
        with table_lock(catalog.properties, name):
            return attempts(lambda: write(catalog.load_table(name)))
    except CommitFailedException as error:
        raise ChiplakeError(f"other writers kept changing {name}; run this again: {error}") from error


def without_blind_retry(table: Table) -> Table:
    """Return the table with PyIceberg's own retry off, in this process only.

    That retry would add the rows to the commit of the other writer, which may hold the same rows.
    """
    properties = table.metadata.properties | {TableProperties.COMMIT_NUM_RETRIES: "0"}
    table.metadata = table.metadata.model_copy(update={"properties": properties})
    return table
