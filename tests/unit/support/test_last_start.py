"""A run with a limit of time starts no slow test at its end."""

from __future__ import annotations

import time
from contextlib import nullcontext

import pytest
from support.last_start import pytest_runtest_setup


@pytest.mark.parametrize(
    ("is_slow", "seconds_left", "is_skipped"),
    [(True, -1.0, True), (True, 60.0, False), (True, None, False), (False, -1.0, False)],
)
def test_only_a_slow_test_after_the_last_start_is_skipped(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    is_slow: bool,
    seconds_left: float | None,
    is_skipped: bool,
) -> None:
    monkeypatch.setattr(request.config.option, "last_start", seconds_left and time.time() + seconds_left)
    if is_slow:
        request.node.add_marker("slow")
    with pytest.raises(pytest.skip.Exception, match="time") if is_skipped else nullcontext():
        pytest_runtest_setup(request.node)
