"""Python and SQL declare the same columns of chips."""

from __future__ import annotations

import re

from lakehouse.settings import PROJECT_DIR
from python_udfs.chip_columns import CHIP_COLUMNS


def test_the_macro_lists_the_declared_columns() -> None:
    macro = (PROJECT_DIR / "macros" / "raster" / "chip_columns.sql").read_text()
    names = re.findall(r"'(\w+)'", macro)
    assert names == [column.split(":")[0] for column in CHIP_COLUMNS.split(", ")]
