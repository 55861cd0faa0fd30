"""The table of every Python function that SQL can call, by the name SQL calls it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, Literal, cast

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf, udtf
from pyspark.sql.udtf import UserDefinedTableFunction

from python_udfs.extract.table_function import EXTRACTED_CHIP, ExtractChips
from python_udfs.fill.table_function import FILLED_CHIP, FillChips
from python_udfs.functions.indices import chip_index
from python_udfs.functions.masks import chip_fraction, chip_mask, chip_valid
from python_udfs.functions.rasters import chip_geotiff, chip_rgb_png
from python_udfs.functions.statistics import (
    STATISTICS,
    chip_mean,
    chip_normalized_difference,
    chip_pixel,
    chip_statistics,
)


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
        "table(select cell_id, rule_version, role, chip, chip_id, acquired_us, <bands>, scl, cloud_distance, "
        "source_index, sources)",
        FILLED_CHIP,
        FillChips,
    ),
    SqlFunction("chip_mask", "scalar", "layer binary, values array<int>", "binary", chip_mask),
    SqlFunction("chip_valid", "scalar", "scl binary, classes array<int>, bands struct<binary>", "binary", chip_valid),
    SqlFunction("chip_fraction", "scalar", "mask binary", "double", chip_fraction),
    SqlFunction("chip_mean", "scalar", "band binary [, valid binary]", "double", chip_mean),
    SqlFunction("chip_statistics", "scalar", "band binary [, valid binary]", STATISTICS, chip_statistics),
    SqlFunction(
        "chip_normalized_difference",
        "scalar",
        "first binary, second binary [, valid binary]",
        "double",
        chip_normalized_difference,
    ),
    SqlFunction("chip_index", "scalar", "name string, bands struct<binary> [, valid binary]", "double", chip_index),
    SqlFunction("chip_pixel", "scalar", "band binary, pixel_row int, pixel_col int", "int", chip_pixel),
    SqlFunction("chip_geotiff", "scalar", "cell_id string, bands struct<binary>", "binary", chip_geotiff),
    SqlFunction(
        "chip_rgb_png",
        "scalar",
        "red binary, green binary, blue binary [, max_reflectance double]",
        "binary",
        chip_rgb_png,
    ),
)


def _with_nulls(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a scalar function None where SQL has null: pandas, by which Spark hands a batch over, makes it NaN."""

    def null_of(value: Any) -> Any:
        return None if isinstance(value, float) and math.isnan(value) else value

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return function(*map(null_of, arguments), **{name: null_of(value) for name, value in named.items()})

    return call


def register_functions(spark: SparkSession) -> None:
    """Register every function on the session, under its SQL name."""
    for function in FUNCTIONS:
        if function.kind == "table":
            handler = cast("type[Any]", function.implementation)
            table_function = udtf(handler, returnType=function.returns, useArrow=True)
            spark.udtf.register(function.name, cast(UserDefinedTableFunction, table_function))
        else:
            scalar = _with_nulls(function.implementation)
            spark.udf.register(function.name, udf(scalar, function.returns, useArrow=True))
