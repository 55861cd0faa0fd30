"""One writer at a time: locks of the embedded catalog's tables, and of folders.

A lock is one of the operating system, on a small file that says who holds it. The system frees it when its process
ends, however it ends; a process that only sleeps keeps it. Readers take no lock.
"""

from __future__ import annotations

import fcntl
import math
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from lakehouse.errors import ChiplakeError, one_line
from lakehouse.sql_literals import text_literal

# Properties with which PyIceberg opens the embedded catalog; it passes on those that it does not know.
FOLDER_PROPERTY: Final = "chiplake.locks"
WAIT_PROPERTY: Final = "chiplake.lock-wait-minutes"

# SQL functions of `chiplake serve`.
LOCK_FUNCTION: Final = "chiplake_lock"
UNLOCK_FUNCTION: Final = "chiplake_unlock"

_MAX_COMMAND: Final = 120  # characters
_POLL_S: Final = 0.5

OnWait = Callable[[str], None]  # takes one line that says who is waited for


class Holder(BaseModel):
    """Who holds a lock."""

    model_config = ConfigDict(frozen=True)

    process: int
    host: str
    command: str
    since: datetime  # UTC

    @classmethod
    def here(cls, command: str | None = None) -> Holder:
        """Return this process as the holder of a lock from now on.

        Args:
            command: what it does; None for its own command line.
        """
        said = this_command() if command is None else one_line(command, _MAX_COMMAND)
        return cls(process=os.getpid(), host=socket.gethostname(), command=said, since=datetime.now(UTC))

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} ({self.command}) since {self.since:%Y-%m-%d %H:%M:%S} UTC"


_UNKNOWN: Final = Holder(process=0, host="an unknown machine", command="unknown", since=datetime.fromtimestamp(0, UTC))


@dataclass(frozen=True)
class HeldLock:
    """A lock that this process holds until it is freed, or until the process ends."""

    file: TextIO

    def free(self) -> None:
        """Free the lock."""
        self.file.truncate(0)
        self.file.close()


def take(path: Path, holder: Holder) -> HeldLock | Holder:
    """Take a lock if it is free; otherwise return who holds it. So do the threads of one process.

    Args:
        path: the file of the lock; it is made, and stays.
        holder: who takes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with file:
            return _read(file)
    file.truncate(0)
    file.write(holder.model_dump_json())
    file.flush()
    return HeldLock(file)


class LockedError(ChiplakeError):
    """A lock was not free in time. The message says who holds it."""


def wait_for(
    attempt: Callable[[], Holder | None],
    name: str,
    wait_minutes: float,
    on_wait: OnWait,
    given_up: threading.Event | None = None,
) -> None:
    """Call `attempt` until it returns None, which means that it has taken the lock.

    Args:
        attempt: takes the lock, or returns who holds it.
        name: of the thing that the lock is for.
        wait_minutes: how long to wait.
        on_wait: called with a line for each holder that is waited for.
        given_up: ends the wait when it is set.

    Raises:
        LockedError: the lock was not free in time.
    """
    until = time.monotonic() + 60 * wait_minutes
    given_up = given_up or threading.Event()
    said: Holder | None = None
    while (holder := attempt()) is not None:
        if given_up.is_set():
            raise LockedError(f"{name} is being written by {holder}; the wait was interrupted")
        if time.monotonic() >= until:
            raise LockedError(f"{name} is being written by {holder}; {_remedy(wait_minutes)}")
        if holder != said:
            on_wait(f"{name} is being written by {holder}; waiting for up to {_minutes(wait_minutes)}")
            said = holder
        given_up.wait(min(_POLL_S, max(0.0, until - time.monotonic())))


def print_wait(line: str) -> None:
    """Print the line of a wait to standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def exclusively(
    path: Path,
    name: str,
    wait_minutes: float = 0,
    on_wait: OnWait = print_wait,
    given_up: threading.Event | None = None,
) -> Iterator[None]:
    """Hold the lock of a file for the time of the context.

    Args:
        path: the file of the lock.
        name: of the thing that the lock is for.
        wait_minutes: how long to wait for another holder.
        on_wait: called with a line for each holder that is waited for.
        given_up: ends the wait when it is set.

    Raises:
        LockedError: the lock was not free in time.
    """
    held: list[HeldLock] = []

    def attempt() -> Holder | None:
        taken = take(path, Holder.here())
        if isinstance(taken, Holder):
            return taken
        held.append(taken)
        return None

    wait_for(attempt, name, wait_minutes, on_wait, given_up)
    try:
        yield
    finally:
        held[0].free()


@contextmanager
def table_lock(
    properties: Mapping[str, str],
    table: str,
    on_wait: OnWait = print_wait,
    given_up: threading.Event | None = None,
) -> Iterator[None]:
    """Hold the lock of a table for the time of the context; of any catalog but the embedded one, do nothing.

    Take it before you read what decides the rows to write. It is not re-entrant, and who holds one takes no other.

    Args:
        properties: of a PyIceberg catalog, see `lakehouse.catalog.pyiceberg_properties`.
        table: name with schema, such as `raw.stac_items`.
        on_wait: called with a line for each holder that is waited for.
        given_up: ends the wait when it is set.

    Raises:
        LockedError: another writer held the lock for longer than CHIPLAKE_LOCK_WAIT_MINUTES.
    """
    folder = properties.get(FOLDER_PROPERTY)
    if folder is None:
        yield
        return
    path, wait_minutes = table_lock_path(Path(folder), table), float(properties[WAIT_PROPERTY])
    with exclusively(path, table, wait_minutes, on_wait, given_up):
        yield


def table_lock_path(folder: Path, table: str) -> Path:
    """Return the file of a table's lock. Names that differ in case only share it, as for Spark they are the same."""
    return folder / f"{quote(table.lower(), safe='')}.lock"


def lock_call(table: str) -> str:
    """Return the statement with which a client of `chiplake serve` takes a lock: '' if it has it, or the holder."""
    return f"select {LOCK_FUNCTION}({text_literal(table)}, {text_literal(this_command())}) as holder"


def unlock_call(table: str) -> str:
    """Return the statement with which a client of `chiplake serve` frees a lock."""
    return f"select {UNLOCK_FUNCTION}({text_literal(table)}) as freed"


def this_command() -> str:
    """Return the command line of this process, in one line and without secrets."""
    program, *arguments = sys.argv or [""]
    return one_line(shlex.join([Path(program).name or "python", *arguments]), _MAX_COMMAND)


def _remedy(waited_minutes: float) -> str:
    if not waited_minutes:
        return "run this again when it has ended"
    waited = f"it was waited for {_minutes(waited_minutes)}"
    return f"{waited}; run this again when it has ended, or raise CHIPLAKE_LOCK_WAIT_MINUTES"


def _minutes(minutes: float) -> str:
    return f"{math.ceil(60 * minutes)} s" if minutes < 1 else f"{minutes:g} minutes"


def _read(file: TextIO) -> Holder:
    """Read who holds a lock; a holder that has only just taken it may not have written its name yet."""
    for _ in range(3):
        with suppress(ValidationError):
            file.seek(0)
            return Holder.model_validate_json(file.read())
        time.sleep(0.05)
    return _UNKNOWN
