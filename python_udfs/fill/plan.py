"""The plan of filling: for each chip of a fold, its role and where its pixels are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from python_udfs.chip_columns import CHIP_COLUMNS

SOURCE: Final = "source"  # a chip that only later ones need
CARRIED: Final = "carried"  # the same, and a row of fct_filled_chips has its suspect pixels
PENDING: Final = "pending"  # a chip to fill

# The columns of model fct_filled_chips, Spark DDL.
STEP: Final = (
    "geohash_4 string, cell_id string, rule_version string, role string, chip_id string, acquired_at timestamp, "
    "suspect binary, file string, position bigint, "
    f"chip struct<{CHIP_COLUMNS}, cloud_fraction: double, nodata_fraction: double, input_hash: string, "
    "rule_version: string>"
)


@dataclass(frozen=True, eq=False)
class Step:
    """A chip of a fold, and where its pixels are."""

    fold: tuple[str, str]  # cell_id and rule_version
    role: str
    chip_id: str
    acquired_at: datetime
    suspect: bytes | None  # frame of a carried chip's suspect pixels; None if it has none
    file: str
    position: int
    chip: Mapping[str, Any] | None  # the columns of a pending chip that are not computed

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Step:
        """Read a row of the plan."""
        names = ("role", "chip_id", "acquired_at", "suspect", "file", "position", "chip")
        return cls((row["cell_id"], row["rule_version"]), *(row[name] for name in names))
