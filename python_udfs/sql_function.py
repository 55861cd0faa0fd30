"""Python functions that SQL can call: how one is described, and how all are registered on a session.

A user's module describes its own functions and names them in CHIPLAKE_FUNCTIONS:

    FUNCTIONS = [SqlFunction("chip_ndwi", "scalar", "green binary, nir binary", "double", chip_ndwi)]

with CHIPLAKE_FUNCTIONS=my_package.sql:FUNCTIONS. The module must be importable where the tasks run: on PYTHONPATH of
this machine, and on a cluster installed on all its machines.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, cast

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf, udtf
from pyspark.sql.udtf import UserDefinedTableFunction

from lakehouse.errors import ChiplakeError


@dataclass(frozen=True)
class SqlFunction:
    """A Python function as SQL sees it."""

    name: str
    kind: Literal["scalar", "table"]
    arguments: str  # with types, as in `band binary [, valid binary]`
    returns: str  # Spark DDL: a type, or the columns of a table function
    implementation: Callable[..., Any]  # a function of one row, or the class of a table function

    @property
    def doc(self) -> str:
        """First line of the implementation's docstring; empty without one."""
        return (self.implementation.__doc__ or "").strip().partition("\n")[0]


def load_functions(names: Iterable[str], existing: Sequence[SqlFunction]) -> tuple[SqlFunction, ...]:
    """Import a user's functions.

    Args:
        names: `module:NAME`, where NAME is a `SqlFunction` or a list or tuple of them.
        existing: functions whose names are taken.

    Raises:
        ChiplakeError: a module or a name does not exist, or a function has the name of another one.
    """
    taken = {function.name.lower(): "one of Chiplake's functions" for function in existing}
    loaded: list[SqlFunction] = []
    for name in names:
        for function in _load(name):
            if function.name.lower() in taken:
                raise ChiplakeError(
                    f"CHIPLAKE_FUNCTIONS: {function.name} of {name} has the name of {taken[function.name.lower()]}; "
                    "rename it"
                )
            taken[function.name.lower()] = f"a function of {name}"
            loaded.append(function)
    return tuple(loaded)


def _load(name: str) -> Sequence[SqlFunction]:
    module_name, _, attribute = name.partition(":")
    try:
        value = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise ChiplakeError(
            f"CHIPLAKE_FUNCTIONS: the module of {name} cannot be imported: {error}; put its folder on PYTHONPATH"
        ) from error
    except AttributeError:
        raise ChiplakeError(
            f"CHIPLAKE_FUNCTIONS: the module {module_name} has no {attribute}; correct the name"
        ) from None
    functions = [value] if isinstance(value, SqlFunction) else value
    if not isinstance(functions, list | tuple) or not all(isinstance(one, SqlFunction) for one in functions):
        raise ChiplakeError(
            f"CHIPLAKE_FUNCTIONS: {name} is neither a SqlFunction nor a list of them; "
            "describe each function with python_udfs.sql_function.SqlFunction"
        )
    return functions


def register(spark: SparkSession, functions: Iterable[SqlFunction]) -> None:
    """Register functions on the session, under their SQL names."""
    for function in functions:
        if function.kind == "table":
            handler = cast("type[Any]", function.implementation)
            table_function = udtf(handler, returnType=function.returns, useArrow=True)
            spark.udtf.register(function.name, cast(UserDefinedTableFunction, table_function))
        else:
            scalar = _with_nulls(function.implementation)
            spark.udf.register(function.name, udf(scalar, function.returns, useArrow=True))


def _with_nulls(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass None to a scalar function where SQL has null: Spark passes batches by pandas, which turns null into NaN."""

    def null_of(value: Any) -> Any:
        return None if isinstance(value, float) and math.isnan(value) else value

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return function(*map(null_of, arguments), **{name: null_of(value) for name, value in named.items()})

    return call
