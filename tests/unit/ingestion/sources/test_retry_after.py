"""The Retry-After header."""

from __future__ import annotations

import pytest
from support.searches import day

from ingestion.sources.http_session import retry_after_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Wed, 01 Mar 2023 00:00:30 GMT", 30.0),
        ("Tue, 28 Feb 2023 00:00:00 GMT", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, day("2023-03-01")) == seconds
