"""Messages of Spark, as they come from a session and over the Hive protocol, and what a user reads instead."""

from __future__ import annotations

import pytest

from lakehouse.sql_errors import clear_sql_error

STAGE = (
    "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed 1 times, most "
    "recent failure: Lost task 0.0 in stage 0.0 (TID 0) (localhost executor driver): "
)
FRAMES = "\n\tat org.apache.spark.Some.thing(Some.scala:581)\n\tat java.base/java.lang.Thread.run(Thread.java:840)\n"
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/project/python_udfs/sql_function.py", line 108, in call\n'
    "    return function(*map(null_of, arguments))\n"
    "           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
    '  File "/project/python_udfs/functions/indices.py", line 89, in chip_index\n'
    '    raise ValueError(f"unknown index")\n'
)
INDEX = "unknown index 'ndvo'; choose from ndvi, ndre, ndwi"
WKT = (
    "org.apache.spark.sql.sedona_sql.expressions.InferredExpressionException: Exception occurred while evaluating "
    "expression ST_GeomFromWKT - inputs: [POLYGON((1 2, 1, 0], cause: Expected number but found End-of-Stream (line 1)"
)
WKT_LINE = "ST_GeomFromWKT: Expected number but found End-of-Stream (line 1); its arguments were POLYGON((1 2, 1, 0"
CAUSE = (
    "Caused by: org.locationtech.jts.io.ParseException: Expected number but found End-of-Stream (line 1)\n\t... 25 more"
)
HIVE = "org.apache.hive.service.cli.HiveSQLException: Error running query: "
COLUMN = "[UNRESOLVED_COLUMN.WITH_SUGGESTION] `nocolumn` cannot be resolved. SQLSTATE: 42703; line 4 pos 9"
PLAN = ";\n'Project ['nocolumn]\n+- SubqueryAlias lake.chiplake.fct_chips\n"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "\n  An exception was thrown from the Python worker. Please see the stack trace below.\n"
            f"{TRACEBACK}ValueError: {INDEX}\n",
            INDEX,
        ),
        (f"{HIVE}{STAGE}org.apache.spark.api.python.PythonException: {TRACEBACK}ValueError: {INDEX}\n{FRAMES}", INDEX),
        (f"{HIVE}{STAGE}org.apache.spark.api.python.PythonException: ValueError: {INDEX}\n{FRAMES}", INDEX),
        (
            f"{STAGE}org.apache.spark.api.python.PythonException: {TRACEBACK}KeyError: 'red'\n\nDuring handling of the "
            f"above exception, another exception occurred:\n\n{TRACEBACK}ZeroDivisionError: division by zero\n{FRAMES}",
            "ZeroDivisionError: division by zero",
        ),
        (f"An error occurred while calling o243.collectToPython.\n: {STAGE}{WKT}{FRAMES}{CAUSE}", WKT_LINE),
        (f"{HIVE}{STAGE}{WKT}{FRAMES}{CAUSE}\n\nDriver stacktrace:{FRAMES}", WKT_LINE),
        (
            WKT.replace("WKT", "WKB").replace("POLYGON((1 2, 1, 0", "[B@31fc69c2"),
            "ST_GeomFromWKB: Expected number but found End-of-Stream (line 1)",
        ),
        ("[USER_RAISED_EXCEPTION] nearest_chips: no such chip SQLSTATE: P0001", "nearest_chips: no such chip"),
        (
            f"{HIVE}[USER_RAISED_EXCEPTION] org.apache.spark.SparkRuntimeException: [USER_RAISED_EXCEPTION] "
            f"nearest_chips: no such chip SQLSTATE: P0001{FRAMES}",
            "nearest_chips: no such chip",
        ),
        (COLUMN + PLAN, COLUMN),
        (
            f"{HIVE}[PARSE_SYNTAX_ERROR] org.apache.spark.sql.catalyst.parser.ParseException: \n[PARSE_SYNTAX_ERROR] "
            "Syntax error at or near 'form'. SQLSTATE: 42601 (line 2, pos 9)\n\n== SQL ==\nselect 1\n  from form",
            "[PARSE_SYNTAX_ERROR] Syntax error at or near 'form'. SQLSTATE: 42601 (line 2, pos 9)\n\n== SQL ==\n"
            "select 1\n  from form",
        ),
        (
            f"{HIVE}[UNRESOLVED_COLUMN.WITH_SUGGESTION] org.apache.spark.sql.AnalysisException: {COLUMN}{PLAN}{FRAMES}",
            COLUMN,
        ),
        (
            "java.lang.IllegalArgumentException: Unrecognized type name: binary",
            "the Hive protocol has no geometries: select st_astext(…) or st_asewkb(…) of a geometry",
        ),
        (f"{HIVE}{STAGE}java.io.IOException: No space left on device{FRAMES}", "No space left on device"),
        (
            "An error occurred while calling o1.x.\n: java.lang.OutOfMemoryError: Java heap space" + FRAMES,
            "Java heap space",
        ),
    ],
)
def test_a_message_of_spark_becomes_the_line_that_says_what_is_wrong(message: str, line: str) -> None:
    assert clear_sql_error(message) == line
    assert clear_sql_error(line) == line, "a line stays as it is"


@pytest.mark.parametrize(
    "message",
    [
        "Contract of fct_x: column a is missing",
        "[PARSE_SYNTAX_ERROR] Syntax error at or near 'form'. (line 1, pos 9)\n\n== SQL ==\nselect * form x\n---^^^\n",
        "two lines\nof words",
    ],
)
def test_other_messages_stay_as_they_are(message: str) -> None:
    assert clear_sql_error(message) == message


def test_a_message_has_no_secrets() -> None:
    text = f"{TRACEBACK}OSError: https://host/a.tif?sig=abc%2Fdef\n"
    assert "abc" not in clear_sql_error(text)
