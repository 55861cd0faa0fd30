"""The values of column source_index: 0 is the chip itself, k the k-th of its sources, 255 a pixel still missing."""

from __future__ import annotations

from typing import Final

SOURCE_INDEX: Final = "source_index"  # column of fct_filled_chips, 10 m, uint8
STILL_MISSING: Final = 255  # no chip that may fill has a valid pixel here
MAX_SOURCES: Final = STILL_MISSING - 1
