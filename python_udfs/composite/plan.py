"""The plan of composites: for each of their chips, where its pixels are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

# The columns of model fct_composites, Spark DDL.
MEMBER: Final = (
    "geohash_4 string, composite struct<composite_id: string, cell_id: string, geohash: string, period: string, "
    "period_start_at: timestamp, period_end_at: timestamp, grid_version: string, input_hash: string, "
    "rule_version: string>, chip_id string, acquired_at timestamp, suspect binary, file string, position bigint"
)


@dataclass(frozen=True, eq=False)
class Member:
    """A chip of a composite, and where its pixels are."""

    composite: Mapping[str, Any]  # the columns of the composite that are not computed
    chip_id: str
    acquired_at: datetime
    suspect: bytes | None  # frame of its suspect pixels; None if it has none
    file: str
    position: int


def members_of(rows: Iterable[Mapping[str, Any]]) -> list[Member]:
    """Read rows of the plan. Members of a composite share its columns, because a partition has many members."""
    composites: dict[str, Mapping[str, Any]] = {}
    return [
        Member(
            composites.setdefault(row["composite"]["composite_id"], row["composite"]),
            *(row[name] for name in ("chip_id", "acquired_at", "suspect", "file", "position")),
        )
        for row in rows
    ]
