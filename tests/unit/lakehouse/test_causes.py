"""Errors of other programs, each with the line that a user should read.

Errors of Spark and of Java's SDK are texts in `errors_of_the_jvm.toml`, as they were seen; those of Python are
raised here.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pytest
import requests
from botocore import exceptions
from botocore.config import Config
from dbt_common.exceptions import DbtRuntimeError
from py4j.java_gateway import GatewayParameters, JavaGateway  # type: ignore[import-untyped]
from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyarrow import fs
from pyhive import hive
from pyiceberg.catalog import load_catalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from sqlalchemy import create_engine, text
from support.refusing_s3 import (
    DENIED,
    DENIED_WITH_REASON,
    EXPIRED_TOKEN,
    NO_SUCH_BUCKET,
    SLOW_DOWN,
    Refusal,
    refusing_s3,
)

from lakehouse.causes import JVM_ENDED, failures_line, root_cause
from lakehouse.errors import ChiplakeError

OF_THE_JVM = tomllib.loads(Path(__file__).with_name("errors_of_the_jvm.toml").read_text())
FULL = "No space left on device"
REASON = "because no identity-based policy allows the s3:ListBucket action"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "eu-central-1"}

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
            "[PARSE_SYNTAX_ERROR] Syntax error at or near 'form'. SQLSTATE: 42601 (line 2, pos 9)",
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
            "OutOfMemoryError: Java heap space",
        ),
    ],
)
def test_a_message_of_spark_becomes_the_line_that_says_what_is_wrong(message: str, line: str) -> None:
    assert root_cause(message) == line
    assert root_cause(line) == line, "a line stays as it is"


def test_a_message_has_no_secrets() -> None:
    text = f"{TRACEBACK}OSError: https://host/a.tif?sig=abc%2Fdef\n"
    assert "abc" not in root_cause(text)


def caught(call: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception) as raised:  # noqa: PT011  each caller knows the line
        call()
    return raised.value


def raise_from(error: Exception, cause: Exception) -> None:
    raise error from cause


@pytest.mark.parametrize("name", OF_THE_JVM)
def test_an_error_of_the_jvm_becomes_the_line_of_its_cause(name: str) -> None:
    line, message = OF_THE_JVM[name]["line"], OF_THE_JVM[name]["text"]
    assert root_cause(message) == line
    assert root_cause(line) == line, "a line stays as it is"
    assert root_cause(f"Runtime Error in model fct_chips (models/chips/fct_chips.sql)\n  {line}\n") == line


@pytest.mark.parametrize("name", ["disk_full_in_a_write", "denied_with_the_reason", "commit_too_late"])
def test_pyspark_and_pyhive_keep_the_text_of_the_jvm_in_their_own_places(name: str) -> None:
    class Captured(Exception):  # as pyspark.errors.exceptions.captured.CapturedException
        _stackTrace = OF_THE_JVM[name]["text"].partition("\n: ")[2]

    class Status:
        errorMessage = f"{HIVE}{OF_THE_JVM[name]['text'].partition(chr(10) + ': ')[2]}"

    class Response:
        status = Status

    line = OF_THE_JVM[name]["line"]
    assert root_cause(Captured("Job aborted")) == line
    assert root_cause(hive.OperationalError(Response)) == line
    assert root_cause(DbtRuntimeError(OF_THE_JVM[name]["text"])) == line


def test_a_jvm_that_has_ended_is_no_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    assert root_cause(caught(lambda: gateway.jvm.java.lang.System.nanoTime())) == JVM_ENDED
    assert root_cause(Py4JError("An error occurred while calling o113.sql")) == JVM_ENDED
    with pytest.raises(ConnectionRefusedError) as refused:
        socket.create_connection(("127.0.0.1", port))
    assert root_cause(refused.value) == "Connection refused", "another server is not the JVM"


def test_a_full_disk_is_named_by_each_library(tmp_path: Path) -> None:
    def write_to_device() -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    def write_by_arrow() -> None:  # not by write_table, which removes a file that it could not write
        with pa.OSFile("/dev/full", "wb") as file:
            file.write(b"x")

    assert root_cause(caught(write_to_device)) == FULL
    assert root_cause(caught(write_by_arrow)) == FULL
    assert root_cause(caught(lambda: raise_from(RuntimeError("cannot write"), caught(write_to_device)))) == FULL  # type: ignore[arg-type]
    assert root_cause(OSError(28, FULL, "/lake/a b.parquet")) == f"{FULL}: '/lake/a b.parquet'"

    def fill_database() -> None:
        with create_engine(f"sqlite:///{tmp_path / 'full.db'}").begin() as connection:
            connection.execute(text("pragma max_page_count = 2"))
            connection.execute(text("create table t (a text)"))
            connection.execute(text("insert into t values (:a)"), {"a": "x" * 50_000})

    error = caught(fill_database)
    assert isinstance(error.__cause__, sqlite3.OperationalError)
    assert root_cause(error) == "database or disk is full"


def test_an_error_in_the_handler_of_a_full_disk_does_not_hide_it() -> None:
    def clean_up() -> None:
        try:
            raise OSError(28, FULL)
        except OSError:
            raise KeyError("file")  # noqa: B904

    def look_up() -> None:
        try:
            dict[str, int]()["red"]
        except KeyError:
            raise ValueError("unknown band")  # noqa: B904

    assert root_cause(caught(clean_up)) == FULL
    assert root_cause(caught(look_up)) == "unknown band", "an error that was expected is not the cause"


@pytest.mark.parametrize(
    ("refusal", "of_list", "of_read", "of_write"),
    [
        (
            DENIED,
            "AccessDenied on s3:ListBucket of lake",
            "AccessDenied on s3:GetObject of s3://lake/a",
            "AccessDenied on s3:PutObject of s3://lake/a",
        ),
        (
            DENIED_WITH_REASON,
            f"AccessDenied on s3:ListBucket of lake: {REASON}",
            "AccessDenied on s3:GetObject of s3://lake/a",  # a HEAD has no body
            f"AccessDenied on s3:ListBucket of lake: {REASON}",
        ),
        (
            SLOW_DOWN,
            "SlowDown on s3:ListBucket of lake: Please reduce your request rate",
            "503 Service Unavailable on s3:GetObject of s3://lake/a",
            "SlowDown on s3:PutObject of s3://lake/a: Please reduce your request rate",
        ),
        (
            EXPIRED_TOKEN,
            "ExpiredToken on s3:ListBucket of lake: The provided token has expired",
            "400 Bad Request on s3:GetObject of s3://lake/a",
            "ExpiredToken on s3:PutObject of s3://lake/a: The provided token has expired",
        ),
    ],
)
def test_a_refused_call_of_pyarrow_names_operation_and_place(
    refusal: Refusal, of_list: str, of_read: str, of_write: str
) -> None:
    with refusing_s3(refusal) as url:
        once = fs.AwsStandardS3RetryStrategy(max_attempts=1)
        s3 = fs.S3FileSystem(
            access_key="a", secret_key="b", endpoint_override=url, region="eu-central-1", retry_strategy=once
        )

        def write() -> None:
            with s3.open_output_stream("lake/a") as stream:
                stream.write(b"x")

        assert root_cause(caught(lambda: s3.get_file_info(fs.FileSelector("lake")))) == of_list
        assert root_cause(caught(lambda: s3.open_input_file("lake/a"))) == of_read
        assert root_cause(caught(write)) == of_write


def test_a_refused_call_of_pyiceberg_names_operation_and_place() -> None:
    with refusing_s3(DENIED) as url:
        io = PyArrowFileIO({"s3.endpoint": url, "s3.access-key-id": "a", "s3.secret-access-key": "b"})
        error = caught(lambda: io.new_input("s3://lake/raw/metadata/0.json").open())
    assert root_cause(error) == "AccessDenied on s3:GetObject of s3://lake/raw/metadata/0.json"


@pytest.mark.parametrize(
    ("refusal", "of_list", "of_head"),
    [
        (DENIED, "AccessDenied on s3:ListBucket", "403 Forbidden on s3:GetObject"),
        (DENIED_WITH_REASON, f"AccessDenied on s3:ListBucket of lake: {REASON}", "403 Forbidden on s3:GetObject"),
        (
            SLOW_DOWN,
            "SlowDown on s3:ListBucket: Please reduce your request rate",
            "503 Service Unavailable on s3:GetObject",
        ),
        (
            NO_SUCH_BUCKET,
            "NoSuchBucket on s3:ListBucket of lake: The specified bucket does not exist",
            "404 Not Found on s3:GetObject",
        ),
        (
            EXPIRED_TOKEN,
            "ExpiredToken on s3:ListBucket: The provided token has expired",
            "400 Bad Request on s3:GetObject",
        ),
    ],
)
def test_a_refused_call_of_botocore_names_the_operation(refusal: Refusal, of_list: str, of_head: str) -> None:
    with refusing_s3(refusal) as url:
        s3 = boto3.client("s3", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}), **KEYS)
        assert root_cause(caught(lambda: s3.list_objects_v2(Bucket="lake"))) == of_list
        assert root_cause(caught(lambda: s3.head_object(Bucket="lake", Key="a"))) == of_head


def test_other_services_of_aws_are_named_where_the_answer_names_them() -> None:
    def refused(code: str, message: str) -> str:
        return root_cause(exceptions.ClientError({"Error": {"Code": code, "Message": message}}, "CreateModel"))

    arn = "arn:aws:sagemaker:eu-central-1:123456789012:model/chiplake"
    assert refused("ThrottlingException", "Rate exceeded") == "ThrottlingException on CreateModel: Rate exceeded"
    assert (
        refused(
            "AccessDeniedException",
            "User: arn:aws:sts::123456789012:assumed-role/chiplake/x is not authorized to perform: "
            f"sagemaker:CreateModel on resource: {arn} with an explicit deny in a service control policy",
        )
        == f"AccessDeniedException on sagemaker:CreateModel of {arn}: with an explicit deny in a service control policy"
    )


GRANT = "grant it to the role of the jobs in Lake Formation (docs/operations.md, Lake Formation)"


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("GetTable", "Insufficient Lake Formation permission(s): Required Describe on fct_chips"),
        ("GetTable", "Insufficient Lake Formation permission(s) on fct_chips"),
        ("CreateDatabase", "Insufficient Lake Formation permission(s): Required Create Database on Catalog"),
    ],
)
def test_a_catalogue_that_lake_formation_governs_is_named_with_the_remedy_by_python_and_java(
    operation: str, said: str
) -> None:
    """The texts are those of public reports of boto3, Terraform and Iceberg."""
    of_python = exceptions.ClientError({"Error": {"Code": "AccessDeniedException", "Message": said}}, operation)
    assert root_cause(of_python) == f"AccessDeniedException on {operation}: {said}; {GRANT}"
    of_java = (
        "An error occurred while calling o45.sql.\n"
        f": software.amazon.awssdk.services.glue.model.AccessDeniedException: {said} "
        "(Service: Glue, Status Code: 400, Request ID: ee1f5acf-0a7a-4098-b80b-6308f8ff63e9)\n"
        "\tat software.amazon.awssdk.core.internal.http.CombinedResponseHandler.handleErrorResponse"
        "(CombinedResponseHandler.java:125)\n"
        f"\tat software.amazon.awssdk.services.glue.DefaultGlueClient.{operation[0].lower()}{operation[1:]}"
        "(DefaultGlueClient.java:8000)\n"
        "\tat org.apache.iceberg.aws.glue.GlueTableOperations.getGlueTable(GlueTableOperations.java:200)\n"
    )
    assert root_cause(of_java) == f"AccessDeniedException on glue:{operation}: {said}; {GRANT}"


def test_an_aws_that_cannot_be_called_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = boto3.client(
        "s3", endpoint_url="http://127.0.0.1:9", config=Config(retries={"total_max_attempts": 1}), **KEYS
    )
    line = root_cause(caught(lambda: unreachable.list_objects_v2(Bucket="lake")))
    assert line.startswith("EndpointConnectionError: Could not connect to the endpoint URL")
    assert "http://127.0.0.1:9/lake" in line

    assert root_cause(exceptions.NoCredentialsError()) == "NoCredentialsError: Unable to locate credentials"

    config = tmp_path / "config"
    config.write_text("[default]\ncredential_process = sh -c 'echo the-secret >&2; exit 1'\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    error = caught(lambda: boto3.Session(region_name="eu-central-1").client("s3").list_buckets())
    assert "the-secret" in str(error)
    assert root_cause(error) == "AWS credentials cannot be retrieved from custom-process"


def test_a_server_that_cannot_be_reached_is_named() -> None:
    error = caught(lambda: requests.get("http://127.0.0.1:9/v1/config", timeout=5))
    assert root_cause(error) == "Connection refused: 127.0.0.1:9"


def test_a_commit_that_came_too_late_names_the_other_run(tmp_path: Path) -> None:
    catalog = load_catalog("late", type="sql", uri=f"sqlite:///{tmp_path / 'c.db'}", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("a")
    rows = pa.table({"x": [1]})
    first = catalog.create_table("a.t", rows.schema, properties={"commit.retry.num-retries": "0"})
    second = catalog.load_table("a.t")
    first.append(rows)
    error = caught(lambda: second.append(rows))
    assert type(error).__name__ == "CommitFailedException"
    assert root_cause(error) == "another run has published the same table meanwhile; run this again"
    catalog.close()


def test_a_conflict_in_glue_names_the_table() -> None:
    # As org.apache.iceberg.aws.glue.GlueTableOperations words it.
    message = (
        "org.apache.iceberg.exceptions.CommitFailedException: Cannot commit lake.chiplake.fct_chips because Glue "
        f"detected concurrent update{FRAMES}Caused by: "
        "software.amazon.awssdk.services.glue.model.ConcurrentModificationException: "
        "Update table failed due to concurrent modifications (Service: Glue, Status Code: 400, Request ID: X1)"
    )
    assert root_cause(message) == "another run has published lake.chiplake.fct_chips meanwhile; run this again"
    inner = message.partition("Caused by: ")[2]
    assert root_cause(inner) == (
        "ConcurrentModificationException on glue: Update table failed due to concurrent modifications"
    )


def test_an_error_of_dbt_is_its_message_without_headings() -> None:
    refusal = (
        "Compilation Error in model fct_chips (models/chips/fct_chips.sql)\n  lake.chiplake.fct_chips: another run "
        "wrote 2 of the same rows since this one planned them; run this again\n  \n"
        "  > in macro sink_refuse_conflict (macros/sinks/sink_refuse_conflict.sql)\n"
        "  > called by macro sink_publish (macros/sinks/sink_publish.sql)"
    )
    line = "lake.chiplake.fct_chips: another run wrote 2 of the same rows since this one planned them; run this again"
    assert root_cause(refusal) == line
    assert failures_line([("fct_chips", refusal), ("fct_x", "")]) == f"2 of dbt's nodes failed, first fct_chips: {line}"
    assert failures_line([("fct_x", "")]) == "1 of dbt's nodes failed, first fct_x: no message"
    assert root_cause("Got 5 results, configured to fail if != 0") == "Got 5 results, configured to fail if != 0"


@pytest.mark.parametrize(
    "line",
    [
        f"exit code 1: chiplake: cannot write s3://lake/a: {FULL}; free some",
        f"chiplake-ingest-01 failed: chiplake: {FULL} (chiplake --debug … shows where)",
        f"2 of dbt's nodes failed, first fct_chips: {FULL}",
    ],
)
def test_a_line_of_this_project_stays_as_it_is(line: str) -> None:
    assert root_cause(line) == line
    assert root_cause(RuntimeError(line)) == line


def test_an_error_of_this_project_is_its_own_message() -> None:
    error = caught(lambda: raise_from(ChiplakeError("cannot read it;\n run again"), OSError(28, FULL)))
    assert root_cause(error) == "cannot read it; run again"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n\n first \nsecond"), "first"),
        (ValueError("these are wrong:\n  a, b"), "these are wrong: a, b"),
        (KeyError("red"), "KeyError: 'red'"),
        (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError(), "ValueError"),
        (
            FileNotFoundError(2, "No such file or directory", "a.tif"),
            "No such file or directory: 'a.tif'",
        ),
        (np.exceptions.AxisError(1, 1), "AxisError: axis 1 is out of bounds for array of dimension 1"),
    ],
)
def test_other_errors_are_their_first_line_with_the_type_where_it_says_something(
    error: BaseException, line: str
) -> None:
    assert root_cause(error) == line


def test_a_line_has_no_secrets_and_a_bounded_length() -> None:
    assert (
        root_cause(ValueError("GET https://host/a.tif?X-Amz-Signature=abc failed")) == "GET https://host/a.tif failed"
    )
    assert len(root_cause("x" * 5000)) == 600
    assert len(root_cause("x" * 5000, 200)) == 200
