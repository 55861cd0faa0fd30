"""Ports of loopback for servers that tests start."""

from __future__ import annotations

import socket
import subprocess
import time

import pytest


def free_port() -> int:
    """Return a port that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, server: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Wait until a server listens; fail the test if it ends before that, or takes longer."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"no server listens at port {port}; its exit code is {server.poll()}", pytrace=False)
