"""SQL and Python agree on the size of a patch."""

from __future__ import annotations

import re

from lakehouse.settings import PROJECT_DIR
from python_udfs.change.events import PATCH_HA
from python_udfs.change.patches import PATCH, SIDE


def number_of(macro: str) -> float:
    """Return the number that a macro consists of."""
    text = (PROJECT_DIR / "macros" / "changes" / f"{macro}.sql").read_text()
    (number,) = re.findall(r"-%}\s*([\d.]+)D?\s*{%-", text)
    return float(number)


def test_the_macros_have_the_size_of_a_patch() -> None:
    assert number_of("patches_per_side") == SIDE
    assert number_of("patch_area_ha") == PATCH_HA == (PATCH * 10) ** 2 / 10_000
