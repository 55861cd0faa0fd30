"""The table of every Python function that SQL can call, by the name SQL calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf, udtf
from pyspark.sql.udtf import UserDefinedTableFunction

from python_udfs.extract_chips import EXTRACTED_CHIP, ExtractChips
from python_udfs.fill_chips import FILLED_CHIP, FillChips
from python_udfs.pixels import chip_mean, chip_normalized_difference, chip_pixel


@dataclass(frozen=True)
class SqlFunction:
    """A Python function as SQL sees it."""

    name: str
    kind: Literal["scalar", "table"]
    arguments: str  # as a reader of SQL would write them, with types
    returns: str  # Spark DDL: a type, or the columns of a table function
    implementation: Callable[..., Any]

    @property
    def doc(self) -> str:
        """First line of the implementation's docstring."""
        return (self.implementation.__doc__ or "").strip().splitlines()[0]


FUNCTIONS: Final = (
    SqlFunction("extract_chips", "table", "table(select strip string)", EXTRACTED_CHIP, ExtractChips),
    SqlFunction(
        "fill_chips",
        "table",
        "table(select cell_id, role, chip, chip_id, acquired_us, <bands>, scl, source_index, sources), "
        "max_age_days int, valid_scl_classes string",
        FILLED_CHIP,
        FillChips,
    ),
    SqlFunction("chip_mean", "scalar", "band binary", "double", chip_mean),
    SqlFunction(
        "chip_normalized_difference", "scalar", "first binary, second binary", "double", chip_normalized_difference
    ),
    SqlFunction("chip_pixel", "scalar", "band binary, pixel_row int, pixel_col int", "int", chip_pixel),
)


def register_functions(spark: SparkSession) -> None:
    """Register every function on the session, under its SQL name."""
    for function in FUNCTIONS:
        if function.kind == "table":
            handler = cast("type[Any]", function.implementation)
            table_function = udtf(handler, returnType=function.returns, useArrow=True)
            spark.udtf.register(function.name, cast(UserDefinedTableFunction, table_function))
        else:
            spark.udf.register(function.name, udf(function.implementation, function.returns, useArrow=True))
