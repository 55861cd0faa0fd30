"""Locks of tables for the clients of a Thrift server: the server's process holds them, each for one client's session.

A client takes a lock by the SQL function `chiplake_lock`, which answers at once; the client waits and asks again.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.locks import FOLDER_PROPERTY, HeldLock, Holder, table_lock_path, take


@dataclass(frozen=True)
class ServerLocks:
    """The locks that this server holds, by the session of the client and the table."""

    folder: Path | None  # of the lock files; None if the catalog has no locks
    _held: dict[tuple[str, str], HeldLock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of_catalog(cls, properties: Mapping[str, str]) -> ServerLocks:
        """Return the locks of a catalog, given by the properties with which PyIceberg opens it."""
        folder = properties.get(FOLDER_PROPERTY)
        return cls(None if folder is None else Path(folder))

    def take(self, session: str, table: str, command: str) -> Holder | None:
        """Take a lock for a session. Return None if the session has it now or had it before, or who holds it."""
        with self._guard:
            if self.folder is None or (session, table) in self._held:
                return None
            taken = take(table_lock_path(self.folder, table), Holder.here(f"chiplake serve for {command}"))
            if isinstance(taken, Holder):
                return taken
            self._held[session, table] = taken
            return None

    def free(self, session: str, table: str) -> bool:
        """Free a lock of a session. Return whether the session had it."""
        with self._guard:
            held = self._held.pop((session, table), None)
            if held is not None:
                held.free()
            return held is not None

    def free_all_of(self, sessions: Collection[str]) -> None:
        """Free all locks of these sessions."""
        with self._guard:
            for key in [key for key in self._held if key[0] in sessions]:
                self._held.pop(key).free()
