"""Errors are written in one line, without secrets."""

from __future__ import annotations

import pytest

from lakehouse.errors import error_line, one_line


class JavaCause:
    """A Java exception as Py4J shows it."""

    def __init__(self, message: str | None, cause: JavaCause | None = None) -> None:
        self.message, self.cause = message, cause

    def getCause(self) -> JavaCause | None:
        return self.cause

    def getMessage(self) -> str | None:
        return self.message

    def getClass(self) -> JavaCause:
        return self

    def getName(self) -> str:
        return "java.lang.NullPointerException"


class JavaError(Exception):
    """An error of Py4J, or of PySpark, by the name of its attribute."""

    def __init__(self, attribute: str, cause: JavaCause) -> None:
        super().__init__("An error occurred while calling o1.load\n\tat org.example.Main")
        setattr(self, attribute, cause)


def test_a_text_of_several_lines_becomes_one_printable_line() -> None:
    assert one_line("cannot\tread\n\x1b[31m this.\n") == "cannot read [31m this"


def test_a_line_has_no_signature_and_no_more_than_the_longest_length() -> None:
    assert one_line("GET https://host/a.tif?X-Amz-Signature=abc failed") == "GET https://host/a.tif failed"
    assert len(one_line("x" * 1000)) == 400
    assert len(one_line("x" * 1000, 200)) == 200


def test_an_error_is_described_by_its_first_line() -> None:
    assert error_line(ValueError("\n\n first \nsecond")) == "first"


def test_an_error_without_a_message_is_described_by_its_type() -> None:
    assert error_line(KeyboardInterrupt()) == "KeyboardInterrupt"


@pytest.mark.parametrize("attribute", ["java_exception", "_origin"])
def test_an_error_of_the_jvm_is_described_by_its_root_cause(attribute: str) -> None:
    root = JavaCause("s3://bucket/a.parquet is not a Parquet file\n\tat org.apache.parquet")
    error = JavaError(attribute, JavaCause("Job aborted", JavaCause("Task failed", root)))
    assert error_line(error) == "s3://bucket/a.parquet is not a Parquet file"
    assert error_line(JavaError(attribute, JavaCause(None))) == "java.lang.NullPointerException"
