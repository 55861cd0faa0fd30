"""SQL macros against expected values: each file in macros/ selects the cases in which its macro is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support.lakes import compiled

CASES = sorted((Path(__file__).parent / "macros").glob("*.sql"))
BETWEEN_FILES = "-- next file\n"


@pytest.fixture(scope="module")
def statements(spark: SparkSession) -> dict[Path, str]:
    """Return the SQL of every file; one call of dbt expands the macros."""
    text = compiled(BETWEEN_FILES.join(path.read_text() for path in CASES))
    return dict(zip(CASES, text.split(BETWEEN_FILES), strict=True))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_macro_gives_the_expected_values(path: Path, statements: dict[Path, str], spark: SparkSession) -> None:
    assert spark.sql(statements[path]).collect() == []
