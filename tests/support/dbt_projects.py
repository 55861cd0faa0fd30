"""Copies of the dbt project with files of a user."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dbt.cli.main import dbtRunner

from lakehouse.settings import PROJECT_DIR

_FOLDERS: Final = ("models", "macros", "seeds", "snapshots", "analyses", "tests/dbt", "profiles")
_FILES: Final = ("dbt_project.yml", "selectors.yml")


class DbtProject:
    """A copy of the project in a folder of its own, with its own target, so that partial parsing works."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        for name in _FOLDERS:
            shutil.copytree(PROJECT_DIR / name, folder / name)
        for name in _FILES:
            shutil.copy(PROJECT_DIR / name, folder / name)
        for path, text in files.items():
            self.write(path, text)

    def write(self, path: str, text: str) -> None:
        """Write a file of the user."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def run(self, *arguments: str) -> dict[str, tuple[str, str]]:
        """Run a dbt command in this process, and return the status and the message of each node.

        Raises:
            AssertionError: dbt ended before it ran a node.
        """
        done = self._invoke(arguments)
        assert done.exception is None, done.exception
        results = getattr(done.result, "results", [])
        return {result.node.name: (str(result.status), str(result.message)) for result in results}

    def build(self, *arguments: str) -> None:
        """Run a dbt command, and assert that every node succeeds."""
        failed = {name: result for name, result in self.run(*arguments).items() if result[0] in ("error", "fail")}
        assert failed == {}

    def failure(self, *arguments: str) -> str:
        """Run a dbt command in this process that ends before it runs a node, and return its message."""
        exception = self._invoke(arguments).exception
        assert exception is not None
        return str(exception).strip()

    def _invoke(self, arguments: Sequence[str]) -> Any:
        places = ["--project-dir", str(self.folder), "--profiles-dir", str(self.folder / "profiles")]
        own = ["--target-path", str(self.folder / "target"), "--log-path", str(self.folder / "logs")]
        return dbtRunner().invoke(["--quiet", "--log-level-file", "none", *arguments, *places, *own])
