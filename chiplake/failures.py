"""Chips that could not be read, found in the table without Spark."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc
from pyiceberg.exceptions import NoSuchTableError

from lakehouse.catalog import open_catalog
from lakehouse.days import Days
from lakehouse.errors import IncompleteError
from lakehouse.settings import Settings


@dataclass(frozen=True)
class Unreadable:
    """Chips that could not be read."""

    chips: int  # number
    first: str  # the first of their errors in alphabetical order

    def raise_if_any(self) -> None:
        """Report them in one line.

        Raises:
            IncompleteError: a chip could not be read.
        """
        if self.chips:
            raise IncompleteError(f"{self.chips} chips could not be read, see column error of fct_chips: {self.first}")


def unreadable_chips(settings: Settings, days: Days) -> Unreadable:
    """Count the rows of fct_chips with an error.

    Args:
        settings: where the catalog is.
        days: the days of acquisition.
    """
    try:
        table = open_catalog(settings).load_table(settings.lake.table("fct_chips"))
    except NoSuchTableError:
        return Unreadable(0, "")
    conditions = ["error is not null", *days.conditions("acquired_at")]
    errors = table.scan(" and ".join(conditions), selected_fields=("error",)).to_arrow()["error"]
    return Unreadable(len(errors), str(pc.min(errors).as_py() or ""))
