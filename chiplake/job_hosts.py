"""The hosts of a SageMaker processing job: their names, which of them is the primary, and waiting for one another."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lakehouse.errors import ChiplakeError

# Below SageMaker's folder; older jobs have the second one.
_RESOURCE_FILES: Final = (Path("config/resourceconfig.json"), Path("input/config/resourceconfig.json"))
_POLL_S: Final = 0.5


@dataclass(frozen=True)
class Hosts:
    """The hosts of a job."""

    current: str  # name of this host
    names: tuple[str, ...]  # of all hosts, sorted

    @property
    def primary(self) -> str:
        """Name of the host that runs the application: the first one, as in AWS's own Spark images."""
        return self.names[0]

    @property
    def is_primary(self) -> bool:
        """Whether this host runs the application."""
        return self.current == self.primary


def read_hosts(root: Path) -> Hosts:
    """Read which hosts the job has. Without SageMaker's file there is one.

    Args:
        root: SageMaker's folder.

    Raises:
        ChiplakeError: the file does not name the hosts, or this host is not among them.
    """
    path = next((root / name for name in _RESOURCE_FILES if (root / name).is_file()), None)
    if path is None:
        return Hosts("algo-1", ("algo-1",))
    content = read_json(path)
    given = content if isinstance(content, dict) else {}
    names, current = given.get("hosts"), given.get("current_host")
    if not isinstance(names, list) or not isinstance(current, str) or current not in names:
        raise ChiplakeError(f"{path}: hosts must be a list of names that has current_host; SageMaker writes this file")
    return Hosts(current, tuple(sorted(map(str, names))))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ChiplakeError: its content is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ChiplakeError(f"{path} is not valid JSON: {error}") from error


def wait_for_addresses(hosts: Hosts, wait_s: float) -> None:
    """Wait until the name of every host has an address: the network of a job is not complete at once.

    Args:
        hosts: the hosts of the job.
        wait_s: longest time, seconds.

    Raises:
        ChiplakeError: some names have no address by then.
    """
    without = wait_until_none(lambda: tuple(name for name in hosts.names if not _has_address(name)), wait_s)
    if without:
        raise ChiplakeError(
            f"no address of {', '.join(without)} in {wait_s:g} s: did these hosts of the job start? "
            "CHIPLAKE_HOSTS_WAIT_S allows more time"
        )


def wait_until_none(missing: Callable[[], tuple[str, ...]], wait_s: float) -> tuple[str, ...]:
    """Wait until nothing is missing.

    Args:
        missing: names of what is missing now.
        wait_s: longest time, seconds.

    Returns:
        What is still missing at the end; empty if all came.
    """
    deadline = time.monotonic() + wait_s
    while (names := missing()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return names


def _has_address(name: str) -> bool:
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True
