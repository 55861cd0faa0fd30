"""The digest of the code changes with every file that rows depend on, and with nothing else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.code_digest import code_digest
from lakehouse.settings import PROJECT_DIR


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("macros/grid/cell.sql", "python_udfs/fill/rule.py", "lakehouse/bands.py", "requirements.lock"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"-- {name}")
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "python_udfs" / "fill" / "rule.py").write_text("# another rule"),
        lambda folder: (folder / "macros" / "new.sql").write_text(""),
        lambda folder: (folder / "lakehouse" / "bands.py").unlink(),
        lambda folder: (folder / "macros" / "grid" / "cell.sql").rename(folder / "macros" / "cell.sql"),
        lambda folder: (folder / "requirements.lock").write_text("numpy==3"),
    ],
)
def test_a_changed_new_missing_or_moved_file_changes_it(project: Path, change: Callable[[Path], object]) -> None:
    before = code_digest(project)
    assert code_digest(project) == before
    change(project)
    assert code_digest(project) != before


def test_two_checkouts_of_the_same_code_have_the_same_digest(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, ignore=lambda folder, names: ["copy"])
    assert code_digest(copy) == code_digest(project)


def test_files_that_no_row_depends_on_do_not_change_it(project: Path) -> None:
    before = code_digest(project)
    (project / "README.md").write_text("# Chiplake")
    (project / "python_udfs" / "fill" / "rule.cpython-311.pyc").write_bytes(b"\0")
    assert code_digest(project) == before


def test_the_module_of_a_function_of_the_user_counts(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "functions_of_digest_test.py"
    module.write_text("ONE = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["functions_of_digest_test:ONE"]
    before = code_digest(project, names)
    assert before != code_digest(project)
    module.write_text("ONE = 2")
    assert code_digest(project, names) != before
    assert "functions_of_digest_test" not in sys.modules, "nothing is run"


def test_the_project_itself_has_files() -> None:
    assert code_digest(PROJECT_DIR) != code_digest(PROJECT_DIR / "docs")
