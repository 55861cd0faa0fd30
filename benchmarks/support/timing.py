"""How long something takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def wall_s(work: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
