"""Ports of servers."""

from __future__ import annotations

import socket

from lakehouse.errors import ChiplakeError


def listening_socket(host: str, port: int, backlog: int = 128) -> socket.socket:
    """Return a socket that listens on an address.

    Raises:
        ChiplakeError: another program has the port, or the address is not one of this machine.
    """
    try:
        return socket.create_server((host, port), backlog=backlog)
    except OSError as error:
        reason = error.strerror or str(error)
        # Before Python 3.12 the errors of create_server repeat the address.
        reason = reason.partition(" (while attempting")[0]
        raise ChiplakeError(f"cannot listen on {host}:{port} ({reason}); choose another --port") from None


def check_port(host: str, port: int) -> None:
    """Check that a server could listen on an address.

    Raises:
        ChiplakeError: another program has the port, or the address is not one of this machine.
    """
    listening_socket(host, port).close()
