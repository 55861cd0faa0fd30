"""Texts are written in one line, without secrets."""

from __future__ import annotations

from lakehouse.errors import one_line


def test_a_text_of_several_lines_becomes_one_printable_line() -> None:
    assert one_line("cannot\tread\n\x1b[31m this.\n") == "cannot read [31m this"


def test_a_line_has_no_signature_and_no_more_than_the_longest_length() -> None:
    assert one_line("GET https://host/a.tif?X-Amz-Signature=abc failed") == "GET https://host/a.tif failed"
    assert len(one_line("x" * 1000)) == 400
    assert len(one_line("x" * 1000, 200)) == 200
