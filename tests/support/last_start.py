"""A pytest plugin for runs with a limit of time: after `--last-start` no slow test starts; the report names those."""

from __future__ import annotations

import time

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--last-start", type=float, help="seconds since 1970 after which no slow test starts")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    last_start: float | None = item.config.getoption("--last-start")
    if last_start is not None and time.time() > last_start and item.get_closest_marker("slow"):
        pytest.skip(f"{item.nodeid}: not started, the time of this run is over")
