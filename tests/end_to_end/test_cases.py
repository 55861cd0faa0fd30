"""Imagery cases as providers make them, from a folder beside the sample data, through the whole pipeline."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lakehouse.settings import PROJECT_DIR

pytestmark = [pytest.mark.java, pytest.mark.slow]


@pytest.fixture
def cases(sample_data: Path) -> Path:
    """The folder of a program that makes cases, which is not part of the project."""
    folder = sample_data.parent / "cases"
    if not (folder / "bugs.py").is_file():
        pytest.skip(f"no cases: {folder} has no bugs.py")
    return folder


def left_out() -> list[str]:
    """Return options that leave out what the program cannot make with this NumPy: it would write 4 for -32764."""
    with np.errstate(all="ignore"):
        made = np.where([True], -32764, np.zeros(1, np.uint8))
    return ["--without", "scl_int16"] if made[0] == 4 else []


def test_pixels_and_words_of_all_cases_are_right(cases: Path, tmp_path: Path) -> None:
    script = PROJECT_DIR / "scripts" / "run_cases.py"
    command = [sys.executable, str(script), "--cases", str(cases), "--work", str(tmp_path), *left_out()]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[done.stdout.rfind("\ncase ") :] + done.stderr[-2_000:]
