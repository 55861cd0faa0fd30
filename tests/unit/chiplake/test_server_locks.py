"""A Thrift server holds locks for the sessions of its clients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chiplake.server_locks import ServerLocks
from lakehouse.catalog import pyiceberg_properties
from lakehouse.locks import LockedError, table_lock
from lakehouse.settings import Settings

FCT_CHIPS = "chiplake.fct_chips"


@pytest.fixture
def properties(tmp_path: Path) -> dict[str, str]:
    return pyiceberg_properties(Settings().replace(home=tmp_path, lock_wait_minutes=0).lake)


@pytest.fixture
def locks(properties: dict[str, str]) -> Iterator[ServerLocks]:
    locks = ServerLocks.of_catalog(properties)
    yield locks
    locks.free_all_of({"ann", "ben", "cid"})


def test_a_second_client_learns_who_writes_and_writes_afterwards(locks: ServerLocks) -> None:
    assert locks.take("ann", FCT_CHIPS, "dbt run -s fct_chips") is None
    assert locks.take("ann", FCT_CHIPS, "dbt run -s fct_chips") is None, "it has the lock already"
    holder = locks.take("ben", FCT_CHIPS, "dbt build")
    assert holder is not None
    assert (holder.process, holder.command) == (os.getpid(), "chiplake serve for dbt run -s fct_chips")
    assert not locks.free("ben", FCT_CHIPS), "the lock of another client"
    assert locks.free("ann", FCT_CHIPS)
    assert locks.take("ben", FCT_CHIPS, "dbt build") is None


def test_clients_of_a_server_and_other_processes_exclude_each_other(
    locks: ServerLocks, properties: dict[str, str]
) -> None:
    locks.take("ann", FCT_CHIPS, "dbt run")
    with pytest.raises(LockedError, match="chiplake serve for dbt run"), table_lock(properties, FCT_CHIPS):
        pass
    locks.free("ann", FCT_CHIPS)
    with table_lock(properties, FCT_CHIPS):
        assert locks.take("ben", FCT_CHIPS, "dbt run") is not None


def test_the_locks_of_a_client_that_is_gone_are_free(locks: ServerLocks) -> None:
    locks.take("ann", FCT_CHIPS, "dbt run")
    locks.take("ben", "chiplake.int_scenes", "dbt run")
    locks.free_all_of({"ann"})
    assert locks.take("cid", FCT_CHIPS, "dbt run") is None
    assert locks.take("cid", "chiplake.int_scenes", "dbt run") is not None


def test_a_catalog_without_locks_lets_every_client_write(tmp_path: Path) -> None:
    rest = Settings().replace(home=tmp_path, catalog="rest", warehouse="s3://lake/warehouse")
    locks = ServerLocks.of_catalog(pyiceberg_properties(rest.lake))
    assert locks.take("ann", FCT_CHIPS, "dbt run") is None
    assert locks.take("ben", FCT_CHIPS, "dbt run") is None
