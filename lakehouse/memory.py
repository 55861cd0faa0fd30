"""How a process that handles many pixels uses the memory that it frees. Only glibc is known; others are left alone."""

from __future__ import annotations

import ctypes
from typing import Final

# Source of the numbers: glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_M_ARENA_MAX: Final = -8


def keep_freed_memory() -> None:
    """Make malloc use freed memory again, in one heap that all threads share.

    By default each larger array gets new pages of the system, which clears and maps every one of them: on virtual
    machines that takes as long as decoding the pixels.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give freed memory back to the system, at the end of a piece of work."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
