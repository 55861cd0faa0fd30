"""Measure the seconds of a function."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Final

REPEATS: Final = 3


def wall_s(work: Callable[[], object]) -> float:
    """Return the seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the seconds of the fastest of some runs, after one to warm up."""
    work()
    return min(wall_s(work) for _ in range(repeats))


def median_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median seconds of some runs, after one to warm up."""
    work()
    return median(wall_s(work) for _ in range(repeats))


def cpu_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the seconds of CPU time of the fastest of some runs of this process, all its threads together."""

    def once() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(once() for _ in range(repeats))
