"""A run of dbt that fails ends with its cause."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chiplake.dbt_failures import FailureReport

FULL = "Runtime Error in model fct_chips (models/chips/fct_chips.sql)\n  No space left on device"


def event(kind: str, **data: Any) -> Any:
    return SimpleNamespace(info=SimpleNamespace(name=kind), data=SimpleNamespace(**data))


def failed(node: str, message: str) -> Any:
    return event("RunResultError", node_info=SimpleNamespace(node_name=node), msg=message)


def test_the_last_line_counts_the_nodes_that_failed_and_names_the_cause_of_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = FailureReport()
    for one in (failed("fct_chips", FULL), failed("unique_fct_chips_chip_id", "Got 5 results"), event("StatsLine")):
        report(one)
    found = capsys.readouterr()
    assert found.err == "chiplake: 2 of dbt's nodes failed, first fct_chips: No space left on device\n"
    assert found.out == "", "standard output is dbt's, which may be JSON"


def test_a_run_that_succeeds_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    FailureReport()(event("StatsLine"))
    assert capsys.readouterr().err == ""


def test_an_error_before_the_first_node_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    FailureReport()(event("MainEncounteredError", exc="Runtime Error\n  no server answers; start one"))
    assert capsys.readouterr().err == "chiplake: no server answers; start one\n"
