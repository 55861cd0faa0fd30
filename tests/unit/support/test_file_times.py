"""The test suite names the files that take too long."""

from __future__ import annotations

from support.file_times import over_budget


def test_a_file_over_the_budget_of_its_folder_is_named() -> None:
    steps = [
        ("tests/unit/a/test_one.py::test_a", 15.0),
        ("tests/unit/a/test_one.py::test_b[1]", 6.0),
        ("tests/unit/a/test_other.py::test_a", 20.0),
        ("tests/integration/test_third.py::test_a", 120.0),
        ("tests/end_to_end/test_fourth.py::test_a", 121.0),
        ("test_fifth.py::test_a", 1.0),
    ]
    assert over_budget(steps) == [
        "121 s of 120 s: tests/end_to_end/test_fourth.py",
        "21 s of 20 s: tests/unit/a/test_one.py",
    ]
