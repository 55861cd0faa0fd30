"""What is wrong with a query, in one line instead of the stack traces of Spark, Hive, Sedona and Python."""

from __future__ import annotations

import re
from typing import Final

from lakehouse.errors import one_line

_MAX_LENGTH: Final = 600  # characters; a function may list what it takes

# The error below the frames of a traceback, or beside the name of Spark's exception if frames are hidden.
_TRACEBACK: Final = re.compile(
    r"^[^\n]*Traceback \(most recent call last\):\n(?:[ \t][^\n]*\n)+(\S[^\n]*)", re.MULTILINE
)
_PYTHON: Final = re.compile(r"PythonException: (?!Traceback)(\S[^\n]*)")
_SEDONA: Final = re.compile(
    r"Exception occurred while evaluating expression (?P<function>\w+) - "
    r"\w+: \[(?P<arguments>.*?)\], cause: (?P<cause>[^\n]*)",
    re.DOTALL,
)
_BINARY: Final = re.compile(r"\[B@[0-9a-f]+(, )?")  # how Java writes bytes
_USER: Final = re.compile(r".*\[USER_RAISED_EXCEPTION\] (.*?) SQLSTATE: P0001", re.DOTALL)
_CONDITION: Final = re.compile(r"(\[[A-Z][A-Z0-9_.]+\] (?!org\.apache)[^\n]*)")  # Spark's own messages have a condition
_PLACE_BEFORE_PLAN: Final = re.compile(r"(; line \d+ pos \d+);$")
_WRAPPING: Final = re.compile(
    r"An error occurred while calling \S+\.\s*: |Error running query: "
    r"|Job aborted due to stage failure: .*?\(\S+ executor \w+\): |(?:[\w$]+\.)+[\w$]*(?:Exception|Error): "
)
_HAS_STACK: Final = re.compile(r"\n\s*(at \S+\(|\.\.\. \d+ more)|Traceback \(most recent call last\)")
_GEOMETRY_OVER_THRIFT: Final = "Unrecognized type name: binary"


def clear_sql_error(message: str) -> str:
    """Return what is wrong in a message of Spark, in one line. Other messages are returned as they are.

    Args:
        message: of an exception of PySpark, Py4J or PyHive.
    """
    if _GEOMETRY_OVER_THRIFT in message:
        return "the Hive protocol has no geometries: select st_astext(…) or st_asewkb(…) of a geometry"
    if tracebacks := _TRACEBACK.findall(message) or _PYTHON.findall(message):
        return _line(str(tracebacks[-1]).removeprefix("ValueError: "))
    if sedona := _SEDONA.search(message):
        given = _BINARY.sub("", sedona["arguments"]).strip(" ,")
        return _line(f"{sedona['function']}: {sedona['cause']}" + (f"; its arguments were {given}" if given else ""))
    if user := _USER.match(message):
        return _line(user[1])
    if condition := _CONDITION.search(message):
        if _HAS_STACK.search(message) or _PLACE_BEFORE_PLAN.search(condition[1]):
            return _line(_PLACE_BEFORE_PLAN.sub(r"\1", condition[1]))
        return message[condition.start() :] if message[: condition.start()].strip() else message
    if _HAS_STACK.search(message):
        return _line(_without_wrapping(message))
    return message


def _without_wrapping(message: str) -> str:
    """Return the first line without the names of the exceptions around it."""
    first = message.strip().replace(".\n: ", ". : ").partition("\n")[0]
    while (wrapping := _WRAPPING.match(first)) and wrapping.end() < len(first):
        first = first[wrapping.end() :]
    return first


def _line(text: str) -> str:
    return one_line(text, _MAX_LENGTH)
