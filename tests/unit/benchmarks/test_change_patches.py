"""The benchmark takes the observations of a baseline that SQL takes."""

from __future__ import annotations

import re

from harness.change_patches import FEWEST, LAG_DAYS, SPAN_DAYS

from lakehouse.settings import PROJECT_DIR


def days_of(macro: str) -> list[str]:
    """Return the numbers of a macro."""
    text = (PROJECT_DIR / "macros" / "changes" / f"{macro}.sql").read_text()
    return re.findall(r"\b\d+\b", text)


def test_the_benchmark_knows_what_the_macros_know() -> None:
    assert days_of("baseline_end_at") == [str(LAG_DAYS)]
    assert days_of("baseline_first_at") == [str(SPAN_DAYS)]
    assert days_of("baseline_min_observations") == [str(FEWEST)]
