"""A pytest plugin for whole files: it runs the longest files first, and names files that exceed their time budget."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

import pytest
from _pytest.terminal import TerminalReporter

# A process runs one file after the other. With the longest first, no process waits long for another at the end.
LONGEST_FIRST: Final = (
    "test_whole_tile",
    "test_cluster",
    "test_job_on_hosts",
    "test_arrival_orders",
    "test_aws_runs",
    "test_dag_runs",
    "test_demo",
    "test_incremental",
    "test_rules",
    "test_fill_histories",
    "test_chips_of_odd_rasters",
    "test_embedding_resume",
    "test_maintain",
    "test_real_scenes",
    "test_chip_statistics",
    "test_grid",
    "test_sagemaker_transform",
    "test_deploy",
    "test_graph",
    "test_stack",
)
BUDGETS: Final = {"unit": 20.0}  # seconds for the tests of one file that are not marked slow, by folder of tests
BUDGET: Final = 120.0  # seconds in the other folders


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use Spark, and sort the files."""
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.java)
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    stem = item.path.stem
    return LONGEST_FIRST.index(stem) if stem in LONGEST_FIRST else len(LONGEST_FIRST)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Name the files that took longer than their budget. This does not fail the run: a busy machine is also slow."""
    reports = [
        report
        for found in terminalreporter.stats.values()
        for report in found
        if isinstance(report, pytest.TestReport) and "slow" not in report.keywords
    ]
    lines = over_budget((report.nodeid, report.duration) for report in reports)
    if lines:
        terminalreporter.section("files over their budget of seconds")
        for line in lines:
            terminalreporter.write_line(line)


def over_budget(durations: Iterable[tuple[str, float]]) -> list[str]:
    """Return a line for each file whose tests took longer than its budget.

    Args:
        durations: node id and seconds of each step of each test.
    """
    seconds: dict[str, float] = {}
    for node_id, duration in durations:
        file = node_id.split("::")[0]
        seconds[file] = seconds.get(file, 0.0) + duration
    budgets = {file: BUDGETS.get("".join(PurePosixPath(file).parts[1:2]), BUDGET) for file in seconds}
    return [
        f"{seconds[file]:.0f} s of {budgets[file]:.0f} s: {file}"
        for file in sorted(seconds, key=lambda file: -seconds[file])
        if seconds[file] > budgets[file]
    ]
